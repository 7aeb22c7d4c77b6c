/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/config.h"
#include "controlplane/checkpoint/servers.h"

#define CONNECT_S 5
#define COPY_US 600000000u /* of a copy, and of loading it */
#define POLL_US 20000u
#define PASSWORD_MAX 512

extern char **environ;

static bool must_stop(const atomic_bool *stops)
{
	return stops != NULL && atomic_load(stops);
}

static int read_password(const char *path, char out[PASSWORD_MAX], struct hr_err *err)
{
	FILE *f;

	out[0] = '\0';
	if (path[0] == '\0')
		return 0;
	f = fopen(path, "re");
	if (f == NULL || fgets(out, PASSWORD_MAX, f) == NULL)
		out[0] = '\0';
	if (f != NULL)
		fclose(f);
	out[strcspn(out, "\r\n")] = '\0';
	return out[0] != '\0' ? 0
			      : hr_fail(err, -EINVAL,
					"redis.password_file %s: found no password in "
					"its first line",
					path);
}

int hr_checkpoint_connect(redisContext **out, const struct hr_config *config,
			  struct hr_err *err)
{
	const struct timeval limit = { CONNECT_S, 0 };
	char password[PASSWORD_MAX];
	redisReply *reply = NULL;
	int r = read_password(config->redis_password_file, password, err);

	if (r < 0)
		return r;
	*out = redisConnectWithTimeout(config->redis_host, config->redis_port, limit);
	if (*out != NULL && (*out)->err == 0 && redisSetTimeout(*out, limit) == 0)
		reply = password[0] != '\0' ? redisCommand(*out, "AUTH %s", password)
					    : redisCommand(*out, "PING");
	explicit_bzero(password, sizeof(password));
	if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
		r = hr_fail(err, -EIO, "Redis at %s:%u: %s", config->redis_host,
			    config->redis_port,
			    reply != NULL  ? reply->str
			    : *out != NULL ? (*out)->errstr
					   : "no memory");
	if (reply != NULL)
		freeReplyObject(reply);
	if (r < 0 && *out != NULL)
		redisFree(*out);
	return r;
}

/* ---- programs ----------------------------------------------------------------------- */

/* What it says goes nowhere: its exit code and what it leaves are judged. It ends with
 * us, however we end. */
static void become(char *const argv[], char *const env[])
{
	const int null = open("/dev/null", O_RDWR);
	sigset_t none;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 0; fd < 3; fd++)
		(void)dup2(null, fd);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)execvpe(argv[0], argv, env);
	_exit(127);
}

static int begin(pid_t *pid, char *const argv[], char *const env[], struct hr_err *err)
{
	*pid = fork();
	if (*pid == 0)
		become(argv, env);
	if (*pid > 0)
		return 0;
	*pid = 0;
	return hr_fail(err, -errno, "%s cannot be started: %s", argv[0],
		       strerror(errno));
}

static void end(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int await_end(pid_t pid, const char *name, const atomic_bool *stops,
		     struct hr_err *err)
{
	const uint64_t until = hr_mono_us() + COPY_US;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (hr_mono_us() > until || must_stop(stops)) {
			end(pid);
			return hr_fail(err, must_stop(stops) ? -ECANCELED : -ETIMEDOUT,
				       "%s does not end", name);
		}
		usleep(POLL_US);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return hr_fail(err, -ENOENT,
			       "there is no program %s: a checkpoint needs it here",
			       name);
	return hr_fail(err, -EIO, "%s ended with %s %d", name,
		       WIFEXITED(status) ? "exit code" : "signal",
		       WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

int hr_checkpoint_copy(const struct hr_config *config, const char *path,
		       const atomic_bool *stops, struct hr_err *err)
{
	char port[8], password[PASSWORD_MAX], auth[PASSWORD_MAX + 16];
	/* Not in the arguments, which everybody can read. */
	char *const with_auth[] = { auth, NULL };
	char *const argv[] = { "redis-cli",
			       "-h",
			       (char *)(uintptr_t)config->redis_host,
			       "-p",
			       port,
			       "--rdb",
			       (char *)(uintptr_t)path,
			       NULL };
	pid_t pid;
	int r = read_password(config->redis_password_file, password, err);

	if (r < 0)
		return r;
	(void)snprintf(port, sizeof(port), "%u", config->redis_port);
	(void)snprintf(auth, sizeof(auth), "REDISCLI_AUTH=%s", password);
	r = begin(&pid, argv, password[0] != '\0' ? with_auth : environ, err);
	explicit_bzero(password, sizeof(password));
	explicit_bzero(auth, sizeof(auth));
	return r < 0 ? r : await_end(pid, "redis-cli --rdb", stops, err);
}

/* ---- the scratch Redis ---------------------------------------------------------------- */

/* 1: it has loaded; 0: not yet. */
static int has_loaded(struct hr_checkpoint_scratch *s, const char *socket)
{
	const struct timeval limit = { CONNECT_S, 0 };
	redisReply *reply;
	int r;

	if (s->redis == NULL)
		s->redis = redisConnectUnixWithTimeout(socket, limit);
	if (s->redis == NULL)
		return 0;
	reply = s->redis->err == 0 ? redisCommand(s->redis, "PING") : NULL;
	r = reply != NULL && reply->type == REDIS_REPLY_STATUS;
	if (reply != NULL)
		freeReplyObject(reply);
	if (!r) {
		redisFree(s->redis);
		s->redis = NULL;
	}
	return r;
}

int hr_checkpoint_scratch_begin(struct hr_checkpoint_scratch *s, const char *folder,
				const atomic_bool *stops, struct hr_err *err)
{
	const uint64_t until = hr_mono_us() + COPY_US;
	char socket[96];
	char *const argv[] = { "redis-server",
			       "--port",
			       "0",
			       "--unixsocket",
			       socket,
			       "--dir",
			       (char *)(uintptr_t)folder,
			       "--dbfilename",
			       "dump.rdb",
			       "--appendonly",
			       "no",
			       "--save",
			       "",
			       "--maxmemory-policy",
			       "noeviction",
			       NULL };
	int status, r;

	*s = (struct hr_checkpoint_scratch){
		.place = "/tmp/headrace-checkpoint.XXXXXX"
	};
	if (mkdtemp(s->place) == NULL) {
		s->place[0] = '\0';
		return hr_fail(err, -errno, "/tmp: %s", strerror(errno));
	}
	(void)snprintf(socket, sizeof(socket), "%s/socket", s->place);
	r = begin(&s->pid, argv, environ, err);
	if (r < 0)
		return r;
	while (!has_loaded(s, socket)) {
		if (waitpid(s->pid, &status, WNOHANG) != 0) {
			s->pid = 0;
			return hr_fail(err, -EBADMSG,
				       "a Redis does not begin with %s/dump.rdb",
				       folder);
		}
		if (hr_mono_us() > until || must_stop(stops))
			return hr_fail(err, must_stop(stops) ? -ECANCELED : -ETIMEDOUT,
				       "a Redis does not end loading %s/dump.rdb",
				       folder);
		usleep(POLL_US);
	}
	return 0;
}

void hr_checkpoint_scratch_end(struct hr_checkpoint_scratch *s)
{
	char socket[96];

	if (s->redis != NULL)
		redisFree(s->redis);
	end(s->pid);
	if (s->place[0] != '\0') {
		(void)snprintf(socket, sizeof(socket), "%s/socket", s->place);
		(void)unlink(socket);
		(void)rmdir(s->place);
	}
	*s = (struct hr_checkpoint_scratch){ 0 };
}
