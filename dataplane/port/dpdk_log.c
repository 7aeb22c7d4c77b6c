/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <bpf/libbpf.h>
#include <rte_log.h>

#include "common/log.h"
#include "dataplane/port/dpdk_log.h"

static FILE *stream;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of said */
static char said[256];

static void hear(enum hr_log_level level, const char *room, char *line)
{
	size_t n = strlen(line);

	while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == ' '))
		line[--n] = '\0';
	if (n == 0)
		return;
	hr_log_line(level, room, "%s", line);
	if (level == HR_LOG_DEBUG)
		return;
	pthread_mutex_lock(&lock);
	if (said[0] == '\0')
		snprintf(said, sizeof(said), "%.255s", line);
	pthread_mutex_unlock(&lock);
}

/* One rte_log() is one write: the stream is flushed after each. */
static ssize_t write_stream(void *cookie, const char *text, size_t bytes)
{
	enum hr_log_level level = rte_log_cur_msg_loglevel() <= (int)RTE_LOG_WARNING
					  ? HR_LOG_WARN
					  : HR_LOG_DEBUG;
	char line[512];

	(void)cookie;
	for (size_t at = 0; at < bytes;) {
		const char *end = memchr(text + at, '\n', bytes - at);
		size_t n = end != NULL ? (size_t)(end - text) - at : bytes - at;

		snprintf(line, sizeof(line), "%.*s", (int)n, text + at);
		hear(level, "dpdk", line);
		at += n + 1;
	}
	return (ssize_t)bytes;
}

static int print_libbpf(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[512];

	if (level == LIBBPF_DEBUG) /* every section of the object */
		return 0;
	vsnprintf(line, sizeof(line), fmt, args);
	hear(level == LIBBPF_WARN ? HR_LOG_WARN : HR_LOG_DEBUG, "bpf", line);
	return 0;
}

int hr_dpdk_log_open(void)
{
	static const cookie_io_functions_t calls = { .write = write_stream };

	if (stream != NULL)
		return 0;
	stream = fopencookie(NULL, "w", calls);
	if (stream == NULL)
		return -ENOMEM;
	rte_openlog_stream(stream);
	libbpf_set_print(print_libbpf);
	return 0;
}

void hr_dpdk_log_forget(void)
{
	pthread_mutex_lock(&lock);
	said[0] = '\0';
	pthread_mutex_unlock(&lock);
}

void hr_dpdk_log_said(char *out, size_t max)
{
	pthread_mutex_lock(&lock);
	snprintf(out, max, "%s%s", said[0] != '\0' ? "; DPDK says: " : "", said);
	pthread_mutex_unlock(&lock);
}
