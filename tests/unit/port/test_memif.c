/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * memif ports. Server and client are two ports of one process and talk through a
 * socket as two processes would; where a process has to die, this program starts
 * itself again as the peer:
 *
 *     test_memif --peer SOCKET N    a client that sends N frames and waits to be killed
 *     test_memif --sink SOCKET N    a client of N queues that takes what comes
 */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "common/clock.h"
#include "dataplane/port/port_impl.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/port/eal_config.h"

#define RING 256
#define PATIENCE_US 10000000

static char folder[] = "/tmp/headrace-memif.XXXXXX";
static char path[64];
static const char *self;

static struct hr_config config;
static struct hr_ports *ports;

static struct hr_port_config *add_memif(bool is_server, uint32_t n_queues)
{
	struct hr_port_config *p = add_port(&config, HR_PORT_MEMIF, path);

	p->memif_is_server = is_server;
	p->n_queues = n_queues;
	p->rx_descriptors = RING;
	return p;
}

static void begin(uint32_t n_workers)
{
	config.n_ports = 0;
	config.n_workers = n_workers;
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

static bool is_up(uint32_t port)
{
	struct hr_port_counts c;

	hr_ports_read(ports, port, &c);
	return c.is_up;
}

static bool comes(uint32_t port, bool up)
{
	uint64_t end_us = hr_mono_us() + PATIENCE_US;

	while (is_up(port) != up && hr_mono_us() < end_us)
		usleep(1000);
	return is_up(port) == up;
}

/* Frame i of a stream: its number, then bytes that follow from it. */
static struct rte_mbuf *frame(uint32_t i)
{
	static struct rte_mempool *pool;
	struct rte_mbuf *m;
	uint32_t bytes = 60 + i * 37 % 1455;
	uint8_t *data;

	if (pool == NULL)
		pool = rte_pktmbuf_pool_create("test_frames", 1023, 0, 0,
					       RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	m = rte_pktmbuf_alloc(pool);
	if (m == NULL)
		return NULL;
	data = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)bytes);
	memcpy(data, &i, sizeof(i));
	for (uint32_t at = sizeof(i); at < bytes; at++)
		data[at] = (uint8_t)(i * 131 + at * 7);
	return m;
}

static bool is_frame(struct rte_mbuf *m, uint32_t i)
{
	const uint8_t *data = rte_pktmbuf_mtod(m, const uint8_t *);
	uint32_t bytes = 60 + i * 37 % 1455;

	if (m->nb_segs != 1 || m->data_len != bytes || memcmp(data, &i, sizeof(i)) != 0)
		return false;
	for (uint32_t at = sizeof(i); at < bytes; at++)
		if (data[at] != (uint8_t)(i * 131 + at * 7))
			return false;
	return true;
}

/* Send frame i; false: no room. */
static bool sends(const char *device, uint16_t queue, uint32_t i)
{
	struct rte_mbuf *m = frame(i);
	uint16_t port_id;

	CU_ASSERT_PTR_NOT_NULL_FATAL(m);
	CU_ASSERT_EQUAL_FATAL(rte_eth_dev_get_port_by_name(device, &port_id), 0);
	if (rte_eth_tx_burst(port_id, queue, &m, 1) == 1)
		return true;
	rte_pktmbuf_free(m);
	return false;
}

/* Take what is there, check that it is the stream from *next on. */
static void take(struct hr_rxq *q, uint32_t *next)
{
	struct rte_mbuf *m[32];
	uint32_t n = hr_rxq_burst(q, m, 32, 0);

	for (uint32_t i = 0; i < n; i++, ++*next) {
		CU_ASSERT_TRUE(is_frame(m[i], *next));
		rte_pktmbuf_free(m[i]);
	}
}

/* n frames from one end to the other, the receiver held back every now and then. */
static void passes(const char *from, uint16_t from_queue, struct hr_rxq *to, uint32_t n)
{
	uint32_t sent = 0, got = 0, n_full = 0;
	uint64_t end_us = hr_mono_us() + PATIENCE_US;

	while (got < n && hr_mono_us() < end_us) {
		bool is_full = false;

		/* Held back: the sender finds the ring full and keeps its frames. */
		while (sent < n && !is_full) {
			is_full = !sends(from, from_queue, sent);
			sent += !is_full;
			n_full += is_full;
		}
		for (uint32_t i = 0; i < RING / 32 + 1; i++)
			take(to, &got);
	}
	CU_ASSERT_EQUAL(got, n);
	CU_ASSERT_TRUE(n <= RING || n_full > 0);
	take(to, &got);
	CU_ASSERT_EQUAL(got, n);
}

static void frames_pass_both_ways_and_none_is_lost_when_held_back(void)
{
	struct hr_rxq *q[2];
	struct hr_port_counts c;

	begin(1);
	add_memif(true, 1);
	add_memif(false, 1);
	open_ports();
	CU_ASSERT_TRUE_FATAL(comes(0, true) && comes(1, true));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 2), 2);
	CU_ASSERT_TRUE(hr_rxq_is_lossless(q[0]) && hr_rxq_is_lossless(q[1]));
	passes("net_memif1", 0, q[0], 5000);
	passes("net_memif0", 0, q[1], 5000);
	hr_ports_read(ports, 0, &c);
	CU_ASSERT_TRUE(c.packets == 5000 && c.missed == 0 && !c.is_done);
	hr_ports_close(ports); /* asserts that every buffer is back */
	CU_ASSERT_NOT_EQUAL(access(path, F_OK), 0);
}

static void several_queues_belong_to_several_workers(void)
{
	struct hr_rxq *q[2][4];

	begin(2);
	add_memif(true, 3);
	add_memif(false, 3);
	open_ports();
	CU_ASSERT_TRUE_FATAL(comes(0, true) && comes(1, true));
	/* Queues 0 1 2 are the server's, 3 4 5 the client's. */
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q[0], 4), 3);
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 1, q[1], 4), 3);
	passes("net_memif1", 0, q[0][0], 1000);
	passes("net_memif1", 1, q[1][0], 1000);
	passes("net_memif1", 2, q[0][1], 1000);
	passes("net_memif0", 0, q[1][1], 1000);
	passes("net_memif0", 1, q[0][2], 1000);
	passes("net_memif0", 2, q[1][2], 1000);
	CU_ASSERT_EQUAL(hr_rxq_port(q[0][1]), 0);
	CU_ASSERT_EQUAL(hr_rxq_port(q[1][1]), 1);
	CU_ASSERT_FALSE(hr_memif_lacks_queues(&ports->ports[0]));
	CU_ASSERT_FALSE(hr_memif_lacks_queues(&ports->ports[1]));
	hr_ports_close(ports);
}

static void a_peer_with_fewer_queues_is_found_out(void)
{
	struct hr_rxq *q[3];
	struct rte_mbuf *m[32];

	begin(1);
	add_memif(true, 2);
	add_memif(false, 1);
	open_ports();
	CU_ASSERT_TRUE_FATAL(comes(0, true) && comes(1, true));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 3), 3);
	CU_ASSERT_TRUE(sends("net_memif1", 0, 0));
	rte_pktmbuf_free_bulk(m, hr_rxq_burst(q[0], m, 32, 0));
	CU_ASSERT_FALSE(hr_memif_lacks_queues(&ports->ports[0]));
	rte_pktmbuf_free_bulk(m, hr_rxq_burst(q[1], m, 32, 0));
	CU_ASSERT_TRUE(hr_memif_lacks_queues(&ports->ports[0]));
	hr_ports_close(ports);
}

static void ports_on_one_socket_are_told_apart_by_their_ids(void)
{
	struct hr_rxq *q[4];

	begin(1);
	add_memif(true, 1)->memif_id = 7;
	add_memif(true, 1)->memif_id = 8;
	add_memif(false, 1)->memif_id = 8;
	add_memif(false, 1)->memif_id = 7;
	open_ports();
	for (uint32_t i = 0; i < 4; i++)
		CU_ASSERT_TRUE_FATAL(comes(i, true));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 4), 4);
	passes("net_memif3", 0, q[0], 300);
	passes("net_memif2", 0, q[1], 300);
	hr_ports_close(ports);
}

static void a_server_without_a_client_is_down_and_brings_nothing(void)
{
	struct rte_mbuf *m[4];
	struct hr_rxq *q;
	uint64_t start_us = hr_mono_us();

	begin(1);
	add_memif(true, 1);
	open_ports();
	CU_ASSERT_FALSE(is_up(0));
	CU_ASSERT_EQUAL(hr_ports_queues(ports, 0, &q, 1), 1);
	CU_ASSERT_EQUAL(hr_rxq_burst(q, m, 4, 0), 0);
	hr_rxq_wait(&q, 1, 20000);
	CU_ASSERT_TRUE(hr_mono_us() - start_us >= 20000);
	hr_ports_close(ports);
}

static pid_t start_peer(uint32_t n_frames)
{
	char count[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(count, sizeof(count), "%u", n_frames);
	execl(self, self, "--peer", path, count, (char *)NULL);
	_exit(127);
}

static void kill_peer(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void a_client_that_is_killed_may_be_followed_by_another(void)
{
	struct hr_rxq *q;

	begin(1);
	add_memif(true, 1);
	open_ports();
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	for (int life = 0; life < 3; life++) {
		uint64_t end_us = hr_mono_us() + PATIENCE_US;
		pid_t pid = start_peer(2000);
		uint32_t got = 0;

		while (got < 2000 && hr_mono_us() < end_us)
			take(q, &got);
		CU_ASSERT_EQUAL(got, 2000);
		CU_ASSERT_TRUE(is_up(0));
		kill_peer(pid);
		CU_ASSERT_TRUE(comes(0, false));
		take(q, &got);
		CU_ASSERT_EQUAL(got, 2000);
	}
	hr_ports_close(ports);
}

/* Without the guard one such killing in a hundred was one too many. */
static void a_sender_killed_in_the_middle_takes_nobody_along(void)
{
	struct hr_rxq *q;

	begin(1);
	add_memif(true, 1);
	open_ports();
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	for (uint32_t life = 0; life < 10; life++) {
		uint64_t end_us = hr_mono_us() + PATIENCE_US;
		pid_t pid = start_peer(UINT32_MAX);
		uint32_t got = 0, want = 100 + life * 997;

		while (got < want && hr_mono_us() < end_us)
			take(q, &got);
		CU_ASSERT_TRUE(got >= want);
		kill(pid, SIGKILL);
		while (is_up(0) && hr_mono_us() < end_us)
			take(q, &got);
		waitpid(pid, NULL, 0);
		CU_ASSERT_FALSE(is_up(0));
	}
	hr_ports_close(ports);
}

static struct hr_port_counts counts(uint32_t port)
{
	struct hr_port_counts c;

	hr_ports_read(ports, port, &c);
	return c;
}

/* Send frames first to first + n - 1 in one burst; returns how many were taken. */
static uint32_t answer(struct hr_rxq *q, uint32_t first, uint32_t n)
{
	struct rte_mbuf *m[32];
	uint32_t sent;

	for (uint32_t i = 0; i < n; i++) {
		m[i] = frame(first + i);
		CU_ASSERT_PTR_NOT_NULL_FATAL(m[i]);
	}
	sent = hr_txq_burst(hr_rxq_answers(q), m, n);
	CU_ASSERT_TRUE(sent <= n);
	/* The rest is still ours: freed twice, the pool would notice. */
	for (uint32_t i = sent; i < n; i++) {
		CU_ASSERT_EQUAL(rte_mbuf_refcnt_read(m[i]), 1);
		rte_pktmbuf_free(m[i]);
	}
	return sent;
}

static void answers_pass_and_what_finds_no_room_is_counted(void)
{
	uint64_t end_us = hr_mono_us() + PATIENCE_US, turned_away = 0;
	uint32_t sent = 0, got = 0;
	struct hr_rxq *q[2];

	begin(1);
	add_memif(true, 1);
	add_memif(false, 1);
	open_ports();
	CU_ASSERT_TRUE_FATAL(comes(0, true) && comes(1, true));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 2), 2);
	CU_ASSERT_PTR_NOT_NULL_FATAL(hr_txq_pool(hr_rxq_answers(q[0])));
	while (got < 5000 && hr_mono_us() < end_us) {
		for (bool is_full = false; sent < 5000 && !is_full;) {
			uint32_t n = 5000 - sent < 32 ? 5000 - sent : 32;
			uint32_t now = answer(q[0], sent, n);

			sent += now;
			turned_away += n - now;
			is_full = now < n;
		}
		counts(0); /* as the main thread does */
		for (uint32_t i = 0; i < RING / 32 + 1; i++)
			take(q[1], &got);
	}
	CU_ASSERT_EQUAL(got, 5000);
	CU_ASSERT_TRUE(turned_away > 0);
	CU_ASSERT_EQUAL(counts(0).sent, 5000);
	CU_ASSERT_EQUAL(counts(0).send_failed, turned_away);
	CU_ASSERT_EQUAL(counts(1).sent, 0);
	hr_ports_close(ports);
}

static void without_a_peer_no_answer_is_taken(void)
{
	struct hr_rxq *q;

	begin(1);
	add_memif(true, 1);
	open_ports();
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	CU_ASSERT_EQUAL(answer(q, 0, 32), 0);
	CU_ASSERT_EQUAL(counts(0).send_failed, 32);
	hr_ports_close(ports);
}

/* The driver would write into the ring from which queue 0 reads, over what lies there.
 * It takes one frame to find out. */
static void a_queue_that_the_peer_does_not_have_is_not_written_to(void)
{
	uint32_t got = 0, heard = 0;
	struct rte_mbuf *m[32];
	struct hr_rxq *q[3];

	begin(1);
	add_memif(true, 2);
	add_memif(false, 1);
	open_ports();
	CU_ASSERT_TRUE_FATAL(comes(0, true) && comes(1, true));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 3), 3);
	take(q[2], &heard); /* makes room in its ring */
	CU_ASSERT_TRUE(sends("net_memif1", 0, 0));
	CU_ASSERT_EQUAL(answer(q[1], 0, 32), 1);
	rte_pktmbuf_free_bulk(m, hr_rxq_burst(q[0], m, 32, 0));
	for (uint32_t i = 0; i < 300; i++) {
		CU_ASSERT_TRUE(sends("net_memif1", 0, i));
		CU_ASSERT_EQUAL(answer(q[1], i, 32), 0);
		counts(0);
		take(q[0], &got);
		CU_ASSERT_EQUAL(answer(q[0], i, 1), 1);
		take(q[2], &heard);
	}
	CU_ASSERT_EQUAL(got, 300);
	CU_ASSERT_EQUAL(heard, 300);
	CU_ASSERT_EQUAL(counts(0).sent, 301);
	hr_ports_close(ports);
}

static pid_t start_sink(uint32_t n_queues)
{
	char count[16];
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	snprintf(count, sizeof(count), "%u", n_queues);
	execl(self, self, "--sink", path, count, (char *)NULL);
	_exit(127);
}

static void a_taker_killed_in_the_middle_takes_nobody_along(void)
{
	struct hr_rxq *q;

	begin(1);
	add_memif(true, 1);
	open_ports();
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	for (uint32_t life = 0; life < 10; life++) {
		uint64_t end_us = hr_mono_us() + PATIENCE_US;
		pid_t pid = start_sink(1);
		uint32_t sent = 0, want = 100 + life * 997;

		while (sent < want && hr_mono_us() < end_us)
			if (answer(q, sent, 32) == 0)
				counts(0);
			else
				sent += 32;
		CU_ASSERT_TRUE(sent >= want);
		kill(pid, SIGKILL);
		while (is_up(0) && hr_mono_us() < end_us)
			answer(q, sent, 32);
		waitpid(pid, NULL, 0);
		CU_ASSERT_FALSE(is_up(0));
		CU_ASSERT_EQUAL(answer(q, 0, 32), 0);
	}
	hr_ports_close(ports);
}

/* What was known of a peer is not believed of the next. */
static void the_next_peer_may_have_fewer_queues(void)
{
	static const uint32_t n_queues[] = { 2, 1, 2 };
	uint64_t sent_before = 0;
	struct hr_rxq *q[2];

	begin(1);
	add_memif(true, 2);
	open_ports();
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, q, 2), 2);
	for (uint32_t life = 0; life < HR_COUNT(n_queues); life++) {
		pid_t pid = start_sink(n_queues[life]);
		bool has_second = n_queues[life] == 2;
		uint64_t end_us;

		CU_ASSERT_TRUE(comes(0, true));
		end_us = hr_mono_us() + (has_second ? PATIENCE_US : 300000);
		while (counts(0).sent < sent_before + 1000 && hr_mono_us() < end_us)
			answer(q[1], 0, 32);
		CU_ASSERT_TRUE(has_second ? counts(0).sent >= sent_before + 1000
					  : counts(0).sent == sent_before);
		kill_peer(pid);
		CU_ASSERT_TRUE(comes(0, false));
		sent_before = counts(0).sent;
	}
	hr_ports_close(ports);
}

static pid_t start_server(void)
{
	pid_t pid = fork();

	if (pid != 0)
		return pid;
	execl(self, self, "--peer-server", path, "500", (char *)NULL);
	_exit(127);
}

static void a_client_waits_for_its_server_and_for_the_next(void)
{
	struct hr_rxq *q;

	begin(1);
	add_memif(false, 1);
	open_ports(); /* nobody is there: no error */
	CU_ASSERT_FALSE(is_up(0));
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &q, 1), 1);
	for (int life = 0; life < 2; life++) {
		uint64_t end_us = hr_mono_us() + PATIENCE_US;
		pid_t pid = start_server();
		uint32_t got = 0;

		while (got < 500 && hr_mono_us() < end_us)
			take(q, &got);
		CU_ASSERT_EQUAL(got, 500);
		/* Killed, it leaves its socket file; the next takes it over. */
		kill_peer(pid);
		CU_ASSERT_TRUE(comes(0, false));
	}
	hr_ports_close(ports);
	unlink(path);
}

static void refused(int want, const char *says)
{
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_ports_open(&ports, &config, &err), want);
	if (strstr(err.text, says) == NULL || strstr(err.text, "port test:") == NULL) {
		printf("\n      \"%s\" says nothing of \"%s\"\n", err.text, says);
		CU_FAIL("a sentence is incomplete");
	}
}

static void what_cannot_be_a_socket_is_refused_by_name(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	FILE *f;
	int fd;

	begin(1);
	add_memif(true, 1)->rx_descriptors = 1000;
	refused(-EINVAL, "found 1000, expected a power of two");
	config.ports[0].rx_descriptors = 32768;
	refused(-EINVAL, "up to 16384");
	config.ports[0].rx_descriptors = RING;

	snprintf(config.ports[0].target, HR_CONFIG_TEXT, "/nowhere/m.sock");
	refused(-ENOENT, "mkdir -p /nowhere");
	snprintf(config.ports[0].target, HR_CONFIG_TEXT, "%s/%0108d", folder, 1);
	refused(-ENAMETOOLONG, "at most 107");
	snprintf(config.ports[0].target, HR_CONFIG_TEXT, "%s/a,b", folder);
	refused(-EINVAL, "\",\"");
	snprintf(config.ports[0].target, HR_CONFIG_TEXT, "%s", path);

	f = fopen(path, "w");
	fclose(f);
	refused(-EEXIST, "no socket");
	unlink(path);

	fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	memcpy(address.sun_path, path, sizeof(path));
	CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL(listen(fd, 1), 0);
	refused(-EADDRINUSE, "another process");
	close(fd);
	open_ports(); /* nobody listens any more: taken over */
	hr_ports_close(ports);
}

/* The peer: sends n frames, then waits for its end. */
static int peer(bool is_server, uint32_t n)
{
	struct hr_err err = { "" };
	uint16_t port_id;

	begin(1);
	add_memif(is_server, 1);
	if (hr_eal_start(&config, self, &err) < 0 ||
	    hr_ports_open(&ports, &config, &err) < 0 ||
	    hr_ports_start(ports, &err) < 0) {
		fprintf(stderr, "peer: %s\n", err.text);
		return 2;
	}
	if (!comes(0, true) || rte_eth_dev_get_port_by_name("net_memif0", &port_id) < 0)
		return 2;
	for (uint32_t i = 0; i < n;) {
		struct rte_mbuf *m = frame(i);

		if (rte_eth_tx_burst(port_id, 0, &m, 1) == 1)
			i++;
		else
			rte_pktmbuf_free(m);
	}
	alarm(30); /* should the parent have died */
	pause();
	return 0;
}

static int sink(uint32_t n_queues)
{
	struct hr_err err = { "" };
	struct rte_mbuf *m[32];
	struct hr_rxq *q[2];

	alarm(30); /* should the parent have died */
	begin(1);
	add_memif(false, n_queues);
	if (hr_eal_start(&config, self, &err) < 0 ||
	    hr_ports_open(&ports, &config, &err) < 0 ||
	    hr_ports_start(ports, &err) < 0) {
		fprintf(stderr, "sink: %s\n", err.text);
		return 2;
	}
	hr_ports_queues(ports, 0, q, 2);
	for (;;)
		for (uint32_t i = 0; i < n_queues; i++)
			rte_pktmbuf_free_bulk(m, hr_rxq_burst(q[i], m, 32, 0));
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "frames pass both ways and none is lost when held back",
		  frames_pass_both_ways_and_none_is_lost_when_held_back },
		{ "several queues belong to several workers",
		  several_queues_belong_to_several_workers },
		{ "a peer with fewer queues is found out",
		  a_peer_with_fewer_queues_is_found_out },
		{ "ports on one socket are told apart by their ids",
		  ports_on_one_socket_are_told_apart_by_their_ids },
		{ "a server without a client is down and brings nothing",
		  a_server_without_a_client_is_down_and_brings_nothing },
		{ "a client that is killed may be followed by another",
		  a_client_that_is_killed_may_be_followed_by_another },
		{ "a sender killed in the middle takes nobody along",
		  a_sender_killed_in_the_middle_takes_nobody_along },
		{ "answers pass, and what finds no room is counted",
		  answers_pass_and_what_finds_no_room_is_counted },
		{ "without a peer no answer is taken",
		  without_a_peer_no_answer_is_taken },
		{ "a queue that the peer does not have is not written to",
		  a_queue_that_the_peer_does_not_have_is_not_written_to },
		{ "a taker killed in the middle takes nobody along",
		  a_taker_killed_in_the_middle_takes_nobody_along },
		{ "the next peer may have fewer queues",
		  the_next_peer_may_have_fewer_queues },
		{ "a client waits for its server, and for the next",
		  a_client_waits_for_its_server_and_for_the_next },
		{ "what cannot be a socket is refused by name",
		  what_cannot_be_a_socket_is_refused_by_name },
		CU_TEST_INFO_NULL,
	};
	struct hr_err err = { "" };
	int failed;

	hr_log_set_level(HR_LOG_ERROR);
	eal_config(&config, 2);
	self = argv[0];
	if (argc == 4) {
		snprintf(path, sizeof(path), "%s", argv[2]);
		if (strcmp(argv[1], "--sink") == 0)
			return sink((uint32_t)strtoul(argv[3], NULL, 10));
		return peer(strcmp(argv[1], "--peer-server") == 0,
			    (uint32_t)strtoul(argv[3], NULL, 10));
	}
	if (mkdtemp(folder) == NULL)
		return 2;
	snprintf(path, sizeof(path), "%s/memif.sock", folder);
	if (hr_eal_start(&config, argv[0], &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	failed = hr_test_run("memif", NULL, NULL, tests);
	hr_eal_stop();
	rmdir(folder);
	return failed;
}
