/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_EAL_ARGS_H
#define HR_EAL_ARGS_H

/*
 * eal_args - the arguments of rte_eal_init() as text. A pure function of the
 * configuration: which CPUs, how much memory of which kind, which PCI devices.
 * Other devices are plugged in after the start (ports.c), where an error has a name.
 */

#include "common/config.h"

#define HR_EAL_ARGS_MAX (16 + 2 * HR_PORTS_MAX)

struct hr_eal_args {
	int n;
	char *words[HR_EAL_ARGS_MAX + 1]; /* into text; ends with NULL */
	uint32_t text_bytes;
	char text[4096];
};

/*
 *   program                      its last path component, for messages
 *   --lcores 0@M,1@W0,...        lcore 0 is the main thread, 1 + w is worker w;
 *                                several may share a CPU
 *   -m MB                        taken at the start, so that it cannot run short later
 *   --in-memory                  no file is left on huge pages after a SIGKILL; or
 *   --no-huge --no-shconf        ordinary memory (22.11 refuses --in-memory with it)
 *   -a ADDRESS... or --no-pci    no device is touched that no port names
 *   --iova-mode=va               without PCI devices nobody needs physical addresses;
 *                                with one EAL asks its driver (no-IOMMU needs them)
 *   --log-level=...              quiet unless log_level is debug
 *
 * Telemetry stays on. *out points into itself: it is not to be copied, and belongs to
 * EAL for as long as the process lives.
 */
void hr_eal_args(struct hr_eal_args *out, const struct hr_config *config,
		 const char *program);

#endif
