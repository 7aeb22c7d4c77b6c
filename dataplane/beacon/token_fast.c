/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/bytes.h"
#include "dataplane/beacon/token.h"

#define HOUR_US (3600ull * 1000000u)
#define LABEL "headrace token 1"
#define LABEL_BYTES (sizeof(LABEL) - 1)

static void hour_key(const struct hr_tokens *t, uint64_t hour, uint8_t *out)
{
	uint8_t message[LABEL_BYTES + 8];

	memcpy(message, LABEL, LABEL_BYTES);
	hr_store64(message + LABEL_BYTES, hour);
	hr_siphash128(t->secret, message, sizeof(message), out);
}

void hr_tokens_turn(struct hr_tokens *t, uint64_t wall_us)
{
	const uint64_t hour = wall_us / HOUR_US;

	if (hour == t->hour)
		return;
	t->hour = hour;
	hour_key(t, hour, t->now_key);
	hour_key(t, hour - 1, t->last_key);
}

static uint64_t make(const uint8_t *key, const struct hr_token_of *of)
{
	uint8_t message[24], hash[HR_SIPHASH_BYTES];
	uint64_t token;

	memcpy(message, of->source, sizeof(of->source));
	hr_store16(message + 16, of->source_port);
	hr_store16(message + 18, of->family);
	hr_store32(message + 20, of->key_id);
	hr_siphash128(key, message, sizeof(message), hash);
	token = hr_load64(hash);
	return token != 0 ? token : 1;
}

uint64_t hr_token_make(const struct hr_tokens *t, const struct hr_token_of *of)
{
	return make(t->now_key, of);
}

bool hr_token_fits(const struct hr_tokens *t, const struct hr_token_of *of,
		   uint64_t token)
{
	return token == make(t->now_key, of) || token == make(t->last_key, of);
}

uint32_t hr_tokens_good_ms(uint64_t wall_us)
{
	return (uint32_t)((2 * HOUR_US - wall_us % HOUR_US) / 1000);
}
