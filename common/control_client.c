/* SPDX-License-Identifier: BSD-3-Clause */

/* The asking side of the command link. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"

#define QUEUE_FULL_US 1000u

static int connect_to(const char *path, uint64_t deadline_us, struct hr_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, code = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return hr_fail(err, -ENAMETOOLONG, "the socket path %s is too long",
			       path);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return hr_fail(err, -errno, "no socket: %s", strerror(errno));
	while (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		code = errno;
		/* Its queue of connections is full, and cannot be waited for. */
		if (code == EAGAIN && hr_mono_us() < deadline_us)
			usleep(QUEUE_FULL_US);
		else
			break;
		code = 0;
	}
	if (code == 0)
		return fd;
	close(fd);
	if (code == ENOENT || code == ECONNREFUSED)
		return hr_fail(err, -code, "nobody serves %s", path);
	return hr_fail(err, -code, "cannot connect to %s: %s", path, strerror(code));
}

/* Milliseconds left until deadline, for poll(). */
static int left_ms(uint64_t deadline_us)
{
	uint64_t now = hr_mono_us();

	return now >= deadline_us ? 0 : (int)((deadline_us - now + 999) / 1000);
}

static int wait_for(int fd, short events, uint64_t deadline_us, const char *path,
		    struct hr_err *err)
{
	struct pollfd p = { .fd = fd, .events = events };
	int n;

	do
		n = poll(&p, 1, left_ms(deadline_us));
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return hr_fail(err, -ETIMEDOUT, "no answer at %s in time", path);
	return n < 0 ? hr_fail(err, -errno, "%s: %s", path, strerror(errno)) : 0;
}

static int send_line(int fd, const char *text, size_t n, uint64_t deadline_us,
		     const char *path, struct hr_err *err)
{
	while (n > 0) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
		int rc;

		if (sent >= 0) {
			text += sent;
			n -= (size_t)sent;
			continue;
		}
		/* Hung up on: the reason may be waiting to be read. */
		if (errno == EPIPE || errno == ECONNRESET)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return hr_fail(err, -errno, "%s: %s", path, strerror(errno));
		rc = wait_for(fd, POLLOUT, deadline_us, path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* One line, with a NUL in place of its newline. */
static int receive_line(int fd, char **out, uint64_t deadline_us, const char *path,
			struct hr_err *err)
{
	size_t n = 0, max = 65536;
	char *text = malloc(max), *bigger;
	int rc = -ENOMEM;

	while (text != NULL) {
		ssize_t got;

		rc = wait_for(fd, POLLIN, deadline_us, path, err);
		if (rc < 0)
			break;
		got = recv(fd, text + n, max - n, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got <= 0) {
			rc = hr_fail(err, -EPROTO, "%s hung up without an answer",
				     path);
			break;
		}
		n += (size_t)got;
		if (text[n - 1] == '\n') {
			text[n - 1] = '\0';
			*out = text;
			return 0;
		}
		if (n < max)
			continue;
		if (max >= HR_CONTROL_ANSWER_MAX) {
			rc = hr_fail(err, -EPROTO, "%s answers with more than %u bytes",
				     path, HR_CONTROL_ANSWER_MAX);
			break;
		}
		bigger = realloc(text, max * 2);
		if (bigger == NULL) {
			rc = hr_fail(err, -ENOMEM, "no memory for the answer of %s",
				     path);
			break;
		}
		text = bigger;
		max *= 2;
	}
	free(text);
	return rc;
}

static int parse_answer(const char *text, json_t **answer, const char *path,
			struct hr_err *err)
{
	json_error_t why;
	json_t *object = json_loads(text, 0, &why);
	const char *error;

	if (!json_is_object(object)) {
		json_decref(object);
		return hr_fail(err, -EPROTO, "%s answered no JSON object", path);
	}
	if (json_is_true(json_object_get(object, "ok"))) {
		*answer = object;
		return 0;
	}
	error = json_string_value(json_object_get(object, "error"));
	(void)hr_fail(err, -EREMOTEIO, "%s: %s", path,
		      error != NULL ? error : "refused without a reason");
	json_decref(object);
	return -EREMOTEIO;
}

int hr_control_request(const char *path, const json_t *request, uint32_t timeout_ms,
		       json_t **answer, struct hr_err *err)
{
	uint64_t deadline_us = hr_mono_us() + timeout_ms * 1000ull;
	char *line = json_dumps(request, JSON_COMPACT), *text = NULL;
	int fd, rc;

	if (line == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a request");
	fd = connect_to(path, deadline_us, err);
	if (fd < 0) {
		free(line);
		return fd;
	}
	rc = send_line(fd, line, strlen(line), deadline_us, path, err);
	if (rc == 0)
		rc = send_line(fd, "\n", 1, deadline_us, path, err);
	if (rc == 0)
		rc = receive_line(fd, &text, deadline_us, path, err);
	if (rc == 0)
		rc = parse_answer(text, answer, path, err);
	free(text);
	free(line);
	close(fd);
	return rc;
}

int hr_control_ask(const char *path, const char *command, uint32_t timeout_ms,
		   json_t **answer, struct hr_err *err)
{
	json_t *request = json_pack("{s:s}", "command", command);
	int rc;

	if (request == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a request");
	rc = hr_control_request(path, request, timeout_ms, answer, err);
	json_decref(request);
	return rc;
}

int hr_control_server_pid(const char *path)
{
	struct ucred peer = { 0 };
	socklen_t n = sizeof(peer);
	int fd = connect_to(path, hr_mono_us(), NULL), rc;

	if (fd < 0)
		return fd;
	rc = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 ? -errno
								    : (int)peer.pid;
	close(fd);
	return rc;
}
