/* SPDX-License-Identifier: BSD-3-Clause */

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dataplane/port/host.h"
#include "dataplane/port/pool.h"

#define HUGE_DIR "/sys/kernel/mm/hugepages"

int hr_cpu_list_parse(cpu_set_t *out, const char *list)
{
	CPU_ZERO(out);
	while (*list != '\0' && *list != '\n') {
		char *end;
		unsigned long first = strtoul(list, &end, 10), last = first;

		if (end == list)
			return -EINVAL;
		if (*end == '-') {
			list = end + 1;
			last = strtoul(list, &end, 10);
			if (end == list)
				return -EINVAL;
		}
		if (last < first || last >= CPU_SETSIZE)
			return -EINVAL;
		for (unsigned long cpu = first; cpu <= last; cpu++)
			CPU_SET(cpu, out);
		list = *end == ',' ? end + 1 : end;
		if (*end != ',' && *end != '\0' && *end != '\n')
			return -EINVAL;
	}
	return 0;
}

static bool read_line(const char *path, char *out, int max)
{
	FILE *file = fopen(path, "re");
	bool has_read;

	if (file == NULL)
		return false;
	has_read = fgets(out, max, file) != NULL;
	fclose(file);
	return has_read;
}

static uint64_t read_number(const char *dir, const char *name)
{
	char path[512], line[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return read_line(path, line, sizeof(line)) ? strtoull(line, NULL, 10) : 0;
}

static void look_at_huge_pages(struct hr_host *out)
{
	DIR *dir = opendir(HUGE_DIR);
	struct dirent *entry;

	if (dir == NULL)
		return; /* a kernel without them: none found */
	while ((entry = readdir(dir)) != NULL && out->n_huge < HR_HUGE_SIZES_MAX) {
		char path[512];
		uint64_t kb, n_free, promised;

		if (sscanf(entry->d_name, "hugepages-%" SCNu64 "kB", &kb) != 1)
			continue;
		snprintf(path, sizeof(path), HUGE_DIR "/%s", entry->d_name);
		n_free = read_number(path, "free_hugepages");
		promised = read_number(path, "resv_hugepages");
		out->huge[out->n_huge].page_kb = kb;
		out->huge[out->n_huge].n_pages = read_number(path, "nr_hugepages");
		out->huge[out->n_huge].n_free =
			n_free > promised ? n_free - promised : 0;
		out->n_huge++;
	}
	closedir(dir);
}

static void look_at_memory(struct hr_host *out)
{
	FILE *file = fopen("/proc/meminfo", "re");
	char line[128];
	uint64_t kb;

	if (file == NULL)
		return;
	while (fgets(line, sizeof(line), file) != NULL) {
		if (sscanf(line, "MemAvailable: %" SCNu64, &kb) == 1)
			out->available_mb = kb / 1024;
		if (sscanf(line, "Hugepagesize: %" SCNu64, &kb) == 1)
			out->default_huge_kb = kb;
	}
	fclose(file);
}

/* The C library has no call for it. */
static void look_at_capabilities(struct hr_host *out)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) == 0)
		out->capabilities =
			(uint64_t)data[1].effective << 32 | data[0].effective;
}

int hr_host_look(struct hr_host *out, struct hr_err *err)
{
	char line[4096];

	memset(out, 0, sizeof(*out));
	if (sched_getaffinity(0, sizeof(out->allowed), &out->allowed) < 0)
		return hr_fail(err, -errno,
			       "the CPUs of this process cannot be read: %s",
			       strerror(errno));
	if (!read_line("/sys/devices/system/cpu/online", line, sizeof(line)) ||
	    hr_cpu_list_parse(&out->online, line) < 0)
		out->online = out->allowed; /* no sysfs: what is allowed is there */
	look_at_huge_pages(out);
	look_at_memory(out);
	look_at_capabilities(out);
	return 0;
}

static void cpu_list(char *out, size_t max, const cpu_set_t *set)
{
	size_t at = 0;

	out[0] = '\0';
	for (uint32_t cpu = 0; cpu < CPU_SETSIZE && at < max; cpu++) {
		uint32_t last = cpu;

		if (!CPU_ISSET(cpu, set))
			continue;
		while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, set))
			last++;
		at += (size_t)snprintf(out + at, max - at,
				       last > cpu ? "%s%" PRIu32 "-%" PRIu32
						  : "%s%" PRIu32,
				       at > 0 ? "," : "", cpu, last);
		cpu = last;
	}
}

static int cpu_suits(const struct hr_host *host, uint32_t cpu, const char *option,
		     struct hr_err *err)
{
	char list[128];

	if (!CPU_ISSET(cpu, &host->online)) {
		cpu_list(list, sizeof(list), &host->online);
		return hr_fail(err, -ENODEV,
			       "%s: found CPU %" PRIu32
			       ", expected one that is online: "
			       "%s; choose one of these",
			       option, cpu, list);
	}
	if (!CPU_ISSET(cpu, &host->allowed)) {
		cpu_list(list, sizeof(list), &host->allowed);
		return hr_fail(err, -EPERM,
			       "%s: found CPU %" PRIu32
			       ", expected one this process may "
			       "run on: %s; choose one of these, or widen the set "
			       "(taskset, a container's cpuset, systemd's CPUAffinity "
			       "or AllowedCPUs)",
			       option, cpu, list);
	}
	return 0;
}

static bool is_for_main(const struct hr_config *config, uint32_t cpu)
{
	for (uint32_t i = 0; i < config->n_main_cpus; i++)
		if (config->main_cpus[i] == cpu)
			return true;
	return false;
}

static int cpus_suit(const struct hr_host *host, const struct hr_config *config,
		     struct hr_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < config->n_main_cpus && r == 0; i++)
		r = cpu_suits(host, config->main_cpus[i], "dataplane.main_cpus", err);
	for (uint32_t w = 0; w < config->n_workers && r == 0; w++) {
		uint32_t cpu = config->worker_cpus[w];

		r = cpu_suits(host, cpu, "dataplane.worker_cpus", err);
		/* At its nice value next to nothing would be left for the log and the
		 * views, which run there. */
		if (r == 0 && config->poll_busy && is_for_main(config, cpu))
			r = hr_fail(err, -EINVAL,
				    "dataplane.worker_cpus: found CPU %" PRIu32
				    ", which is one of dataplane.main_cpus, expected "
				    "another: with dataplane.poll: busy a worker never "
				    "leaves its CPU; choose another, or write poll: "
				    "adaptive",
				    cpu);
	}
	return r;
}

/* How many pages of the default size there must be for `missing_kb` more. */
static uint64_t pages_to_have(const struct hr_host *host, uint64_t missing_kb)
{
	uint64_t page_kb = host->default_huge_kb > 0 ? host->default_huge_kb : 2048;
	uint64_t n = (missing_kb + page_kb - 1) / page_kb;

	for (uint32_t i = 0; i < host->n_huge; i++)
		if (host->huge[i].page_kb == page_kb)
			n += host->huge[i].n_pages;
	return n;
}

static int huge_pages_suit(const struct hr_host *host, const struct hr_config *config,
			   struct hr_err *err)
{
	uint64_t want_kb = (uint64_t)config->memory_mb * 1024, free_kb = 0;

	for (uint32_t i = 0; i < host->n_huge; i++)
		free_kb += host->huge[i].n_free * host->huge[i].page_kb;
	if (free_kb >= want_kb)
		return 0;
	return hr_fail(err, -ENOMEM,
		       "dataplane.memory: found %" PRIu64 " MiB of free huge pages, "
		       "expected %" PRIu32 " MiB; make them with `sysctl "
		       "vm.nr_hugepages=%" PRIu64 "` as root, or write "
		       "dataplane.huge_pages: false to try out on ordinary memory",
		       free_kb / 1024, config->memory_mb,
		       pages_to_have(host, want_kb - free_kb));
}

static int memory_suits(const struct hr_host *host, const struct hr_config *config,
			struct hr_err *err)
{
	int r = hr_pool_fits(config, err);

	if (r < 0)
		return r;
	if (config->huge_pages)
		return huge_pages_suit(host, config, err);
	if (host->available_mb < config->memory_mb)
		return hr_fail(err, -ENOMEM,
			       "dataplane.memory: found %" PRIu64 " MiB of available "
			       "memory, expected %" PRIu32 " MiB; free some, or write "
			       "less (and fewer dataplane.buffers)",
			       host->available_mb, config->memory_mb);
	return 0;
}

static bool has(const struct hr_host *host, unsigned int capability)
{
	return host->capabilities >> capability & 1;
}

static int af_xdp_rights_suit(const struct hr_host *host, const char *device,
			      struct hr_err *err)
{
	const char *missing = NULL;

	/* attach a program; open the socket; load the program; pin the buffers */
	if (!has(host, CAP_NET_ADMIN))
		missing = "CAP_NET_ADMIN";
	else if (!has(host, CAP_NET_RAW))
		missing = "CAP_NET_RAW";
	else if (!has(host, CAP_BPF) && !has(host, CAP_SYS_ADMIN))
		missing = "CAP_BPF";
	else if (!has(host, CAP_IPC_LOCK))
		missing = "CAP_IPC_LOCK";
	if (missing == NULL)
		return 0;
	return hr_fail(err, -EPERM,
		       "port %s: found no %s, which af_xdp needs; run as root, or with "
		       "AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW CAP_BPF "
		       "CAP_IPC_LOCK in the systemd unit",
		       device, missing);
}

static int rights_suit(const struct hr_host *host, const struct hr_config *config,
		       struct hr_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < config->n_ports && r == 0; i++)
		if (config->ports[i].kind == HR_PORT_AF_XDP)
			r = af_xdp_rights_suit(host, config->ports[i].device, err);
	return r;
}

int hr_host_suits(const struct hr_host *host, const struct hr_config *config,
		  struct hr_err *err)
{
	int r = cpus_suit(host, config, err);

	if (r == 0)
		r = rights_suit(host, config, err);
	if (r == 0)
		r = memory_suits(host, config, err);
	return r;
}
