/* SPDX-License-Identifier: BSD-3-Clause */

/* An idle worker sleeps here: besides its bell the only place where the worker enters
 * the kernel by its own will. */

#include <poll.h>
#include <time.h>

#include "common/clock.h"
#include "dataplane/port/capture.h"
#include "dataplane/port/port_impl.h"

#define QUEUES_MAX (HR_PORTS_MAX * HR_PORT_QUEUES_MAX)

/* No longer than until the next record of a replay is due. */
static uint64_t shorten(const struct hr_rxq *q, uint64_t timeout_us, uint64_t now_us)
{
	uint64_t due_us;

	if (q->capture == NULL)
		return timeout_us;
	due_us = hr_capture_due_us(q->capture);
	if (due_us <= now_us)
		return 0;
	return due_us - now_us < timeout_us ? due_us - now_us : timeout_us;
}

/* Of an interface that was removed poll() tells an error at once and for ever. */
static bool has_only_errors(const struct pollfd *fds, nfds_t n)
{
	bool has_error = false;

	for (nfds_t i = 0; i < n; i++) {
		if ((fds[i].revents & POLLIN) != 0)
			return false;
		has_error |= fds[i].revents != 0;
	}
	return has_error;
}

/* Whoever sleeps does not come by to let the device send. */
static uint64_t flush(struct hr_rxq *q, uint64_t timeout_us, uint64_t now_us)
{
	uint64_t due_us = UINT64_MAX;

	if (q->answers.flushes_left > 0)
		due_us = hr_txq_flush(&q->answers, now_us, true);
	return due_us < timeout_us ? due_us : timeout_us;
}

void hr_rxq_wait(struct hr_rxq *const *queues, uint32_t n, uint32_t timeout_us)
{
	struct pollfd fds[QUEUES_MAX];
	uint64_t left_us = timeout_us, now_us = hr_mono_us();
	struct timespec timeout;
	nfds_t n_fds = 0;

	for (uint32_t i = 0; i < n && n_fds < QUEUES_MAX; i++) {
		left_us = shorten(queues[i], left_us, now_us);
		left_us = flush(queues[i], left_us, now_us);
		if (queues[i]->fd >= 0)
			fds[n_fds++] = (struct pollfd){ .fd = queues[i]->fd,
							.events = POLLIN };
	}
	if (left_us == 0)
		return;
	timeout.tv_sec = (time_t)(left_us / 1000000);
	timeout.tv_nsec = (long)(left_us % 1000000) * 1000;
	/* Interrupted or not: the caller polls its queues next. */
	if (ppoll(fds, n_fds, &timeout, NULL) > 0 && has_only_errors(fds, n_fds))
		nanosleep(&timeout, NULL);
}
