/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The XDP program over frames, run by the kernel (BPF_PROG_TEST_RUN): what is handed
 * to the AF_XDP socket, what to the kernel, and under which counter. An unbound socket
 * in the map is enough to be redirected to. The kernel runs no frame shorter than an
 * Ethernet header.
 *
 *   test_steer OBJECT        needs root; 77: skipped by name
 */

#include <stdbool.h>
#include <stdlib.h>

#include <linux/bpf.h>

#include "dataplane/drops.h"
#include "dataplane/net/net.h"
#include "tests/bpf/rows.h"
#include "tests/bpf/steer.h"
#include "tests/unit/hr_test.h"

#define SHORTEST 14
#define MUTATIONS 100000

static const char *object_path;
static struct steer steer;
static int socket_fd;
static struct hr_net_ports net_ports;

static void set_port(int map, uint32_t port, bool is_ours)
{
	uint32_t word = port >> 6;
	uint64_t bits = 0;

	bpf_map_lookup_elem(map, &word, &bits);
	bits &= ~(UINT64_C(1) << (port & 63));
	bits |= (uint64_t)is_ours << (port & 63);
	CU_ASSERT_EQUAL_FATAL(bpf_map_update_elem(map, &word, &bits, 0), 0);
}

static void set_socket(bool is_there)
{
	uint32_t queue = 0;
	int code = is_there ? bpf_map_update_elem(steer.xsks, &queue, &socket_fd, 0)
			    : bpf_map_delete_elem(steer.xsks, &queue);

	CU_ASSERT_EQUAL_FATAL(code, 0);
}

static void setup(void)
{
	static const uint16_t ours[] = { PORT_OURS, PORT_OURS_NEAR, PORT_OURS_LAST };

	CU_ASSERT_EQUAL_FATAL(steer_load(&steer, object_path), 0);
	socket_fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	CU_ASSERT_FATAL(socket_fd >= 0);
	set_socket(true);
	for (uint32_t i = 0; i < HR_COUNT(ours); i++) {
		set_port(steer.udp_ports, ours[i], true);
		hr_net_ports_add(&net_ports, ours[i]);
	}
}

static void teardown(void)
{
	close(socket_fd);
	steer_unload(&steer);
}

static void read_counts(uint64_t counts[HR_STEER_COUNT])
{
	int n = libbpf_num_possible_cpus();
	uint64_t *cpus = calloc((size_t)n, sizeof(*cpus));

	CU_ASSERT_PTR_NOT_NULL_FATAL(cpus);
	for (uint32_t v = 0; v < HR_STEER_COUNT; v++) {
		counts[v] = 0;
		CU_ASSERT_EQUAL_FATAL(bpf_map_lookup_elem(steer.counts, &v, cpus), 0);
		for (int i = 0; i < n; i++)
			counts[v] += cpus[i];
	}
	free(cpus);
}

/* The XDP action; the verdict is the one counter that moved, by one. */
static uint32_t run(const uint8_t *frame, uint32_t n, int *verdict)
{
	uint64_t before[HR_STEER_COUNT], after[HR_STEER_COUNT];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = n,
		    .repeat = 1);

	*verdict = -1;
	read_counts(before);
	CU_ASSERT_EQUAL_FATAL(bpf_prog_test_run_opts(steer.program, &opts), 0);
	read_counts(after);
	for (int v = 0; v < HR_STEER_COUNT; v++) {
		if (after[v] == before[v])
			continue;
		CU_ASSERT_EQUAL(after[v], before[v] + 1);
		CU_ASSERT_EQUAL(*verdict, -1);
		*verdict = v;
	}
	return opts.retval;
}

static bool says(const char *name, uint32_t n, uint32_t action, int verdict,
		 int expected)
{
	uint32_t wanted = expected == HR_STEER_REDIRECTED ? XDP_REDIRECT : XDP_PASS;

	if (action == wanted && verdict == expected)
		return true;
	printf("\n    %s, %u bytes: found action %u and verdict %d, expected %u and "
	       "%d ",
	       name, n, action, verdict, wanted, expected);
	return false;
}

static void check_rows(const struct row *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		static struct frame f;
		uint32_t action;
		int verdict;

		build_row(&f, &table[i]);
		action = run(f.bytes, f.n, &verdict);
		CU_ASSERT_TRUE(says(table[i].name, f.n, action, verdict,
				    (int)table[i].verdict));
	}
}

static void every_row_gets_its_verdict_and_counter(void)
{
	check_rows(rows, HR_COUNT(rows));
}

static void tcp_to_its_ports_is_redirected_once_there_are_any(void)
{
	set_port(steer.tcp_ports, PORT_TCP, true);
	check_rows(tcp_rows, HR_COUNT(tcp_rows));
}

/* Bytes behind the IP packet may go; any other missing byte must be missed. */
static void a_beacon_cut_anywhere_is_short(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		static struct frame f;

		if (rows[i].verdict != HR_STEER_REDIRECTED)
			continue;
		build_row(&f, &rows[i]);
		for (uint32_t n = SHORTEST; n < f.n - rows[i].shape.padding; n++) {
			int verdict;
			uint32_t action = run(f.bytes, n, &verdict);

			CU_ASSERT_TRUE(
				says(rows[i].name, n, action, verdict, HR_STEER_SHORT));
		}
		for (uint32_t n = f.n - rows[i].shape.padding; n < f.n; n++) {
			int verdict;
			uint32_t action = run(f.bytes, n, &verdict);

			CU_ASSERT_TRUE(says(rows[i].name, n, action, verdict,
					    HR_STEER_REDIRECTED));
		}
	}
}

/*
 * What the dataplane's parser says of the same bytes, checksums taken on trust. It
 * knows no TCP, and looks at length and checksum before the port.
 */
static bool net_agrees(int net, int verdict)
{
	switch (net) {
	case HR_DROP_NONE:
		return verdict == HR_STEER_REDIRECTED;
	case HR_DROP_NET_UDP_CHECKSUM: /* missing over IPv6 */
		return verdict == HR_STEER_REDIRECTED || verdict == HR_STEER_PORT;
	case HR_DROP_NET_SHORT:
		return verdict == HR_STEER_SHORT;
	case HR_DROP_NET_NOT_IP:
		return verdict == HR_STEER_NOT_IP;
	case HR_DROP_NET_IP_HEADER:
		return verdict == HR_STEER_IP_HEADER;
	case HR_DROP_NET_FRAGMENT:
		return verdict == HR_STEER_FRAGMENT;
	case HR_DROP_NET_NOT_UDP:
		return verdict == HR_STEER_PROTOCOL || verdict == HR_STEER_PORT ||
		       verdict == HR_STEER_SHORT;
	case HR_DROP_NET_UDP_LENGTH:
		return verdict == HR_STEER_L4_LENGTH || verdict == HR_STEER_PORT ||
		       verdict == HR_STEER_SHORT;
	case HR_DROP_NET_PORT:
		return verdict == HR_STEER_PORT;
	default:
		return false;
	}
}

static void check_against_net(const char *name, const uint8_t *frame, uint32_t n)
{
	struct hr_net_beacon beacon;
	/* exactly as long as the frame, so that a sanitizer sees net read on */
	uint8_t *copy = malloc(n);
	int verdict, net;

	CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
	memcpy(copy, frame, n);
	net = hr_net_parse(copy, n, HR_NET_IP_GOOD | HR_NET_L4_GOOD, &net_ports,
			   &beacon);
	run(frame, n, &verdict);
	CU_ASSERT_TRUE(net_agrees(net, verdict));
	if (!net_agrees(net, verdict))
		printf("\n    %s, %u bytes: net says %d, the program %d ", name, n, net,
		       verdict);
	free(copy);
}

static void the_dataplane_agrees_on_every_frame_cut_anywhere(void)
{
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		static struct frame f;

		build_row(&f, &rows[i]);
		for (uint32_t n = SHORTEST; n <= f.n; n++)
			check_against_net(rows[i].name, f.bytes, n);
	}
}

/* xorshift32 (Marsaglia 2003): the same frames in every run */
static uint32_t next_random(void)
{
	static uint32_t x = 20260901;

	x ^= x << 13;
	x ^= x >> 17;
	x ^= x << 5;
	return x;
}

/* One to three header bytes changed, sometimes the end cut off. */
static void the_dataplane_agrees_on_mutated_headers(void)
{
	uint64_t before[HR_STEER_COUNT], after[HR_STEER_COUNT];

	read_counts(before);
	for (uint32_t i = 0; i < MUTATIONS; i++) {
		static struct frame f;
		const struct row *row = &rows[next_random() % HR_COUNT(rows)];
		uint32_t header, n;

		build_row(&f, row);
		header = f.udp + 8 - 12;
		for (uint32_t m = next_random() % 3 + 1; m > 0; m--)
			f.bytes[12 + next_random() % header] =
				next_random() % 2 == 0
					? (uint8_t)next_random()
					: (uint8_t)(next_random() % 8 * 17);
		n = f.n;
		if (next_random() % 4 == 0)
			n = SHORTEST + next_random() % (f.n - SHORTEST + 1);
		check_against_net(row->name, f.bytes, n);
	}
	read_counts(after);
	for (int v = 0; v < HR_STEER_COUNT; v++)
		if (v != HR_STEER_NO_SOCKET)
			CU_ASSERT_TRUE(after[v] > before[v] + 100);
}

static void a_beacon_of_a_queue_without_socket_stays_with_the_kernel(void)
{
	static struct frame f;
	int verdict;

	build_row(&f, &rows[0]);
	set_socket(false);
	CU_ASSERT_EQUAL(run(f.bytes, f.n, &verdict), XDP_PASS);
	CU_ASSERT_EQUAL(verdict, HR_STEER_NO_SOCKET);
	set_socket(true);
	CU_ASSERT_EQUAL(run(f.bytes, f.n, &verdict), XDP_REDIRECT);
	CU_ASSERT_EQUAL(verdict, HR_STEER_REDIRECTED);
}

static void every_port_is_its_own_bit(void)
{
	static const uint16_t probes[] = {
		1, 63, 64, 65, 127, 4096, 32767, 32768, 65472
	};

	for (size_t p = 0; p < HR_COUNT(probes); p++) {
		set_port(steer.udp_ports, probes[p], true);
		for (size_t q = 0; q < HR_COUNT(probes); q++) {
			static struct frame f;
			struct shape shape = { .family = 4, .dest_port = probes[q] };
			int verdict;

			build(&f, &shape);
			run(f.bytes, f.n, &verdict);
			CU_ASSERT_EQUAL(verdict,
					p == q ? HR_STEER_REDIRECTED : HR_STEER_PORT);
		}
		set_port(steer.udp_ports, probes[p], false);
	}
}

/* DPDK opens the object and looks for xsks_map; a pin would outlive the dataplane. */
static void no_map_asks_to_be_pinned(void)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, steer.object)
	{
		CU_ASSERT_PTR_NULL(bpf_map__pin_path(map));
		CU_ASSERT_FALSE(bpf_map__is_pinned(map));
	}
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "every row gets its verdict and counter",
		  every_row_gets_its_verdict_and_counter },
		{ "TCP to its ports is redirected once there are any",
		  tcp_to_its_ports_is_redirected_once_there_are_any },
		{ "a beacon cut anywhere is short, and padding may be cut",
		  a_beacon_cut_anywhere_is_short },
		{ "the dataplane agrees on every frame, cut anywhere",
		  the_dataplane_agrees_on_every_frame_cut_anywhere },
		{ "the dataplane agrees on mutated headers",
		  the_dataplane_agrees_on_mutated_headers },
		{ "a beacon of a queue without socket stays with the kernel",
		  a_beacon_of_a_queue_without_socket_stays_with_the_kernel },
		{ "every port is its own bit", every_port_is_its_own_bit },
		{ "no map asks to be pinned", no_map_asks_to_be_pinned },
		CU_TEST_INFO_NULL,
	};

	if (argc != 2) {
		fprintf(stderr, "usage: test_steer OBJECT\n");
		return 2;
	}
	if (!steer_is_possible("test_steer"))
		return 77;
	object_path = argv[1];
	return hr_test_run("steer", setup, teardown, tests);
}
