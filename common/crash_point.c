/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/crash_point.h"

#ifdef HR_WITH_CRASH_POINTS

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = {
#define HR_CRASH_POINT_ROW(name, sentence) #name,
#include "common/crash_points.def"
#undef HR_CRASH_POINT_ROW
};

static enum hr_crash_point wanted = HR_CRASH_POINTS;
static int deed = SIGKILL;
static atomic_long left;

static void refuse(const char *text)
{
	fprintf(stderr,
		"HEADRACE_CRASH=%s: expected name, name:count or name:count:stop with "
		"one of these names:\n",
		text);
	for (int i = 0; i < HR_CRASH_POINTS; i++)
		fprintf(stderr, "  %s\n", names[i]);
	exit(1);
}

__attribute__((constructor)) static void read_wish(void)
{
	const char *text = getenv("HEADRACE_CRASH");
	const char *colon, *end;
	size_t n;

	if (text == NULL || text[0] == '\0')
		return;
	colon = strchr(text, ':');
	n = colon != NULL ? (size_t)(colon - text) : strlen(text);
	for (int i = 0; i < HR_CRASH_POINTS; i++)
		if (strlen(names[i]) == n && memcmp(names[i], text, n) == 0)
			wanted = (enum hr_crash_point)i;
	if (wanted == HR_CRASH_POINTS)
		refuse(text);
	atomic_init(&left, 1);
	if (colon == NULL)
		return;
	atomic_init(&left, strtol(colon + 1, (char **)&end, 10));
	if (end == colon + 1 || atomic_load(&left) < 1)
		refuse(text);
	if (strcmp(end, ":stop") == 0)
		deed = SIGSTOP;
	else if (*end != '\0')
		refuse(text);
}

void hr_crash_point(enum hr_crash_point point)
{
	if (point == wanted && atomic_fetch_sub(&left, 1) == 1)
		kill(getpid(), deed);
}

#endif
