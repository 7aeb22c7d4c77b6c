/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"

static const char *const names[] = {
	[HR_LOG_ERROR] = "error",
	[HR_LOG_WARN] = "warn",
	[HR_LOG_INFO] = "info",
	[HR_LOG_DEBUG] = "debug",
};

static enum hr_log_level max_level = HR_LOG_INFO;

void hr_log_set_level(enum hr_log_level level)
{
	max_level = level;
}

int hr_log_level_parse(const char *name, enum hr_log_level *out)
{
	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0) {
			*out = (enum hr_log_level)i;
			return 0;
		}
	return -EINVAL;
}

static size_t stamp(char *out, size_t max)
{
	struct timespec now;
	struct tm utc;
	size_t n;

	if (getenv("JOURNAL_STREAM") != NULL)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	n = strftime(out, max, "%Y-%m-%dT%H:%M:%S", &utc);
	return n + (size_t)snprintf(out + n, max - n, ".%03dZ ",
				    (int)(now.tv_nsec / 1000000));
}

void hr_log_line(enum hr_log_level level, const char *room, const char *fmt, ...)
{
	char line[1024];
	va_list args;
	size_t n;
	int wrote;

	if (level > max_level)
		return;
	n = stamp(line, sizeof(line));
	n += (size_t)snprintf(line + n, sizeof(line) - n, "%-5s %s: ", names[level],
			      room);
	va_start(args, fmt);
	wrote = vsnprintf(line + n, sizeof(line) - n, fmt, args);
	va_end(args);
	n = wrote < (int)(sizeof(line) - n) ? n + (size_t)wrote : sizeof(line) - 1;
	line[n < sizeof(line) - 1 ? n : sizeof(line) - 1] = '\n';
	n = n < sizeof(line) - 1 ? n + 1 : sizeof(line);
	/* Nobody is left to tell when standard error itself fails. */
	if (write(STDERR_FILENO, line, n) < 0)
		return;
}
