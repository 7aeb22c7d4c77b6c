/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "tests/unit/hr_test.h"

static char folder[32], path[64];
static struct hr_control *server;
static pthread_t thread;
static atomic_bool stop;
static atomic_int handled;

static json_t *handle(void *ctx, const char *command, const json_t *request)
{
	atomic_fetch_add((atomic_int *)ctx, 1);
	if (strcmp(command, "echo") == 0)
		return json_pack("{s:O?}", "said", json_object_get(request, "say"));
	if (strcmp(command, "big") == 0) {
		json_t *list = json_array();

		for (int i = 0; i < 20000; i++)
			json_array_append_new(list, json_integer(1000000 + i));
		return json_pack("{s:o}", "list", list);
	}
	if (strcmp(command, "no") == 0)
		return hr_control_refusal("not %s", "now");
	return NULL;
}

/* The poll loop of a server. */
static void *serve(void *arg)
{
	struct pollfd p = { .fd = hr_control_fd(server), .events = POLLIN };

	(void)arg;
	while (!atomic_load(&stop))
		if (poll(&p, 1, 5) > 0)
			hr_control_serve(server);
	return NULL;
}

static void setup(void)
{
	strcpy(folder, "/tmp/hr_control_XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/c.sock", folder);
	atomic_store(&handled, 0);
	CU_ASSERT_EQUAL_FATAL(hr_control_listen(&server, path, handle, &handled, NULL),
			      0);
	atomic_store(&stop, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, serve, NULL), 0);
}

static void teardown(void)
{
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	hr_control_close(server);
	/* Fails when the socket was left behind. */
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static int raw_client(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, path);
	CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&address, sizeof(address)),
			      0);
	return fd;
}

static void say(int fd, const char *text)
{
	CU_ASSERT_EQUAL(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* One line, without its newline; false at the end or after a second. */
static bool hear(int fd, char *out, size_t max)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t n = 0;

	while (n < max - 1 && poll(&p, 1, 1000) > 0 && read(fd, out + n, 1) == 1)
		if (out[n++] == '\n') {
			out[n - 1] = '\0';
			return true;
		}
	return false;
}

static void a_question_gets_its_answer(void)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "echo", "say", "hé\n");
	struct hr_err err = { "" };
	json_t *answer = NULL;

	CU_ASSERT_EQUAL_FATAL(hr_control_request(path, request, 2000, &answer, &err),
			      0);
	CU_ASSERT_TRUE(json_is_true(json_object_get(answer, "ok")));
	CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(answer, "said")),
			       "hé\n");
	json_decref(answer);
	json_decref(request);
}

static void a_long_answer_comes_whole(void)
{
	struct hr_err err = { "" };
	json_t *answer = NULL, *list;

	CU_ASSERT_EQUAL_FATAL(hr_control_ask(path, "big", 5000, &answer, &err), 0);
	list = json_object_get(answer, "list");
	CU_ASSERT_EQUAL(json_array_size(list), 20000);
	CU_ASSERT_EQUAL(json_integer_value(json_array_get(list, 19999)), 1019999);
	json_decref(answer);
}

static void a_refusal_and_an_unknown_command_carry_their_reason(void)
{
	struct hr_err err = { "" };
	json_t *answer = NULL;

	CU_ASSERT_EQUAL(hr_control_ask(path, "no", 2000, &answer, &err), -EREMOTEIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "not now"));
	CU_ASSERT_EQUAL(hr_control_ask(path, "dance", 2000, &answer, &err), -EREMOTEIO);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "unknown command \"dance\""));
	CU_ASSERT_PTR_NULL(answer);
}

static void what_is_no_request_is_refused_and_hung_up_on(void)
{
	static const struct {
		const char *line, *told;
	} cases[] = {
		{ "hello\n", "expected one JSON object a line" },
		{ "[1]\n", "expected one JSON object a line" },
		{ "{\"command\":\"no\",\"command\":\"no\"}\n", "duplicate" },
		{ "{\"command\":\"\\u0000\"}\n", "expected one JSON object" },
	};
	char line[1024];

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		int fd = raw_client();

		say(fd, cases[i].line);
		CU_ASSERT_TRUE_FATAL(hear(fd, line, sizeof(line)));
		CU_ASSERT_PTR_NOT_NULL(strstr(line, "\"ok\":false"));
		CU_ASSERT_PTR_NOT_NULL(strstr(line, cases[i].told));
		CU_ASSERT_FALSE(hear(fd, line, sizeof(line)));
		close(fd);
	}
}

static void a_request_without_a_command_is_refused_and_the_next_is_heard(void)
{
	int fd = raw_client();
	char line[1024];

	say(fd, "{}\n\n{\"command\":7}\n{\"command\":\"echo\",\"say\":1}\n");
	CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "expected a text"));
	CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "expected a text"));
	CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	CU_ASSERT_STRING_EQUAL(line, "{\"said\":1,\"ok\":true}");
	close(fd);
}

static void a_line_may_come_in_pieces_and_many_at_once(void)
{
	const char one[] = "{\"command\":\"echo\",\"say\":1}\n";
	int fd = raw_client();
	char line[1024];

	for (size_t i = 0; i < sizeof(one) - 1; i++)
		CU_ASSERT_EQUAL(write(fd, one + i, 1), 1);
	CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	for (int i = 0; i < 500; i++)
		say(fd, one);
	for (int i = 0; i < 500; i++)
		CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	CU_ASSERT_EQUAL(atomic_load(&handled), 501);
	close(fd);
}

static void an_endless_line_is_cut_off(void)
{
	static char much[HR_CONTROL_LINE_MAX + 1000];
	int fd = raw_client();
	char line[1024];

	memset(much, ' ', sizeof(much));
	(void)!write(fd, much, sizeof(much));
	CU_ASSERT_TRUE(hear(fd, line, sizeof(line)));
	CU_ASSERT_PTR_NOT_NULL(strstr(line, "more than 65535 bytes"));
	close(fd);
}

/* Asks for more than any socket buffers and reads nothing; others are served. */
static void a_client_that_does_not_listen_holds_up_nobody(void)
{
	struct hr_err err = { "" };
	json_t *answer = NULL;
	int fd = raw_client(), n = 0;
	char block[65536];
	ssize_t got;

	for (int i = 0; i < 100; i++)
		say(fd, "{\"command\":\"big\"}\n");
	CU_ASSERT_EQUAL(hr_control_ask(path, "echo", 2000, &answer, &err), 0);
	json_decref(answer);
	CU_ASSERT_TRUE(atomic_load(&handled) <
		       20); /* not all hundred answers are held in memory */
	while (n < 100 && (got = read(fd, block, sizeof(block))) > 0)
		for (ssize_t i = 0; i < got; i++)
			n += block[i] == '\n';
	CU_ASSERT_EQUAL(n, 100);
	close(fd);
}

static void the_silent_make_room_for_others(void)
{
	int fds[HR_CONTROL_CLIENTS_MAX + 4];
	struct hr_err err = { "" };
	json_t *answer = NULL;

	for (size_t i = 0; i < HR_COUNT(fds); i++)
		fds[i] = raw_client();
	CU_ASSERT_EQUAL(hr_control_ask(path, "echo", 2000, &answer, &err), 0);
	json_decref(answer);
	for (size_t i = 0; i < HR_COUNT(fds); i++)
		close(fds[i]);
}

static void a_second_server_at_the_same_place_is_refused(void)
{
	struct hr_control *second = NULL;
	struct hr_err err = { "" };
	json_t *answer = NULL;

	CU_ASSERT_EQUAL(hr_control_listen(&second, path, handle, NULL, &err),
			-EADDRINUSE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_PTR_NULL(second);
	CU_ASSERT_EQUAL(hr_control_ask(path, "echo", 2000, &answer, &err), 0);
	json_decref(answer);
}

static void a_dead_servers_socket_is_replaced_and_another_file_is_not(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct hr_control *second = NULL;
	struct hr_err err = { "" };
	char other[96];
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FILE *f;

	(void)snprintf(other, sizeof(other), "%s/other", folder);
	strcpy(address.sun_path, other);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			      0);
	close(fd);
	CU_ASSERT_EQUAL(hr_control_listen(&second, other, handle, NULL, &err), 0);
	hr_control_close(second);
	CU_ASSERT_EQUAL(access(other, F_OK), -1);

	f = fopen(other, "w");
	fclose(f);
	CU_ASSERT_EQUAL(hr_control_listen(&second, other, handle, NULL, &err),
			-EADDRINUSE);
	CU_ASSERT_EQUAL(access(other, F_OK), 0);
	unlink(other);
}

static void only_the_owner_may_connect(void)
{
	struct stat st;

	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
}

/* The mode keeps others out already; the credentials do when it is changed. */
static void a_peer_of_another_user_is_refused_by_uid(void)
{
	int status = -1;
	pid_t child;

	if (geteuid() != 0) {
		puts(" (skipped: needs root to become somebody else)");
		return;
	}
	CU_ASSERT_EQUAL(chmod(path, 0666), 0);
	CU_ASSERT_EQUAL(chmod(folder, 0755), 0);
	child = fork();
	if (child == 0) {
		struct hr_err err = { "" };
		json_t *answer = NULL;
		int rc;

		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(1);
		rc = hr_control_ask(path, "echo", 2000, &answer, &err);
		_exit(rc == -EREMOTEIO && strstr(err.text, "uid 65534 may not") ? 0
										: 2);
	}
	waitpid(child, &status, 0);
	CU_ASSERT_TRUE(WIFEXITED(status));
	CU_ASSERT_EQUAL(WEXITSTATUS(status), 0);
	CU_ASSERT_EQUAL(atomic_load(&handled), 0);
}

static void asking_nobody_says_so(void)
{
	struct hr_err err = { "" };
	json_t *answer = NULL;
	char other[96];

	(void)snprintf(other, sizeof(other), "%s/none", folder);
	CU_ASSERT_EQUAL(hr_control_ask(other, "echo", 500, &answer, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nobody serves"));
	CU_ASSERT_EQUAL(hr_control_server_pid(other), -ENOENT);
	CU_ASSERT_EQUAL(hr_control_server_pid(path), getpid());
}

static void a_server_that_says_nothing_times_out(void)
{
	uint64_t before_us = hr_mono_us();
	struct hr_err err = { "" };
	json_t *answer = NULL;

	atomic_store(&stop, true);
	pthread_join(thread, NULL);
	CU_ASSERT_EQUAL(hr_control_ask(path, "echo", 100, &answer, &err), -ETIMEDOUT);
	CU_ASSERT_TRUE(hr_mono_us() - before_us < 2000000);
	atomic_store(&stop, false);
	CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, serve, NULL), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a question gets its answer", a_question_gets_its_answer },
		{ "a long answer comes whole", a_long_answer_comes_whole },
		{ "a refusal and an unknown command carry their reason",
		  a_refusal_and_an_unknown_command_carry_their_reason },
		{ "what is no request is refused and hung up on",
		  what_is_no_request_is_refused_and_hung_up_on },
		{ "a request without a command is refused and the next is heard",
		  a_request_without_a_command_is_refused_and_the_next_is_heard },
		{ "a line may come in pieces and many at once",
		  a_line_may_come_in_pieces_and_many_at_once },
		{ "an endless line is cut off", an_endless_line_is_cut_off },
		{ "a client that does not listen holds up nobody",
		  a_client_that_does_not_listen_holds_up_nobody },
		{ "the silent make room for others", the_silent_make_room_for_others },
		{ "a second server at the same place is refused",
		  a_second_server_at_the_same_place_is_refused },
		{ "a dead server's socket is replaced and another file is not",
		  a_dead_servers_socket_is_replaced_and_another_file_is_not },
		{ "only the owner may connect", only_the_owner_may_connect },
		{ "a peer of another user is refused by uid",
		  a_peer_of_another_user_is_refused_by_uid },
		{ "asking nobody says so", asking_nobody_says_so },
		{ "a server that says nothing times out",
		  a_server_that_says_nothing_times_out },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("control", setup, teardown, tests);
}
