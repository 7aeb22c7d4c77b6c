/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/checkpoint_pins.h"
#include "tests/unit/hr_test.h"

#define OURS "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

static char folder[64];

static void put(const char *name, const char *file, const char *text)
{
	char path[256];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	(void)mkdir(path, 0700);
	(void)snprintf(path, sizeof(path), "%s/%s/%s", folder, name, file);
	f = fopen(path, "w");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	(void)fputs(text, f);
	fclose(f);
}

static void setup(void)
{
	strcpy(folder, "/tmp/headrace-pins.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
}

static void teardown(void)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "rm -rf %s", folder);
	CU_ASSERT_EQUAL(system(line), 0);
}

#define MANIFEST(id, n0, n1)                                                           \
	"headrace-checkpoint 1\ndata_set " id "\nbytes 7\nshards 2\nposition 0 1 " n0  \
	" 0 00 00\nposition 1 " n1 "\nend\n"

static void those_of_the_data_set_are_taken(void)
{
	struct hr_checkpoint_pins pins;

	put("20261130T101500Z", "manifest", MANIFEST(OURS, "41", "1 7 0 00 00"));
	put("20261130T101501Z", "manifest", MANIFEST(OTHER, "3", "1 3 0 00 00"));
	put("20261130T101502Z", "manifest", MANIFEST(OURS, "45", "none"));
	put("20261130T101503Z.part", "wanted", MANIFEST(OURS, "46", "1 9 0 00 00"));
	put("another", "manifest", "nothing of ours");
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 0), 0);
	CU_ASSERT_EQUAL(pins.n_pins, 3);
	CU_ASSERT_EQUAL(pins.n_verified, 2);
	CU_ASSERT_EQUAL(pins.n[0] + pins.n[1] + pins.n[2], 41 + 45 + 46);
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 1), 0);
	CU_ASSERT_EQUAL(pins.n_pins, 3);
	CU_ASSERT_EQUAL(pins.n[0] + pins.n[1] + pins.n[2], 7 + 0 + 9);
}

static void what_is_none_yet_or_any_more_is_passed_over(void)
{
	struct hr_checkpoint_pins pins;

	put("20261130T101500Z", "dump.rdb", "REDIS");
	put("20261130T101501Z.part", "wanted", "headrace-checkpoint 1\ndata_set");
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 0), 0);
	CU_ASSERT_EQUAL(pins.n_pins, 0);
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, "", OURS, 0), 0);
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, "/nonexistent", OURS, 0), 0);
}

static void at_every_cut_nobody_guesses(void)
{
	static const char whole[] = MANIFEST(OURS, "41", "1 7 0 00 00");
	struct hr_checkpoint_pins pins;
	char text[sizeof(whole)];

	for (size_t n = 0; n < sizeof(whole) - 2; n++) {
		memcpy(text, whole, n);
		text[n] = '\0';
		put("20261130T101500Z", "manifest", text);
		CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 0),
				-EBADMSG);
	}
	/* A shard it does not name. */
	put("20261130T101500Z", "manifest", whole);
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 2), -EBADMSG);
}

static void more_than_fit_are_told(void)
{
	struct hr_checkpoint_pins pins;
	char name[32];

	for (int i = 0; i <= HR_CHECKPOINT_PINS; i++) {
		(void)snprintf(name, sizeof(name), "20261130T1015%02dZ", i);
		put(name, "manifest", MANIFEST(OURS, "41", "1 7 0 00 00"));
	}
	CU_ASSERT_EQUAL(hr_checkpoint_pins_read(&pins, folder, OURS, 0), -E2BIG);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "those of the data set are taken", those_of_the_data_set_are_taken },
		{ "what is none yet or any more is passed over",
		  what_is_none_yet_or_any_more_is_passed_over },
		{ "at every cut nobody guesses", at_every_cut_nobody_guesses },
		{ "more than fit are told", more_than_fit_are_told },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("checkpoint pins", setup, teardown, tests);
}
