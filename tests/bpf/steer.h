/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_STEER_H
#define HR_TEST_STEER_H

/*
 * steer - the built object loaded as DPDK's driver loads it, for tests: libbpf, the
 * first program of the file, the map xsks_map. Failures are printed.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bpf/steer_abi.h"

struct steer {
	struct bpf_object *object;
	int program, xsks, udp_ports, tcp_ports, counts;
};

/* Root, and a kernel that loads programs and has AF_XDP? Else says what is missing. */
static inline int steer_is_possible(const char *test)
{
	int fd;

	if (geteuid() != 0) {
		printf("%s: skipped: not root\n", test);
		return 0;
	}
	fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		printf("%s: skipped: no AF_XDP sockets: %s\n", test, strerror(errno));
		return 0;
	}
	close(fd);
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_XDP, NULL) != 1) {
		printf("%s: skipped: the kernel loads no XDP programs here\n", test);
		return 0;
	}
	return 1;
}

static inline int steer_load(struct steer *s, const char *path)
{
	struct bpf_program *program;

	s->object = bpf_object__open_file(path, NULL);
	if (s->object == NULL || bpf_object__load(s->object) != 0) {
		fprintf(stderr, "cannot load %s: %s\n", path, strerror(errno));
		return -1;
	}
	program = bpf_object__next_program(s->object, NULL);
	s->program = bpf_program__fd(program);
	s->xsks = bpf_object__find_map_fd_by_name(s->object, "xsks_map");
	s->udp_ports = bpf_object__find_map_fd_by_name(s->object, "hr_udp_ports");
	s->tcp_ports = bpf_object__find_map_fd_by_name(s->object, "hr_tcp_ports");
	s->counts = bpf_object__find_map_fd_by_name(s->object, "hr_counts");
	return s->program < 0 || s->xsks < 0 || s->udp_ports < 0 || s->tcp_ports < 0 ||
			       s->counts < 0
		       ? -1
		       : 0;
}

static inline void steer_unload(struct steer *s)
{
	bpf_object__close(s->object);
	s->object = NULL;
}

#endif
