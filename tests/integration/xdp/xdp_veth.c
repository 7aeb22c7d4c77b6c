/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The XDP program and controlplane/xdp on a real veth pair with traffic.
 * tests/integration/test_xdp makes the namespaces, runs this inside the near one and
 * says in the environment:
 *
 *   HR_TEST_NEAR, HR_TEST_FAR    the two ends, 10.77.0.1 / fd77::1 and .2 / ::2
 *   HR_TEST_FAR_NS               the file of the far end's namespace
 *   HR_TEST_WIDE                 an interface with two receive queues
 *   HR_TEST_PORT                 the first of a few port numbers
 *   HR_TEST_STEER                the built steer.bpf.o
 */

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <net/if.h>

#include "controlplane/xdp/xdp.h"
#include "tests/bpf/steer.h"
#include "tests/integration/xdp/far.h"
#include "tests/integration/xdp/holder.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/net/frames.h"

#define WAIT_MS 5000
#define BEACONS 200u
#define STREAM 40000u

static const char *near, *far, *far_ns, *wide, *object;
static struct holder h;
static uint16_t port; /* ours; port + 1 is at times */

static const char *variable(const char *name)
{
	const char *value = getenv(name);

	if (value == NULL) {
		fprintf(stderr, "xdp_veth: no %s: run tests/integration/test_xdp\n",
			name);
		exit(2);
	}
	return value;
}

static void shows(const struct hr_err *err, const char *part)
{
	if (strstr(err->text, part) != NULL)
		return;
	fprintf(stderr, "found \"%s\", expected \"%s\" in it\n", err->text, part);
	CU_FAIL("an error does not say what it should");
}

static int run(const char *format, const char *a, const char *b)
{
	char line[512];

	snprintf(line, sizeof(line), format, a, b);
	return system(line);
}

static struct hr_xdp *open_near(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *x = NULL;
	int code = hr_xdp_open(&x, near, &err);

	if (code != 0)
		fprintf(stderr, "%s\n", err.text);
	CU_ASSERT_EQUAL_FATAL(code, 0);
	return x;
}

static uint64_t frames(const struct hr_xdp *x, enum hr_steer_verdict verdict)
{
	struct hr_xdp_counts counts;

	CU_ASSERT_EQUAL_FATAL(hr_xdp_read(x, &counts, NULL), 0);
	return counts.frames[verdict];
}

static bool wait_for_frames(const struct hr_xdp *x, enum hr_steer_verdict verdict,
			    uint64_t n)
{
	for (int ms = 0; ms < WAIT_MS && frames(x, verdict) < n; ms++)
		usleep(1000);
	if (frames(x, verdict) != n)
		fprintf(stderr, "%s: found %ju, expected %ju\n",
			hr_xdp_verdicts[verdict].label, (uintmax_t)frames(x, verdict),
			(uintmax_t)n);
	return frames(x, verdict) == n;
}

static bool wait_for_sound(uint64_t n)
{
	for (int ms = 0; ms < WAIT_MS && h.counts->sound < n; ms++)
		usleep(1000);
	if (h.counts->sound != n || h.counts->frames != n)
		fprintf(stderr, "found %ju frames, %ju of them sound, expected %ju\n",
			(uintmax_t)h.counts->frames, (uintmax_t)h.counts->sound,
			(uintmax_t)n);
	return h.counts->sound == n && h.counts->frames == n;
}

/* The kernel's "port unreachable" for an earlier one fails the next: not sent. */
static ssize_t send_once(int fd)
{
	ssize_t n = send(fd, "a beacon", 8, 0);

	return n < 0 && errno == ECONNREFUSED ? send(fd, "a beacon", 8, 0) : n;
}

static void send_beacons(const char *address, uint16_t to, uint32_t n)
{
	int fd = far_udp(far_ns, address, to);

	CU_ASSERT_FATAL(fd >= 0);
	for (uint32_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(send_once(fd), 8);
	close(fd);
}

static void send_tagged_beacons(uint32_t family, uint32_t n)
{
	const struct shape shape = {
		.family = family, .vlan_tags = 1, .payload_bytes = 40, .dest_port = port
	};
	static struct frame f;
	int fd = far_raw(far_ns, far);

	CU_ASSERT_FATAL(fd >= 0);
	build(&f, &shape);
	for (uint32_t i = 0; i < n; i++)
		CU_ASSERT_EQUAL(send(fd, f.bytes, f.n, 0), (ssize_t)f.n);
	close(fd);
}

/* After every test, also one that stopped halfway. */
static void leave_nothing(void)
{
	if (h.pid > 0)
		holder_kill(&h);
	run("ip link set dev %s xdpdrv off 2> %s", near, "/dev/null");
	run("ip link set dev %s xdpgeneric off 2> %s", near, "/dev/null");
}

/* ---- what stays with the kernel -------------------------------------------------- */

static bool ping_works(const char *address)
{
	return run("ip netns exec \"$(basename %s)\" ping -q -c 3 -i 0.01 -W 2 %s "
		   "> /dev/null",
		   far_ns, address) == 0;
}

static int listener(uint16_t at)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(at) };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
	return fd;
}

/* Bytes cross both ways, by TCP to the very number of our UDP port. */
static bool tcp_works(const char *address)
{
	char a[3] = "", b[3] = "";
	int at = listener(port);
	int there = far_tcp(far_ns, address, port);
	int here = there < 0 ? -1 : accept(at, NULL, NULL);
	bool is_well = here >= 0 && send(there, "hi", 2, 0) == 2 &&
		       recv(here, a, 2, MSG_WAITALL) == 2 &&
		       send(here, "ho", 2, 0) == 2 &&
		       recv(there, b, 2, MSG_WAITALL) == 2 && strcmp(a, "hi") == 0 &&
		       strcmp(b, "ho") == 0;

	close(here);
	close(there);
	close(at);
	return is_well;
}

/* The kernel's own UDP service beside ours. */
static bool other_udp_works(void)
{
	const struct timeval bound = { .tv_sec = 5 };
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons((uint16_t)(port + 2)) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char bytes[16];
	bool is_well;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
	send_beacons("10.77.0.1", (uint16_t)(port + 2), 1);
	is_well = recv(fd, bytes, sizeof(bytes), 0) == 8;
	close(fd);
	return is_well;
}

static void the_kernel_goes_on(const struct hr_xdp *x)
{
	CU_ASSERT_TRUE(ping_works("10.77.0.1"));
	CU_ASSERT_TRUE(ping_works("fd77::1"));
	CU_ASSERT_TRUE(tcp_works("10.77.0.1"));
	CU_ASSERT_TRUE(tcp_works("fd77::1"));
	CU_ASSERT_TRUE(other_udp_works());
	CU_ASSERT_TRUE(frames(x, HR_STEER_PROTOCOL) >= 6);
	CU_ASSERT_TRUE(frames(x, HR_STEER_PORT) >= 8);
}

/* ---- beacons --------------------------------------------------------------------- */

static void beacons_reach_the_socket(enum holder_kind kind)
{
	struct hr_xdp *x;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, kind, near, object), 0);
	x = open_near();
	CU_ASSERT_TRUE(hr_xdp_is_attached(x));
	CU_ASSERT_EQUAL(hr_xdp_set_ports(x, &port, 1, NULL), 0);

	send_beacons("10.77.0.1", port, BEACONS);
	send_beacons("fd77::1", port, BEACONS);
	send_tagged_beacons(4, BEACONS);
	send_tagged_beacons(6, BEACONS);
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_REDIRECTED, 4 * BEACONS));
	CU_ASSERT_TRUE(wait_for_sound(4 * BEACONS));
	the_kernel_goes_on(x);
	CU_ASSERT_EQUAL(frames(x, HR_STEER_REDIRECTED), 4 * BEACONS);

	CU_ASSERT_EQUAL(hr_xdp_detach(x, NULL), 0);
	CU_ASSERT_FALSE(hr_xdp_is_attached(x));
	CU_ASSERT_EQUAL(hr_xdp_detach(x, NULL), 0);
	hr_xdp_close(x);
}

static void native_mode(void)
{
	beacons_reach_the_socket(HOLDER_NATIVE);
}

static void generic_mode(void)
{
	beacons_reach_the_socket(HOLDER_GENERIC);
}

static void dpdk_driver(void)
{
	beacons_reach_the_socket(HOLDER_DPDK);
}

static void a_dpdk_port_closed_leaves_nothing(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *x = NULL;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_DPDK, near, object), 0);
	CU_ASSERT_EQUAL(holder_stop(&h), 0);
	CU_ASSERT_EQUAL(hr_xdp_open(&x, near, &err), -ENOENT);
	CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), 0);
}

static void without_ports_everything_is_the_kernels(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *x;
	uint16_t zero[] = { port, 0 };

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	x = open_near();
	send_beacons("10.77.0.1", port, 5);
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_PORT, 5));

	CU_ASSERT_EQUAL(hr_xdp_set_ports(x, zero, 2, &err), -EINVAL);
	shows(&err, "UDP port 0");
	send_beacons("10.77.0.1", port, 5);
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_PORT, 10));
	CU_ASSERT_EQUAL(h.counts->frames, 0);

	CU_ASSERT_EQUAL(hr_xdp_detach(x, NULL), 0);
	hr_xdp_close(x);
}

static atomic_bool is_streaming;

static void *stream(void *arg)
{
	(void)arg;
	send_beacons("10.77.0.1", port, STREAM);
	atomic_store(&is_streaming, false);
	return NULL;
}

static void a_port_that_stays_is_never_away(void)
{
	uint16_t both[] = { (uint16_t)(port + 1), port };
	struct hr_xdp *x;
	pthread_t thread;
	uint32_t changes = 0;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	x = open_near();
	CU_ASSERT_EQUAL(hr_xdp_set_ports(x, &port, 1, NULL), 0);
	atomic_store(&is_streaming, true);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, stream, NULL), 0);
	for (; atomic_load(&is_streaming); changes++)
		CU_ASSERT_EQUAL(
			hr_xdp_set_ports(x, both + changes % 2, 2 - changes % 2, NULL),
			0);
	pthread_join(thread, NULL);
	CU_ASSERT_TRUE(changes > 100);
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_REDIRECTED, STREAM));
	CU_ASSERT_EQUAL(frames(x, HR_STEER_PORT), 0);

	CU_ASSERT_EQUAL(hr_xdp_set_ports(x, both, 1, NULL), 0);
	send_beacons("10.77.0.1", port, 3);
	send_beacons("10.77.0.1", (uint16_t)(port + 1), 4);
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_PORT, 3));
	CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_REDIRECTED, STREAM + 4));

	CU_ASSERT_EQUAL(hr_xdp_detach(x, NULL), 0);
	hr_xdp_close(x);
}

/* ---- leftovers and strangers ----------------------------------------------------- */

static void what_a_killed_dataplane_left_is_cleared(void)
{
	static const enum holder_kind kinds[] = { HOLDER_NATIVE, HOLDER_GENERIC,
						  HOLDER_DPDK };

	for (size_t i = 0; i < HR_COUNT(kinds); i++) {
		struct hr_err err = { 0 };
		struct hr_xdp *x;

		CU_ASSERT_EQUAL_FATAL(holder_start(&h, kinds[i], near, object), 0);
		x = open_near();
		CU_ASSERT_EQUAL(hr_xdp_set_ports(x, &port, 1, NULL), 0);
		holder_kill(&h);
		CU_ASSERT_TRUE(hr_xdp_is_attached(x));
		send_beacons("10.77.0.1", port, 7);
		CU_ASSERT_TRUE(wait_for_frames(x, HR_STEER_NO_SOCKET, 7));

		CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), 0);
		CU_ASSERT_STRING_EQUAL(err.text, "");
		CU_ASSERT_FALSE(hr_xdp_is_attached(x));
		CU_ASSERT_EQUAL(frames(x, HR_STEER_NO_SOCKET), 7);
		CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), 0);
		hr_xdp_close(x);
	}
}

static void a_running_dataplane_is_left_alone(void)
{
	struct hr_err err = { 0 };
	char pid[32];
	struct hr_xdp *x;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), -EBUSY);
	snprintf(pid, sizeof(pid), "(process %d)", h.pid);
	shows(&err, pid);
	shows(&err, "receive queue 0");

	x = open_near();
	CU_ASSERT_EQUAL(hr_xdp_set_ports(x, &port, 1, NULL), 0);
	send_beacons("10.77.0.1", port, BEACONS);
	CU_ASSERT_TRUE(wait_for_sound(BEACONS));
	CU_ASSERT_EQUAL(frames(x, HR_STEER_NO_SOCKET), 0);

	CU_ASSERT_EQUAL(hr_xdp_detach(x, NULL), 0);
	hr_xdp_close(x);
}

static void a_restarted_dataplane_is_another_program(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *old, *now;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	old = open_near();
	holder_kill(&h);
	CU_ASSERT_EQUAL(hr_xdp_clear(near, NULL), 0);
	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	now = open_near();
	CU_ASSERT_NOT_EQUAL(hr_xdp_program_id(now), hr_xdp_program_id(old));
	CU_ASSERT_FALSE(hr_xdp_is_attached(old));
	CU_ASSERT_EQUAL(hr_xdp_detach(old, &err), -EBUSY);
	shows(&err, "in the place of Headrace's");
	CU_ASSERT_TRUE(hr_xdp_is_attached(now));

	CU_ASSERT_EQUAL(hr_xdp_detach(now, NULL), 0);
	hr_xdp_close(old);
	hr_xdp_close(now);
}

/* "return XDP_PASS" under some name, attached to the near end; its number. */
static uint32_t attach_stranger(const char *name)
{
	static const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_prog_info info = { 0 };
	uint32_t bytes = sizeof(info);
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, name, "BSD", insns, 2, NULL);

	CU_ASSERT_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(
		bpf_xdp_attach((int)if_nametoindex(near), fd,
			       XDP_FLAGS_UPDATE_IF_NOEXIST | XDP_FLAGS_SKB_MODE, NULL),
		0);
	CU_ASSERT_EQUAL(bpf_obj_get_info_by_fd(fd, &info, &bytes), 0);
	close(fd);
	return info.id;
}

/* `name` may be ours: the maps are not. */
static void refuse_stranger(const char *name)
{
	uint32_t id = attach_stranger(name);
	char look[64], cure[64];
	struct hr_err err = { 0 };
	struct hr_xdp *x = NULL;

	snprintf(look, sizeof(look), "bpftool prog show id %u", id);
	snprintf(cure, sizeof(cure), "ip link set dev %s xdpgeneric off", near);
	CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), -EBUSY);
	shows(&err, name);
	shows(&err, look);
	shows(&err, cure);
	CU_ASSERT_EQUAL(hr_xdp_open(&x, near, &err), -EBUSY);
	CU_ASSERT_PTR_NULL(x);

	CU_ASSERT_EQUAL(run("%s%s", look, " > /dev/null"), 0); /* still there */
	CU_ASSERT_EQUAL(run("%s%s", cure, ""), 0);
	CU_ASSERT_EQUAL(hr_xdp_clear(near, &err), 0);
}

static void a_foreign_program_is_refused_and_left(void)
{
	refuse_stranger("somebody");
	refuse_stranger(HR_STEER_PROGRAM);
}

static void nothing_attached_is_told_apart(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *x = NULL;

	CU_ASSERT_EQUAL(hr_xdp_open(&x, near, &err), -ENOENT);
	shows(&err, "found no XDP program");
	CU_ASSERT_EQUAL(hr_xdp_open(&x, "nosuch0", &err), -ENODEV);
	shows(&err, "nosuch0: found no such interface");
	CU_ASSERT_EQUAL(hr_xdp_clear("nosuch0", &err), -ENODEV);
	CU_ASSERT_PTR_NULL(x);
}

static void without_capabilities_the_cure_is_named(void)
{
	struct hr_err err = { 0 };
	struct hr_xdp *x = NULL;
	int status = 1;
	pid_t pid;

	CU_ASSERT_EQUAL_FATAL(holder_start(&h, HOLDER_NATIVE, near, object), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (setuid(65534) != 0 || hr_xdp_open(&x, near, &err) != -EPERM)
			_exit(1);
		_exit(strstr(err.text, "CAP_SYS_ADMIN") == NULL);
	}
	waitpid(pid, &status, 0);
	CU_ASSERT_EQUAL(status, 0);
}

/* ---- receive queues -------------------------------------------------------------- */

static void more_queues_than_sockets_are_refused(void)
{
	struct hr_err err = { 0 };

	CU_ASSERT_EQUAL(hr_xdp_rx_queues(near, NULL), 1);
	CU_ASSERT_EQUAL(hr_xdp_rx_queues("lo", NULL), 1);
	CU_ASSERT_EQUAL(hr_xdp_rx_queues("nosuch0", &err), -ENODEV);
	CU_ASSERT_EQUAL(hr_xdp_check_queues(near, 1, &err), 0);

	CU_ASSERT_EQUAL(hr_xdp_rx_queues(wide, NULL), 2);
	CU_ASSERT_EQUAL(hr_xdp_check_queues(wide, 2, &err), 0);
	CU_ASSERT_EQUAL(hr_xdp_check_queues(wide, 1, &err), -ERANGE);
	shows(&err, "found 2 receive queues, expected at most 1");
	shows(&err, "ethtool -L");
	CU_ASSERT_EQUAL(run("ethtool -L %s rx 1%s", wide, ""), 0);
	CU_ASSERT_EQUAL(hr_xdp_check_queues(wide, 1, &err), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "nothing attached, and no such interface, are told apart",
		  nothing_attached_is_told_apart },
		{ "native mode: beacons reach the socket, the kernel goes on",
		  native_mode },
		{ "generic mode: beacons reach the socket, the kernel goes on",
		  generic_mode },
		{ "DPDK's driver: beacons reach the socket, the kernel goes on",
		  dpdk_driver },
		{ "a DPDK port that was closed leaves nothing",
		  a_dpdk_port_closed_leaves_nothing },
		{ "without ports everything is the kernel's",
		  without_ports_everything_is_the_kernels },
		{ "a port that stays is never away while others change",
		  a_port_that_stays_is_never_away },
		{ "what a killed dataplane left behind is cleared",
		  what_a_killed_dataplane_left_is_cleared },
		{ "a running dataplane is left alone, and named",
		  a_running_dataplane_is_left_alone },
		{ "a restarted dataplane is another program",
		  a_restarted_dataplane_is_another_program },
		{ "a foreign program is refused, named and left",
		  a_foreign_program_is_refused_and_left },
		{ "without capabilities the cure is named",
		  without_capabilities_the_cure_is_named },
		{ "more receive queues than sockets are refused",
		  more_queues_than_sockets_are_refused },
		CU_TEST_INFO_NULL,
	};

	if (!steer_is_possible("test_xdp"))
		return 77;
	near = variable("HR_TEST_NEAR");
	far = variable("HR_TEST_FAR");
	far_ns = variable("HR_TEST_FAR_NS");
	wide = variable("HR_TEST_WIDE");
	object = variable("HR_TEST_STEER");
	port = (uint16_t)atoi(variable("HR_TEST_PORT"));
	holder_port(port);
	return hr_test_run("xdp", NULL, leave_nothing, tests);
}
