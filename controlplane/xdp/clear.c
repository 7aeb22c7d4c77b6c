/* SPDX-License-Identifier: BSD-3-Clause */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "controlplane/xdp/xdp_impl.h"

struct holder {
	int pid;
	char name[17]; /* as in /proc/<pid>/comm */
};

static bool has_line(const char *path, const char *line)
{
	char text[128];
	bool is_found = false;
	FILE *f = fopen(path, "re");

	if (f == NULL)
		return false;
	while (!is_found && fgets(text, sizeof(text), f) != NULL)
		is_found = strcmp(text, line) == 0;
	fclose(f);
	return is_found;
}

/* Does the process hold the map open? */
static bool holds(const char *pid, uint32_t map_id)
{
	char path[600], line[32];
	bool is_found = false;
	struct dirent *fd;
	DIR *fds;

	snprintf(line, sizeof(line), "map_id:\t%u\n", map_id);
	snprintf(path, sizeof(path), "/proc/%.20s/fdinfo", pid);
	fds = opendir(path);
	if (fds == NULL)
		return false;
	while (!is_found && (fd = readdir(fds)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%.20s/fdinfo/%s", pid, fd->d_name);
		is_found = fd->d_name[0] != '.' && has_line(path, line);
	}
	closedir(fds);
	return is_found;
}

static void name_of(const char *pid, char *name, size_t bytes)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%.20s/comm", pid);
	f = fopen(path, "re");
	if (f == NULL || fgets(name, (int)bytes, f) == NULL)
		snprintf(name, bytes, "?");
	name[strcspn(name, "\n")] = '\0';
	if (f != NULL)
		fclose(f);
}

/* Only for the sentence: who holds the map may be out of our sight. */
static struct holder find_holder(uint32_t map_id)
{
	struct holder holder = { 0 };
	DIR *processes = opendir("/proc");
	struct dirent *p;

	if (processes == NULL)
		return holder;
	while (holder.pid == 0 && (p = readdir(processes)) != NULL) {
		if (!isdigit((unsigned char)p->d_name[0]) ||
		    atoi(p->d_name) == getpid() || !holds(p->d_name, map_id))
			continue;
		holder.pid = atoi(p->d_name);
		name_of(p->d_name, holder.name, sizeof(holder.name));
	}
	closedir(processes);
	return holder;
}

/*
 * The map does not tell user space what is in it, but it refuses to put a socket
 * where one is: so one is offered for each queue. What was taken goes when the socket
 * is closed, and by the kernel only where it is still this one: a dataplane that is
 * just starting replaces it and keeps its own. Returns the queue, -ENOENT for none,
 * or a negated errno.
 */
static int first_socket(const struct hr_xdp_found *found)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint32_t n = found->map[HR_XDP_MAP_XSKS].max_entries;
	int code = -ENOENT;

	if (fd < 0)
		return -errno;
	for (uint32_t queue = 0; queue < n && code == -ENOENT; queue++) {
		int put = bpf_map_update_elem(found->map_fd[HR_XDP_MAP_XSKS], &queue,
					      &fd, BPF_NOEXIST);

		if (put == -EEXIST)
			code = (int)queue;
		else if (put < 0)
			code = put;
	}
	close(fd);
	return code;
}

static int fail_in_use(struct hr_err *err, const struct hr_xdp_found *found, int queue)
{
	struct holder holder = find_holder(found->map[HR_XDP_MAP_XSKS].id);

	if (holder.pid == 0)
		return hr_fail(err, -EBUSY,
			       "%s: found Headrace's XDP program %u with a socket on "
			       "receive queue %d, expected no dataplane on this "
			       "interface: stop the one that runs (it is not visible "
			       "from here, perhaps in another container)",
			       found->ifname, found->program.id, queue);
	return hr_fail(err, -EBUSY,
		       "%s: found a running dataplane, %s (process %d), with a socket "
		       "on receive queue %d, expected none on this interface: stop it "
		       "first, or use another interface",
		       found->ifname, holder.name, holder.pid, queue);
}

static int clear(const struct hr_xdp_found *found, struct hr_err *err)
{
	int queue = first_socket(found);

	if (queue >= 0)
		return fail_in_use(err, found, queue);
	if (queue != -ENOENT)
		return hr_fail(err, queue,
			       "%s: cannot ask the map of XDP program %u for its "
			       "sockets: %s",
			       found->ifname, found->program.id, strerror(-queue));
	return hr_xdp_take_off(found, err);
}

int hr_xdp_clear(const char *ifname, struct hr_err *err)
{
	struct hr_xdp_found found;
	int code = hr_xdp_find(&found, ifname, err);

	if (code < 0) {
		if (code == -ENOENT && err != NULL)
			err->text[0] = '\0';
		return code == -ENOENT ? 0 : code;
	}
	code = clear(&found, err);
	hr_xdp_release(&found);
	return code;
}
