/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What an event costs in the SDK: encoded into datagrams with tag, and tracked; with a
 * disk queue in the folder named (default: here), where nobody answers.
 * One line a case: nanoseconds per event, best of five. Run on an idle machine:
 *
 *     build/tests/unit/sdk/bench_sdk [FOLDER]
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "headrace.h"

#define N_USERS 1024
#define ROUNDS 5

static char users[N_USERS][16];

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double encode(enum headrace_codec codec, unsigned int n)
{
	const struct headrace_pair pairs[] = {
		headrace_text("product_id", "product_456"),
		headrace_text("category", "electronics"),
	};
	struct headrace_event ev = {
		.type = headrace_str("product_view"),
		.id = headrace_str("1k3v0a9fq2c7d12x"),
		.time_form = HEADRACE_TIME_MILLIS,
		.time_ms = 1705314600000,
		.pairs = pairs,
		.n_pairs = 2,
	};
	struct headrace_datagram d = { .n_shards = 5, .generation = 1 };
	uint8_t buffer[HEADRACE_DATAGRAM_DEFAULT];
	struct headrace_encoder e;
	double start = now_ns();

	(void)headrace_encoder_init(&e, codec, buffer, sizeof(buffer));
	for (unsigned int i = 0; i < n; i++) {
		ev.user = headrace_str(users[i % N_USERS]);
		if (headrace_encoder_append(&e, &ev) == HEADRACE_BATCH_FULL) {
			d.sequence++;
			(void)headrace_encoder_finish(&e, &d);
			headrace_encoder_reset(&e);
			(void)headrace_encoder_append(&e, &ev);
		}
	}
	return (now_ns() - start) / n;
}

/* A socket that nobody reads: what it cannot hold the kernel drops, at a cost near
 * that of delivery. */
static int deaf_socket(char address[32])
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t n = sizeof(at);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
	    getsockname(fd, (struct sockaddr *)&at, &n) != 0)
		exit(1);
	snprintf(address, 32, "127.0.0.1:%u", ntohs(at.sin_port));
	return fd;
}

static unsigned int per_thread;

static void *track(void *arg)
{
	struct headrace *h = arg;
	unsigned int user = (unsigned int)pthread_self() >> 12;

	for (unsigned int i = 0; i < per_thread; i++, user += 7)
		(void)HEADRACE_TRACK(h, users[user % N_USERS], "product_view",
				     headrace_text("product_id", "product_456"),
				     headrace_text("category", "electronics"));
	return NULL;
}

/* queue_dir NULL: without handshake, and without a disk queue. */
static double track_on(unsigned int n_threads, const char *queue_dir,
		       struct headrace_counts *s)
{
	struct headrace_config c = { .key_hex = "000102030405060708090a0b0c0d0e0f",
				     .queue_bytes = 256u << 20,
				     .queue_dir = queue_dir,
				     .close_ms = 1,
				     .handshake = queue_dir == NULL
							  ? HEADRACE_HANDSHAKE_OFF
							  : HEADRACE_HANDSHAKE_ON };
	pthread_t threads[16];
	struct headrace *h;
	char address[32], error[256];
	int fd = deaf_socket(address);
	double start, ns;

	c.address = address;
	if (headrace_open(&c, &h, error, sizeof(error)) != HEADRACE_OK) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	start = now_ns();
	for (unsigned int i = 0; i < n_threads; i++)
		if (pthread_create(&threads[i], NULL, track, h) != 0)
			exit(1);
	for (unsigned int i = 0; i < n_threads; i++)
		pthread_join(threads[i], NULL);
	ns = (now_ns() - start) / per_thread;
	(void)headrace_flush(h, queue_dir == NULL ? 60000 : 1);
	headrace_stats(h, s);
	(void)headrace_close(h);
	close(fd);
	return ns;
}

static void print_track(unsigned int n_threads, const char *queue_dir)
{
	struct headrace_counts s;
	double best = 1e9;

	for (int i = 0; i < ROUNDS; i++) {
		double ns = track_on(n_threads, queue_dir, &s);

		best = ns < best ? ns : best;
		if (queue_dir != NULL && system("rm -f bench-sdk-queue/*") != 0)
			exit(1);
	}
	printf("track, %u thread%s%s %6.1f ns per call (last run: %llu sent, %llu "
	       "dropped)\n",
	       n_threads, n_threads == 1 ? " " : "s",
	       queue_dir != NULL ? ", disk queue" : "", best,
	       (unsigned long long)s.events_sent, (unsigned long long)s.events_dropped);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "", "protobuf", "JSON" };

	if (argc > 1 && chdir(argv[1]) != 0)
		return 1;
	for (unsigned int i = 0; i < N_USERS; i++)
		snprintf(users[i], sizeof(users[i]), "user_%u", i * 7919 % 100000);
	for (enum headrace_codec c = HEADRACE_PROTOBUF; c <= HEADRACE_JSON; c++) {
		double best = 1e9;

		for (int i = 0; i < ROUNDS; i++) {
			double ns = encode(c, 2000000);

			best = ns < best ? ns : best;
		}
		printf("encode %-9s %6.1f ns per event, tag included\n", names[c],
		       best);
	}
	per_thread = 1000000;
	for (unsigned int n = 1; n <= 4; n *= 2)
		print_track(n, NULL);
	per_thread = 300000;
	if (mkdir("bench-sdk-queue", 0700) != 0)
		return 1;
	for (unsigned int n = 1; n <= 4; n *= 2)
		print_track(n, "bench-sdk-queue");
	(void)rmdir("bench-sdk-queue");
	return 0;
}
