/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "controlplane/xdp/xdp_impl.h"

#define PORTS_BYTES (HR_STEER_PORT_WORDS * sizeof(uint64_t))

struct hr_xdp {
	struct hr_xdp_found found;
	uint64_t *udp_ports;  /* the map's own memory */
	uint64_t *cpu_counts; /* scratch: a value of every CPU */
	int n_cpus;
};

const struct hr_xdp_verdict hr_xdp_verdicts[HR_STEER_COUNT] = {
#define VERDICT(name, label, sentence) [HR_STEER_##name] = { label, sentence },
	HR_STEER_VERDICTS(VERDICT)
#undef VERDICT
};

static bool has_shape(const struct bpf_map_info *map, uint32_t type, uint32_t n,
		      uint32_t flags)
{
	return map->type == type && map->max_entries == n && map->key_size == 4 &&
	       map->value_size == 8 && (map->map_flags & flags) == flags;
}

static int check_shapes(const struct hr_xdp_found *found, struct hr_err *err)
{
	if (has_shape(&found->map[HR_XDP_MAP_UDP], BPF_MAP_TYPE_ARRAY,
		      HR_STEER_PORT_WORDS, BPF_F_MMAPABLE) &&
	    has_shape(&found->map[HR_XDP_MAP_COUNTS], BPF_MAP_TYPE_PERCPU_ARRAY,
		      HR_STEER_COUNT, 0))
		return 0;
	return hr_fail(err, -EPROTO,
		       "%s: found Headrace's XDP program %u with the maps of another "
		       "version, expected this version's: dataplane, headraced and "
		       "steer.bpf.o must be of one build; restart the dataplane",
		       found->ifname, found->program.id);
}

static int map_ports(struct hr_xdp *x, struct hr_err *err)
{
	void *p = mmap(NULL, PORTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
		       x->found.map_fd[HR_XDP_MAP_UDP], 0);

	if (p == MAP_FAILED)
		return hr_fail(err, -errno,
			       "%s: cannot map the port table of XDP program %u: %m",
			       x->found.ifname, x->found.program.id);
	x->udp_ports = p;
	return 0;
}

static int prepare(struct hr_xdp *x, struct hr_err *err)
{
	int code = check_shapes(&x->found, err);

	if (code < 0)
		return code;
	x->n_cpus = libbpf_num_possible_cpus();
	if (x->n_cpus < 0)
		return hr_fail(err, x->n_cpus, "cannot count the CPUs in /sys: %s",
			       strerror(-x->n_cpus));
	x->cpu_counts = calloc((size_t)x->n_cpus, sizeof(*x->cpu_counts));
	if (x->cpu_counts == NULL)
		return hr_fail(err, -ENOMEM, "no memory for counters of %d CPUs",
			       x->n_cpus);
	return map_ports(x, err);
}

int hr_xdp_open(struct hr_xdp **out, const char *ifname, struct hr_err *err)
{
	struct hr_xdp *x = calloc(1, sizeof(*x));
	int code;

	if (x == NULL)
		return hr_fail(err, -ENOMEM, "no memory for the XDP program of %s",
			       ifname);
	code = hr_xdp_find(&x->found, ifname, err);
	if (code < 0) {
		free(x);
		return code;
	}
	code = prepare(x, err);
	if (code < 0) {
		hr_xdp_close(x);
		return code;
	}
	*out = x;
	return 0;
}

void hr_xdp_close(struct hr_xdp *x)
{
	if (x == NULL)
		return;
	if (x->udp_ports != NULL)
		munmap(x->udp_ports, PORTS_BYTES);
	free(x->cpu_counts);
	hr_xdp_release(&x->found);
	free(x);
}

bool hr_xdp_is_attached(const struct hr_xdp *x)
{
	return hr_xdp_attached_id(x->found.ifindex) == x->found.program.id;
}

uint32_t hr_xdp_program_id(const struct hr_xdp *x)
{
	return x->found.program.id;
}

int hr_xdp_set_ports(struct hr_xdp *x, const uint16_t *udp_ports, uint32_t n,
		     struct hr_err *err)
{
	uint64_t words[HR_STEER_PORT_WORDS] = { 0 };

	for (uint32_t i = 0; i < n; i++) {
		if (udp_ports[i] == 0)
			return hr_fail(err, -EINVAL,
				       "%s: found UDP port 0, expected 1 to 65535",
				       x->found.ifname);
		words[udp_ports[i] >> 6] |= UINT64_C(1) << (udp_ports[i] & 63);
	}
	/* The program reads these very words: a store is all or nothing, and in the
	 * words before and after it the bit of a port that stays is set. */
	for (uint32_t i = 0; i < HR_STEER_PORT_WORDS; i++)
		__atomic_store_n(&x->udp_ports[i], words[i], __ATOMIC_RELAXED);
	return 0;
}

int hr_xdp_read(const struct hr_xdp *x, struct hr_xdp_counts *out, struct hr_err *err)
{
	struct hr_xdp_counts counts = { 0 };

	for (uint32_t v = 0; v < HR_STEER_COUNT; v++) {
		int code = bpf_map_lookup_elem(x->found.map_fd[HR_XDP_MAP_COUNTS], &v,
					       x->cpu_counts);

		if (code < 0)
			return hr_fail(err, code,
				       "%s: cannot read the counters of XDP program "
				       "%u: %s",
				       x->found.ifname, x->found.program.id,
				       strerror(-code));
		for (int cpu = 0; cpu < x->n_cpus; cpu++)
			counts.frames[v] += x->cpu_counts[cpu];
	}
	*out = counts;
	return 0;
}

int hr_xdp_detach(struct hr_xdp *x, struct hr_err *err)
{
	return hr_xdp_take_off(&x->found, err);
}
