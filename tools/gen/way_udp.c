/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * By a kernel socket. Shard s goes to port FIRST + s % (how many there are), as the
 * SDK does it. Whether anybody takes the datagrams cannot be known here; what the
 * kernel did not take is tried again until the way counts as stalled.
 */

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/gen/way.h"

#define BURST 32
#define PORTS_MAX 256

struct hr_way {
	int fd;
	uint32_t n_ports, n;
	uint32_t stall_ms;
	uint64_t datagrams, events;
	struct sockaddr_storage addresses[PORTS_MAX];
	socklen_t address_bytes;
	struct mmsghdr messages[BURST];
	struct iovec pieces[BURST];
	uint32_t n_events[BURST];
	uint8_t bytes[BURST][HEADRACE_DATAGRAM_MAX];
};

struct target {
	char host[256];
	uint16_t first, last;
};

/* "host:port", "host:first-last", "[address]:port". */
static int parse(const char *text, struct target *out, struct hr_err *err)
{
	const char *colon = strrchr(text, ':');
	const bool is_bracketed = text[0] == '[';
	const char *from = is_bracketed ? text + 1 : text;
	size_t host_bytes;
	unsigned int first, last;
	int used = 0, n;

	if (colon == NULL || colon <= from)
		goto bad;
	host_bytes = (size_t)(colon - from) - is_bracketed;
	if (host_bytes >= sizeof(out->host) || host_bytes == 0 ||
	    (is_bracketed && colon[-1] != ']'))
		goto bad;
	memcpy(out->host, from, host_bytes);
	out->host[host_bytes] = '\0';
	n = sscanf(colon + 1, "%5u%n-%5u%n", &first, &used, &last, &used);
	if (n == 1)
		last = first;
	if (n < 1 || colon[1 + used] != '\0' || first == 0 || last < first ||
	    last > 65535 || last - first >= PORTS_MAX)
		goto bad;
	out->first = (uint16_t)first;
	out->last = (uint16_t)last;
	return 0;
bad:
	return hr_fail(err, -EINVAL,
		       "--to udp:%s: expected HOST:PORT or HOST:FIRST-LAST (at most %d "
		       "ports; an IPv6 address in brackets)",
		       text, PORTS_MAX);
}

static int resolve(struct hr_way *way, const struct target *target, struct hr_err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_DGRAM };
	char port[8];

	way->n_ports = (uint32_t)(target->last - target->first) + 1;
	for (uint32_t i = 0; i < way->n_ports; i++) {
		struct addrinfo *found;
		int r;

		snprintf(port, sizeof(port), "%u", target->first + i);
		r = getaddrinfo(target->host, port, &hints, &found);
		if (r != 0)
			return hr_fail(err, -EINVAL, "%s: %s", target->host,
				       gai_strerror(r));
		memcpy(&way->addresses[i], found->ai_addr, found->ai_addrlen);
		way->address_bytes = found->ai_addrlen;
		freeaddrinfo(found);
	}
	return 0;
}

static void udp_close(struct hr_way *way)
{
	if (way == NULL)
		return;
	if (way->fd >= 0)
		close(way->fd);
	free(way);
}

static int udp_open(struct hr_way **out, const struct hr_way_conf *conf,
		    struct hr_err *err)
{
	struct hr_way *way = calloc(1, sizeof(*way));
	struct target target;
	int r;

	if (way == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a socket's bursts");
	way->fd = -1;
	way->stall_ms = conf->stall_ms;
	r = parse(hr_way_target(conf), &target, err);
	if (r == 0)
		r = resolve(way, &target, err);
	if (r == 0) {
		way->fd = socket(way->addresses[0].ss_family, SOCK_DGRAM | SOCK_CLOEXEC,
				 0);
		if (way->fd < 0)
			r = hr_fail(err, -errno, "UDP socket: %s", strerror(errno));
	}
	if (r < 0) {
		udp_close(way);
		return r;
	}
	*out = way;
	return 0;
}

static void count(struct hr_way *way, uint32_t from, uint32_t n)
{
	way->datagrams += n;
	for (uint32_t i = 0; i < n; i++)
		way->events += way->n_events[from + i];
}

static int udp_flush(struct hr_way *way, struct hr_err *err)
{
	const uint64_t until_us = hr_mono_us() + (uint64_t)way->stall_ms * 1000;
	uint32_t done = 0;

	while (done < way->n) {
		int r = sendmmsg(way->fd, way->messages + done, way->n - done, 0);

		if (r > 0) {
			count(way, done, (uint32_t)r);
			done += (uint32_t)r;
			continue;
		}
		if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
			return hr_fail(err, -errno, "UDP socket: %s", strerror(errno));
		if (hr_mono_us() > until_us)
			return hr_fail(err, -ETIMEDOUT,
				       "UDP socket: took nothing for %u ms (%s)",
				       way->stall_ms, strerror(errno));
		poll(NULL, 0, 1);
	}
	way->n = 0;
	return 0;
}

static int udp_put(struct hr_way *way, const struct hr_batch *batch, uint64_t due_us,
		   struct hr_err *err)
{
	const uint32_t i = way->n++;

	(void)due_us;
	memcpy(way->bytes[i], batch->bytes, batch->n_bytes);
	way->n_events[i] = batch->n_events;
	way->pieces[i] = (struct iovec){ way->bytes[i], batch->n_bytes };
	way->messages[i].msg_hdr = (struct msghdr){
		.msg_name = &way->addresses[batch->shard % way->n_ports],
		.msg_namelen = way->address_bytes,
		.msg_iov = &way->pieces[i],
		.msg_iovlen = 1,
	};
	return way->n == BURST ? udp_flush(way, err) : 0;
}

static int udp_drain(struct hr_way *way, struct hr_err *err)
{
	(void)way;
	(void)err;
	return 0;
}

static void udp_sent(const struct hr_way *way, uint64_t *datagrams, uint64_t *events)
{
	*datagrams = way->datagrams;
	*events = way->events;
}

const struct hr_way_ops hr_way_udp = {
	.scheme = "udp",
	.open = udp_open,
	.put = udp_put,
	.flush = udp_flush,
	.drain = udp_drain,
	.sent = udp_sent,
	.close = udp_close,
};
