/* SPDX-License-Identifier: BSD-3-Clause */

#include <setjmp.h>
#include <stdlib.h>
#include <ucontext.h>

#include "tests/sim/coro.h"
#include "tests/sim/env.h"

#define STACK_BYTES (256u << 10)

/* The address sanitizer follows swapcontext() and no jumps between stacks. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SWAPS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SWAPS 1
#endif
#ifndef SWAPS
#define SWAPS 0
#endif

struct sim_coro {
	struct sim *sim;
	struct sim_env *env; /* of the process that made it */
	/* Entered once by a context, then by jumps: those save no signal mask, and so cost
	 * no system call. */
	ucontext_t context, back;
	jmp_buf self, caller;
	bool has_begun;
	void (*body)(void *arg);
	void *arg;
	void *stack;
	uint64_t sleep_no; /* of the sleep that an event may end */
	uint64_t paused_until_us;
	bool is_over, is_running, is_freed, is_ending;
	uint32_t n_events; /* that still hold a pointer to this */
};

static struct sim_coro *running;

/* Stacks are kept: a run makes and drops many. */
static void *stacks[64];
static uint32_t n_stacks;

static void *stack_take(void)
{
	void *stack = n_stacks > 0 ? stacks[--n_stacks] : malloc(STACK_BYTES);

	if (stack == NULL)
		abort();
	return stack;
}

static void stack_give(void *stack)
{
	if (n_stacks < sizeof(stacks) / sizeof(stacks[0]))
		stacks[n_stacks++] = stack;
	else
		free(stack);
}

/* From the coroutine to whoever let it run; comes back when it goes on. */
static void leave(struct sim_coro *c)
{
	if (SWAPS)
		swapcontext(&c->context, &c->back);
	else if (_setjmp(c->self) == 0)
		_longjmp(c->caller, 1);
}

static void enter(void)
{
	struct sim_coro *c = running;

	c->body(c->arg);
	c->is_over = true;
	leave(c);
	abort(); /* nobody comes back */
}

static void release(struct sim_coro *c)
{
	if (c->is_freed && c->n_events == 0 && !c->is_running)
		sim_drop(c);
}

static void go_on(struct sim_coro *c)
{
	/* A jump back keeps what lies in memory, not what lay in registers. */
	struct sim_coro *volatile before = running;
	struct sim_env *volatile env = sim_env_enter(c->env);

	running = c;
	running->is_running = true;
	if (SWAPS) {
		running->has_begun = true;
		swapcontext(&running->back, &running->context);
	} else if (_setjmp(running->caller) == 0) {
		if (running->has_begun)
			_longjmp(running->self, 1);
		running->has_begun = true;
		setcontext(&running->context);
	}
	running->is_running = false;
	running = before;
	sim_env_enter(env);
}

static void due(struct sim *sim, void *arg, uint64_t sleep_no)
{
	struct sim_coro *c = arg;

	c->n_events--;
	if (!c->is_freed && !c->is_over && c->sleep_no == sleep_no) {
		if (sim_now(sim) < c->paused_until_us) {
			c->n_events++;
			sim_after(sim, c->paused_until_us - sim_now(sim), due, c,
				  sleep_no);
			return;
		}
		c->sleep_no++;
		go_on(c);
	}
	release(c);
}

static void wake_after(struct sim_coro *c, uint64_t us)
{
	c->n_events++;
	sim_after(c->sim, us, due, c, c->sleep_no);
}

struct sim_coro *sim_coro_new(struct sim *sim, void (*body)(void *arg), void *arg)
{
	struct sim_coro *c = sim_keep(sim, sizeof(*c));

	c->sim = sim;
	c->env = sim_env_enter(NULL);
	sim_env_enter(c->env);
	c->body = body;
	c->arg = arg;
	c->stack = stack_take();
	getcontext(&c->context);
	c->context.uc_stack.ss_sp = c->stack;
	c->context.uc_stack.ss_size = STACK_BYTES;
	c->context.uc_link = NULL;
	makecontext(&c->context, enter, 0);
	wake_after(c, 0);
	return c;
}

void sim_coro_free(struct sim_coro *c)
{
	if (c == NULL)
		return;
	stack_give(c->stack);
	c->stack = NULL;
	c->is_freed = true;
	release(c);
}

void sim_coro_sleep(uint64_t us)
{
	struct sim_coro *c = running;

	if (c->is_ending)
		return;
	wake_after(c, us);
	leave(c);
}

void sim_coro_end(struct sim_coro *c)
{
	if (c == NULL || c->is_over)
		return;
	c->is_ending = true;
	c->sleep_no++; /* what would wake it comes too late */
	if (c->has_begun)
		go_on(c);
	c->is_over = true;
}

bool sim_coro_is_ending(void)
{
	return running != NULL && running->is_ending;
}

void sim_coro_wake(struct sim_coro *c)
{
	if (!c->is_over && !c->is_freed && c != running)
		wake_after(c, 0);
}

struct sim_coro *sim_coro_current(void)
{
	return running;
}

bool sim_coro_is_over(const struct sim_coro *c)
{
	return c->is_over;
}

void sim_coro_pause(struct sim_coro *c, uint64_t us)
{
	uint64_t until = sim_now(c->sim) + us;

	if (until > c->paused_until_us)
		c->paused_until_us = until;
}
