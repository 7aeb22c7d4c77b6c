/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef RECEIVER_H
#define RECEIVER_H

/*
 * receiver - what an appliance would get: a UDP socket on loopback and a thread
 * that keeps every datagram. Only the numbers may be read while it runs.
 */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <CUnit/Basic.h>

#include "common/bytes.h"

#define RECEIVED_MAX 100000

struct received {
	uint32_t n;
	uint8_t bytes[1500];
};

struct receiver {
	int fd;
	char address[32];
	pthread_t thread;
	atomic_bool stop;
	atomic_uint n_datagrams, n_events;
	struct received *datagrams;
};

static inline void *receiver_run(void *arg)
{
	struct receiver *r = arg;

	for (;;) {
		const unsigned int i = atomic_load(&r->n_datagrams);
		ssize_t n = recv(r->fd, r->datagrams[i].bytes,
				 sizeof(r->datagrams[i].bytes), 0);

		if (n < 0 && atomic_load(&r->stop))
			return NULL;
		if (n < 80)
			continue; /* a time-out; or too short to be counted: tests see it */
		r->datagrams[i].n = (uint32_t)n;
		atomic_fetch_add(&r->n_events, hr_load16(r->datagrams[i].bytes + 14));
		if (i + 1 < RECEIVED_MAX)
			atomic_store(&r->n_datagrams, i + 1);
	}
}

static inline void receiver_start(struct receiver *r)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct timeval tick = { 0, 20000 };
	socklen_t n = sizeof(at);

	memset(r, 0, sizeof(*r));
	r->datagrams = calloc(RECEIVED_MAX, sizeof(*r->datagrams));
	CU_ASSERT_PTR_NOT_NULL_FATAL(r->datagrams);
	r->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CU_ASSERT_EQUAL_FATAL(bind(r->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(r->fd, (struct sockaddr *)&at, &n), 0);
	setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof(tick));
	snprintf(r->address, sizeof(r->address), "127.0.0.1:%u", ntohs(at.sin_port));
	CU_ASSERT_EQUAL_FATAL(pthread_create(&r->thread, NULL, receiver_run, r), 0);
}

/* Until so many events are there, or the patience of a test is used up. */
static inline bool receiver_wait(struct receiver *r, unsigned int n_events)
{
	for (int i = 0; i < 10000; i++) {
		if (atomic_load(&r->n_events) >= n_events)
			return true;
		usleep(1000);
	}
	return false;
}

/* Stops receiving; the datagrams stay readable. */
static inline void receiver_stop(struct receiver *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->thread, NULL);
	close(r->fd);
}

static inline void receiver_free(struct receiver *r)
{
	free(r->datagrams);
}

#endif
