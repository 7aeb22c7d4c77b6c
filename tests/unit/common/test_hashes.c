/* SPDX-License-Identifier: BSD-3-Clause */

/* The three hashes against figures and libraries that are not ours. */

#include <stdio.h>

#include <sodium.h>

#include "common/crc32c.h"
#include "common/murmur2.h"
#include "common/siphash.h"
#include "tests/unit/hr_test.h"

static void a_tag_is_libsodiums_at_every_length(void)
{
	uint8_t key[16], message[300], ours[16], theirs[16];

	randombytes_buf(key, sizeof(key));
	randombytes_buf(message, sizeof(message));
	for (size_t n = 0; n <= sizeof(message); n++) {
		hr_siphash128(key, message, n, ours);
		crypto_shorthash_siphashx24(theirs, message, n, key);
		CU_ASSERT_EQUAL(memcmp(ours, theirs, 16), 0);
	}
}

static void a_message_in_pieces_gives_the_same_tag(void)
{
	uint8_t key[16] = { 1, 2, 3 }, message[64], whole[16], pieces[16];

	randombytes_buf(message, sizeof(message));
	hr_siphash128(key, message, sizeof(message), whole);
	for (size_t a = 0; a <= sizeof(message); a++) {
		for (size_t b = a; b <= sizeof(message); b++) {
			struct hr_siphash s;

			hr_siphash_init(&s, key);
			hr_siphash_update(&s, message, a);
			hr_siphash_update(&s, message + a, b - a);
			hr_siphash_update(&s, message + b, sizeof(message) - b);
			hr_siphash_final(&s, pieces);
			CU_ASSERT_EQUAL(memcmp(whole, pieces, 16), 0);
		}
	}
}

/* From UtilsTest.testMurmur2 of Apache Kafka's clients. */
static void keys_hash_as_in_kafkas_own_test(void)
{
	static const struct {
		const char *key;
		int32_t hash;
	} rows[] = {
		{ "21", -973932308 },
		{ "foobar", -790332482 },
		{ "a-little-bit-long-string", -985981536 },
		{ "a-little-bit-longer-string", -1486304829 },
		{ "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971 },
		{ "abc", 479470107 },
	};

	for (size_t i = 0; i < HR_COUNT(rows); i++)
		CU_ASSERT_EQUAL((int32_t)hr_murmur2(rows[i].key, strlen(rows[i].key)),
				rows[i].hash);
}

static uint32_t from_hex(const char *hex, uint8_t out[128])
{
	uint32_t n = 0;

	for (; hex[0] != '-' && hex[0] != '\0'; hex += 2, n++) {
		unsigned int byte;

		CU_ASSERT_EQUAL_FATAL(sscanf(hex, "%2x", &byte), 1);
		out[n] = (uint8_t)byte;
	}
	return n;
}

/* tests/data/Murmur2Vectors.java wrote them with Kafka's own client. */
static void keys_and_partitions_are_those_of_kafkas_java_client(void)
{
	static const uint32_t counts[] = { 5, 25, 50, 100 };
	FILE *f = fopen(HR_MURMUR2_VECTORS, "r");
	uint32_t rows = 0, partitions[4];
	uint8_t key[128];
	char hex[300];
	int32_t hash;

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while (fscanf(f, "%299s %d %u %u %u %u", hex, &hash, &partitions[0],
		      &partitions[1], &partitions[2], &partitions[3]) == 6) {
		uint32_t n = from_hex(hex, key);

		rows++;
		CU_ASSERT_EQUAL((int32_t)hr_murmur2(key, n), hash);
		for (size_t i = 0; i < HR_COUNT(counts); i++)
			CU_ASSERT_EQUAL(hr_kafka_partition(key, n, counts[i]),
					partitions[i]);
	}
	fclose(f);
	CU_ASSERT_TRUE(rows > 300);
}

/* RFC 3720 B.4. */
static void crc_is_the_rfcs(void)
{
	uint8_t bytes[32];

	memset(bytes, 0, sizeof(bytes));
	CU_ASSERT_EQUAL(hr_crc32c(bytes, 32), 0x8a9136aau);
	memset(bytes, 0xff, sizeof(bytes));
	CU_ASSERT_EQUAL(hr_crc32c(bytes, 32), 0x62a8ab43u);
	for (size_t i = 0; i < 32; i++)
		bytes[i] = (uint8_t)i;
	CU_ASSERT_EQUAL(hr_crc32c(bytes, 32), 0x46dd794eu);
	CU_ASSERT_EQUAL(hr_crc32c("123456789", 9), 0xe3069283u);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a tag is libsodium's at every length",
		  a_tag_is_libsodiums_at_every_length },
		{ "a message in pieces gives the same tag",
		  a_message_in_pieces_gives_the_same_tag },
		{ "keys hash as in Kafka's own test", keys_hash_as_in_kafkas_own_test },
		{ "keys and partitions are those of Kafka's Java client",
		  keys_and_partitions_are_those_of_kafkas_java_client },
		{ "crc32c is the RFC's", crc_is_the_rfcs },
		CU_TEST_INFO_NULL,
	};

	if (sodium_init() < 0)
		return 2;
	return hr_test_run("hashes", NULL, NULL, tests);
}
