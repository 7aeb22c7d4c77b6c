/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/redis_info.h"

/* A line "name:value\r\n" of INFO; "" where there is none. */
static void field(const char *info, const char *name, char out[64])
{
	size_t n = strlen(name), length;
	const char *at = info;

	out[0] = '\0';
	while (at != NULL && !(strncmp(at, name, n) == 0 && at[n] == ':')) {
		at = strchr(at, '\n');
		at = at == NULL ? NULL : at + 1;
	}
	if (at == NULL)
		return;
	at += n + 1;
	length = strcspn(at, "\r\n");
	if (length > 63)
		length = 63;
	memcpy(out, at, length);
	out[length] = '\0';
}

/* ZMSCORE came with 6.2. */
static int judge_version(const char *info, struct hr_err *err)
{
	int major = 0, minor = 0;
	char text[64];

	field(info, "redis_version", text);
	if (sscanf(text, "%d.%d", &major, &minor) == 2 &&
	    (major > 6 || (major == 6 && minor >= 2)))
		return 0;
	return hr_fail(err, -ENOTSUP,
		       "this is Redis %s, expected 6.2 or later (ZMSCORE)", text);
}

int hr_redis_info_judge(const char *info, struct hr_err *err)
{
	char text[64];
	int r = judge_version(info, err);

	if (r < 0)
		return r;
	field(info, "loading", text);
	if (strcmp(text, "1") == 0)
		return hr_redis_refused("LOADING", err);
	field(info, "cluster_enabled", text);
	if (strcmp(text, "1") == 0)
		return hr_fail(err, -ENOTSUP,
			       "cluster-enabled is yes, expected no: one transaction "
			       "spans all keys; give redis.host a Redis of its own");
	field(info, "maxmemory_policy", text);
	if (strcmp(text, "noeviction") != 0)
		return hr_fail(err, -ENOTSUP,
			       "maxmemory-policy is %s, expected noeviction, or keys "
			       "vanish unseen: redis-cli CONFIG SET maxmemory-policy "
			       "noeviction, and in redis.conf",
			       text);
	field(info, "role", text);
	if (strcmp(text, "master") != 0)
		return hr_redis_refused("READONLY", err);
	return 0;
}

static bool is_one(const char *info, const char *name)
{
	char text[64];

	field(info, name, text);
	return strcmp(text, "1") == 0;
}

void hr_redis_info_process(const char *info, struct hr_redis_process *out)
{
	field(info, "run_id", out->run_id);
	out->has_aof = is_one(info, "aof_enabled");
	out->is_rewriting = is_one(info, "aof_rewrite_in_progress");
}

int hr_redis_rewrites(const char *words, bool is_error, struct hr_err *err)
{
	if (strstr(words, is_error ? "already in progress" : "started") != NULL)
		return 0;
	if (!is_error && strstr(words, "scheduled") != NULL)
		return hr_fail(err, -EAGAIN,
			       "it writes its append-only file anew when it has saved "
			       "something else, and is waited for");
	return hr_fail(err, -ENOTSUP,
		       "its append-only file cannot be written anew (%.120s): if it "
		       "was cut off in a transaction, what is read from it another "
		       "time is wrong; let this user do BGREWRITEAOF, or do it once "
		       "after each start of Redis",
		       words);
}

int hr_redis_refused(const char *words, struct hr_err *err)
{
	static const struct {
		const char *word;
		int code;
		const char *cure;
	} rows[] = {
		{ "LOADING", -EAGAIN, "it is loading its data and is waited for" },
		{ "OOM", -EAGAIN,
		  "it has reached its maxmemory: give it more, e.g. redis-cli CONFIG "
		  "SET "
		  "maxmemory 4gb, and in redis.conf" },
		{ "READONLY", -EAGAIN,
		  "it is a replica: point redis.host and redis.port at its master" },
		{ "NOAUTH", -EAGAIN,
		  "it wants a password: put it into a file and name that as "
		  "redis.password_file" },
		{ "WRONGPASS", -EAGAIN,
		  "the password in redis.password_file is not the one it wants" },
		{ "ERR AUTH", -EAGAIN,
		  "redis.password_file is set and it wants no password" },
		{ "ERR invalid password", -EAGAIN,
		  "the password in redis.password_file is not the one it wants" },
		{ "NOPERM", -EAGAIN,
		  "its user may not do what the view must: redis-cli ACL SETUSER "
		  "default "
		  "~* +@all" },
		{ "MISCONF", -EAGAIN,
		  "it cannot save its data to disk: see its log, free some disk" },
		{ "NOREPLICAS", -EAGAIN, "it has fewer replicas than it wants" },
		{ "MASTERDOWN", -EAGAIN, "it is a replica without its master" },
		{ "BUSY", -EAGAIN, "it is held up by a script: redis-cli SCRIPT KILL" },
		{ "MOVED", -ENOTSUP,
		  "it is a node of a cluster, expected a single Redis" },
		{ "ASK", -ENOTSUP,
		  "it is a node of a cluster, expected a single Redis" },
		{ "CLUSTERDOWN", -ENOTSUP,
		  "it is a node of a cluster, expected a single Redis" },
		{ "CROSSSLOT", -ENOTSUP,
		  "it is a node of a cluster, expected a single Redis" },
		{ "TRYAGAIN", -ENOTSUP,
		  "it is a node of a cluster, expected a single Redis" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strncmp(words, rows[i].word, strlen(rows[i].word)) == 0)
			return hr_fail(err, rows[i].code, "%s (%.120s)", rows[i].cure,
				       words);
	return hr_fail(err, -EAGAIN, "Redis refused: %.300s", words);
}
