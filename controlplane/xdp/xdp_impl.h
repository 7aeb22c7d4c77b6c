/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_XDP_IMPL_H
#define HR_XDP_IMPL_H

/*
 * xdp_impl - the program on an interface as the kernel tells it, shared by the files
 * of this room.
 */

#include <net/if.h>

#include <linux/bpf.h>

#include "controlplane/xdp/xdp.h"

enum hr_xdp_map {
	HR_XDP_MAP_XSKS,
	HR_XDP_MAP_UDP,
	HR_XDP_MAP_TCP,
	HR_XDP_MAP_COUNTS,
	HR_XDP_MAPS
};

struct hr_xdp_found {
	char ifname[IF_NAMESIZE];
	int ifindex;
	uint32_t mode; /* one of XDP_FLAGS_MODES */
	int fd;        /* of the program; -1 closed, as the maps' */
	struct bpf_prog_info program;
	int map_fd[HR_XDP_MAPS];
	struct bpf_map_info map[HR_XDP_MAPS];
};

/*
 * Look at the interface. Returns 0 and fills *out (release it) when our program is
 * there, of whatever version; -ENOENT when none is, -EBUSY when it is somebody
 * else's. *out owns nothing on failure.
 */
int hr_xdp_find(struct hr_xdp_found *out, const char *ifname, struct hr_err *err);
void hr_xdp_release(struct hr_xdp_found *found);

/* The program that is attached to the interface, 0 for none or no interface. */
uint32_t hr_xdp_attached_id(int ifindex);

/* Take this very program off; another one in its place is left alone: -EBUSY. */
int hr_xdp_take_off(const struct hr_xdp_found *found, struct hr_err *err);

#endif
