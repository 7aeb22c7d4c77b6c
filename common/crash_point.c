/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/crash_point.h"

#ifdef HR_WITH_CRASH_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BYTES 56

struct wish {
	_Atomic int32_t left;
	int32_t deed;
	char name[NAME_BYTES];
};

static const char *const names[] = {
#define HR_CRASH_POINT_ROW(name, sentence) #name,
#include "common/crash_points.def"
#undef HR_CRASH_POINT_ROW
};

static struct wish own, *wish = &own;

static void refuse(const char *text)
{
	fprintf(stderr,
		"HEADRACE_CRASH=%s: expected name, name:count, name:count:stop or "
		"@file "
		"with one of these names:\n",
		text);
	for (int i = 0; i < HR_CRASH_POINTS; i++)
		fprintf(stderr, "  %s\n", names[i]);
	exit(1);
}

static void map_file(const char *text)
{
	int fd = open(text + 1, O_RDWR | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(*wish))
		refuse(text);
	wish = mmap(NULL, sizeof(*wish), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (wish == MAP_FAILED)
		refuse(text);
	close(fd);
}

static void take_name(const char *text, size_t n)
{
	for (int i = 0; i < HR_CRASH_POINTS; i++)
		if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0)
			memcpy(own.name, names[i], n);
	if (own.name[0] == '\0')
		refuse(text);
}

__attribute__((constructor)) static void read_wish(void)
{
	const char *text = getenv("HEADRACE_CRASH");
	const char *colon;
	char *end;

	if (text == NULL || text[0] == '\0')
		return;
	if (text[0] == '@') {
		map_file(text);
		return;
	}
	colon = strchr(text, ':');
	take_name(text, colon != NULL ? (size_t)(colon - text) : strlen(text));
	own.deed = SIGKILL;
	atomic_store(&own.left, 1);
	if (colon == NULL)
		return;
	atomic_store(&own.left, (int32_t)strtol(colon + 1, &end, 10));
	if (end == colon + 1 || atomic_load(&own.left) < 1)
		refuse(text);
	if (strcmp(end, ":stop") == 0)
		own.deed = SIGSTOP;
	else if (*end != '\0')
		refuse(text);
}

void hr_crash_point(enum hr_crash_point point)
{
	if (atomic_load(&wish->left) > 0 &&
	    strncmp(wish->name, names[point], NAME_BYTES) == 0 &&
	    atomic_fetch_sub(&wish->left, 1) == 1)
		kill(getpid(), wish->deed);
}

#endif
