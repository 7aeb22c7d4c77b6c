/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MEMIF_DRAIN_H
#define HR_MEMIF_DRAIN_H

/*
 * memif drain - has the peer taken every frame? A sender that closes its device takes
 * the rings with it, and the frames in them, and DPDK has no call that says how many
 * there are. Head and tail of each ring lie in shared memory as the memif protocol
 * 2.0 lays it out (memif.h of VPP and of DPDK's driver), so they are read there: the
 * first region of the process is found by its name in /proc/self/maps.
 *
 *   region 0: ring | ring | ... | buffers      client-to-server rings come first
 *   ring:       0 cookie u32 | flags u16 | head u16
 *              64 tail u16
 *             128 descriptors, 16 bytes each
 *
 * A client's ring is empty when head = tail. In a server's the client puts empty
 * buffers and the server fills them, so it is empty when all have been given back.
 */

#include <stdbool.h>

#include "common/error.h"

/* Frames in the rings of this process's one memif device that the peer has not taken.
 * Negated errno with err when the rings cannot be found. */
int hr_memif_waiting(bool is_server, struct hr_err *err);

#endif
