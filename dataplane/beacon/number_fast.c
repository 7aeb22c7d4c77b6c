/* SPDX-License-Identifier: BSD-3-Clause */

/* Decimals as characters. */

#include "dataplane/beacon/event.h"
#include "dataplane/beacon/number_impl.h"

/* An exponent beyond this decides by itself; no sum of two such overflows. */
#define EXPONENT_ENOUGH 100000

static inline bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static inline const uint8_t *digits_end(const uint8_t *p, const uint8_t *end)
{
	while (p < end && is_digit(*p))
		p++;
	return p;
}

/* Behind "." or "e": at least one digit, or NULL. */
static const uint8_t *some_digits_end(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *after = digits_end(p, end);

	return after == p ? NULL : after;
}

const uint8_t *hr_number_end(const uint8_t *p, const uint8_t *end, bool *is_integer)
{
	*is_integer = true;
	if (p < end && *p == '-')
		p++;
	if (p == end || !is_digit(*p))
		return NULL;
	p = *p == '0' ? p + 1 : digits_end(p, end);
	if (p < end && *p == '.') {
		*is_integer = false;
		p = some_digits_end(p + 1, end);
		if (p == NULL)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		*is_integer = false;
		p++;
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		p = some_digits_end(p, end);
	}
	return p;
}

static int32_t exponent_of(const uint8_t *p, const uint8_t *end)
{
	const bool negative = p < end && *p == '-';
	int32_t v = 0;

	if (p < end && (*p == '-' || *p == '+'))
		p++;
	for (; p < end && v < EXPONENT_ENOUGH; p++)
		v = v * 10 + (*p - '0');
	return negative ? -v : v;
}

/*
 * The place of the first digit that is not 0, counted from the point: 123.4 has it
 * at 3, 0.05 at -1. Together with the exponent: the size's power of ten.
 */
bool hr_number_in_range(struct hr_str s)
{
	const uint8_t *p = s.p, *end = s.p + s.n, *e;
	int32_t place = 0;
	bool has_digit = false, is_integer;

	if (s.n == 0 || hr_number_end(s.p, end, &is_integer) != end)
		return false;
	if (*p == '-')
		p++;
	e = digits_end(p, end);
	if (*p != '0') {
		place = (int32_t)(e - p);
		has_digit = true;
	}
	if (e < end && *e == '.') {
		for (e++; e < end && is_digit(*e); e++) {
			if (*e != '0')
				has_digit = true;
			else if (!has_digit)
				place--;
		}
	}
	if (!has_digit)
		return true;
	if (e < end)
		place += exponent_of(e + 1, end);
	return place <= HR_NUMBER_DIGITS;
}

bool hr_number_to_ms(struct hr_str digits, int64_t *out)
{
	int64_t v = 0;

	if (digits.n > 18)
		return false;
	for (uint32_t i = 0; i < digits.n; i++)
		v = v * 10 + (digits.p[i] - '0');
	*out = v;
	return true;
}

uint32_t hr_number_write(int64_t v, uint8_t out[HR_INTEGER_CHARS])
{
	uint64_t rest = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	uint8_t digits[HR_INTEGER_CHARS];
	uint32_t n = 0, at = 0;

	do
		digits[n++] = (uint8_t)('0' + rest % 10);
	while ((rest /= 10) != 0);
	if (v < 0)
		out[at++] = '-';
	while (n > 0)
		out[at++] = digits[--n];
	return at;
}
