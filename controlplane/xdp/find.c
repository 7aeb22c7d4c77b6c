/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_link.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "controlplane/xdp/xdp_impl.h"

/* The kernel's own limit of maps a program may use (MAX_USED_MAPS). */
#define MAPS_MAX 64

static const char *const map_names[HR_XDP_MAPS] = {
	[HR_XDP_MAP_XSKS] = HR_STEER_XSKS_MAP,
	[HR_XDP_MAP_UDP] = HR_STEER_UDP_PORTS_MAP,
	[HR_XDP_MAP_TCP] = HR_STEER_TCP_PORTS_MAP,
	[HR_XDP_MAP_COUNTS] = HR_STEER_COUNTS_MAP,
};

/* As `ip link set dev ... <word> off` wants it. */
static const char *mode_word(uint32_t mode)
{
	switch (mode) {
	case XDP_FLAGS_SKB_MODE:
		return "xdpgeneric";
	case XDP_FLAGS_HW_MODE:
		return "xdpoffload";
	default:
		return "xdpdrv";
	}
}

static int fail_lookup(struct hr_err *err, const char *ifname, const char *what,
		       int code)
{
	if (code == -EPERM)
		return hr_fail(
			err, code,
			"%s: the kernel does not show %s to this process: expected "
			"CAP_NET_ADMIN, CAP_NET_RAW and CAP_SYS_ADMIN; run as root, or "
			"add them to AmbientCapabilities= of the systemd unit",
			ifname, what);
	return hr_fail(err, code, "%s: cannot read %s: %s", ifname, what,
		       strerror(-code));
}

static int fail_foreign(struct hr_err *err, const struct hr_xdp_found *found)
{
	char tag[2 * BPF_TAG_SIZE + 1];

	for (int i = 0; i < BPF_TAG_SIZE; i++)
		snprintf(tag + 2 * i, 3, "%02x", found->program.tag[i]);
	return hr_fail(
		err, -EBUSY,
		"%s: found XDP program \"%s\" (id %u, tag %s), which is not "
		"Headrace's, "
		"expected none; see whose it is with: bpftool prog show id %u; and if "
		"nobody needs it: ip link set dev %s %s off",
		found->ifname, found->program.name, found->program.id, tag,
		found->program.id, found->ifname, mode_word(found->mode));
}

/* Which program, and in which mode. */
static int query(struct hr_xdp_found *found, uint32_t *id, struct hr_err *err)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);
	int code = bpf_xdp_query(found->ifindex, 0, &opts);

	if (code < 0)
		return fail_lookup(err, found->ifname, "what XDP program it has", code);
	switch (opts.attach_mode) {
	case XDP_ATTACHED_NONE:
		return hr_fail(err, -ENOENT,
			       "%s: found no XDP program, expected Headrace's: start "
			       "headrace-dataplane with port af_xdp:%s",
			       found->ifname, found->ifname);
	case XDP_ATTACHED_MULTI:
		return hr_fail(err, -EBUSY,
			       "%s: found several XDP programs (driver's id %u, "
			       "generic id %u, card's id %u), expected none or "
			       "Headrace's: see bpftool net show dev %s",
			       found->ifname, opts.drv_prog_id, opts.skb_prog_id,
			       opts.hw_prog_id, found->ifname);
	case XDP_ATTACHED_SKB:
		found->mode = XDP_FLAGS_SKB_MODE;
		break;
	case XDP_ATTACHED_HW:
		found->mode = XDP_FLAGS_HW_MODE;
		break;
	default:
		found->mode = XDP_FLAGS_DRV_MODE;
		break;
	}
	*id = opts.prog_id;
	return 0;
}

/* Keep the map if its name is one of ours; close it otherwise. */
static int take_map(struct hr_xdp_found *found, uint32_t id)
{
	struct bpf_map_info info = { 0 };
	uint32_t bytes = sizeof(info);
	int fd = bpf_map_get_fd_by_id(id);
	int code;

	if (fd < 0)
		return fd;
	code = bpf_obj_get_info_by_fd(fd, &info, &bytes);
	if (code < 0)
		goto drop;
	for (int i = 0; i < HR_XDP_MAPS; i++) {
		if (strcmp(info.name, map_names[i]) != 0 || found->map_fd[i] >= 0)
			continue;
		found->map_fd[i] = fd;
		found->map[i] = info;
		return 0;
	}
drop:
	close(fd);
	return code;
}

static int take_maps(struct hr_xdp_found *found)
{
	uint32_t ids[MAPS_MAX];
	struct bpf_prog_info info = {
		.nr_map_ids = MAPS_MAX,
		.map_ids = (uint64_t)(uintptr_t)ids,
	};
	uint32_t bytes = sizeof(info);
	int code = bpf_obj_get_info_by_fd(found->fd, &info, &bytes);

	for (uint32_t i = 0; code == 0 && i < info.nr_map_ids && i < MAPS_MAX; i++)
		code = take_map(found, ids[i]);
	return code;
}

static bool is_ours(const struct hr_xdp_found *found)
{
	if (strcmp(found->program.name, HR_STEER_PROGRAM) != 0)
		return false;
	for (int i = 0; i < HR_XDP_MAPS; i++)
		if (found->map_fd[i] < 0)
			return false;
	return true;
}

static int take_program(struct hr_xdp_found *found, uint32_t id, struct hr_err *err)
{
	uint32_t bytes = sizeof(found->program);
	int code;

	found->fd = bpf_prog_get_fd_by_id(id);
	if (found->fd < 0)
		return fail_lookup(err, found->ifname, "its XDP program", found->fd);
	code = bpf_obj_get_info_by_fd(found->fd, &found->program, &bytes);
	if (code == 0)
		code = take_maps(found);
	if (code < 0)
		return fail_lookup(err, found->ifname, "the maps of its XDP program",
				   code);
	return is_ours(found) ? 0 : fail_foreign(err, found);
}

int hr_xdp_find(struct hr_xdp_found *out, const char *ifname, struct hr_err *err)
{
	struct hr_xdp_found found = { .fd = -1 };
	uint32_t id = 0;
	int code;

	for (int i = 0; i < HR_XDP_MAPS; i++)
		found.map_fd[i] = -1;
	found.ifindex = (int)if_nametoindex(ifname);
	if (found.ifindex == 0)
		return hr_fail(err, -ENODEV,
			       "%s: found no such interface in this network namespace; "
			       "see them with: ip -br link",
			       ifname);
	snprintf(found.ifname, sizeof(found.ifname), "%s", ifname);

	code = query(&found, &id, err);
	if (code == 0)
		code = take_program(&found, id, err);
	if (code < 0) {
		hr_xdp_release(&found);
		return code;
	}
	*out = found;
	return 0;
}

void hr_xdp_release(struct hr_xdp_found *found)
{
	for (int i = 0; i < HR_XDP_MAPS; i++)
		if (found->map_fd[i] >= 0)
			close(found->map_fd[i]);
	if (found->fd >= 0)
		close(found->fd);
}

uint32_t hr_xdp_attached_id(int ifindex)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	return bpf_xdp_query(ifindex, 0, &opts) == 0 ? opts.prog_id : 0;
}

/* 1: this very program is attached; 0: none is; -EBUSY: another one. */
static int is_still_there(const struct hr_xdp_found *found, struct hr_err *err)
{
	uint32_t now = hr_xdp_attached_id(found->ifindex);

	if (now == 0 || now == found->program.id)
		return now != 0;
	return hr_fail(err, -EBUSY,
		       "%s: found XDP program %u in the place of Headrace's %u; see "
		       "whose it is with: bpftool prog show id %u",
		       found->ifname, now, found->program.id, now);
}

int hr_xdp_take_off(const struct hr_xdp_found *found, struct hr_err *err)
{
	/* The kernel compares the old program itself: nobody else's is taken off
	 * between our look and this call. */
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = found->fd);
	int is_there = is_still_there(found, err);
	int code;

	if (is_there <= 0)
		return is_there;
	code = bpf_xdp_detach(found->ifindex, found->mode, &opts);
	if (code == 0)
		return 0;
	is_there = is_still_there(found, err);
	if (is_there <= 0)
		return is_there;
	return hr_fail(err, code,
		       "%s: cannot take off XDP program %u: %s; try: ip link set dev "
		       "%s %s off",
		       found->ifname, found->program.id, strerror(-code), found->ifname,
		       mode_word(found->mode));
}
