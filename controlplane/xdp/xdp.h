/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_XDP_H
#define HR_XDP_H

/*
 * xdp - the control plane's hold on the XDP program of an af_xdp port.
 *
 * DPDK's driver loads bpf/steer.bpf.o and attaches it when the dataplane opens the
 * port; this room never loads one. It clears the way before a start, finds the
 * program afterwards by what the kernel knows of it, sets its ports and reads its
 * counters:
 *
 *     hr_xdp_clear ─▶ (dataplane starts) ─▶ hr_xdp_open ─▶ set_ports, read ... ─▶ close
 *                                           -ENOENT until it is attached
 *
 * A program fresh from its object has no ports: until hr_xdp_set_ports every frame
 * goes to the kernel. It belongs to one run of the dataplane: when the dataplane was
 * restarted, hr_xdp_is_attached turns false and the handle is opened anew.
 *
 * Nothing is pinned: maps and program live as long as the program is attached, and
 * a handle keeps the maps readable until it is closed.
 *
 * Interfaces are those of the caller's network namespace. Cold; any thread, one at a
 * time per handle. They need CAP_NET_ADMIN, CAP_NET_RAW (a socket to ask the map with)
 * and CAP_SYS_ADMIN (the kernel hands out programs by id to no one else). Errors are
 * negated errno with a sentence that names the interface, what was found and the cure:
 *
 *     -ENODEV no such interface      -EPERM  capabilities are missing
 *     -ENOENT no program attached    -EBUSY  the program there is not ours, or is in
 *     -EPROTO ours, of a version             use by a running dataplane
 *             with other maps
 */

#include <stdbool.h>
#include <stdint.h>

#include "bpf/steer_abi.h"
#include "common/error.h"

/*
 * Before a dataplane starts on the interface: detach what a killed dataplane left
 * behind. Ours is recognised by its name and its set of maps, whatever its version,
 * and as left behind when no AF_XDP socket is in its map (sockets vanish from it
 * with their process). Returns 0 when nothing is attached (any more), -EBUSY when
 * somebody else's program is, or ours with a running dataplane.
 */
int hr_xdp_clear(const char *ifname, struct hr_err *err);

struct hr_xdp;

/* Find our program on the interface. *out is untouched on failure. */
int hr_xdp_open(struct hr_xdp **out, const char *ifname, struct hr_err *err);
void hr_xdp_close(struct hr_xdp *x); /* NULL is fine; detaches nothing */

/* Is the program of this handle still on its interface? */
bool hr_xdp_is_attached(const struct hr_xdp *x);

/* The kernel's number of the program, as bpftool shows it. */
uint32_t hr_xdp_program_id(const struct hr_xdp *x);

/*
 * These UDP ports (host byte order) and no others are ours from now on. A port that
 * was and stays one is one at every moment. Port 0 is refused: -EINVAL and nothing
 * has changed.
 */
int hr_xdp_set_ports(struct hr_xdp *x, const uint16_t *udp_ports, uint32_t n,
		     struct hr_err *err);

/* headrace_xdp_frames_total{port,verdict}; frames[] is indexed by enum
 * hr_steer_verdict. Counted since the program was loaded. */
struct hr_xdp_counts {
	uint64_t frames[HR_STEER_COUNT];
};

struct hr_xdp_verdict {
	const char *label;    /* of the metric */
	const char *sentence; /* for people */
};

extern const struct hr_xdp_verdict hr_xdp_verdicts[HR_STEER_COUNT];

/* Sum over all CPUs, while frames go on arriving. *out is untouched on failure. */
int hr_xdp_read(const struct hr_xdp *x, struct hr_xdp_counts *out, struct hr_err *err);

/*
 * Take the program of this handle off the interface, and only it: 0 also where
 * nothing is attached any more, -EBUSY where another program has taken its place.
 * The handle stays readable.
 */
int hr_xdp_detach(struct hr_xdp *x, struct hr_err *err);

/*
 * Receive queues that the interface spreads frames over: its ethtool channels, or
 * the count in /sys where its driver has none. Returns how many (at least 1) or a
 * negated errno.
 */
int hr_xdp_rx_queues(const char *ifname, struct hr_err *err);

/*
 * Refuse a start that would leave beacons to the kernel: -ERANGE with the command
 * that mends it when the interface has more receive queues than n_sockets.
 */
int hr_xdp_check_queues(const char *ifname, uint32_t n_sockets, struct hr_err *err);

#endif
