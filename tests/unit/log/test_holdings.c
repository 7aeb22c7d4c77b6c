/* SPDX-License-Identifier: BSD-3-Clause */

/* Which shards an appliance has, across restarts. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "dataplane/log/holdings.h"
#include "tests/unit/hr_test.h"

static struct hr_config config;
static struct hr_data_set set;
static char root[64];

static void begin(void)
{
	strcpy(root, "/tmp/hr-holdings-XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(root));
	memset(&config, 0, sizeof(config));
	snprintf(config.state_dir, sizeof(config.state_dir), "%s/state", root);
	set = (struct hr_data_set){ .id = { { 1, 2, 3 } }, .n_shards = 5 };
}

static void path_of(char out[128], const char *name)
{
	snprintf(out, 128, "%.64s/state/%.20s", root, name);
}

static void end(void)
{
	char path[128];

	path_of(path, "shards");
	unlink(path);
	path_of(path, "shards.new");
	unlink(path);
	rmdir(config.state_dir);
	rmdir(root);
}

static void put_file(const char *name, const char *text)
{
	char path[128];
	FILE *f;

	mkdir(config.state_dir, 0755);
	path_of(path, name);
	f = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
}

/* "10110": which shards a start has; "refused" when it does not know. */
static const char *start(void)
{
	static char out[16];
	struct hr_holdings h;
	struct hr_err err;

	if (hr_holdings_read(&h, &config, &set, &err) < 0)
		return "refused";
	for (uint16_t s = 0; s < 5; s++)
		out[s] = hr_holdings_has(&h, s) ? '1' : '0';
	out[5] = '\0';
	return out;
}

static void keep(uint16_t shard, bool is_ours)
{
	struct hr_holdings h;
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_holdings_read(&h, &config, &set, &err), 0);
	CU_ASSERT_EQUAL(hr_holdings_keep(&h, shard, is_ours, &err), 0);
	CU_ASSERT_EQUAL(hr_holdings_has(&h, shard), is_ours);
}

static void the_first_start_has_what_the_configuration_names(void)
{
	begin();
	CU_ASSERT_STRING_EQUAL(start(), "11111");
	config.own_shards[0] = 2;
	config.own_shards[1] = 4;
	config.n_own_shards = 2;
	CU_ASSERT_STRING_EQUAL(start(), "00101");
	end();
}

static void taken_and_struck_outlive_a_restart_and_count_more(void)
{
	begin();
	keep(1, false);
	CU_ASSERT_STRING_EQUAL(start(), "10111");
	keep(3, false);
	keep(1, true);
	CU_ASSERT_STRING_EQUAL(start(), "11101");
	config.own_shards[0] = 3; /* struck, whatever it names */
	config.n_own_shards = 1;
	CU_ASSERT_STRING_EQUAL(start(), "01000");
	end();
}

static void another_data_set_begins_as_configured(void)
{
	begin();
	keep(1, false);
	set.id.b[0] ^= 1;
	CU_ASSERT_STRING_EQUAL(start(), "11111");
	keep(2, false);
	CU_ASSERT_STRING_EQUAL(start(), "11011");
	end();
}

/* What was half written under the other name is not looked at. */
static void a_list_that_was_not_renamed_never_was(void)
{
	begin();
	keep(1, false);
	put_file("shards.new", "headrace-sha");
	CU_ASSERT_STRING_EQUAL(start(), "10111");
	keep(0, false);
	CU_ASSERT_STRING_EQUAL(start(), "00111");
	end();
}

#define SET "data_set 01020300000000000000000000000000\n"

static void what_is_no_list_is_refused(void)
{
	static const char *const rows[] = {
		"",
		"headrace-shards 2\n" SET "end\n",
		"headrace-shards 1\n",
		"headrace-shards 1\n" SET,
		"headrace-shards 1\n" SET "struck 1\n",
		"headrace-shards 1\n" SET "struck 1\nen",
		"headrace-shards 1\n" SET "struck 5\nend\n",
		"headrace-shards 1\n" SET "struck -1\nend\n",
		"headrace-shards 1\n" SET "struck 1x\nend\n",
		"headrace-shards 1\n" SET "struck\nend\n",
		"headrace-shards 1\n" SET "given 1\nend\n",
		"headrace-shards 1\n" SET "end\nstruck 1\n",
		"headrace-shards 1\nset 0102\nend\n",
	};

	begin();
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		put_file("shards", rows[i]);
		CU_ASSERT_STRING_EQUAL(start(), "refused");
	}
	put_file("shards", "headrace-shards 1\n" SET "taken 0\nstruck 4\nend\n");
	CU_ASSERT_STRING_EQUAL(start(), "11110");
	end();
}

static void what_cannot_be_written_changes_nothing(void)
{
	struct hr_holdings h;
	struct hr_err err;
	char path[128];

	begin();
	put_file("shards", "headrace-shards 1\n" SET "end\n");
	path_of(path, "shards.new");
	CU_ASSERT_EQUAL_FATAL(mkdir(path, 0755), 0);
	CU_ASSERT_EQUAL_FATAL(hr_holdings_read(&h, &config, &set, &err), 0);
	CU_ASSERT_EQUAL(hr_holdings_keep(&h, 1, false, &err), -EISDIR);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "shards cannot be written"));
	CU_ASSERT_TRUE(hr_holdings_has(&h, 1));
	CU_ASSERT_STRING_EQUAL(start(), "11111");
	rmdir(path);
	end();
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "the first start has what the configuration names",
		  the_first_start_has_what_the_configuration_names },
		{ "taken and struck outlive a restart, and count more",
		  taken_and_struck_outlive_a_restart_and_count_more },
		{ "another data set begins as configured",
		  another_data_set_begins_as_configured },
		{ "a list that was not renamed never was",
		  a_list_that_was_not_renamed_never_was },
		{ "what is no list is refused", what_is_no_list_is_refused },
		{ "what cannot be written changes nothing",
		  what_cannot_be_written_changes_nothing },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("holdings", NULL, NULL, tests);
}
