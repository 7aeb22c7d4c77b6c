/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/view/redis_info.h"
#include "tests/unit/hr_test.h"

static const char good[] =
	"# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n"
	"# Memory\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n"
	"# Persistence\r\nloading:0\r\nasync_loading:0\r\n"
	"# Replication\r\nrole:master\r\n"
	"# Cluster\r\ncluster_enabled:0\r\n";

/* good with the first `from` made `to`. */
static const char *with(const char *from, const char *to)
{
	static char text[1024];
	const char *at = strstr(good, from);

	CU_ASSERT_PTR_NOT_NULL_FATAL(at);
	(void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good), good, to,
		       at + strlen(from));
	return text;
}

static void a_fit_redis_is_taken(void)
{
	static const char *const versions[] = { "6.2.0", "6.10.1", "7.4.0", "10.0.0" };
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_redis_info_judge(good, &err), 0);
	for (size_t i = 0; i < HR_COUNT(versions); i++)
		CU_ASSERT_EQUAL(hr_redis_info_judge(with("7.0.15", versions[i]), &err),
				0);
}

static void the_process_and_its_file_are_known(void)
{
	struct hr_redis_process p;

	hr_redis_info_process("run_id:0123abcd\r\naof_enabled:1\r\n"
			      "aof_rewrite_in_progress:0\r\n",
			      &p);
	CU_ASSERT_STRING_EQUAL(p.run_id, "0123abcd");
	CU_ASSERT_TRUE(p.has_aof && !p.is_rewriting);
	hr_redis_info_process("aof_enabled:0\r\naof_rewrite_in_progress:1\r\n", &p);
	CU_ASSERT_STRING_EQUAL(p.run_id, "");
	CU_ASSERT_TRUE(!p.has_aof && p.is_rewriting);
}

static void what_becomes_of_a_rewrite_is_understood(void)
{
	static const struct {
		const char *words;
		bool is_error;
		int code;
	} rows[] = {
		{ "Background append only file rewriting started", false, 0 },
		{ "Background append only file rewriting scheduled", false, -EAGAIN },
		{ "ERR Background append only file rewriting already in progress", true,
		  0 },
		{ "NOPERM User headrace has no permissions", true, -ENOTSUP },
		{ "ERR Can't execute an AOF background rewriting", true, -ENOTSUP },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_err err = { "" };

		CU_ASSERT_EQUAL(
			hr_redis_rewrites(rows[i].words, rows[i].is_error, &err),
			rows[i].code);
		CU_ASSERT_EQUAL(err.text[0] == '\0', rows[i].code == 0);
	}
}

static void an_unfit_redis_is_told_with_its_cure(void)
{
	static const struct {
		const char *from, *to;
		int code;
		const char *said;
	} rows[] = {
		{ "redis_version:7.0.15", "redis_version:6.0.16", -ENOTSUP, "6.0.16" },
		{ "redis_version:7.0.15", "", -ENOTSUP, "6.2 or later" },
		{ "cluster_enabled:0", "cluster_enabled:1", -ENOTSUP,
		  "cluster-enabled is yes, expected no" },
		{ ":noeviction", ":allkeys-lru", -ENOTSUP,
		  "is allkeys-lru, expected noeviction" },
		{ ":noeviction", ":allkeys-lru", -ENOTSUP,
		  "redis-cli CONFIG SET maxmemory-policy noeviction" },
		{ "\r\nloading:0", "\r\nloading:1", -EAGAIN, "loading" },
		{ "role:master", "role:slave", -EAGAIN, "replica" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_err err = { "" };

		CU_ASSERT_EQUAL(
			hr_redis_info_judge(with(rows[i].from, rows[i].to), &err),
			rows[i].code);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].said));
	}
}

static void refusals_are_told_with_their_cure(void)
{
	static const struct {
		const char *words;
		int code;
		const char *said;
	} rows[] = {
		{ "LOADING Redis is loading the dataset in memory", -EAGAIN, "waited" },
		{ "OOM command not allowed when used memory > 'maxmemory'.", -EAGAIN,
		  "CONFIG SET maxmemory" },
		{ "READONLY You can't write against a read only replica.", -EAGAIN,
		  "redis.host" },
		{ "NOAUTH Authentication required.", -EAGAIN, "redis.password_file" },
		{ "WRONGPASS invalid username-password pair", -EAGAIN,
		  "redis.password_file" },
		{ "ERR AUTH <password> called without any password configured", -EAGAIN,
		  "wants no password" },
		{ "MISCONF Redis is configured to save RDB snapshots", -EAGAIN,
		  "disk" },
		{ "NOPERM this user has no permissions", -EAGAIN, "ACL SETUSER" },
		{ "BUSY Redis is busy running a script", -EAGAIN, "SCRIPT KILL" },
		{ "MOVED 3999 127.0.0.1:6381", -ENOTSUP, "cluster" },
		{ "CLUSTERDOWN The cluster is down", -ENOTSUP, "cluster" },
		{ "ERR something new", -EAGAIN, "ERR something new" },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		struct hr_err err = { "" };

		CU_ASSERT_EQUAL(hr_redis_refused(rows[i].words, &err), rows[i].code);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].said));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].words));
	}
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a fit Redis is taken", a_fit_redis_is_taken },
		{ "the process and its file are known",
		  the_process_and_its_file_are_known },
		{ "what becomes of a rewrite is understood",
		  what_becomes_of_a_rewrite_is_understood },
		{ "an unfit Redis is told with its cure",
		  an_unfit_redis_is_told_with_its_cure },
		{ "refusals are told with their cure",
		  refusals_are_told_with_their_cure },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("view redis info", NULL, NULL, tests);
}
