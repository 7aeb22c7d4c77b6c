/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef FUZZ_H
#define FUZZ_H

/*
 * fuzz - what every target is: one function over bytes. libFuzzer calls it with what
 * it invents (meson option `fuzz`), replay.c with the files of tests/fuzz/corpus, as
 * an ordinary unit test. Targets copy what they hand on into memory of its exact
 * size, so that a sanitizer sees the first byte read beyond it.
 */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns 0, always; what must hold and does not ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Like assert(), and never compiled out. */
#define HOLDS(promise)                                                                 \
	do {                                                                           \
		if (!(promise)) {                                                      \
			fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__,        \
				__LINE__, #promise);                                   \
			abort();                                                       \
		}                                                                      \
	} while (0)

/* The bytes in memory of their own, exactly as long; free() it. */
static inline uint8_t *exact_copy(const void *bytes, size_t n)
{
	uint8_t *copy = malloc(n);

	HOLDS(copy != NULL || n == 0);
	if (n > 0)
		memcpy(copy, bytes, n);
	return copy;
}

#endif
