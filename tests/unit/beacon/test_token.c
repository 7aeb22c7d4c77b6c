/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "common/bytes.h"
#include "dataplane/beacon/token.h"
#include "tests/unit/hr_test.h"

#define HOUR_US (3600ull * 1000000u)
#define NOON (1700000000ull / 3600 * HOUR_US)

static const uint8_t secret[HR_SECRET_BYTES] = "cluster secret!";
static const struct hr_token_of of = { { 10, 1, 0, 2 }, 40000, 4, 7 };

static void a_token_is_good_in_its_hour_and_the_next_and_no_longer(void)
{
	static const struct {
		int64_t later_us;
		bool is_good;
	} rows[] = {
		{ -1, false }, /* the hour before does not know it yet */
		{ 0, true },
		{ HOUR_US - 1, true },
		{ HOUR_US, true },
		{ 2 * HOUR_US - 1, true },
		{ 2 * HOUR_US, false },
	};
	struct hr_tokens t;
	uint64_t token;

	hr_tokens_init(&t, secret, NOON);
	token = hr_token_make(&t, &of);
	for (size_t i = 0; i < HR_COUNT(rows); i++) {
		hr_tokens_turn(&t, NOON + (uint64_t)rows[i].later_us);
		CU_ASSERT_EQUAL(hr_token_fits(&t, &of, token), rows[i].is_good);
	}
	CU_ASSERT_EQUAL(hr_tokens_good_ms(NOON), 7200000);
	CU_ASSERT_EQUAL(hr_tokens_good_ms(NOON + HOUR_US - 1000), 3600001);
}

/* Another appliance, started at another time, knows it. */
static void every_appliance_with_the_secret_makes_the_same_token(void)
{
	struct hr_tokens a, b, c;
	uint8_t other[HR_SECRET_BYTES] = "another secret!";

	hr_tokens_init(&a, secret, NOON + 5);
	hr_tokens_init(&b, secret, NOON - 3 * HOUR_US);
	hr_tokens_turn(&b, NOON + 7);
	hr_tokens_init(&c, other, NOON + 5);
	CU_ASSERT_EQUAL(hr_token_make(&a, &of), hr_token_make(&b, &of));
	CU_ASSERT_FALSE(hr_token_fits(&c, &of, hr_token_make(&a, &of)));
}

static void nobody_elses_token_is_good(void)
{
	struct hr_token_of others[] = { of, of, of, of, of };
	struct hr_tokens t;
	uint64_t token;

	hr_tokens_init(&t, secret, NOON);
	token = hr_token_make(&t, &of);
	others[0].source[3]++;
	others[1].source[15]++;
	others[2].source_port++;
	others[3].family = 6;
	others[4].key_id++;
	for (size_t i = 0; i < HR_COUNT(others); i++)
		CU_ASSERT_FALSE(hr_token_fits(&t, &others[i], token));
	CU_ASSERT_FALSE(hr_token_fits(&t, &of, 0));
	for (unsigned int bit = 0; bit < 64; bit++)
		CU_ASSERT_FALSE(hr_token_fits(&t, &of, token ^ 1ull << bit));
}

/* As the header writes it, from the hash alone. */
static void a_token_is_made_as_written(void)
{
	uint8_t label[24] = "headrace token 1", key[16], message[24] = { 10, 1, 0, 2 };
	struct hr_tokens t;
	uint8_t hash[16];

	hr_store64(label + 16, NOON / HOUR_US);
	hr_siphash128(secret, label, sizeof(label), key);
	hr_store16(message + 16, 40000);
	hr_store16(message + 18, 4);
	hr_store32(message + 20, 7);
	hr_siphash128(key, message, sizeof(message), hash);
	hr_tokens_init(&t, secret, NOON + 1);
	CU_ASSERT_EQUAL(hr_token_make(&t, &of), hr_load64(hash));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a token is good in its hour and the next and no longer",
		  a_token_is_good_in_its_hour_and_the_next_and_no_longer },
		{ "every appliance with the secret makes the same token",
		  every_appliance_with_the_secret_makes_the_same_token },
		{ "nobody else's token is good", nobody_elses_token_is_good },
		{ "a token is made as written", a_token_is_made_as_written },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("token", NULL, NULL, tests);
}
