/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_FRAMES_H
#define HR_TEST_FRAMES_H

/* Numbered UDP frames, sent as they are from an interface of another network
 * namespace, and recognised byte for byte. */

#include <stdbool.h>
#include <stdint.h>

#define FRAME_PORT 7400
#define FRAME_MAX_BYTES 1514

/* Frame i of a sequence; returns its length. */
uint32_t frame_make(uint8_t out[FRAME_MAX_BYTES], uint32_t i);
bool frame_is(const uint8_t *data, uint32_t bytes, uint32_t i);
/* The number a frame says it has. */
uint32_t frame_number(const uint8_t *data);

/* A UDP socket of that namespace's kernel, bound to `ours` and connected to `theirs`
 * (port FRAME_PORT); addresses as text. Returns the descriptor, or -1 with errno. */
int asker_open(const char *netns, const char *ours, const char *theirs);

/* A packet socket on `interface` of the namespace whose file is `netns`; the calling
 * thread comes back to its own. Returns the descriptor, or -1 with errno. */
int sender_open(const char *netns, const char *interface);
/* Frames first to first + n - 1; waits where the socket is full. */
bool sender_send(int fd, uint32_t first, uint32_t n);

#endif
