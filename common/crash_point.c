/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/crash_point.h"

#ifdef HR_WITH_CRASH_POINTS

#include <assert.h>
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

/* ---- records that kill ---- */

static const char *marks[2], *mended;

__attribute__((constructor)) static void read_marks(void)
{
	marks[HR_CRASH_MARK_FOLD] = getenv("HEADRACE_POISON_FOLD");
	marks[HR_CRASH_MARK_PARSE] = getenv("HEADRACE_POISON_PARSE");
	mended = getenv("HEADRACE_POISON_MENDED");
}

void hr_crash_if_marked(enum hr_crash_mark mark, const uint8_t *bytes, uint32_t n)
{
	const char *text = marks[mark];
	volatile int *volatile nowhere = NULL;

	if (text == NULL || memmem(bytes, n, text, strlen(text)) == NULL)
		return;
	if (mark == HR_CRASH_MARK_FOLD)
		*nowhere = 0;
	assert(!"a datagram that kills");
}

static void print(char out[33], const uint8_t id[16])
{
	for (int i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", id[i]);
}

bool hr_crash_is_mended(const uint8_t data_set[16], uint16_t shard, uint64_t n,
			const uint8_t hash[16])
{
	const char *row = mended;
	char text[128], a[33], b[33];

	if (row == NULL)
		return false;
	print(a, data_set);
	print(b, hash);
	snprintf(text, sizeof(text), "%s:%u:%llu:%s", a, shard, (unsigned long long)n,
		 b);
	return strcmp(row, text) == 0;
}

#endif
