/* SPDX-License-Identifier: BSD-3-Clause */

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>

#include "controlplane/xdp/xdp.h"

/* A combined channel receives as one of rx does. */
static int from_channels(const char *ifname)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = { .ifr_data = (char *)&channels };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int code;

	if (fd < 0)
		return -errno;
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", ifname);
	code = ioctl(fd, SIOCETHTOOL, &request) < 0 ? -errno : 0;
	close(fd);
	return code < 0 ? code : (int)(channels.rx_count + channels.combined_count);
}

static int from_sysfs(const char *ifname)
{
	char path[64];
	struct dirent *entry;
	DIR *queues;
	int n = 0;

	snprintf(path, sizeof(path), "/sys/class/net/%.15s/queues", ifname);
	queues = opendir(path);
	if (queues == NULL)
		return -errno;
	while ((entry = readdir(queues)) != NULL)
		n += strncmp(entry->d_name, "rx-", 3) == 0;
	closedir(queues);
	return n;
}

int hr_xdp_rx_queues(const char *ifname, struct hr_err *err)
{
	int n;

	if (if_nametoindex(ifname) == 0)
		return hr_fail(err, -ENODEV,
			       "%s: found no such interface in this network namespace; "
			       "see them with: ip -br link",
			       ifname);
	n = from_channels(ifname);
	if (n <= 0)
		n = from_sysfs(ifname);
	if (n <= 0)
		return hr_fail(err, n < 0 ? n : -ENODATA,
			       "%s: cannot count its receive queues: its driver has no "
			       "ethtool channels and /sys/class/net/%s/queues shows "
			       "none; is /sys mounted in this network namespace?",
			       ifname, ifname);
	return n;
}

int hr_xdp_check_queues(const char *ifname, uint32_t n_sockets, struct hr_err *err)
{
	int n = hr_xdp_rx_queues(ifname, err);

	if (n < 0)
		return n;
	if ((uint32_t)n <= n_sockets)
		return 0;
	return hr_fail(
		err, -ERANGE,
		"%s: found %d receive queues, expected at most %u: beacons of "
		"queues without a socket would go to the kernel; use fewer with: "
		"ethtool -L %s combined %u (or rx %u, see ethtool -l %s)",
		ifname, n, n_sockets, ifname, n_sockets, n_sockets, ifname);
}
