/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RING_H
#define HR_RING_H

/* ring - an rte_ring of ordinary memory, for one producer and one consumer. */

#include <stdint.h>

struct rte_ring;

/* Holds at least n pointers; free() it. NULL: no memory. Cold. */
struct rte_ring *hr_ring_new(uint32_t n);

#endif
