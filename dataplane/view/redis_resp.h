/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_REDIS_RESP_H
#define HR_REDIS_RESP_H

/*
 * redis_resp - commands written one behind the other into one buffer, as Redis reads
 * them (RESP2: redis.io/docs/latest/develop/reference/protocol-spec).
 *
 *   hr_resp_command(b, 3); hr_resp_text(b, "SET", 3);
 *   hr_resp_key(b, "user:", id, ":profile"); hr_resp_number(b, 7);
 *
 * The buffer grows and is kept. Without memory it is failed until it is emptied;
 * nothing of a failed buffer may be sent. One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"

struct hr_resp {
	char *p;
	size_t n, max;
	size_t n_sent;       /* the connection's: how much of it went out */
	uint32_t n_commands; /* since it was emptied: so many replies will come */
	bool failed;
};

/* A score, in 64ths: every weight is a multiple of 1/64. */
#define HR_SCORE_ONE 64
#define HR_SCORE_HALF 32
#define HR_SCORE_TEXT 40

void hr_resp_empty(struct hr_resp *b);
void hr_resp_free(struct hr_resp *b);

/* A command of n_args arguments, its name included; so many calls must follow. */
void hr_resp_command(struct hr_resp *b, uint32_t n_args);
void hr_resp_text(struct hr_resp *b, const void *p, size_t n);
void hr_resp_word(struct hr_resp *b, const char *word);
void hr_resp_number(struct hr_resp *b, int64_t v);
void hr_resp_score(struct hr_resp *b, int64_t score64);
/* before + name + behind as one argument. */
void hr_resp_key(struct hr_resp *b, const char *before, struct hr_str name,
		 const char *behind);

/* Argument `arg` (0: its name) of command `command` since the buffer was emptied; empty
 * where there is none. Walks there: for error messages. */
struct hr_str hr_resp_argument(const struct hr_resp *b, uint32_t command, uint32_t arg);

/* A score exactly as decimal digits, without an exponent. Returns its length. */
int hr_score_print(int64_t score64, char out[HR_SCORE_TEXT]);
/* What Redis answers for a score, also with an exponent; rounded to 64ths. Returns
 * false where it is no number or beyond what 64ths can hold exactly. */
bool hr_score_parse(const char *text, size_t n, int64_t *score64);

#endif
