/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/error.h"

static void mark_cut(struct hr_err *err)
{
	memcpy(err->text + sizeof(err->text) - 4, "...", 4);
}

int hr_fail(struct hr_err *err, int negative_errno, const char *fmt, ...)
{
	va_list args;
	int n;

	if (err == NULL)
		return negative_errno;
	va_start(args, fmt);
	n = vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(err->text))
		mark_cut(err);
	return negative_errno;
}

int hr_fail_in(struct hr_err *err, int code, const char *what)
{
	char inner[sizeof(err->text)];
	int n;

	if (err == NULL)
		return code;
	memcpy(inner, err->text, sizeof(inner));
	n = snprintf(err->text, sizeof(err->text), "%s: %s", what, inner);
	if (n >= (int)sizeof(err->text))
		mark_cut(err);
	return code;
}
