/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CAPTURE_H
#define HR_CAPTURE_H

/*
 * replay - the records of a pcap file as received packets, each exactly once, in the
 * order of the file: as fast as they are taken, or each as long after the first as it
 * was captured after it. A record behind the clock of the one before it (captures of
 * several queues) is due at once.
 *
 * Two passes: the first, in open, looks at every record, so that what is wrong with a
 * file is told before anything is received; the second hands them out. Opened and
 * closed by the main thread, read by one worker. A file that changes between the
 * passes ends the replay, which is told as an error.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

struct rte_mbuf;
struct rte_mempool;
struct hr_capture;

/* Returns 0 or a negated errno with err. The file's last record may be cut in its
 * middle, as a killed capture leaves it: that one is left out, with a warning. */
int hr_capture_open(struct hr_capture **out, const char *path, bool as_fast_as_it_goes,
		    struct rte_mempool *pool, struct hr_err *err);
void hr_capture_close(struct hr_capture *replay);

uint64_t hr_capture_n_records(const struct hr_capture *replay);

/* Worker. What is due at now_us (monotonic; the first call is the time of the first
 * record), at most max. A record too many for the buffers stays for the next call. */
uint32_t hr_capture_burst(struct hr_capture *replay, struct rte_mbuf **out,
			  uint32_t max, uint64_t now_us);
/* Worker. When the next record is due; 0: at once; UINT64_MAX: never. */
uint64_t hr_capture_due_us(const struct hr_capture *replay);

/* Any thread. */
bool hr_capture_is_done(const struct hr_capture *replay);
/* Main thread. True once, when the replay ended before its last record. */
bool hr_capture_is_news_of_failure(struct hr_capture *replay);

#endif
