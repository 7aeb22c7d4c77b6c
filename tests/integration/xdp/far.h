/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FAR_H
#define HR_TEST_FAR_H

/*
 * far - the other end of the wire, in another network namespace: sockets made there
 * belong there, whoever uses them, and the caller stays where it is.
 */

#include <stdint.h>

/* Each takes the namespace's file and returns a descriptor or -1. */

/* A kernel UDP socket connected to the address. */
int far_udp(const char *namespace_path, const char *address, uint16_t port);

/* Sends frames as they are through an interface there. */
int far_raw(const char *namespace_path, const char *ifname);

/* A TCP connection, tried for five seconds at most. -1: refused or silence. */
int far_tcp(const char *namespace_path, const char *address, uint16_t port);

#endif
