/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_NUMBER_IMPL_H
#define HR_NUMBER_IMPL_H

/* number - decimals as RFC 8259 section 6 writes them, looked at as characters:
 * they are carried, never calculated with. */

#include <stdbool.h>
#include <stdint.h>

#include "common/bytes.h"

/* The end of the number that begins at p, or NULL. *is_integer: neither fraction
 * nor exponent. */
const uint8_t *hr_number_end(const uint8_t *p, const uint8_t *end, bool *is_integer);

/* s is a number and below 10^HR_NUMBER_DIGITS in size. */
bool hr_number_in_range(struct hr_str s);

/* Non-negative integer of at most 18 digits; false where it is longer. */
bool hr_number_to_ms(struct hr_str digits, int64_t *out);

/* Room for any int64_t. */
#define HR_INTEGER_CHARS 20
uint32_t hr_number_write(int64_t v, uint8_t out[HR_INTEGER_CHARS]);

#endif
