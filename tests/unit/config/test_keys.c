/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "tests/unit/hr_test.h"

#define KEY "00112233445566778899aabbccddeeFF"

static char path[32];
static struct hr_err err;
static struct hr_write_key keys[4];

static int read_keys(const char *text)
{
	FILE *f = fopen(path, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	fputs(text, f);
	fclose(f);
	err.text[0] = '\0';
	return hr_keys_read(keys, HR_COUNT(keys), path, &err);
}

static void setup(void)
{
	int fd;

	strcpy(path, "/tmp/hr_keys_XXXXXX");
	fd = mkstemp(path);
	CU_ASSERT_FATAL(fd >= 0);
	close(fd);
}

static void teardown(void)
{
	unlink(path);
}

static void keys_are_read_with_ids_and_comments(void)
{
	static const uint8_t want[16] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
					  0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb,
					  0xcc, 0xdd, 0xee, 0xff };

	CU_ASSERT_EQUAL(read_keys("# write keys\n\n 1 " KEY " the shop\n"
				  "4294967295\t" KEY "\r\n"
				  "0 " KEY),
			3);
	CU_ASSERT_EQUAL(keys[0].id, 1);
	CU_ASSERT_EQUAL(keys[1].id, UINT32_MAX);
	CU_ASSERT_EQUAL(keys[2].id, 0);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(memcmp(keys[i].key, want, 16), 0);
}

static void every_wrong_line_is_told_by_number_and_without_the_key(void)
{
	static const struct {
		const char *text;
		int rc;
		const char *told;
	} cases[] = {
		{ "", -ENODATA, ": found no key" },
		{ "# none\n", -ENODATA, ": found no key" },
		{ "\nx " KEY "\n", -EINVAL, ":2: found no key id" },
		{ "4294967296 " KEY "\n", -EINVAL, ":1: found no key id" },
		{ "99999999999999999999 " KEY "\n", -EINVAL, ":1: found no key id" },
		{ "1" KEY "\n", -EINVAL, ":1: found no key id" },
		{ "1\n", -EINVAL, ":1: found no key id" },
		{ "1 0011\n", -EINVAL, ":1: found 4 hex digits, expected 32" },
		{ "1 " KEY "0\n", -EINVAL, ":1: found more than 32" },
		{ "1 0x112233445566778899aabbccddeeff00\n", -EINVAL,
		  ":1: found 1 hex digits" },
		{ "1 " KEY "\n1 " KEY "\n", -EEXIST,
		  ":2: found key id 1 a second time" },
		{ "1 " KEY "\n2 " KEY "\n3 " KEY "\n4 " KEY "\n5 " KEY "\n", -E2BIG,
		  ":5: found more than 4 keys" },
	};

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		CU_ASSERT_EQUAL(read_keys(cases[i].text), cases[i].rc);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].told));
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
		CU_ASSERT_PTR_NULL(strstr(err.text, "445566"));
	}
}

static void an_overlong_line_is_told(void)
{
	char text[1024];

	memset(text, '#', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_EQUAL(read_keys(text), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ":1: found a line of more than"));
}

static void a_file_others_may_read_is_refused_with_the_command(void)
{
	CU_ASSERT_EQUAL(read_keys("1 " KEY "\n"), 1);
	chmod(path, 0644);
	CU_ASSERT_EQUAL(hr_keys_read(keys, 4, path, &err), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "mode 0644"));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "chmod 600"));
	chmod(path, 0602);
	CU_ASSERT_EQUAL(hr_keys_read(keys, 4, path, &err), -EACCES);
	chmod(path, 0640);
	CU_ASSERT_EQUAL(hr_keys_read(keys, 4, path, &err), 1);
}

static void a_file_that_is_none_is_told(void)
{
	CU_ASSERT_EQUAL(hr_keys_read(keys, 4, "/nowhere/keys", &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nowhere/keys"));
	CU_ASSERT_EQUAL(hr_keys_read(keys, 4, "/tmp", &err), -EINVAL);
}

static void a_secret_is_read_and_every_wrong_one_told_without_it(void)
{
	static const struct {
		const char *text;
		int rc;
		const char *told;
	} cases[] = {
		{ KEY, 0, "" },
		{ KEY "\n", 0, "" },
		{ KEY " \r\n\n", 0, "" },
		{ "", -EINVAL, "found a word of 0 characters" },
		{ KEY "0", -EINVAL, "found a word of 33" },
		{ KEY " 7", -EINVAL, "found a word of 32 characters and more" },
		{ "1 " KEY, -EINVAL, "found a word of 1 characters and more" },
		{ "x0112233445566778899aabbccddeeff", -EINVAL, "something else" },
	};
	uint8_t secret[HR_SECRET_FILE_BYTES];

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		err.text[0] = '\0';
		read_keys(cases[i].text); /* writes the file */
		err.text[0] = '\0';
		CU_ASSERT_EQUAL(hr_secret_read(secret, path, &err), cases[i].rc);
		CU_ASSERT_PTR_NOT_NULL(strstr(err.text, cases[i].told));
		CU_ASSERT_PTR_NULL(strstr(err.text, "445566"));
		if (cases[i].rc == 0)
			CU_ASSERT_TRUE(secret[4] == 0x44 && secret[15] == 0xff);
	}
	chmod(path, 0604);
	CU_ASSERT_EQUAL(hr_secret_read(secret, path, &err), -EACCES);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "secret file"));
	CU_ASSERT_EQUAL(hr_secret_read(secret, "/nowhere/secret", &err), -ENOENT);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "keys are read with ids and comments",
		  keys_are_read_with_ids_and_comments },
		{ "every wrong line is told by number and without the key",
		  every_wrong_line_is_told_by_number_and_without_the_key },
		{ "an overlong line is told", an_overlong_line_is_told },
		{ "a file others may read is refused with the command",
		  a_file_others_may_read_is_refused_with_the_command },
		{ "a file that is none is told", a_file_that_is_none_is_told },
		{ "a secret is read and every wrong one told without it",
		  a_secret_is_read_and_every_wrong_one_told_without_it },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("write keys", setup, teardown, tests);
}
