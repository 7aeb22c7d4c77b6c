/* SPDX-License-Identifier: BSD-3-Clause */

/* The serving side of the command link. */

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"

#define BACKLOG 16
#define EVENTS_AT_ONCE 16
#define ANSWERS_WAITING_MAX (1u << 20) /* bytes; then no more requests are read */

struct client {
	int fd; /* -1: free */
	uint64_t active_us;
	char *in;
	size_t in_bytes;
	char *out;
	size_t out_at, out_bytes;
	bool hangs_up; /* after its answer */
};

struct hr_control {
	int epoll, listener;
	struct sockaddr_un address;
	ino_t inode; /* ours: another's socket is not ours to remove */
	hr_control_handler handler;
	void *ctx;
	struct client clients[HR_CONTROL_CLIENTS_MAX];
};

/* epoll data: the listener, else a client's index. */
#define LISTENER UINT32_MAX

json_t *hr_control_refusal(const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return json_pack("{s:b, s:s}", "ok", 0, "error", text);
}

static int watch(const struct hr_control *c, int op, int fd, uint32_t events,
		 uint32_t who)
{
	struct epoll_event e = { .events = events, .data.u32 = who };

	return epoll_ctl(c->epoll, op, fd, &e);
}

static void drop_client(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->in);
	free(client->out);
	memset(client, 0, sizeof(*client));
	client->fd = -1;
}

/* Is the path free, or held by a dead server? Returns 0 when it may be bound. */
static int clear_path(const struct sockaddr_un *address, struct hr_err *err)
{
	struct stat st;
	int fd, rc;

	if (lstat(address->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return hr_fail(
			err, -EADDRINUSE,
			"%s is there and is no socket; remove it or choose another "
			"appliance.run_dir",
			address->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return hr_fail(err, -errno, "no socket: %s", strerror(errno));
	rc = connect(fd, (const struct sockaddr *)address, sizeof(*address));
	close(fd);
	if (rc == 0 || errno == EAGAIN)
		return hr_fail(err, -EADDRINUSE,
			       "somebody serves %s already; stop it, or choose another "
			       "appliance.run_dir",
			       address->sun_path);
	unlink(address->sun_path);
	return 0;
}

static int listen_at(struct hr_control *c, struct hr_err *err)
{
	const struct sockaddr *address = (const struct sockaddr *)&c->address;
	struct stat st;

	c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	/* The mode a Unix socket is bound with is its own inode's. */
	if (c->listener < 0 || fchmod(c->listener, 0600) < 0 ||
	    bind(c->listener, address, sizeof(c->address)) < 0 ||
	    listen(c->listener, BACKLOG) < 0 || stat(c->address.sun_path, &st) < 0)
		return hr_fail(err, -errno, "cannot listen at %s: %s",
			       c->address.sun_path, strerror(errno));
	c->inode = st.st_ino;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (c->epoll < 0 || watch(c, EPOLL_CTL_ADD, c->listener, EPOLLIN, LISTENER) < 0)
		return hr_fail(err, -errno, "cannot watch %s: %s", c->address.sun_path,
			       strerror(errno));
	return 0;
}

static int set_address(struct sockaddr_un *out, const char *path, struct hr_err *err)
{
	if (strlen(path) >= sizeof(out->sun_path))
		return hr_fail(err, -ENAMETOOLONG,
			       "the socket path %s has more than %zu bytes; choose a "
			       "shorter appliance.run_dir",
			       path, sizeof(out->sun_path) - 1);
	memset(out, 0, sizeof(*out));
	out->sun_family = AF_UNIX;
	strcpy(out->sun_path, path);
	return 0;
}

int hr_control_listen(struct hr_control **out, const char *path,
		      hr_control_handler handler, void *ctx, struct hr_err *err)
{
	struct hr_control *c = calloc(1, sizeof(*c));
	int rc;

	if (c == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %s", path);
	c->epoll = c->listener = -1;
	c->handler = handler;
	c->ctx = ctx;
	for (uint32_t i = 0; i < HR_CONTROL_CLIENTS_MAX; i++)
		c->clients[i].fd = -1;
	rc = set_address(&c->address, path, err);
	if (rc == 0)
		rc = clear_path(&c->address, err);
	if (rc == 0)
		rc = listen_at(c, err);
	if (rc < 0) {
		hr_control_close(c);
		return rc;
	}
	*out = c;
	return 0;
}

int hr_control_fd(const struct hr_control *c)
{
	return c->epoll;
}

void hr_control_close(struct hr_control *c)
{
	struct stat st;

	if (c == NULL)
		return;
	for (uint32_t i = 0; i < HR_CONTROL_CLIENTS_MAX; i++)
		drop_client(&c->clients[i]);
	if (c->inode != 0 && stat(c->address.sun_path, &st) == 0 &&
	    st.st_ino == c->inode)
		unlink(c->address.sun_path);
	if (c->listener >= 0)
		close(c->listener);
	if (c->epoll >= 0)
		close(c->epoll);
	free(c);
}

/* A free place, if need be that of whoever was silent longest. */
static struct client *find_place(struct hr_control *c)
{
	struct client *oldest = &c->clients[0];

	for (uint32_t i = 0; i < HR_CONTROL_CLIENTS_MAX; i++) {
		if (c->clients[i].fd < 0)
			return &c->clients[i];
		if (c->clients[i].active_us < oldest->active_us)
			oldest = &c->clients[i];
	}
	drop_client(oldest);
	return oldest;
}

/* Send what is waiting; ask to be called again for the rest. */
static void send_some(struct hr_control *c, struct client *client)
{
	uint32_t who = (uint32_t)(client - c->clients);

	while (client->out_at < client->out_bytes) {
		ssize_t n = send(client->fd, client->out + client->out_at,
				 client->out_bytes - client->out_at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* No more requests of it until it has read this. */
			(void)watch(c, EPOLL_CTL_MOD, client->fd, EPOLLOUT, who);
			return;
		}
		if (n <= 0) {
			drop_client(client);
			return;
		}
		client->out_at += (size_t)n;
		client->active_us = hr_mono_us();
	}
	client->out_at = client->out_bytes = 0;
	if (client->hangs_up)
		drop_client(client);
	else
		(void)watch(c, EPOLL_CTL_MOD, client->fd, EPOLLIN, who);
}

/* Queue an answer; takes over the reference. */
static void answer(struct client *client, json_t *object)
{
	char *text = NULL, *out;
	size_t n;

	if (object != NULL && json_object_get(object, "ok") == NULL)
		json_object_set_new(object, "ok", json_true());
	if (object != NULL)
		text = json_dumps(object, JSON_COMPACT);
	json_decref(object);
	n = text == NULL ? 0 : strlen(text);
	out = text == NULL ? NULL : realloc(client->out, client->out_bytes + n + 1);
	if (out == NULL) {
		free(text);
		client->hangs_up = true;
		return;
	}
	memcpy(out + client->out_bytes, text, n);
	out[client->out_bytes + n] = '\n';
	client->out = out;
	client->out_bytes += n + 1;
	free(text);
}

static void refuse_and_hang_up(struct client *client, json_t *refusal)
{
	answer(client, refusal);
	client->hangs_up = true;
}

static void handle_line(struct hr_control *c, struct client *client, const char *line,
			size_t n)
{
	json_error_t why;
	json_t *request = json_loadb(line, n, JSON_REJECT_DUPLICATES, &why), *reply;
	const char *command;

	if (!json_is_object(request)) {
		refuse_and_hang_up(
			client,
			hr_control_refusal("expected one JSON object a line%s%s",
					   request == NULL ? ": " : "",
					   request == NULL ? why.text : ""));
		json_decref(request);
		return;
	}
	command = json_string_value(json_object_get(request, "command"));
	reply = command == NULL ? hr_control_refusal("expected a text \"command\"")
				: c->handler(c->ctx, command, request);
	if (reply == NULL)
		reply = hr_control_refusal("unknown command \"%.60s\"", command);
	answer(client, reply);
	json_decref(request);
}

/* Whole lines of the buffer, then move the rest to its front. Stops early when the
 * peer does not read its answers. Returns false when there is nothing left to do. */
static bool handle_lines(struct hr_control *c, struct client *client)
{
	char *at = client->in, *end = client->in + client->in_bytes, *newline = NULL;

	while (!client->hangs_up && client->out_bytes < ANSWERS_WAITING_MAX &&
	       (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
		if (newline > at)
			handle_line(c, client, at, (size_t)(newline - at));
		at = newline + 1;
	}
	client->in_bytes = (size_t)(end - at);
	memmove(client->in, at, client->in_bytes);
	if (client->in_bytes == HR_CONTROL_LINE_MAX && !client->hangs_up &&
	    newline == NULL && client->out_bytes < ANSWERS_WAITING_MAX)
		refuse_and_hang_up(client,
				   hr_control_refusal("a line has more than %u bytes",
						      HR_CONTROL_LINE_MAX - 1));
	return client->out_bytes > 0 || client->hangs_up;
}

/* Handle and send until one of them has to wait. */
static void work(struct hr_control *c, struct client *client)
{
	if (client->out_bytes > 0)
		send_some(c, client);
	while (client->fd >= 0 && client->out_bytes == 0 && handle_lines(c, client))
		send_some(c, client);
}

static void receive_some(struct hr_control *c, struct client *client)
{
	ssize_t n = recv(client->fd, client->in + client->in_bytes,
			 HR_CONTROL_LINE_MAX - client->in_bytes, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop_client(client);
		return;
	}
	client->active_us = hr_mono_us();
	client->in_bytes += (size_t)n;
	work(c, client);
}

static bool is_allowed(int fd, struct ucred *peer)
{
	socklen_t n = sizeof(*peer);

	memset(peer, 0xff, sizeof(*peer));
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &n) == 0 &&
	       (peer->uid == 0 || peer->uid == geteuid());
}

static void accept_one(struct hr_control *c)
{
	int fd = accept4(c->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct client *client;
	struct ucred peer;

	if (fd < 0)
		return;
	client = find_place(c);
	client->in = malloc(HR_CONTROL_LINE_MAX);
	client->active_us = hr_mono_us();
	if (client->in == NULL ||
	    watch(c, EPOLL_CTL_ADD, fd, EPOLLIN, (uint32_t)(client - c->clients)) < 0) {
		close(fd);
		drop_client(client);
		return;
	}
	client->fd = fd;
	if (!is_allowed(fd, &peer)) {
		refuse_and_hang_up(
			client, hr_control_refusal("uid %u may not give commands here; "
						   "be root or uid %u",
						   peer.uid, geteuid()));
		send_some(c, client);
	}
}

void hr_control_serve(struct hr_control *c)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n = epoll_wait(c->epoll, events, EVENTS_AT_ONCE, 0);

	for (int i = 0; i < n; i++) {
		struct client *client;

		if (events[i].data.u32 == LISTENER) {
			accept_one(c);
			continue;
		}
		client = &c->clients[events[i].data.u32];
		if (client->fd < 0)
			continue; /* dropped by an event before this one */
		if ((events[i].events & EPOLLOUT) != 0)
			work(c, client);
		else
			receive_some(c, client);
	}
}
