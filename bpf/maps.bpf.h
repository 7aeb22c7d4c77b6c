/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MAPS_BPF_H
#define HR_MAPS_BPF_H

/*
 * maps - the maps of steer_abi.h. None has a pinning attribute: a pin by name lies in
 * the root of bpffs, where two instances would meet, and outlives its process.
 */

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "steer_abi.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, HR_STEER_QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HR_STEER_PORT_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} hr_udp_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, HR_STEER_PORT_WORDS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
} hr_tcp_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, HR_STEER_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} hr_counts SEC(".maps");

/* `ports` is one of the two port maps. */
static __always_inline int ports_have(void *ports, __u32 port)
{
	__u32 index = port >> 6;
	__u64 *word = bpf_map_lookup_elem(ports, &index);

	return word != NULL && (*word >> (port & 63) & 1) != 0;
}

/* Own CPU's cell, and no other program writes it: no atomic is needed. */
static __always_inline void count(__u32 verdict)
{
	__u64 *frames = bpf_map_lookup_elem(&hr_counts, &verdict);

	if (frames != NULL)
		*frames += 1;
}

#endif
