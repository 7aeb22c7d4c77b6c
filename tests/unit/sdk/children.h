/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TESTS_SDK_CHILDREN_H
#define TESTS_SDK_CHILDREN_H

/* The thread sanitizer cannot start a thread in the forked child of a process with
 * threads ("dup thread with used id"): there, children only close. Every other build
 * has them track. */
#if defined(__SANITIZE_THREAD__)
#define CHILDREN_TRACK false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CHILDREN_TRACK false
#endif
#endif
#ifndef CHILDREN_TRACK
#define CHILDREN_TRACK true
#endif

#endif
