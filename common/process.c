/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/process.h"

#define START_FIELD 22
#define STATE_FIELD 3

/* No snprintf: this runs between fork and exec too. */
static void stat_path(char out[32], int pid)
{
	char digits[12];
	unsigned int n = 0, at;

	memcpy(out, "/proc/", 6);
	at = 6;
	do
		digits[n++] = (char)('0' + pid % 10);
	while ((pid /= 10) > 0 && n < sizeof(digits));
	while (n > 0)
		out[at++] = digits[--n];
	memcpy(out + at, "/stat", 6);
}

static ssize_t read_stat(char *out, size_t max, int pid)
{
	char path[32];
	ssize_t n;
	int fd;

	stat_path(path, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -ESRCH;
	n = read(fd, out, max - 1);
	close(fd);
	if (n <= 0)
		return -ESRCH;
	out[n] = '\0';
	return n;
}

int hr_process_start_ticks(int pid, uint64_t *out)
{
	char text[1024];
	const char *p;
	uint64_t ticks = 0;

	if (pid <= 0 || read_stat(text, sizeof(text), pid) < 0)
		return -ESRCH;
	/* The command's name may hold spaces and brackets: start behind the last. */
	p = strrchr(text, ')');
	if (p == NULL || p[1] != ' ')
		return -ESRCH;
	p += 2;
	if (*p == 'Z' || *p == 'X')
		return -ESRCH;
	for (int field = STATE_FIELD; field < START_FIELD; field++) {
		p = strchr(p, ' ');
		if (p == NULL)
			return -ESRCH;
		p++;
	}
	while (*p >= '0' && *p <= '9')
		ticks = ticks * 10 + (uint64_t)(*p++ - '0');
	*out = ticks;
	return 0;
}

bool hr_process_is(int pid, uint64_t start_ticks)
{
	uint64_t now;

	return hr_process_start_ticks(pid, &now) == 0 && now == start_ticks;
}
