/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "tools/gen/commands.h"

static bool take_digits(const char **p, uint64_t *v)
{
	const char *from = *p;

	for (; **p >= '0' && **p <= '9'; (*p)++) {
		if (*v > (UINT64_MAX - 9) / 10)
			return false;
		*v = *v * 10 + (uint64_t)(**p - '0');
	}
	return *p > from;
}

int hr_gen_number(const char *option, const char *text, uint64_t min, uint64_t max,
		  uint64_t *out, struct hr_err *err)
{
	const char *p = text;
	uint64_t v = 0;

	if (!take_digits(&p, &v) || *p != '\0' || v < min || v > max)
		return hr_fail(err, -EINVAL,
			       "--%s: found %s, expected a whole number from %" PRIu64
			       " to %" PRIu64,
			       option, text, min, max);
	*out = v;
	return 0;
}

int hr_gen_thousandths(const char *option, const char *text, uint64_t max,
		       uint64_t *out, struct hr_err *err)
{
	const char *p = text;
	uint64_t whole = 0, part = 0;
	bool ok = take_digits(&p, &whole) && whole <= max / 1000;

	if (ok && *p == '.') {
		const char *from = ++p;

		ok = take_digits(&p, &part) && p - from <= 3;
		for (ptrdiff_t n = p - from; ok && n < 3; n++)
			part *= 10;
	}
	if (!ok || *p != '\0' || whole * 1000 + part > max)
		return hr_fail(err, -EINVAL,
			       "--%s: found %s, expected a decimal from 0 to %" PRIu64
			       " with at most three digits behind the point",
			       option, text, max / 1000);
	*out = whole * 1000 + part;
	return 0;
}

int hr_gen_complain(const char *word, int code, const struct hr_err *err)
{
	fprintf(stderr, "headrace-gen %s: %s\n", word, err->text);
	return code;
}
