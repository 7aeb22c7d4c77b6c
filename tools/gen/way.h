/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_WAY_H
#define HR_WAY_H

/*
 * way - how datagrams leave the generator: through a kernel socket, over memif as a
 * DPDK process of its own, or into a pcap file. One thread.
 *
 *   batcher ─▶ put ─▶ [a burst of the way's own] ─▶ flush ─▶ wire, ring, file
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/net/headers.h"
#include "tools/gen/batcher.h"

/* What is asked of a way. */
struct hr_way_conf {
	const char *to;            /* "udp:HOST:PORT[-LAST]", "memif:client:SOCKET",
			 * "memif:server:SOCKET", "pcap:FILE" */
	struct hr_headers headers; /* memif and pcap: addresses of the frames */
	uint32_t memif_id;
	uint32_t n_queues; /* memif */
	uint32_t cpu;      /* memif: the CPU to stay on; UINT32_MAX: wherever */
	uint32_t wait_ms;  /* memif: for the peer, before the first frame */
	uint32_t stall_ms; /* how long the way may take nothing before it is given up */
};

struct hr_way;

struct hr_way_ops {
	const char *scheme; /* "udp" */
	int (*open)(struct hr_way **out, const struct hr_way_conf *conf,
		    struct hr_err *err);
	/* Take one datagram, due at due_us (wall clock). 0, or a negated errno with
	 * err: the way is broken, nothing more goes. */
	int (*put)(struct hr_way *way, const struct hr_batch *batch, uint64_t due_us,
		   struct hr_err *err);
	/* Hand over what was taken. The same. */
	int (*flush)(struct hr_way *way, struct hr_err *err);
	/* The last datagram was put and flushed: wait until the other side has it, where
	 * it would be lost otherwise. The same. */
	int (*drain)(struct hr_way *way, struct hr_err *err);
	/* Datagrams and events that certainly left; what remains did not. */
	void (*sent)(const struct hr_way *way, uint64_t *datagrams, uint64_t *events);
	void (*close)(struct hr_way *way);
	/* Time is written down, not waited for: datagrams are due when the plan says. */
	bool is_timeless;
};

extern const struct hr_way_ops hr_way_udp;
extern const struct hr_way_ops hr_way_memif;
extern const struct hr_way_ops hr_way_pcap;

/* The way for a text, or NULL with err. */
const struct hr_way_ops *hr_way_find(const char *to, struct hr_err *err);
/* What stands behind the scheme and its colon. */
const char *hr_way_target(const struct hr_way_conf *conf);

#endif
