/* SPDX-License-Identifier: BSD-3-Clause */

/* The list of what killed, its file, and the fingerprints of datagrams. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/wire.h"
#include "dataplane/poison/barred.h"
#include "dataplane/poison/deaths.h"
#include "tests/unit/hr_test.h"

static char folder[64], path[96];
static const uint8_t this_build[HR_BUILD_ID_BYTES] = { 1, 2, 3 };

static void setup(void)
{
	snprintf(folder, sizeof(folder), "/tmp/hr-deaths.XXXXXX");
	if (mkdtemp(folder) == NULL)
		abort();
	snprintf(path, sizeof(path), "%s/deaths", folder);
}

static void teardown(void)
{
	unlink(path);
	rmdir(folder);
}

static struct hr_death link_death(uint64_t n, uint64_t wall_us)
{
	return (struct hr_death){ .kind = HR_DEATH_LINK,
				  .shard = 3,
				  .deaths = 1,
				  .number = n,
				  .hash = { { 9, (uint8_t)n } },
				  .signal = 11,
				  .wall_us = wall_us };
}

static struct hr_death datagram_death(uint64_t fingerprint)
{
	return (struct hr_death){ .kind = HR_DEATH_DATAGRAM,
				  .deaths = 1,
				  .number = fingerprint,
				  .bytes = 300,
				  .signal = 6,
				  .wall_us = 5 };
}

static void read_list(struct hr_deaths *list)
{
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_deaths_read(list, this_build, path, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

static void write_list(const struct hr_deaths *list)
{
	struct hr_err err;

	CU_ASSERT_EQUAL_FATAL(hr_deaths_write(list, path, &err), 0);
}

/* As the handler of a process does it. */
static void die_of(const struct hr_death *death, uint32_t slot)
{
	int fd = open(path, O_WRONLY);

	CU_ASSERT_FATAL(fd >= 0);
	hr_death_write(fd, slot, death);
	close(fd);
}

static void a_list_that_is_not_there_is_empty(void)
{
	struct hr_deaths list;

	unlink(path);
	read_list(&list);
	CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK] + list.n[HR_DEATH_DATAGRAM], 0);
	CU_ASSERT_FALSE(list.is_unchanged);
}

static void the_second_death_of_a_record_bars_it(void)
{
	const struct hr_death link = link_death(77, 10), again = link_death(77, 20),
			      other = link_death(78, 20);
	struct hr_deaths list = { 0 };
	const struct hr_death *d;

	memcpy(list.build, this_build, sizeof(this_build));
	write_list(&list);
	read_list(&list);
	CU_ASSERT_TRUE(list.is_unchanged);
	die_of(&link, 0);
	read_list(&list);
	CU_ASSERT_FALSE(list.is_unchanged);
	d = hr_deaths_find(&list, &link);
	CU_ASSERT_FATAL(d != NULL && d->is_fresh && d->deaths == 1);
	CU_ASSERT_FALSE(hr_death_is_barred(d));
	write_list(&list);
	read_list(&list);
	d = hr_deaths_find(&list, &link);
	CU_ASSERT_FATAL(d != NULL && !d->is_fresh && d->deaths == 1);
	die_of(&again, 5);
	read_list(&list);
	d = hr_deaths_find(&list, &link);
	CU_ASSERT_FATAL(d != NULL);
	CU_ASSERT(d->is_fresh && d->deaths == 2 && d->wall_us == 20);
	CU_ASSERT_TRUE(hr_death_is_barred(d));
	CU_ASSERT_PTR_NULL(hr_deaths_find(&list, &other));
}

static void another_link_in_its_place_is_another_record(void)
{
	struct hr_death link = link_death(77, 10), other = link;
	struct hr_deaths list = { 0 };

	hr_deaths_add(&list, &link);
	other.hash.b[15] ^= 1;
	hr_deaths_add(&list, &other);
	other = link;
	other.shard++;
	hr_deaths_add(&list, &other);
	CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK], 3);
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_FALSE(hr_death_is_barred(&list.rows[HR_DEATH_LINK][i]));
}

static void two_threads_of_one_process_are_one_death(void)
{
	const struct hr_death link = link_death(77, 10);
	struct hr_deaths list = { 0 };

	memcpy(list.build, this_build, sizeof(this_build));
	write_list(&list);
	die_of(&link, 0);
	die_of(&link, 1);
	read_list(&list);
	CU_ASSERT_EQUAL(list.rows[HR_DEATH_LINK][0].deaths, 1);
}

static void another_build_tries_them_again(void)
{
	const uint8_t mended[HR_BUILD_ID_BYTES] = { 1, 2, 4 };
	struct hr_death link = link_death(77, 10);
	struct hr_deaths list = { 0 };
	struct hr_err err;

	memcpy(list.build, this_build, sizeof(this_build));
	link.deaths = 2;
	hr_deaths_add(&list, &link);
	list.forgotten = 4;
	write_list(&list);
	die_of(&link, 0);
	CU_ASSERT_EQUAL_FATAL(hr_deaths_read(&list, mended, path, &err), 0);
	CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK], 0);
	CU_ASSERT_EQUAL(list.n_of_others, 2);
	CU_ASSERT_EQUAL(list.forgotten, 0);
	CU_ASSERT_FALSE(list.is_unchanged);
}

static void a_full_list_keeps_what_killed_twice_and_counts_the_rest(void)
{
	struct hr_deaths list = { 0 };

	for (uint32_t i = 0; i < HR_DEATHS_MAX; i++) {
		const struct hr_death d = link_death(i, 1000 - i);

		hr_deaths_add(&list, &d);
		if (i % 2 == 0)
			hr_deaths_add(&list, &d);
	}
	/* Half of them killed once: the oldest first. */
	for (uint32_t i = 0; i < HR_DEATHS_MAX / 2; i++) {
		const struct hr_death gone =
			link_death(HR_DEATHS_MAX - 1 - 2 * i, 1000);
		struct hr_death d = link_death(1000 + i, 2000 + i);

		CU_ASSERT_PTR_NOT_NULL(hr_deaths_find(&list, &gone));
		hr_deaths_add(&list, &d);
		CU_ASSERT_PTR_NULL(hr_deaths_find(&list, &gone));
		hr_deaths_add(&list, &d);
	}
	CU_ASSERT_EQUAL(list.forgotten, 0);
	for (uint32_t i = 0; i < 3; i++) {
		const struct hr_death d = link_death(5000 + i, 1);

		hr_deaths_add(&list, &d);
		CU_ASSERT_PTR_NULL(hr_deaths_find(&list, &d));
	}
	CU_ASSERT_EQUAL(list.forgotten, 3);
	for (uint32_t i = 0; i < HR_DEATHS_MAX; i += 2) {
		const struct hr_death d = link_death(i, 0);

		CU_ASSERT_PTR_NOT_NULL(hr_deaths_find(&list, &d));
	}
	/* The other kind has a list of its own, and the count outlives the process. */
	for (uint32_t i = 0; i < HR_DEATHS_MAX; i++) {
		const struct hr_death d = datagram_death(i);

		hr_deaths_add(&list, &d);
	}
	CU_ASSERT_EQUAL(list.forgotten, 3);
	memcpy(list.build, this_build, sizeof(this_build));
	write_list(&list);
	read_list(&list);
	CU_ASSERT_EQUAL(list.forgotten, 3);
	CU_ASSERT_EQUAL(list.n_forgotten, 0);
	CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK], HR_DEATHS_MAX);
	CU_ASSERT_EQUAL(list.n[HR_DEATH_DATAGRAM], HR_DEATHS_MAX);
	CU_ASSERT_TRUE(list.is_unchanged);
	{
		const struct hr_death d = link_death(6000, 1);

		die_of(&d, 0);
	}
	read_list(&list);
	CU_ASSERT_EQUAL(list.forgotten, 4);
	CU_ASSERT_EQUAL(list.n_forgotten, 1);
}

static void damaged_rows_are_none_and_a_damaged_file_is_begun_anew(void)
{
	uint8_t file[HR_DEATHS_FILE_BYTES];
	const struct hr_death a = link_death(1, 1), b = datagram_death(2);
	struct hr_deaths list = { 0 };
	struct hr_err err;
	int fd;

	memcpy(list.build, this_build, sizeof(this_build));
	hr_deaths_add(&list, &a);
	hr_deaths_add(&list, &b);
	write_list(&list);
	fd = open(path, O_RDWR);
	CU_ASSERT_EQUAL_FATAL(read(fd, file, sizeof(file)), sizeof(file));
	/* Head and the two rows. */
	for (uint32_t bit = 0; bit < 3 * HR_DEATH_BYTES * 8; bit++) {
		uint8_t byte = file[bit / 8] ^ (uint8_t)(1u << bit % 8);

		CU_ASSERT_EQUAL(pwrite(fd, &byte, 1, bit / 8), 1);
		CU_ASSERT_EQUAL_FATAL(hr_deaths_read(&list, this_build, path, &err), 0);
		CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK] + list.n[HR_DEATH_DATAGRAM],
				bit < HR_DEATH_BYTES * 8 ? 0 : 1);
		CU_ASSERT_EQUAL(err.text[0] != '\0', bit < HR_DEATH_BYTES * 8);
		CU_ASSERT_EQUAL(pwrite(fd, &file[bit / 8], 1, bit / 8), 1);
	}
	for (uint32_t n = HR_DEATHS_FILE_BYTES; n-- > 0;) {
		CU_ASSERT_EQUAL(ftruncate(fd, n), 0);
		CU_ASSERT_EQUAL_FATAL(hr_deaths_read(&list, this_build, path, &err), 0);
		CU_ASSERT(strstr(err.text, "begun anew") != NULL);
		CU_ASSERT_EQUAL(list.n[HR_DEATH_LINK], 0);
	}
	close(fd);
}

static void a_folder_that_is_not_there_is_told(void)
{
	struct hr_deaths list = { 0 };
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_deaths_write(&list, "/nowhere/deaths", &err), -ENOENT);
	CU_ASSERT(strstr(err.text, "/nowhere/deaths") != NULL);
}

/* ---- fingerprints ---- */

#define PAYLOAD 40u

static uint32_t datagram(uint8_t *out, uint32_t attempt, uint32_t drops,
			 uint64_t sent_us, uint64_t token)
{
	static const uint8_t payload[PAYLOAD] = "{\"user_id\":\"u\"}", key[16] = { 7 };
	const struct hr_wire w = {
		.kind = HR_KIND_DATA,
		.suite = HR_SUITE_SIPHASH,
		.codec = HR_CODEC_JSON,
		.n_shards = 5,
		.n_events = 1,
		.generation = 1,
		.birth = 1,
		.sequence = 1,
		.attempt = attempt,
		.client_drops = drops,
		.sent_us = sent_us,
		.token = token,
		.payload = { payload, PAYLOAD },
	};

	return (uint32_t)hr_wire_encode(&w, key, out);
}

static void a_datagram_sent_again_is_known_again_and_no_other_is(void)
{
	uint8_t first[512], again[512];
	const uint32_t n = datagram(first, 0, 0, 1000, 0);
	const uint64_t fingerprint = hr_fingerprint(first, n);
	struct hr_barred barred = { 0 };

	CU_ASSERT_TRUE(hr_barred_add(&barred, fingerprint, n));
	CU_ASSERT_EQUAL(datagram(again, 7, 3, 5000000, 0x1234567890abcdef), n);
	CU_ASSERT(memcmp(first, again, n) != 0);
	CU_ASSERT_TRUE(hr_barred_has(&barred, again, n));
	CU_ASSERT_FALSE(hr_barred_has(&barred, first, n - 1));
	for (uint32_t bit = 0; bit < n * 8; bit++) {
		const uint32_t at = bit / 8;
		const bool differs_anyway =
			(at >= 48 && at < 72) || at >= n - HR_WIRE_TAG_BYTES;

		first[at] ^= (uint8_t)(1u << bit % 8);
		CU_ASSERT_EQUAL(hr_barred_has(&barred, first, n), differs_anyway);
		first[at] ^= (uint8_t)(1u << bit % 8);
	}
}

static void a_headerless_datagram_counts_with_all_its_bytes(void)
{
	uint8_t json[200];
	struct hr_barred barred = { 0 };

	memset(json, ' ', sizeof(json));
	json[0] = '{';
	CU_ASSERT_TRUE(hr_barred_add(&barred, hr_fingerprint(json, 200), 200));
	CU_ASSERT_TRUE(hr_barred_has(&barred, json, 200));
	for (uint32_t i = 0; i < 200; i++) {
		json[i] ^= 1;
		CU_ASSERT_FALSE(hr_barred_has(&barred, json, 200));
		json[i] ^= 1;
	}
	for (uint32_t n = 0; n < 200; n++)
		CU_ASSERT_FALSE(hr_barred_has(&barred, json, n));
}

static void the_list_of_the_barred_is_bounded(void)
{
	struct hr_barred barred = { 0 };
	const uint8_t nothing[1] = { 0 };

	for (uint32_t i = 0; i < HR_BARRED_MAX; i++)
		CU_ASSERT_TRUE(hr_barred_add(&barred, i, i * 100));
	CU_ASSERT_FALSE(hr_barred_add(&barred, 1000, 1));
	CU_ASSERT_FALSE(hr_barred_has(&barred, nothing, 1));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a list that is not there is empty",
		  a_list_that_is_not_there_is_empty },
		{ "the second death of a record bars it",
		  the_second_death_of_a_record_bars_it },
		{ "another link in its place is another record",
		  another_link_in_its_place_is_another_record },
		{ "two threads of one process are one death",
		  two_threads_of_one_process_are_one_death },
		{ "another build tries them again", another_build_tries_them_again },
		{ "a full list keeps what killed twice and counts the rest",
		  a_full_list_keeps_what_killed_twice_and_counts_the_rest },
		{ "damaged rows are none, and a damaged file is begun anew",
		  damaged_rows_are_none_and_a_damaged_file_is_begun_anew },
		{ "a folder that is not there is told",
		  a_folder_that_is_not_there_is_told },
		{ "a datagram sent again is known again, and no other is",
		  a_datagram_sent_again_is_known_again_and_no_other_is },
		{ "a headerless datagram counts with all its bytes",
		  a_headerless_datagram_counts_with_all_its_bytes },
		{ "the list of the barred is bounded",
		  the_list_of_the_barred_is_bounded },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("poison deaths", setup, teardown, tests);
}
