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

/* "cpuN user nice system idle iowait irq softirq steal ..." Guests' time is in user and
 * nice already. */
static void add_line(struct hr_pace_cpus *sum, const char *line, const uint32_t *cpus,
		     uint32_t n_cpus)
{
	unsigned long long t[8];
	unsigned int cpu;

	if (sscanf(line, "cpu%u %llu %llu %llu %llu %llu %llu %llu %llu", &cpu, &t[0],
		   &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) != 9)
		return;
	for (uint32_t i = 0; i < n_cpus; i++) {
		if (cpus[i] != cpu)
			continue;
		for (int k = 0; k < 8; k++)
			sum->all += t[k];
		sum->left += t[1] + t[3] + t[4];
	}
}

uint32_t hr_pace_spare(struct hr_pace_cpus *seen, const uint32_t *cpus, uint32_t n_cpus)
{
	const struct hr_pace_cpus before = *seen;
	FILE *f = fopen("/proc/stat", "r");
	char line[512];

	*seen = (struct hr_pace_cpus){ 0, 0 };
	if (f == NULL)
		return 1000;
	while (fgets(line, sizeof(line), f) != NULL && strncmp(line, "cpu", 3) == 0)
		add_line(seen, line, cpus, n_cpus);
	fclose(f);
	if (before.all == 0 || seen->all <= before.all || seen->left < before.left)
		return 1000;
	return (uint32_t)((seen->left - before.left) * 1000 / (seen->all - before.all));
}

uint32_t hr_pace_next(uint32_t interval_us, const struct hr_pace_found *found,
		      uint32_t share_permille, uint32_t min_us, uint32_t max_us)
{
	if (found->committer > share_permille || found->spare < HR_PACE_SPARE_LEAST)
		interval_us += interval_us / 4;
	else if (found->committer < (uint64_t)share_permille * 2 / 3 &&
		 found->spare > HR_PACE_SPARE_ENOUGH)
		interval_us -= interval_us / 5;
	if (interval_us < min_us)
		return min_us;
	return interval_us < max_us ? interval_us : max_us;
}
