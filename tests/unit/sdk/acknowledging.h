/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef ACKNOWLEDGING_H
#define ACKNOWLEDGING_H

/*
 * acknowledging - the fake appliances (tests/fake/appliance_stream.h) behind sockets
 * on loopback: one thread, one socket an appliance. The cluster may be changed
 * under its lock while it runs.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "tests/fake/appliance_stream.h"

struct acknowledging {
	struct fake_cluster *cluster;
	pthread_mutex_t lock;
	int fds[FAKE_APPLIANCES_MAX];
	uint32_t n;
	char address[FAKE_APPLIANCES_MAX][40];
	struct sockaddr_in peers[4096]; /* by source number */
	uint32_t n_peers;
	atomic_uint loss; /* of 1000, both ways; set while it runs */
	uint32_t dice;
	pthread_t thread;
	atomic_bool stop;
};

static inline uint64_t mono_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000;
}

static inline bool is_lost(struct acknowledging *a)
{
	a->dice = a->dice * 1664525u + 1013904223u;
	return (a->dice >> 16) % 1000 < a->loss;
}

static inline void send_answer(void *arg, uint32_t appliance, uint32_t source,
			       const uint8_t *p, uint32_t n)
{
	struct acknowledging *a = arg;

	if (!is_lost(a))
		(void)sendto(a->fds[appliance], p, n, 0,
			     (struct sockaddr *)&a->peers[source],
			     sizeof(a->peers[source]));
}

static inline uint32_t source_of(struct acknowledging *a,
				 const struct sockaddr_in *peer)
{
	for (uint32_t i = 0; i < a->n_peers; i++)
		if (a->peers[i].sin_port == peer->sin_port)
			return i;
	if (a->n_peers == 4096)
		abort();
	a->peers[a->n_peers] = *peer;
	return a->n_peers++;
}

static inline void *acknowledge(void *arg)
{
	struct acknowledging *a = arg;

	while (!atomic_load(&a->stop)) {
		struct pollfd fds[FAKE_APPLIANCES_MAX];

		for (uint32_t i = 0; i < a->n; i++)
			fds[i] = (struct pollfd){ a->fds[i], POLLIN, 0 };
		(void)poll(fds, a->n, 1);
		pthread_mutex_lock(&a->lock);
		for (uint32_t i = 0; i < a->n; i++) {
			uint8_t bytes[1500];
			struct sockaddr_in peer;
			socklen_t size = sizeof(peer);
			ssize_t n;

			while ((n = recvfrom(a->fds[i], bytes, sizeof(bytes),
					     MSG_DONTWAIT, (struct sockaddr *)&peer,
					     &size)) > 0)
				if (!is_lost(a))
					fake_question(a->cluster, i,
						      source_of(a, &peer), bytes,
						      (uint32_t)n, mono_us());
		}
		fake_run(a->cluster, mono_us());
		pthread_mutex_unlock(&a->lock);
	}
	return NULL;
}

static inline void acknowledging_start(struct acknowledging *a, struct fake_conf conf)
{
	memset(a, 0, sizeof(*a));
	a->n = conf.n_appliances;
	for (uint32_t i = 0; i < a->n; i++) {
		struct sockaddr_in at = { .sin_family = AF_INET };
		socklen_t n = sizeof(at);

		a->fds[i] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		CU_ASSERT_EQUAL_FATAL(
			bind(a->fds[i], (struct sockaddr *)&at, sizeof(at)), 0);
		CU_ASSERT_EQUAL_FATAL(
			getsockname(a->fds[i], (struct sockaddr *)&at, &n), 0);
		snprintf(a->address[i], sizeof(a->address[i]), "127.0.0.1:%u",
			 ntohs(at.sin_port));
		snprintf(conf.addresses[i], sizeof(conf.addresses[i]), "%s",
			 a->address[i]);
	}
	conf.emit = send_answer;
	conf.arg = a;
	a->cluster = fake_cluster_new(&conf);
	pthread_mutex_init(&a->lock, NULL);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&a->thread, NULL, acknowledge, a), 0);
}

/* The log stays readable. */
static inline void acknowledging_stop(struct acknowledging *a)
{
	atomic_store(&a->stop, true);
	pthread_join(a->thread, NULL);
	for (uint32_t i = 0; i < a->n; i++)
		close(a->fds[i]);
}

static inline void acknowledging_free(struct acknowledging *a)
{
	fake_cluster_free(a->cluster);
	pthread_mutex_destroy(&a->lock);
}

#endif
