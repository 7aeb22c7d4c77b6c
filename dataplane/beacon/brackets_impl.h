/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_BRACKETS_IMPL_H
#define HR_BRACKETS_IMPL_H

/*
 * brackets - where a JSON object ends, found by its brackets alone: strings are
 * stepped over, everything else is looked at by the parser later.
 */

#include <stddef.h>
#include <stdint.h>

/* at is an opening "{". Returns the byte behind its "}", or NULL: it does not end
 * before end, a bracket closes another kind, or more than 64 are open. A newline
 * inside a string is no JSON and would tear a line apart: NULL as well. */
const uint8_t *hr_brackets_end(const uint8_t *at, const uint8_t *end);

#endif
