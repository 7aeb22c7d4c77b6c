/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/control.h"
#include "controlplane/supervise/asker.h"

static const char question[] = "{\"command\":\"status\"}\n";

struct hr_asker {
	struct sockaddr_un address;
	int fd; /* -1: no question is under way */
	uint64_t asked_us, answered_us;
	char *text; /* of the answer so far */
	size_t n, max;
	json_t *answer;
	struct hr_err trouble;
};

int hr_asker_new(struct hr_asker **out, const char *path)
{
	struct hr_asker *a = calloc(1, sizeof(*a));

	if (a == NULL || strlen(path) >= sizeof(a->address.sun_path)) {
		free(a);
		return -ENOMEM;
	}
	a->fd = -1;
	a->address.sun_family = AF_UNIX;
	strcpy(a->address.sun_path, path);
	*out = a;
	return 0;
}

static void hang_up(struct hr_asker *a)
{
	if (a->fd >= 0)
		close(a->fd);
	a->fd = -1;
	a->n = 0;
}

void hr_asker_free(struct hr_asker *a)
{
	if (a == NULL)
		return;
	hang_up(a);
	json_decref(a->answer);
	free(a->text);
	free(a);
}

int hr_asker_fd(const struct hr_asker *a)
{
	return a->fd;
}

void hr_asker_reset(struct hr_asker *a)
{
	hang_up(a);
	json_decref(a->answer);
	a->answer = NULL;
	a->answered_us = a->asked_us = 0;
	a->trouble.text[0] = '\0';
}

const json_t *hr_asker_answer(const struct hr_asker *a, uint64_t *at_us)
{
	*at_us = a->answered_us;
	return a->answer;
}

const char *hr_asker_trouble(const struct hr_asker *a)
{
	return a->trouble.text;
}

static void give_up(struct hr_asker *a, const char *why)
{
	(void)hr_fail(&a->trouble, -EIO, "%s", why);
	hang_up(a);
}

static void ask(struct hr_asker *a, uint64_t now_us)
{
	const struct sockaddr *address = (const struct sockaddr *)&a->address;

	a->asked_us = now_us;
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (a->fd < 0 || connect(a->fd, address, sizeof(a->address)) < 0)
		give_up(a, errno == ENOENT || errno == ECONNREFUSED
				   ? "its command socket is not there yet"
				   : strerror(errno));
	/* A line this short always fits into a fresh socket. */
	else if (send(a->fd, question, sizeof(question) - 1, MSG_NOSIGNAL) < 0)
		give_up(a, strerror(errno));
}

static void take_answer(struct hr_asker *a, uint64_t now_us)
{
	json_t *object = json_loadb(a->text, a->n, 0, NULL);
	const char *error = json_string_value(json_object_get(object, "error"));

	if (!json_is_true(json_object_get(object, "ok"))) {
		give_up(a, error != NULL ? error : "it answered no JSON object");
		json_decref(object);
		return;
	}
	hang_up(a);
	json_decref(a->answer);
	a->answer = object;
	a->answered_us = now_us;
	a->trouble.text[0] = '\0';
}

static bool make_room(struct hr_asker *a)
{
	size_t max = a->max == 0 ? 16384 : a->max * 2;
	char *text;

	if (a->n < a->max)
		return true;
	text = max > HR_CONTROL_ANSWER_MAX ? NULL : realloc(a->text, max);
	if (text == NULL)
		return false;
	a->text = text;
	a->max = max;
	return true;
}

static void receive(struct hr_asker *a, uint64_t now_us)
{
	while (a->fd >= 0) {
		ssize_t got;

		if (!make_room(a)) {
			give_up(a, "its answer is too long");
			return;
		}
		got = recv(a->fd, a->text + a->n, a->max - a->n, 0);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (got <= 0) {
			give_up(a, "it hung up without an answer");
			return;
		}
		a->n += (size_t)got;
		if (a->text[a->n - 1] == '\n')
			take_answer(a, now_us);
	}
}

uint64_t hr_asker_turn(struct hr_asker *a, uint64_t now_us, uint64_t interval_us)
{
	receive(a, now_us);
	if (a->fd >= 0 && now_us - a->asked_us >= HR_ASKER_PATIENCE_US)
		give_up(a, "it does not answer its command socket");
	if (a->fd < 0 && (a->asked_us == 0 || now_us - a->asked_us >= interval_us))
		ask(a, now_us);
	return a->asked_us + (a->fd >= 0 ? HR_ASKER_PATIENCE_US : interval_us);
}
