/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef SIM_THREAD_H
#define SIM_THREAD_H

/*
 * thread - for a source that makes threads of its own and is included whole: behind this
 * header its threads are coroutines. Include it behind <pthread.h> and in front of the
 * source; nothing else of one file may need real threads.
 */

#include <errno.h>
#include <pthread.h>
#include <stdint.h>

#include "common/clock.h"
#include "tests/sim/coro.h"
#include "tests/sim/world.h"

/* Between two looks at what there is to do; the shipped ones look more often. */
#define SIM_THREAD_LOOK_US 100000u

struct sim_thread {
	struct sim_coro *coro;
	void *(*body)(void *arg);
	void *arg;
};

static inline void sim_thread_run(void *arg)
{
	struct sim_thread *t = arg;

	(void)t->body(t->arg);
}

static inline int sim_thread_create(struct sim *sim, pthread_t *out,
				    void *(*body)(void *arg), void *arg)
{
	struct sim_thread *t = sim_keep(sim, sizeof(*t));

	t->body = body;
	t->arg = arg;
	t->coro = sim_coro_new(sim, sim_thread_run, t);
	*out = (pthread_t)(uintptr_t)t;
	return 0;
}

static inline void sim_thread_join(pthread_t thread)
{
	struct sim_thread *t = (struct sim_thread *)(uintptr_t)thread;

	sim_coro_end(t->coro);
	sim_coro_free(t->coro);
	sim_drop(t);
}

static inline struct sim_coro *sim_thread_coro(pthread_t thread)
{
	return ((struct sim_thread *)(uintptr_t)thread)->coro;
}

/* Nobody signals here: who waits looks again after a while. */
static inline int sim_thread_wait(pthread_mutex_t *lock)
{
	pthread_mutex_unlock(lock);
	sim_coro_sleep(SIM_THREAD_LOOK_US);
	pthread_mutex_lock(lock);
	return ETIMEDOUT;
}

#define pthread_create(thread, attr, body, arg)                                        \
	sim_thread_create(SIM_THREAD_WORLD, thread, body, arg)
#define pthread_join(thread, out) sim_thread_join(thread)
#define pthread_cond_timedwait(cond, lock, until) ((void)(until), sim_thread_wait(lock))
#define pthread_cond_wait(cond, lock) sim_thread_wait(lock)
#define pthread_setname_np(thread, name) ((void)(name))

#endif
