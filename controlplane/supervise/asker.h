/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_ASKER_H
#define HR_ASKER_H

/*
 * asker - asks a command socket for its status again and again without ever waiting
 * for it, so that a dataplane that hangs does not hang its supervisor. One question
 * is under way at a time; the newest answer is kept. One thread, a poll loop's.
 */

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

/* A question unanswered for this long is given up. */
#define HR_ASKER_PATIENCE_US 2000000u

struct hr_asker;

/* path: of the socket. Returns 0 or -ENOMEM. */
int hr_asker_new(struct hr_asker **out, const char *path);
void hr_asker_free(struct hr_asker *asker); /* NULL is fine */

/* The descriptor to wait for (POLLIN), -1 for none. */
int hr_asker_fd(const struct hr_asker *asker);
/* Read what has come; ask again when interval_us have passed since the last question.
 * Returns the time of the next turn. */
uint64_t hr_asker_turn(struct hr_asker *asker, uint64_t now_us, uint64_t interval_us);
/* Forget the answer: another process serves the socket from now on. */
void hr_asker_reset(struct hr_asker *asker);

/* The newest answer (borrowed until the next turn) and when it came (monotonic);
 * NULL when there is none. */
const json_t *hr_asker_answer(const struct hr_asker *asker, uint64_t *at_us);
/* Why the last question got no answer; "" when it got one. */
const char *hr_asker_trouble(const struct hr_asker *asker);

#endif
