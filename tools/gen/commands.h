/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_COMMANDS_H
#define HR_COMMANDS_H

/*
 * commands - the words of headrace-gen, and how their options are read. Each takes its
 * own argument vector (argv[0] is the word) and returns the exit code: 0 done and
 * right, 1 not, 2 asked wrongly.
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"

int hr_gen_send(int argc, char **argv);
int hr_gen_sdk(int argc, char **argv);
int hr_gen_relay(int argc, char **argv);
int hr_gen_shop(int argc, char **argv);
int hr_gen_verify(int argc, char **argv);

#define HR_GEN_WRONG 1
#define HR_GEN_USAGE 2

/* A whole number from min to max, or -EINVAL with err naming the option. */
int hr_gen_number(const char *option, const char *text, uint64_t min, uint64_t max,
		  uint64_t *out, struct hr_err *err);
/* A decimal, 0 or more, in thousandths: "1.05" is 1050. The same. */
int hr_gen_thousandths(const char *option, const char *text, uint64_t max,
		       uint64_t *out, struct hr_err *err);

/* "headrace-gen WORD: <err>" on standard error; returns code. */
int hr_gen_complain(const char *word, int code, const struct hr_err *err);

#endif
