/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_EAL_CONFIG_H
#define HR_TEST_EAL_CONFIG_H

/* A configuration with which EAL starts anywhere: no root, no huge pages, no network,
 * main thread and workers on the first CPU that we may use. */

#include <sched.h>
#include <stdio.h>

#include "common/config.h"

static inline void eal_config(struct hr_config *c, uint32_t n_workers)
{
	cpu_set_t allowed;
	uint32_t cpu = 0;

	hr_config_defaults(c);
	sched_getaffinity(0, sizeof(allowed), &allowed);
	while (!CPU_ISSET(cpu, &allowed))
		cpu++;
	c->main_cpus[0] = cpu;
	c->n_workers = n_workers;
	for (uint32_t w = 0; w < n_workers; w++)
		c->worker_cpus[w] = cpu;
	c->huge_pages = false;
	c->memory_mb = 64;
	c->n_mbufs = 4096;
	c->log_level = HR_LOG_WARN;
	c->n_ports = 0;
}

static inline struct hr_port_config *
add_port(struct hr_config *c, enum hr_port_kind kind, const char *target)
{
	struct hr_port_config *p = &c->ports[c->n_ports++];

	*p = (struct hr_port_config){ .kind = kind,
				      .n_queues = 1,
				      .rx_descriptors = 2048 };
	snprintf(p->target, sizeof(p->target), "%s", target);
	snprintf(p->device, sizeof(p->device), "test:%.240s", target);
	return p;
}

#endif
