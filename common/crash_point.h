/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CRASH_POINT_H
#define HR_CRASH_POINT_H

/*
 * crash_point - named places at which a test build kills itself or stands still, so that
 * a test can hit the moment it means. In every other build HR_CRASH_POINT() is nothing.
 *
 *     HEADRACE_CRASH=link_read_back:3        the third time: SIGKILL to itself
 *     HEADRACE_CRASH=link_appended:1:stop    the first time: SIGSTOP to itself
 *     HEADRACE_CRASH=@FILE                   as FILE says, now and later: a test writes
 *                                            into it while the process runs, and reads
 *                                            there that the moment was hit
 *
 * FILE is 64 bytes that every process of the test maps: i32 le how often still (0: not
 * wanted, or hit), i32 le the signal, the name with zeros to the end. Write name and
 * signal first.
 *
 * Any thread. An unknown name ends the program at its start with the list of names; in a
 * FILE it is never hit.
 */

#include <stdbool.h>
#include <stdint.h>

enum hr_crash_point {
#define HR_CRASH_POINT_ROW(name, sentence) HR_CRASH_POINT_##name,
#include "common/crash_points.def"
#undef HR_CRASH_POINT_ROW
	HR_CRASH_POINTS
};

#ifdef HR_WITH_CRASH_POINTS
void hr_crash_point(enum hr_crash_point point);
#define HR_CRASH_POINT(name) hr_crash_point(HR_CRASH_POINT_##name)
#else
#define HR_CRASH_POINT(name) ((void)0)
#endif

/*
 * In the same builds, records that kill whoever works on them, as a bug would: an event
 * whose bytes hold a text that the environment names.
 *
 *     HEADRACE_POISON_FOLD=text      fold writes to nowhere (SIGSEGV)
 *     HEADRACE_POISON_PARSE=text     what reads datagrams finds an assertion broken
 *     HEADRACE_POISON_MENDED=SET:SHARD:N:HASH
 *                                    as if dataplane/fold/poison.def had that row
 */
enum hr_crash_mark {
	HR_CRASH_MARK_FOLD,
	HR_CRASH_MARK_PARSE,
};

#ifdef HR_WITH_CRASH_POINTS
void hr_crash_if_marked(enum hr_crash_mark mark, const uint8_t *bytes, uint32_t n);
bool hr_crash_is_mended(const uint8_t data_set[16], uint16_t shard, uint64_t n,
			const uint8_t hash[16]);
#define HR_CRASH_IF_MARKED(mark, bytes, n)                                             \
	hr_crash_if_marked(HR_CRASH_MARK_##mark, bytes, n)
#define HR_CRASH_IS_MENDED(set, shard, n, hash) hr_crash_is_mended(set, shard, n, hash)
#else
#define HR_CRASH_IF_MARKED(mark, bytes, n) ((void)0)
#define HR_CRASH_IS_MENDED(set, shard, n, hash) false
#endif

#endif
