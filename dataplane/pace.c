/* SPDX-License-Identifier: BSD-3-Clause */

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/pace.h"

static bool is_named(const char *task, const char *name)
{
	char path[96], found[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", task);
	f = fopen(path, "r");
	if (f == NULL)
		return false;
	if (fgets(found, sizeof(found), f) == NULL)
		found[0] = '\0';
	fclose(f);
	found[strcspn(found, "\n")] = '\0';
	return strcmp(found, name) == 0;
}

/* The first number of its schedstat: time on a CPU (proc(5)). */
static uint64_t cpu_ns(const char *task)
{
	unsigned long long ns = 0;
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%.16s/schedstat", task);
	f = fopen(path, "r");
	if (f == NULL)
		return 0;
	if (fscanf(f, "%llu", &ns) != 1)
		ns = 0;
	fclose(f);
	return ns;
}

uint64_t hr_pace_thread_ns(const char *name)
{
	DIR *tasks = opendir("/proc/self/task");
	struct dirent *e;
	uint64_t ns = 0;

	if (tasks == NULL)
		return 0;
	while (ns == 0 && (e = readdir(tasks)) != NULL)
		if (e->d_name[0] != '.' && is_named(e->d_name, name))
			ns = cpu_ns(e->d_name);
	closedir(tasks);
	return ns;
}

uint32_t hr_pace_next(uint32_t interval_us, uint64_t permille, uint32_t share_permille,
		      uint32_t min_us, uint32_t max_us)
{
	if (permille > share_permille)
		interval_us += interval_us / 4;
	else if (permille < (uint64_t)share_permille * 2 / 3)
		interval_us -= interval_us / 5;
	if (interval_us < min_us)
		return min_us;
	return interval_us < max_us ? interval_us : max_us;
}
