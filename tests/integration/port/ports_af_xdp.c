/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * af_xdp ports on veth pairs with our XDP program. tests/integration/test_ports makes
 * two namespaces and starts this program in one; frames come from the other:
 *
 *     here: v0 v1 (one queue), v2 (two queues), v3 (down), v4   there: p0 ... p4; p4
 *     has more queues to send than v4 has to receive
 *
 *     ports_af_xdp huge|ordinary NETNS-FILE
 *     ports_af_xdp hold INTERFACE      open it and wait to be killed
 */

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <rte_mbuf.h>

#include "common/clock.h"
#include "controlplane/xdp/xdp.h"
#include "dataplane/net/net.h"
#include "dataplane/port/port.h"
#include "tests/integration/port/frames.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/port/eal_config.h"

#define PATIENCE_US 10000000
#define BURST 32
#define FLUSHES 8

static struct hr_config config;
static struct hr_ports *ports;
static const char *self, *netns;

static void begin(void)
{
	config.n_ports = 0;
	config.n_workers = 1;
	ports = NULL;
}

static void open_ports(void)
{
	struct hr_err err = { "" };

	if (hr_ports_open(&ports, &config, &err) < 0 ||
	    hr_ports_start(ports, &err) < 0) {
		printf("\n      %s\n", err.text);
		CU_FAIL_FATAL("the ports do not open");
	}
}

/* What headraced does after the start: from here on beacons come to us. */
static void steer(const char *interface)
{
	static const uint16_t udp_ports[] = { FRAME_PORT };
	struct hr_err err = { "" };
	struct hr_xdp *xdp;

	if (hr_xdp_open(&xdp, interface, &err) < 0 ||
	    hr_xdp_set_ports(xdp, udp_ports, 1, &err) < 0) {
		printf("\n      %s\n", err.text);
		CU_FAIL_FATAL("the program cannot be set up");
	}
	hr_xdp_close(xdp);
}

static struct hr_rxq *open_one(const char *interface)
{
	struct hr_rxq *q;

	begin();
	add_port(&config, HR_PORT_AF_XDP, interface);
	open_ports();
	steer(interface);
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	CU_ASSERT_FALSE(hr_rxq_is_lossless(q));
	return q;
}

static uint32_t program_on(const char *interface)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, found);

	if (bpf_xdp_query((int)if_nametoindex(interface), 0, &found) < 0)
		return UINT32_MAX;
	return found.prog_id;
}

/* Take what is there; frames must be whole and in order, gaps are allowed if `lossy`. */
static uint32_t take(struct hr_rxq *q, uint32_t *next, bool lossy)
{
	struct rte_mbuf *m[BURST];
	uint32_t n = hr_rxq_burst(q, m, BURST, hr_mono_us());

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *data = rte_pktmbuf_mtod(m[i], const uint8_t *);
		uint32_t number = frame_number(data);

		CU_ASSERT_TRUE(lossy ? number >= *next : number == *next);
		CU_ASSERT_TRUE(m[i]->nb_segs == 1 &&
			       frame_is(data, m[i]->data_len, number));
		*next = number + 1;
		rte_pktmbuf_free(m[i]);
	}
	return n;
}

static struct hr_port_counts counts(uint32_t port)
{
	struct hr_port_counts c;

	hr_ports_read(ports, port, &c);
	return c;
}

static void every_frame_of_the_peer_arrives_byte_for_byte(void)
{
	struct hr_rxq *q = open_one("v0");
	int fd = sender_open(netns, "p0");
	uint64_t end_us = hr_mono_us() + PATIENCE_US;
	uint32_t next = 0;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	/* Ten times the ring, never more under way than half of it. */
	for (uint32_t sent = 0; sent < 20480; sent += 1024) {
		CU_ASSERT_TRUE(sender_send(fd, sent, 1024));
		while (next < sent + 1024 && hr_mono_us() < end_us)
			take(q, &next, false);
	}
	CU_ASSERT_EQUAL(next, 20480);
	CU_ASSERT_EQUAL(counts(0).packets, 20480);
	CU_ASSERT_EQUAL(counts(0).missed, 0);
	CU_ASSERT_TRUE(counts(0).is_up && !counts(0).is_done);
	close(fd);
	hr_ports_close(ports);
}

static void what_finds_no_room_is_counted_as_missed(void)
{
	struct hr_rxq *q = open_one("v0");
	int fd = sender_open(netns, "p0");
	uint64_t end_us = hr_mono_us() + PATIENCE_US;
	uint64_t got = 0;
	uint32_t next = 0;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_TRUE(sender_send(fd, 0, 10000)); /* nobody polls */
	while (got + counts(0).missed < 10000 && hr_mono_us() < end_us)
		got += take(q, &next, true);
	CU_ASSERT_EQUAL(got + counts(0).missed, 10000);
	CU_ASSERT_TRUE(got >= 1024 && got < 10000);

	/* And goes on as if nothing had been. */
	next = 20000;
	CU_ASSERT_TRUE(sender_send(fd, 20000, 1000));
	while (next < 21000 && hr_mono_us() < end_us)
		take(q, &next, false);
	CU_ASSERT_EQUAL(next, 21000);
	close(fd);
	hr_ports_close(ports);
}

/* One pool under two umems: each interface gets back what is its own. */
static void two_interfaces_share_the_buffers(void)
{
	uint64_t end_us = hr_mono_us() + PATIENCE_US;
	uint32_t next[2] = { 0, 0 };
	struct hr_rxq *q[2];
	int fd[2];

	begin();
	config.n_mbufs = 8192;
	add_port(&config, HR_PORT_AF_XDP, "v0");
	add_port(&config, HR_PORT_AF_XDP, "v1");
	open_ports();
	steer("v0");
	steer("v1");
	fd[0] = sender_open(netns, "p0");
	fd[1] = sender_open(netns, "p1");
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 2), 2);
	for (uint32_t sent = 0; sent < 10240; sent += 512) {
		CU_ASSERT_TRUE(sender_send(fd[0], sent, 512));
		CU_ASSERT_TRUE(sender_send(fd[1], sent, 512));
		while ((next[0] < sent + 512 || next[1] < sent + 512) &&
		       hr_mono_us() < end_us) {
			take(q[0], &next[0], false);
			take(q[1], &next[1], false);
		}
	}
	CU_ASSERT_TRUE(next[0] == 10240 && next[1] == 10240);
	CU_ASSERT_EQUAL(counts(1).packets, 10240);
	CU_ASSERT_EQUAL(hr_rxq_port(q[1]), 1);
	close(fd[0]);
	close(fd[1]);
	hr_ports_close(ports);
	config.n_mbufs = 4096;
}

/* ---- answers -------------------------------------------------------------- */

#define ANSWER_MAX 1472u

struct family {
	const char *ours, *theirs;
	uint32_t max; /* payload that the interface takes */
};

static const struct family families[] = {
	{ "10.77.0.1", "10.77.0.2", 1472 },
	{ "fd77::1", "fd77::2", 1452 },
};

/* The far end's kernel knows our addresses without asking: nobody here answers ARP.
 * Its checksums are real ones (see docs/xdp.md). */
static void give_addresses(void)
{
	char command[1024], mac[18] = "";
	FILE *f = fopen("/sys/class/net/v0/address", "r");

	CU_ASSERT_TRUE_FATAL(f != NULL && fscanf(f, "%17s", mac) == 1);
	fclose(f);
	snprintf(command, sizeof(command),
		 "nsenter --net=%s sh -c 'ethtool -K p0 tx off > /dev/null && "
		 "ip addr replace 10.77.0.2/24 dev p0 && "
		 "ip addr replace fd77::2/64 dev p0 nodad && "
		 "ip neigh replace 10.77.0.1 lladdr %s nud permanent dev p0 && "
		 "ip neigh replace fd77::1 lladdr %s nud permanent dev p0'",
		 netns, mac, mac);
	CU_ASSERT_EQUAL_FATAL(system(command), 0);
}

static int ask_from(const struct family *family)
{
	struct timeval patience = { .tv_sec = 1 };
	int fd = asker_open(netns, family->theirs, family->ours);

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static struct hr_net_ports udp_ports;

/* The next question, with what the parser says of it. NULL: none came. */
static struct rte_mbuf *hear(struct hr_rxq *q, struct hr_net_beacon *b)
{
	uint64_t end_us = hr_mono_us() + PATIENCE_US;
	struct rte_mbuf *m;

	while (hr_mono_us() < end_us) {
		if (hr_rxq_burst(q, &m, 1, hr_mono_us()) == 0)
			continue;
		if (hr_net_parse(rte_pktmbuf_mtod(m, uint8_t *), m->data_len, 0,
				 &udp_ports, b) == 0)
			return m;
		rte_pktmbuf_free(m);
	}
	return NULL;
}

static void fill(uint8_t *payload, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		payload[i] = (uint8_t)(i * 13 + n);
}

/* An answer of n bytes in a buffer of its own. */
static struct rte_mbuf *answer_to(struct hr_rxq *q, const struct hr_net_way *way,
				  uint32_t n)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(hr_txq_pool(hr_rxq_answers(q)));
	uint8_t *frame;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	frame = rte_pktmbuf_mtod(m, uint8_t *);
	fill(frame + HR_NET_ANSWER_HEAD(way), n);
	m->data_len = (uint16_t)hr_net_answer_write(frame, way, n);
	m->pkt_len = m->data_len;
	return m;
}

static bool is_answered(int fd, uint32_t n)
{
	uint8_t got[ANSWER_MAX + 1], want[ANSWER_MAX];
	ssize_t bytes = recv(fd, got, sizeof(got), 0);

	fill(want, n);
	return bytes == (ssize_t)n && memcmp(got, want, n) == 0;
}

static struct hr_net_way ask(struct hr_rxq *q, int fd, const void *text, size_t n)
{
	struct hr_net_way way = { .family = 0 };
	struct hr_net_beacon b;
	struct rte_mbuf *m;

	CU_ASSERT_EQUAL(send(fd, text, n, 0), (ssize_t)n);
	m = hear(q, &b);
	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	hr_net_way_back(rte_pktmbuf_mtod(m, uint8_t *), &b, &way);
	rte_pktmbuf_free(m);
	return way;
}

static void a_kernel_takes_answers_of_every_length(void)
{
	struct hr_rxq *q = open_one("v0");
	uint64_t sent = 0;

	give_addresses();
	for (uint32_t f = 0; f < HR_COUNT(families); f++) {
		int fd = ask_from(&families[f]);
		uint32_t answered = 0;

		for (uint32_t n = 1; n <= families[f].max; n++) {
			struct hr_net_way way = ask(q, fd, "who is there?", 13);
			struct rte_mbuf *m = answer_to(q, &way, n);

			CU_ASSERT_EQUAL(hr_txq_burst(hr_rxq_answers(q), &m, 1), 1);
			answered += is_answered(fd, n);
		}
		CU_ASSERT_EQUAL(answered, families[f].max);
		sent += families[f].max;
		close(fd);
	}
	CU_ASSERT_EQUAL(counts(0).sent, sent);
	CU_ASSERT_EQUAL(counts(0).send_failed, 0);
	hr_ports_close(ports);
}

/* Without a copy: headers of the same length in front of the payload that came. */
static void an_answer_may_lie_in_the_question_s_buffer(void)
{
	struct hr_rxq *q = open_one("v0");
	struct hr_net_beacon b;
	struct hr_net_way way;
	struct rte_mbuf *m;
	char text[16];
	int fd;

	give_addresses();
	fd = ask_from(&families[0]);
	for (int i = 0; i < 3000; i++) {
		CU_ASSERT_EQUAL(send(fd, "echo", 4, 0), 4);
		m = hear(q, &b);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m);
		hr_net_way_back(rte_pktmbuf_mtod(m, uint8_t *), &b, &way);
		m->data_len = (uint16_t)hr_net_answer_write(
			rte_pktmbuf_mtod(m, uint8_t *), &way, 4);
		m->pkt_len = m->data_len;
		CU_ASSERT_EQUAL(hr_txq_burst(hr_rxq_answers(q), &m, 1), 1);
		CU_ASSERT_EQUAL(recv(fd, text, sizeof(text), 0), 4);
		CU_ASSERT_EQUAL(memcmp(text, "echo", 4), 0);
	}
	close(fd);
	hr_ports_close(ports);
}

static uint32_t send_many(struct hr_rxq *q, const struct hr_net_way *way, uint32_t n)
{
	struct rte_mbuf *m[BURST];
	uint32_t sent;

	for (uint32_t i = 0; i < n; i++)
		m[i] = answer_to(q, way, 40);
	sent = hr_txq_burst(hr_rxq_answers(q), m, n);
	for (uint32_t i = sent; i < n; i++)
		rte_pktmbuf_free(m[i]);
	return sent;
}

static uint32_t drain(int fd)
{
	uint32_t n = 0;

	while (is_answered(fd, 40))
		n++;
	return n;
}

static void buffers_come_back_though_nothing_more_is_sent(void)
{
	struct hr_rxq *q = open_one("v0");
	struct rte_mempool *pool = hr_txq_pool(hr_rxq_answers(q));
	struct timeval at_once = { .tv_usec = 1000 };
	struct hr_net_way way;
	uint64_t end_us;
	uint32_t used, next = 0;
	int fd;

	give_addresses();
	fd = ask_from(&families[0]);
	way = ask(q, fd, "?", 1);
	used = rte_mempool_in_use_count(pool);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &at_once, sizeof(at_once));

	/* A worker that sleeps. */
	CU_ASSERT_EQUAL(send_many(q, &way, BURST), BURST);
	CU_ASSERT_EQUAL(drain(fd), BURST);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), used + BURST);
	for (int i = 0; i < FLUSHES; i++)
		hr_rxq_wait(&q, 1, 1000);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), used);

	/* One that polls. */
	CU_ASSERT_EQUAL(send_many(q, &way, BURST), BURST);
	CU_ASSERT_EQUAL(drain(fd), BURST);
	end_us = hr_mono_us() + PATIENCE_US;
	while (rte_mempool_in_use_count(pool) != used && hr_mono_us() < end_us)
		take(q, &next, true);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), used);

	/* And many more than there are buffers. */
	for (int i = 0; i < 500; i++) {
		CU_ASSERT_EQUAL(send_many(q, &way, BURST), BURST);
		CU_ASSERT_EQUAL(drain(fd), BURST);
	}
	close(fd);
	hr_ports_close(ports);
}

/* They are lost, nobody waits for them, and they keep no buffers. */
static void answers_on_a_dead_link_hold_nobody_up(void)
{
	struct hr_rxq *q = open_one("v0");
	struct rte_mempool *pool = hr_txq_pool(hr_rxq_answers(q));
	struct hr_net_way way;
	struct rte_mbuf *m;
	uint64_t start_us, end_us;
	uint32_t used, taken = 0;
	int fd;

	give_addresses();
	fd = ask_from(&families[0]);
	way = ask(q, fd, "?", 1);
	used = rte_mempool_in_use_count(pool);
	CU_ASSERT_EQUAL(system("ip link set v0 down"), 0);
	start_us = hr_mono_us();
	taken = send_many(q, &way, BURST); /* the main thread did not look yet */
	CU_ASSERT_FALSE(counts(0).is_up);
	for (int i = 0; i < 200; i++)
		CU_ASSERT_EQUAL(send_many(q, &way, BURST), 0);
	CU_ASSERT_TRUE(hr_mono_us() - start_us < 1000000);
	CU_ASSERT_EQUAL(counts(0).sent, taken);
	CU_ASSERT_EQUAL(counts(0).send_failed, 201 * BURST - taken);
	for (int i = 0; i < 50; i++)
		hr_rxq_wait(&q, 1, 1000);

	CU_ASSERT_EQUAL(system("ip link set v0 up"), 0);
	end_us = hr_mono_us() + PATIENCE_US;
	while ((!counts(0).is_up || rte_mempool_in_use_count(pool) != used) &&
	       hr_mono_us() < end_us)
		hr_rxq_wait(&q, 1, 1000);
	CU_ASSERT_EQUAL(rte_mempool_in_use_count(pool), used);
	close(fd);
	give_addresses();
	fd = ask_from(&families[0]);
	way = ask(q, fd, "?", 1);
	m = answer_to(q, &way, 77);
	CU_ASSERT_EQUAL(hr_txq_burst(hr_rxq_answers(q), &m, 1), 1);
	CU_ASSERT_TRUE(is_answered(fd, 77));
	close(fd);
	hr_ports_close(ports);
}

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static void an_idle_wait_sleeps(void)
{
	struct hr_rxq *q = open_one("v0");
	uint64_t start_us = hr_mono_us(), start_cpu_us = cpu_us();
	uint32_t next = 0;

	for (int i = 0; i < 50; i++) {
		CU_ASSERT_EQUAL(take(q, &next, false), 0);
		hr_rxq_wait(&q, 1, 10000);
	}
	CU_ASSERT_TRUE(hr_mono_us() - start_us >= 400000);
	CU_ASSERT_TRUE(cpu_us() - start_cpu_us < 25000); /* 5 % */
	hr_ports_close(ports);
}

static _Atomic uint64_t sent_us;

static void *send_later(void *context)
{
	int fd = *(int *)context;

	usleep(50000); /* the other sleeps by now, or the test proves less */
	atomic_store(&sent_us, hr_mono_us());
	sender_send(fd, 0, 1);
	return NULL;
}

static void a_frame_wakes_the_wait_at_once(void)
{
	struct hr_rxq *q = open_one("v0");
	int fd = sender_open(netns, "p0");
	uint64_t best_us = UINT64_MAX;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	for (int i = 0; i < 5; i++) {
		uint64_t end_us = hr_mono_us() + PATIENCE_US, late_us;
		uint32_t next = 0;
		pthread_t thread;

		pthread_create(&thread, NULL, send_later, &fd);
		while (next == 0 && hr_mono_us() < end_us) {
			hr_rxq_wait(&q, 1, PATIENCE_US);
			take(q, &next, false);
		}
		late_us = hr_mono_us() - atomic_load(&sent_us);
		pthread_join(thread, NULL);
		CU_ASSERT_EQUAL(next, 1);
		best_us = late_us < best_us ? late_us : best_us;
	}
	printf("woken after %lu us ... ", (unsigned long)best_us);
	CU_ASSERT_TRUE(best_us < 20000);
	close(fd);
	hr_ports_close(ports);
}

static void closing_detaches_and_opening_attaches_again(void)
{
	for (int i = 0; i < 3; i++) {
		struct hr_rxq *q = open_one("v0");
		int fd = sender_open(netns, "p0");
		uint64_t end_us = hr_mono_us() + PATIENCE_US;
		uint32_t next = 0;

		CU_ASSERT_NOT_EQUAL(program_on("v0"), 0);
		CU_ASSERT_TRUE(sender_send(fd, 0, 10));
		while (next < 10 && hr_mono_us() < end_us)
			take(q, &next, false);
		CU_ASSERT_EQUAL(next, 10);
		close(fd);
		hr_ports_close(ports);
		CU_ASSERT_EQUAL(program_on("v0"), 0);
	}
}

static void the_link_is_told(void)
{
	struct hr_rxq *q = open_one("v1");
	int fd = sender_open(netns, "p1");
	uint32_t next = 0;
	uint64_t end_us;

	CU_ASSERT_TRUE(counts(0).is_up);
	CU_ASSERT_EQUAL(system("ip link set v1 down"), 0);
	end_us = hr_mono_us() + PATIENCE_US;
	while (counts(0).is_up && hr_mono_us() < end_us)
		usleep(1000);
	CU_ASSERT_FALSE(counts(0).is_up);
	CU_ASSERT_EQUAL(system("ip link set v1 up"), 0);
	end_us = hr_mono_us() + PATIENCE_US;
	while (!counts(0).is_up && hr_mono_us() < end_us)
		usleep(1000);
	CU_ASSERT_TRUE(counts(0).is_up);

	end_us = hr_mono_us() + PATIENCE_US; /* and what comes then comes through */
	CU_ASSERT_TRUE(sender_send(fd, 0, 100));
	while (next < 100 && hr_mono_us() < end_us)
		take(q, &next, false);
	CU_ASSERT_EQUAL(next, 100);
	close(fd);
	hr_ports_close(ports);
}

/* The last test: there is one interface less behind it. */
static void an_interface_may_go_while_it_is_open(void)
{
	struct hr_rxq *q = open_one("v1");
	uint64_t start_us, start_cpu_us;
	uint32_t next = 0;

	CU_ASSERT_EQUAL(system("ip link del v1"), 0);
	CU_ASSERT_FALSE(counts(0).is_up);
	start_us = hr_mono_us();
	start_cpu_us = cpu_us();
	for (int i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(take(q, &next, false), 0);
		hr_rxq_wait(&q, 1, 10000);
	}
	CU_ASSERT_TRUE(hr_mono_us() - start_us >= 150000);
	CU_ASSERT_TRUE(cpu_us() - start_cpu_us < 20000);
	hr_ports_close(ports);
}

static void refused(int want, const char *const *says)
{
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_ports_open(&ports, &config, &err), want);
	for (; *says != NULL; says++)
		if (strstr(err.text, *says) == NULL) {
			printf("\n      \"%s\" says nothing of \"%s\"\n", err.text,
			       *says);
			CU_FAIL("a sentence is incomplete");
		}
}

#define REFUSED(want, ...) refused(want, (const char *[]){ __VA_ARGS__, NULL })

static void an_interface_that_is_unfit_is_refused_by_name(void)
{
	begin();
	add_port(&config, HR_PORT_AF_XDP, "nothere");
	REFUSED(-ENODEV, "port test:nothere", "found no interface named nothere",
		"ip link");
	begin();
	add_port(&config, HR_PORT_AF_XDP, "v3");
	REFUSED(-ENETDOWN, "port test:v3", "ip link set v3 up");
	begin();
	add_port(&config, HR_PORT_AF_XDP, "v2");
	REFUSED(-EINVAL, "port test:v2", "found 2 receive queues", "expected 1",
		"ethtool -L PEER tx 1", "ethtool -L v2 rx 1");
	config.ports[0].n_queues = 2;
	config.n_mbufs = 8192;
	REFUSED(-EINVAL, "queues: found 2, expected 1", "no combined channels");
	config.n_mbufs = 4096;
	begin();
	strcpy(add_port(&config, HR_PORT_AF_XDP, "v0")->xdp_program, "/nowhere.o");
	REFUSED(-ENOENT, "/nowhere.o", "xdp_program");
	CU_ASSERT_EQUAL(program_on("v0"), 0);
}

static void the_cure_for_too_many_queues_cures(void)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "nsenter --net=%s ethtool -L p2 tx 1 && ethtool -L v2 rx 1", netns);
	CU_ASSERT_EQUAL(system(command), 0);
	open_one("v2");
	hr_ports_close(ports);
}

static void what_the_kernel_refuses_is_told_and_leaves_nothing(void)
{
	begin();
	strcpy(add_port(&config, HR_PORT_AF_XDP, "v0")->xdp_program, self);
	REFUSED(-EINVAL, "port test:v0", "DPDK says: ");
	CU_ASSERT_EQUAL(program_on("v0"), 0);
	open_one("v0"); /* the device's name is free again */
	hr_ports_close(ports);

	begin();
	add_port(&config, HR_PORT_AF_XDP, "v4");
	REFUSED(-EINVAL, "port test:v4", "peer tx queues", "ethtool -L PEER tx 1");
}

static void somebody_elses_program_is_left_alone(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int if_index = (int)if_nametoindex("v0");
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "foreign", "GPL", pass,
			       HR_COUNT(pass), NULL);
	uint32_t id;

	CU_ASSERT_TRUE_FATAL(fd >= 0);
	CU_ASSERT_EQUAL_FATAL(bpf_xdp_attach(if_index, fd, 0, NULL), 0);
	id = program_on("v0");
	begin();
	add_port(&config, HR_PORT_AF_XDP, "v0");
	REFUSED(-EBUSY, "port test:v0", "\"foreign\"", "ip link set dev v0 xdp off");
	CU_ASSERT_EQUAL(program_on("v0"), id);
	bpf_xdp_detach(if_index, 0, NULL);
	close(fd);
}

static void a_killed_process_leaves_what_headraced_clears(void)
{
	struct hr_err err = { "" };
	pid_t pid = fork();
	uint64_t end_us;

	if (pid == 0) {
		execl(self, self, "hold", "v0", (char *)NULL);
		_exit(127);
	}
	end_us = hr_mono_us() + PATIENCE_US;
	while (program_on("v0") == 0 && hr_mono_us() < end_us)
		usleep(10000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	begin();
	add_port(&config, HR_PORT_AF_XDP, "v0");
	REFUSED(-EBUSY, "\"hr_steer\"", "headraced takes away");
	/* The kernel takes the dead process's socket out a moment later. */
	while (hr_xdp_clear("v0", &err) == -EBUSY && hr_mono_us() < end_us)
		usleep(10000);
	CU_ASSERT_EQUAL(program_on("v0"), 0);
	open_one("v0");
	hr_ports_close(ports);
}

static int hold(const char *interface)
{
	struct hr_err err = { "" };

	begin();
	add_port(&config, HR_PORT_AF_XDP, interface);
	if (hr_eal_start(&config, self, &err) < 0 ||
	    hr_ports_open(&ports, &config, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	alarm(30); /* should the parent have died */
	pause();
	return 0;
}

/* More than there is: the error comes before anything is started. */
static void missing_huge_pages_are_told(void)
{
	struct hr_config greedy = config;
	struct hr_err err = { "" };

	greedy.huge_pages = true;
	greedy.memory_mb = 65536;
	CU_ASSERT_EQUAL(hr_eal_start(&greedy, self, &err), -ENOMEM);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "sysctl vm.nr_hugepages="));
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "missing huge pages are told", missing_huge_pages_are_told },
		{ "an interface that is unfit is refused by name",
		  an_interface_that_is_unfit_is_refused_by_name },
		{ "the cure for too many queues cures",
		  the_cure_for_too_many_queues_cures },
		{ "what the kernel refuses is told and leaves nothing",
		  what_the_kernel_refuses_is_told_and_leaves_nothing },
		{ "somebody else's program is left alone",
		  somebody_elses_program_is_left_alone },
		{ "every frame of the peer arrives, byte for byte",
		  every_frame_of_the_peer_arrives_byte_for_byte },
		{ "what finds no room is counted as missed",
		  what_finds_no_room_is_counted_as_missed },
		{ "two interfaces share the buffers",
		  two_interfaces_share_the_buffers },
		{ "a kernel takes answers of every length",
		  a_kernel_takes_answers_of_every_length },
		{ "an answer may lie in the question's buffer",
		  an_answer_may_lie_in_the_question_s_buffer },
		{ "buffers come back though nothing more is sent",
		  buffers_come_back_though_nothing_more_is_sent },
		{ "answers on a dead link hold nobody up",
		  answers_on_a_dead_link_hold_nobody_up },
		{ "an idle wait sleeps", an_idle_wait_sleeps },
		{ "a frame wakes the wait at once", a_frame_wakes_the_wait_at_once },
		{ "closing detaches and opening attaches again",
		  closing_detaches_and_opening_attaches_again },
		{ "the link is told", the_link_is_told },
		{ "a killed process leaves what headraced clears",
		  a_killed_process_leaves_what_headraced_clears },
		{ "an interface may go while it is open",
		  an_interface_may_go_while_it_is_open },
		CU_TEST_INFO_NULL,
	};
	struct hr_err err = { "" };
	int failed;

	if (argc != 3)
		return 2;
	self = argv[0];
	netns = argv[2];
	hr_log_set_level(getenv("HR_TEST_LOUD") != NULL ? HR_LOG_DEBUG : HR_LOG_ERROR);
	hr_net_ports_add(&udp_ports, FRAME_PORT);
	eal_config(&config, 1);
	config.huge_pages = strcmp(argv[1], "huge") == 0;
	if (strcmp(argv[1], "hold") == 0)
		return hold(argv[2]);
	if (hr_eal_start(&config, argv[0], &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	failed = hr_test_run(argv[1], NULL, NULL, tests);
	hr_eal_stop();
	return failed;
}
