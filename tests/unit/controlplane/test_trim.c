/* SPDX-License-Identifier: BSD-3-Clause */

#include "controlplane/trim/trim.h"
#include "tests/unit/hr_test.h"

#define SET "00112233445566778899aabbccddeeff"

static int64_t before[HR_TRIM_SHARDS_MAX];
static char data_set[33];

static uint32_t wishes(const char *text)
{
	json_t *status = json_loads(text, 0, NULL);
	uint32_t n;

	CU_ASSERT_PTR_NOT_NULL_FATAL(status);
	n = hr_trim_wishes(status, data_set, before);
	json_decref(status);
	return n;
}

static void what_the_owner_of_a_shard_says_is_obeyed(void)
{
	CU_ASSERT_EQUAL(wishes("{\"data_set\":\"" SET "\",\"shards\":["
			       "{\"shard\":0,\"state\":\"ready\"},"
			       "{\"shard\":1,\"state\":\"fenced\"},"
			       "{\"shard\":2,\"state\":\"ready\"}],\"snapshots\":["
			       "{\"shard\":0,\"trim_before\":77},"
			       "{\"shard\":1,\"trim_before\":88},"
			       "{\"shard\":2,\"trim_before\":0},"
			       "{\"shard\":3,\"trim_before\":99}]}"),
			1);
	CU_ASSERT_STRING_EQUAL(data_set, SET);
	CU_ASSERT_EQUAL(before[0], 77);
	for (int s = 1; s < 4; s++)
		CU_ASSERT_EQUAL(before[s], 0);
}

static void whatever_else_is_no_wish(void)
{
	static const char *const rows[] = {
		"{}",
		"[]",
		"{\"data_set\":\"\",\"shards\":[{\"shard\":0,\"state\":\"ready\"}],"
		"\"snapshots\":[{\"shard\":0,\"trim_before\":7}]}",
		"{\"data_set\":\"" SET "\",\"shards\":[{\"shard\":0}],"
		"\"snapshots\":[{\"shard\":0,\"trim_before\":7}]}",
		"{\"data_set\":\"" SET
		"\",\"shards\":[{\"shard\":0,\"state\":\"ready\"}],"
		"\"snapshots\":[{\"shard\":0,\"trim_before\":-7},"
		"{\"shard\":-1,\"trim_before\":7},{\"shard\":100,\"trim_before\":7},"
		"{\"shard\":0,\"trim_before\":\"7\"}]}",
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		CU_ASSERT_EQUAL(wishes(rows[i]), 0);
	CU_ASSERT_EQUAL(hr_trim_wishes(NULL, data_set, before), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "what the owner of a shard says is obeyed",
		  what_the_owner_of_a_shard_says_is_obeyed },
		{ "whatever else is no wish", whatever_else_is_no_wish },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("trim", NULL, NULL, tests);
}
