/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_STEERING_H
#define HR_STEERING_H

/*
 * steering - the XDP programs of all af_xdp ports of a configuration, over the life of
 * a dataplane: the way is cleared before its start, its programs are followed and
 * told their UDP ports while it runs, what it left is detached after its end.
 *
 * Without af_xdp ports every call does nothing and needs no privilege. One thread.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/config.h"
#include "common/error.h"
#include "controlplane/xdp/xdp.h"

struct hr_steering;

struct hr_steering_port {
	const char *device; /* as the configuration writes it */
	const char *interface;
	bool is_attached;    /* our program is there and knows its ports */
	const char *trouble; /* why not; "" while nothing is wrong */
	bool has_counts;
	struct hr_xdp_counts counts;
};

/* config is borrowed until hr_steering_free(). Returns 0 or -ENOMEM. */
int hr_steering_new(struct hr_steering **out, const struct hr_config *config);
void hr_steering_free(struct hr_steering *steer); /* NULL is fine; detaches nothing */

/* May a dataplane start? -EBUSY (another program is there), -ENODEV, -EPERM, -ERANGE
 * (more receive queues than sockets), ... with the sentence. */
int hr_steering_clear(struct hr_steering *steer, struct hr_err *err);
/* Follow the programs: find, set ports, notice when one went. */
void hr_steering_turn(struct hr_steering *steer);
/* The dataplane has ended: detach what is left. Returns the first failure. */
int hr_steering_end(struct hr_steering *steer, struct hr_err *err);

uint32_t hr_steering_count(const struct hr_steering *steer);
/* Reads the counters too. */
void hr_steering_read(struct hr_steering *steer, uint32_t i,
		      struct hr_steering_port *out);

/* [{"device","interface","attached","reason","frames":{verdict: n}}] */
json_t *hr_steering_json(struct hr_steering *steer);

#endif
