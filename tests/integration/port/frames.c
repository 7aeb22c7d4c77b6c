/* SPDX-License-Identifier: BSD-3-Clause */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/integration/port/frames.h"

#define HEADERS                                                                        \
	(sizeof(struct ether_header) + sizeof(struct iphdr) + sizeof(struct udphdr))

static uint16_t header_checksum(const struct iphdr *ip)
{
	const uint16_t *words = (const uint16_t *)ip;
	uint32_t sum = 0;

	for (size_t i = 0; i < sizeof(*ip) / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

uint32_t frame_make(uint8_t out[FRAME_MAX_BYTES], uint32_t i)
{
	uint32_t payload = 4 + i * 37 % (FRAME_MAX_BYTES - HEADERS - 3);
	struct ether_header ether = { .ether_type = htons(ETHERTYPE_IP) };
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_UDP,
		.tot_len =
			htons((uint16_t)(sizeof(ip) + sizeof(struct udphdr) + payload)),
		.saddr = htonl(0x0a4d0002),
		.daddr = htonl(0x0a4d0001),
	};
	struct udphdr udp = {
		.source = htons(40000),
		.dest = htons(FRAME_PORT),
		.len = htons((uint16_t)(sizeof(udp) + payload)),
	};

	memset(ether.ether_dhost, 0xff, sizeof(ether.ether_dhost));
	ip.check = header_checksum(&ip);
	memcpy(out, &ether, sizeof(ether));
	memcpy(out + sizeof(ether), &ip, sizeof(ip));
	memcpy(out + sizeof(ether) + sizeof(ip), &udp, sizeof(udp));
	memcpy(out + HEADERS, &i, sizeof(i));
	for (uint32_t at = 4; at < payload; at++)
		out[HEADERS + at] = (uint8_t)(i * 131 + at * 7);
	return (uint32_t)HEADERS + payload;
}

bool frame_is(const uint8_t *data, uint32_t bytes, uint32_t i)
{
	uint8_t want[FRAME_MAX_BYTES];

	return bytes == frame_make(want, i) && memcmp(data, want, bytes) == 0;
}

uint32_t frame_number(const uint8_t *data)
{
	uint32_t i;

	memcpy(&i, data + HEADERS, sizeof(i));
	return i;
}

/* A socket made in another namespace; the thread comes back to its own. */
static int socket_in(const char *netns, int domain, int type)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC), fd = -1;

	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		return -1;
	fd = socket(domain, type | SOCK_CLOEXEC, 0);
	if (setns(home, CLONE_NEWNET) < 0)
		return -1;
	close(home);
	close(there);
	return fd;
}

static socklen_t address_of(struct sockaddr_storage *out, const char *text,
			    uint16_t port)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)out;
	struct sockaddr_in *four = (struct sockaddr_in *)out;

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
		return sizeof(*four);
	}
	inet_pton(AF_INET6, text, &six->sin6_addr);
	six->sin6_family = AF_INET6;
	six->sin6_port = htons(port);
	return sizeof(*six);
}

int asker_open(const char *netns, const char *ours, const char *theirs)
{
	struct sockaddr_storage from, to;
	socklen_t bytes = address_of(&from, ours, 0);
	int fd = socket_in(netns, from.ss_family, SOCK_DGRAM);

	address_of(&to, theirs, FRAME_PORT);
	if (fd >= 0 && (bind(fd, (struct sockaddr *)&from, bytes) < 0 ||
			connect(fd, (struct sockaddr *)&to, bytes) < 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

int sender_open(const char *netns, const char *interface)
{
	struct sockaddr_ll address = { .sll_family = AF_PACKET };
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC), fd = -1;

	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		return -1;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	address.sll_ifindex = (int)if_nametoindex(interface);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		close(fd);
		fd = -1;
	}
	if (setns(home, CLONE_NEWNET) < 0)
		return -1;
	close(home);
	close(there);
	return fd;
}

bool sender_send(int fd, uint32_t first, uint32_t n)
{
	uint8_t frame[FRAME_MAX_BYTES];

	for (uint32_t i = first; i < first + n;) {
		struct pollfd room = { .fd = fd, .events = POLLOUT };
		uint32_t bytes = frame_make(frame, i);

		if (send(fd, frame, bytes, 0) == (ssize_t)bytes)
			i++;
		else if (errno != ENOBUFS && errno != EAGAIN)
			return false;
		else
			poll(&room, 1, 100);
	}
	return true;
}
