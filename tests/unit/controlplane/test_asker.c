/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/control.h"
#include "controlplane/supervise/asker.h"
#include "tests/unit/hr_test.h"

#define INTERVAL_US 500000u

static char folder[32], path[64];
static struct hr_asker *asker;
static int listener, peer;
static uint64_t now_us;

/* A server that this test plays by hand. */
static void serve(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT_EQUAL_FATAL(
		bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 4), 0);
}

static void setup(void)
{
	strcpy(folder, "/tmp/hr_asker_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/sock", folder);
	CU_ASSERT_EQUAL_FATAL(hr_asker_new(&asker, path), 0);
	listener = peer = -1;
	now_us = 1000000;
}

static void teardown(void)
{
	hr_asker_free(asker);
	if (peer >= 0)
		close(peer);
	if (listener >= 0)
		close(listener);
	unlink(path);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static uint64_t turn(void)
{
	return hr_asker_turn(asker, now_us, INTERVAL_US);
}

static void take_question(void)
{
	char line[64] = "";

	if (peer >= 0)
		close(peer);
	peer = accept(listener, NULL, NULL);
	CU_ASSERT_FATAL(peer >= 0);
	CU_ASSERT_TRUE(recv(peer, line, sizeof(line) - 1, 0) > 0);
	CU_ASSERT_STRING_EQUAL(line, "{\"command\":\"status\"}\n");
}

static void say(const char *text)
{
	CU_ASSERT_EQUAL(send(peer, text, strlen(text), MSG_NOSIGNAL),
			(ssize_t)strlen(text));
}

static const json_t *answer(void)
{
	uint64_t at_us;

	return hr_asker_answer(asker, &at_us);
}

static void an_answer_in_pieces_is_put_together(void)
{
	uint64_t at_us;

	serve();
	(void)turn();
	take_question();
	say("{\"ok\":true,");
	now_us += 1000;
	(void)turn();
	CU_ASSERT_PTR_NULL(answer());
	say("\"ready\":true}\n");
	now_us += 1000;
	(void)turn();
	CU_ASSERT_TRUE(
		json_is_true(json_object_get(hr_asker_answer(asker, &at_us), "ready")));
	CU_ASSERT_EQUAL(at_us, 1002000);
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker), "");
}

static void it_asks_again_after_the_interval_and_not_before(void)
{
	serve();
	CU_ASSERT_EQUAL(turn(), now_us + HR_ASKER_PATIENCE_US);
	take_question();
	say("{\"ok\":true}\n");
	now_us += 1000;
	CU_ASSERT_EQUAL(turn(), 1000000 + INTERVAL_US);
	CU_ASSERT_EQUAL(hr_asker_fd(asker), -1);
	now_us = 1000000 + INTERVAL_US;
	(void)turn();
	CU_ASSERT_TRUE(hr_asker_fd(asker) >= 0);
	take_question();
}

static void a_server_that_is_silent_is_given_up(void)
{
	serve();
	(void)turn();
	now_us += HR_ASKER_PATIENCE_US - 1;
	(void)turn();
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker), "");
	now_us += 1;
	(void)turn();
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker),
			       "it does not answer its command socket");
}

static void rubbish_and_refusals_are_no_answers_and_keep_the_last_one(void)
{
	static const struct {
		const char *said, *trouble;
	} rows[] = {
		{ "rubbish\n", "it answered no JSON object" },
		{ "[]\n", "it answered no JSON object" },
		{ "{\"ok\":false,\"error\":\"not now\"}\n", "not now" },
	};

	serve();
	(void)turn();
	take_question();
	say("{\"ok\":true,\"n\":1}\n");
	(void)turn();
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		now_us += INTERVAL_US;
		(void)turn();
		take_question();
		say(rows[i].said);
		now_us += 1;
		(void)turn();
		CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker), rows[i].trouble);
		CU_ASSERT_EQUAL(json_integer_value(json_object_get(answer(), "n")), 1);
	}
}

static void a_hang_up_is_told(void)
{
	serve();
	(void)turn();
	take_question();
	close(peer);
	peer = -1;
	now_us += 1;
	(void)turn();
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker), "it hung up without an answer");
}

static void an_endless_answer_is_cut_off(void)
{
	static char part[65536];

	memset(part, 'x', sizeof(part));
	serve();
	(void)turn();
	take_question();
	for (unsigned int sent = 0; sent <= 2 * HR_CONTROL_ANSWER_MAX;) {
		ssize_t n = send(peer, part, sizeof(part), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			sent += (unsigned int)n;
		(void)turn();
		if (hr_asker_trouble(asker)[0] != '\0')
			break;
	}
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker), "its answer is too long");
}

static void a_socket_that_is_not_there_is_told(void)
{
	(void)turn();
	CU_ASSERT_STRING_EQUAL(hr_asker_trouble(asker),
			       "its command socket is not there yet");
	CU_ASSERT_EQUAL(hr_asker_fd(asker), -1);
}

static void a_reset_forgets_the_answer(void)
{
	serve();
	(void)turn();
	take_question();
	say("{\"ok\":true}\n");
	(void)turn();
	CU_ASSERT_PTR_NOT_NULL(answer());
	hr_asker_reset(asker);
	CU_ASSERT_PTR_NULL(answer());
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "an answer in pieces is put together",
		  an_answer_in_pieces_is_put_together },
		{ "it asks again after the interval and not before",
		  it_asks_again_after_the_interval_and_not_before },
		{ "a server that is silent is given up",
		  a_server_that_is_silent_is_given_up },
		{ "rubbish and refusals are no answers and keep the last one",
		  rubbish_and_refusals_are_no_answers_and_keep_the_last_one },
		{ "a hang-up is told", a_hang_up_is_told },
		{ "an endless answer is cut off", an_endless_answer_is_cut_off },
		{ "a socket that is not there is told",
		  a_socket_that_is_not_there_is_told },
		{ "a reset forgets the answer", a_reset_forgets_the_answer },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("asker", setup, teardown, tests);
}
