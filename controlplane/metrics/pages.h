/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_PAGES_H
#define HR_PAGES_H

/*
 * pages - what headraced tells: /metrics, /livez and /readyz over HTTP, and its
 * status over the command link. headraced's own metrics are in own.def. One thread.
 */

#include <stdint.h>

#include <jansson.h>

#include "common/config.h"
#include "controlplane/checkpoint/keeper.h"
#include "controlplane/metrics/http.h"
#include "controlplane/metrics/sampler.h"
#include "controlplane/supervise/supervise.h"

/* All borrowed. */
struct hr_pages {
	const struct hr_config *config;
	const struct hr_supervise *supervise;
	const struct hr_sampler *sampler;
	struct hr_keeper *keeper; /* NULL: no checkpoints */
	const char *metrics_address;
	uint64_t started_us; /* monotonic */
};

/* For hr_http_open(), with a struct hr_pages as ctx. */
extern const struct hr_http_page hr_pages_table[];

/* docs/operations.md lists the members. A new object. */
json_t *hr_pages_status(const struct hr_pages *pages);

#endif
