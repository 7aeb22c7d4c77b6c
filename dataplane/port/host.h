/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_HOST_H
#define HR_HOST_H

/*
 * host - what this machine gives the process (CPUs, huge pages, memory, rights), and
 * whether it is enough for a configuration. Looked at before rte_eal_init(), whose own
 * messages name neither the option nor the cure. Facts and judgement are apart, so
 * that every judgement is tested on any machine. Main thread.
 */

#include <sched.h>

#include "common/config.h"
#include "common/error.h"

#define HR_HUGE_SIZES_MAX 4
/* The largest CPU number the configuration takes is 1023: a cpu_set_t holds it. */

struct hr_host {
	cpu_set_t online;
	cpu_set_t allowed; /* for this process */
	struct {
		uint64_t page_kb;
		uint64_t n_pages;
		uint64_t n_free; /* and not promised to anybody */
	} huge[HR_HUGE_SIZES_MAX];
	uint32_t n_huge;
	uint64_t default_huge_kb;
	uint64_t available_mb; /* ordinary memory */
	uint64_t capabilities; /* effective; bit CAP_... */
};

/* Returns 0 or a negated errno with err. */
int hr_host_look(struct hr_host *out, struct hr_err *err);

/* Returns 0, or with a sentence that names option, finding and cure: -ENODEV (a CPU
 * that is not there), -EPERM (a CPU or a right we do not have), -EINVAL (a CPU for two
 * that cannot share it), -ENOMEM. */
int hr_host_suits(const struct hr_host *host, const struct hr_config *config,
		  struct hr_err *err);

/* "0-3,8" to a set. Returns 0 or -EINVAL. */
int hr_cpu_list_parse(cpu_set_t *out, const char *list);

#endif
