/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_LOG_H
#define HR_LOG_H

/*
 * log - lines for the operator, on standard error.
 *
 *     2026-11-24T08:40:12.123Z info  log: shard 3: owner accepted at link 12
 *
 * Any thread except a worker: the worker loop never logs. One write() a line,
 * so lines of two processes on one terminal do not mix. A supervisor that keeps
 * its own time stamps (systemd) sets JOURNAL_STREAM; then they are left out.
 */

enum hr_log_level {
	HR_LOG_ERROR,
	HR_LOG_WARN,
	HR_LOG_INFO,
	HR_LOG_DEBUG,
};

/* Lines above this level are not written. Set once, before threads start. */
void hr_log_set_level(enum hr_log_level level);

/* "error", "warn", "info" or "debug"; returns 0 or -EINVAL. */
int hr_log_level_parse(const char *name, enum hr_log_level *out);

void hr_log_line(enum hr_log_level level, const char *room, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* `room` is the folder that speaks: "log", "port", "view". */
#define hr_error(room, ...) hr_log_line(HR_LOG_ERROR, room, __VA_ARGS__)
#define hr_warn(room, ...) hr_log_line(HR_LOG_WARN, room, __VA_ARGS__)
#define hr_info(room, ...) hr_log_line(HR_LOG_INFO, room, __VA_ARGS__)
#define hr_debug(room, ...) hr_log_line(HR_LOG_DEBUG, room, __VA_ARGS__)

#endif
