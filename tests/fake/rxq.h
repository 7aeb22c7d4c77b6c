/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_FAKE_RXQ_H
#define HR_FAKE_RXQ_H

/* rxq - receive queues out of memory, behind the calls of dataplane/port/port.h. */

#include <stdbool.h>
#include <stdint.h>

#include <rte_mempool.h>

#define FAKE_FRAMES_MAX 65536u

struct hr_rxq {
	bool is_lossless;
	struct rte_mempool *pool;
	/* Frames to hand out, in order; the test fills them. */
	const uint8_t *frames[FAKE_FRAMES_MAX];
	uint32_t bytes[FAKE_FRAMES_MAX];
	uint32_t at, n;
};

/* Queues of the last hr_rxq_wait(). */
extern uint32_t fake_waited_for;

/* The newest answers that left, whole frames. */
#define FAKE_ANSWERS 64u
extern uint32_t fake_n_answers, fake_answer_bytes[FAKE_ANSWERS];
extern const struct hr_rxq *fake_answer_queue[FAKE_ANSWERS];
extern uint64_t fake_answered_bytes; /* of all of them */
extern uint8_t fake_answers[FAKE_ANSWERS][2048];

#endif
