/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

/* ---- chance ---- */

static uint64_t splitmix(uint64_t *x)
{
	uint64_t z = *x += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void sim_random_init(struct sim_random *r, uint64_t seed)
{
	for (int i = 0; i < 4; i++)
		r->s[i] = splitmix(&seed);
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

uint64_t sim_random(struct sim_random *r)
{
	uint64_t *s = r->s, out = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return out;
}

uint64_t sim_below(struct sim_random *r, uint64_t n)
{
	return (uint64_t)((unsigned __int128)sim_random(r) * n >> 64);
}

bool sim_once_in(struct sim_random *r, uint32_t n)
{
	return n != 0 && sim_below(r, n) == 0;
}

bool sim_strikes(struct sim *sim, uint32_t once_in)
{
	const bool strikes = sim_once_in(&sim->random, once_in);

	sim->n_faults += strikes;
	return strikes;
}

uint64_t sim_delay(struct sim_random *r, uint64_t from, uint64_t to)
{
	uint64_t span = to > from ? to - from : 0;

	/* The product of two even draws: half of them lie below a fifth. */
	return from + sim_below(r, 1 + sim_below(r, span + 1));
}

/* ---- time: a binary heap by (moment, order) ---- */

static bool is_before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void swap(struct sim_event *a, struct sim_event *b)
{
	struct sim_event t = *a;

	*a = *b;
	*b = t;
}

void sim_after(struct sim *sim, uint64_t us, sim_deed deed, void *arg, uint64_t number)
{
	size_t at = sim->n_heap;

	if (sim->n_heap == sim->max_heap) {
		sim->max_heap = sim->max_heap != 0 ? 2 * sim->max_heap : 256;
		sim->heap = realloc(sim->heap, sim->max_heap * sizeof(*sim->heap));
		if (sim->heap == NULL)
			abort();
	}
	sim->heap[sim->n_heap++] =
		(struct sim_event){ sim->now_us + us, sim->order++, deed, arg, number };
	for (; at > 0 && is_before(&sim->heap[at], &sim->heap[(at - 1) / 2]);
	     at = (at - 1) / 2)
		swap(&sim->heap[at], &sim->heap[(at - 1) / 2]);
}

static struct sim_event pop(struct sim *sim)
{
	struct sim_event first = sim->heap[0];
	size_t at = 0;

	sim->heap[0] = sim->heap[--sim->n_heap];
	for (;;) {
		size_t least = at, left = 2 * at + 1;

		for (size_t child = left; child < left + 2 && child < sim->n_heap;
		     child++)
			if (is_before(&sim->heap[child], &sim->heap[least]))
				least = child;
		if (least == at)
			return first;
		swap(&sim->heap[at], &sim->heap[least]);
		at = least;
	}
}

bool sim_step(struct sim *sim, uint64_t until_us)
{
	struct sim_event e;

	if (sim->is_over || sim->n_heap == 0 || sim->heap[0].at_us > until_us) {
		if (!sim->is_over && sim->now_us < until_us)
			sim->now_us = until_us;
		return false;
	}
	e = pop(sim);
	sim->now_us = e.at_us;
	e.deed(sim, e.arg, e.number);
	return true;
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now_us;
}

/* ---- what events refer to ---- */

void *sim_keep(struct sim *sim, size_t bytes)
{
	struct sim_kept *k = calloc(1, sizeof(*k) + bytes);

	if (k == NULL)
		abort();
	k->next = sim->kept;
	k->at = &sim->kept;
	if (k->next != NULL)
		k->next->at = &k->next;
	sim->kept = k;
	return k + 1;
}

void sim_drop(void *kept)
{
	struct sim_kept *k = (struct sim_kept *)kept - 1;

	*k->at = k->next;
	if (k->next != NULL)
		k->next->at = k->at;
	free(k);
}

void sim_happened(struct sim *sim, enum sim_happening what)
{
	sim->happened[what]++;
}

/* ---- judgement ---- */

void sim_trace(struct sim *sim, const char *fmt, ...)
{
	va_list args;
	char *line;
	int n;

	if (sim->max_lines == 0)
		return;
	line = sim->lines[sim->n_lines++ % sim->max_lines];
	n = snprintf(line, sizeof(*sim->lines), "%10.3f ms  ",
		     (double)sim->now_us / 1000);
	va_start(args, fmt);
	(void)vsnprintf(line + n, sizeof(*sim->lines) - (size_t)n, fmt, args);
	va_end(args);
}

void sim_violated(struct sim *sim, const char *invariant, const char *fmt, ...)
{
	va_list args;

	if (sim->is_over)
		return; /* the first one counts */
	sim->is_over = true;
	(void)snprintf(sim->invariant, sizeof(sim->invariant), "%s", invariant);
	va_start(args, fmt);
	(void)vsnprintf(sim->sentence, sizeof(sim->sentence), fmt, args);
	va_end(args);
	sim_trace(sim, "VIOLATED %s: %s", sim->invariant, sim->sentence);
}

bool sim_is_over(const struct sim *sim)
{
	return sim->is_over;
}

void sim_print_trace(const struct sim *sim)
{
	uint64_t first =
		sim->n_lines > sim->max_lines ? sim->n_lines - sim->max_lines : 0;

	for (uint64_t i = first; sim->max_lines != 0 && i < sim->n_lines; i++)
		printf("%s\n", sim->lines[i % sim->max_lines]);
}

/* ---- the world ---- */

int sim_world_init(struct sim *sim, uint64_t seed, uint32_t trace_lines)
{
	memset(sim, 0, sizeof(*sim));
	sim->seed = seed;
	sim->max_lines = trace_lines;
	sim->now_us = SIM_SECOND; /* nothing confuses it with "never" */
	sim_random_init(&sim->random, seed);
	if (trace_lines == 0)
		return 0;
	sim->lines = calloc(trace_lines, sizeof(*sim->lines));
	return sim->lines != NULL ? 0 : -1;
}

void sim_world_fini(struct sim *sim)
{
	while (sim->kept != NULL)
		sim_drop(sim->kept + 1);
	free(sim->heap);
	free(sim->lines);
}
