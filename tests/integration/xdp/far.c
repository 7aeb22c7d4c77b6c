/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <linux/if_packet.h>

#include "tests/integration/xdp/far.h"

static int enter(const char *namespace_path)
{
	int fd = open(namespace_path, O_RDONLY | O_CLOEXEC);
	int code;

	if (fd < 0)
		return -1;
	code = setns(fd, CLONE_NEWNET);
	close(fd);
	return code;
}

/* socket() there; the thread is back home afterwards. */
static int far_socket(const char *namespace_path, int family, int type, int protocol)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int fd = -1;

	if (home < 0)
		return -1;
	if (enter(namespace_path) == 0)
		fd = socket(family, type | SOCK_CLOEXEC, protocol);
	if (setns(home, CLONE_NEWNET) != 0) {
		close(fd);
		fd = -1;
	}
	close(home);
	return fd;
}

static int to_address(struct sockaddr_storage *out, socklen_t *bytes,
		      const char *address, uint16_t port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)out;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, address, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		*bytes = sizeof(*in);
		return AF_INET;
	}
	inet_pton(AF_INET6, address, &in6->sin6_addr);
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	*bytes = sizeof(*in6);
	return AF_INET6;
}

static int connected(const char *namespace_path, const char *address, uint16_t port,
		     int type)
{
	const struct timeval bound = { .tv_sec = 5 };
	struct sockaddr_storage to;
	socklen_t bytes;
	int family = to_address(&to, &bytes, address, port);
	int fd = far_socket(namespace_path, family, type, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &bound, sizeof(bound));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &bound, sizeof(bound));
	if (connect(fd, (struct sockaddr *)&to, bytes) == 0)
		return fd;
	close(fd);
	return -1;
}

int far_udp(const char *namespace_path, const char *address, uint16_t port)
{
	return connected(namespace_path, address, port, SOCK_DGRAM);
}

int far_tcp(const char *namespace_path, const char *address, uint16_t port)
{
	return connected(namespace_path, address, port, SOCK_STREAM);
}

int far_raw(const char *namespace_path, const char *ifname)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET };
	struct ifreq request = { 0 };
	int fd = far_socket(namespace_path, AF_PACKET, SOCK_RAW, 0);

	if (fd < 0)
		return -1;
	strncpy(request.ifr_name, ifname, sizeof(request.ifr_name) - 1);
	if (ioctl(fd, SIOCGIFINDEX, &request) == 0) {
		at.sll_ifindex = request.ifr_ifindex;
		if (bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
			return fd;
	}
	close(fd);
	return -1;
}
