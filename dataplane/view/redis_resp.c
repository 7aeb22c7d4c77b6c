/* SPDX-License-Identifier: BSD-3-Clause */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/redis_resp.h"

/* "-9223372036854775808", and a NUL nobody needs. */
#define NUMBER_TEXT 21

void hr_resp_empty(struct hr_resp *b)
{
	b->n = b->n_sent = 0;
	b->n_commands = 0;
	b->failed = false;
}

void hr_resp_free(struct hr_resp *b)
{
	free(b->p);
	*b = (struct hr_resp){ 0 };
}

static bool reserve(struct hr_resp *b, size_t n)
{
	size_t max = b->max == 0 ? 65536 : b->max;
	char *fresh;

	if (b->max - b->n >= n)
		return true;
	if (b->failed)
		return false;
	while (max - b->n < n)
		max *= 2;
	fresh = realloc(b->p, max);
	if (fresh == NULL) {
		b->failed = true;
		return false;
	}
	b->p = fresh;
	b->max = max;
	return true;
}

static uint32_t print_unsigned(char *out, uint64_t v)
{
	char turned[NUMBER_TEXT];
	uint32_t n = 0;

	do
		turned[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	for (uint32_t i = 0; i < n; i++)
		out[i] = turned[n - 1 - i];
	return n;
}

static uint32_t print_signed(char *out, int64_t v)
{
	if (v >= 0)
		return print_unsigned(out, (uint64_t)v);
	*out = '-';
	return 1 + print_unsigned(out + 1, 0 - (uint64_t)v);
}

/* There must be room: NUMBER_TEXT and 3. */
static void put_length(struct hr_resp *b, char what, size_t n)
{
	b->p[b->n++] = what;
	b->n += print_unsigned(b->p + b->n, n);
	b->p[b->n++] = '\r';
	b->p[b->n++] = '\n';
}

static void put_bytes(struct hr_resp *b, const void *p, size_t n)
{
	if (n > 0)
		memcpy(b->p + b->n, p, n);
	b->n += n;
}

void hr_resp_command(struct hr_resp *b, uint32_t n_args)
{
	if (!reserve(b, NUMBER_TEXT + 3))
		return;
	put_length(b, '*', n_args);
	b->n_commands++;
}

void hr_resp_text(struct hr_resp *b, const void *p, size_t n)
{
	if (!reserve(b, n + NUMBER_TEXT + 5))
		return;
	put_length(b, '$', n);
	put_bytes(b, p, n);
	put_bytes(b, "\r\n", 2);
}

void hr_resp_word(struct hr_resp *b, const char *word)
{
	hr_resp_text(b, word, strlen(word));
}

void hr_resp_number(struct hr_resp *b, int64_t v)
{
	char text[NUMBER_TEXT];

	hr_resp_text(b, text, print_signed(text, v));
}

void hr_resp_score(struct hr_resp *b, int64_t score64)
{
	char text[HR_SCORE_TEXT];

	hr_resp_text(b, text, (size_t)hr_score_print(score64, text));
}

void hr_resp_key(struct hr_resp *b, const char *before, struct hr_str name,
		 const char *behind)
{
	size_t n_before = strlen(before), n_behind = strlen(behind);
	size_t n = n_before + name.n + n_behind;

	if (!reserve(b, n + NUMBER_TEXT + 5))
		return;
	put_length(b, '$', n);
	put_bytes(b, before, n_before);
	put_bytes(b, name.p, name.n);
	put_bytes(b, behind, n_behind);
	put_bytes(b, "\r\n", 2);
}

static bool take_length(struct hr_str *rest, char what, uint32_t *out)
{
	const uint8_t *end = memchr(rest->p, '\n', rest->n);

	if (end == NULL || rest->p[0] != (uint8_t)what)
		return false;
	*out = (uint32_t)strtoul((const char *)rest->p + 1, NULL, 10);
	rest->n -= (uint32_t)(end + 1 - rest->p);
	rest->p = end + 1;
	return true;
}

struct hr_str hr_resp_argument(const struct hr_resp *b, uint32_t command, uint32_t arg)
{
	struct hr_str rest = { (const uint8_t *)b->p, (uint32_t)b->n };
	uint32_t n_args, n;

	for (uint32_t i = 0; i <= command && take_length(&rest, '*', &n_args); i++) {
		for (uint32_t k = 0; k < n_args; k++) {
			if (!take_length(&rest, '$', &n) || rest.n < n + 2)
				return HR_STR("");
			if (i == command && k == arg)
				return (struct hr_str){ rest.p, n };
			rest.p += n + 2;
			rest.n -= n + 2;
		}
	}
	return HR_STR("");
}

/* 1/64 is 0.015625: six digits hold every 64th exactly. */
int hr_score_print(int64_t score64, char out[HR_SCORE_TEXT])
{
	uint64_t v = score64 < 0 ? 0 - (uint64_t)score64 : (uint64_t)score64;
	uint32_t millionths = (uint32_t)(v % HR_SCORE_ONE) * (1000000 / HR_SCORE_ONE);
	uint32_t n = 0;

	if (score64 < 0)
		out[n++] = '-';
	n += print_unsigned(out + n, v / HR_SCORE_ONE);
	if (millionths != 0)
		out[n++] = '.';
	for (uint32_t unit = 100000; millionths != 0; unit /= 10) {
		out[n++] = (char)('0' + millionths / unit);
		millionths %= unit;
	}
	return (int)n;
}

bool hr_score_parse(const char *text, size_t n, int64_t *score64)
{
	const double most = 9007199254740992.0; /* 2^53 */
	char copy[HR_SCORE_TEXT + 1], *end;
	double v;

	if (n == 0 || n > HR_SCORE_TEXT)
		return false;
	memcpy(copy, text, n);
	copy[n] = '\0';
	v = strtod(copy, &end) * HR_SCORE_ONE;
	if (end != copy + n || !(fabs(v) <= most))
		return false;
	*score64 = (int64_t)llrint(v);
	return true;
}
