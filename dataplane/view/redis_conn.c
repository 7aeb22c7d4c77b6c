/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "dataplane/view/redis_conn.h"

/* What hiredis moves to the front each time it has taken 1 KiB of replies. */
#define RECEIVE_BYTES 16384

int hr_redis_conn_init(struct hr_redis_conn *c, uint32_t timeout_ms)
{
	*c = (struct hr_redis_conn){ .timeout_ms = timeout_ms };
	atomic_init(&c->end_mono_us, UINT64_MAX);
	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return c->wake_fd < 0 ? -errno : 0;
}

void hr_redis_conn_fini(struct hr_redis_conn *c)
{
	hr_redis_conn_close(c);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	c->wake_fd = -1;
}

void hr_redis_conn_close(struct hr_redis_conn *c)
{
	if (c->context != NULL)
		redisFree(c->context);
	c->context = NULL;
}

void hr_redis_conn_end(struct hr_redis_conn *c, uint64_t end_mono_us)
{
	uint64_t one = 1;

	/* Release: the waiter reads it after it has taken the wake. */
	atomic_store_explicit(&c->end_mono_us, end_mono_us, memory_order_release);
	while (write(c->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/*
 * Waits for events on fd (-1: for none) until then. Returns 1, 0 when the time has
 * come, -ECANCELED at the end.
 */
static int wait_for(struct hr_redis_conn *c, int fd, short events, uint64_t until_us)
{
	for (;;) {
		uint64_t end =
			atomic_load_explicit(&c->end_mono_us, memory_order_acquire);
		uint64_t now = hr_mono_us(), limit = until_us < end ? until_us : end;
		struct pollfd fds[2] = { { .fd = c->wake_fd, .events = POLLIN },
					 { .fd = fd, .events = events } };
		struct timespec left;
		uint64_t spent;

		if (now >= end)
			return -ECANCELED;
		if (now >= until_us)
			return 0;
		left.tv_sec = (time_t)((limit - now) / 1000000);
		left.tv_nsec = (long)((limit - now) % 1000000) * 1000;
		if (ppoll(fds, 2, &left, NULL) < 0)
			continue;
		if (fds[0].revents != 0)
			(void)!read(c->wake_fd, &spent, sizeof(spent));
		if (fds[1].revents != 0)
			return 1;
	}
}

void hr_redis_conn_sleep(struct hr_redis_conn *c, uint64_t until_mono_us)
{
	(void)wait_for(c, -1, 0, until_mono_us);
}

static int fail(struct hr_redis_conn *c, int code, struct hr_err *err)
{
	hr_redis_conn_close(c);
	if (code == -ECANCELED)
		return hr_fail(err, code, "the view was told to end");
	if (code == -ETIMEDOUT)
		return hr_fail(err, code, "no answer within %u ms", c->timeout_ms);
	if (code == -EPIPE)
		return hr_fail(err, code, "Redis closed the connection");
	return hr_fail(err, code, "%s", strerror(-code));
}

static int wait_in_time(struct hr_redis_conn *c, short events)
{
	int r = wait_for(c, c->context->fd, events,
			 c->progress_us + (uint64_t)c->timeout_ms * 1000);

	return r == 0 ? -ETIMEDOUT : r;
}

int hr_redis_conn_open(struct hr_redis_conn *c, const char *host, uint16_t port,
		       struct hr_err *err)
{
	int r, error = 0;
	socklen_t n = sizeof(error);

	hr_redis_conn_close(c);
	c->context = redisConnectNonBlock(host, port);
	if (c->context == NULL)
		return fail(c, -ENOMEM, err);
	if (c->context->err != 0) {
		hr_fail(err, -EIO, "%s", c->context->errstr);
		hr_redis_conn_close(c);
		return -EIO;
	}
	c->progress_us = hr_mono_us();
	r = wait_in_time(c, POLLOUT);
	if (r < 0)
		return fail(c, r, err);
	if (getsockopt(c->context->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0)
		return fail(c, -error, err);
	(void)redisEnableKeepAlive(c->context);
	return 0;
}

/* Returns the bytes taken, 0 when there are none now, or a negated errno. */
static int receive(struct hr_redis_conn *c)
{
	char bytes[RECEIVE_BYTES];
	ssize_t n = recv(c->context->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -EPIPE;
	if (redisReaderFeed(c->context->reader, bytes, (size_t)n) != REDIS_OK)
		return -ENOMEM;
	c->progress_us = hr_mono_us();
	return (int)n;
}

int hr_redis_conn_send(struct hr_redis_conn *c, struct hr_resp *commands,
		       struct hr_err *err)
{
	int r = 0;

	if (commands->failed)
		return fail(c, -ENOMEM, err);
	c->progress_us = hr_mono_us();
	while (r >= 0 && commands->n_sent < commands->n) {
		ssize_t n = send(c->context->fd, commands->p + commands->n_sent,
				 commands->n - commands->n_sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			commands->n_sent += (size_t)n;
			c->progress_us = hr_mono_us();
		} else if (errno == EAGAIN) {
			r = wait_in_time(c, POLLOUT | POLLIN);
			if (r > 0)
				r = receive(c);
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	return r < 0 ? fail(c, r, err) : 0;
}

int hr_redis_conn_reply(struct hr_redis_conn *c, redisReply **out, struct hr_err *err)
{
	for (;;) {
		redisReader *reader = c->context->reader;
		void *reply = NULL;
		int r;

		if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
			hr_fail(err, -EPROTO, "what came is no answer of Redis: %s",
				reader->errstr);
			hr_redis_conn_close(c);
			return -EPROTO;
		}
		if (reply != NULL) {
			*out = reply;
			return 0;
		}
		r = receive(c);
		if (r == 0)
			r = wait_in_time(c, POLLIN);
		if (r < 0)
			return fail(c, r, err);
	}
}
