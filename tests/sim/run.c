/* SPDX-License-Identifier: BSD-3-Clause */

/* The course of a run: faults, none any more, and what must be true then. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "common/mutant.h"
#include "tests/sim/env.h"
#include "tests/sim/run.h"
#include "tests/sim/run_impl.h"

#define FLOOD_US (20 * SIM_SECOND)
#define FLOOD_APPEND_US 50000u /* so that it is not too many events */
#define FLOOD_CLICKS 12u
/* Streams that were acknowledged stay known so long beyond their age, and then some. */
#define FORGOTTEN_US (90 * SIM_SECOND)
#define FLOOD_BYTES 1300 /* as large as a datagram may be, nearly */

static void calm(struct run *r)
{
	struct sim_faults *f = &r->sim.faults;
	struct sim_faults quiet = { .append_us = 1000, .network_us = 1000 };

	sim_trace(&r->sim, "no more faults");
	*f = quiet;
	sim_kafka_calm(r->kafka);
	for (uint32_t i = 0; i < APPLIANCES; i++)
		sim_run_stop_clone(r, i);
	for (uint32_t i = 0; i < APPLIANCES; i++)
		sim_appliance_start(r->appliances[i]);
}

/* What keeps the run from being over: NULL where nothing is under way, every shard has
 * an owner, and the views are where the log is. */
static const char *what_is_open(struct run *r)
{
	for (uint32_t i = 0; i < APPLIANCES; i++)
		if (!sim_appliance_is_quiet(r->appliances[i]))
			return "an appliance has something under way";
	for (uint32_t i = 0; i < SENDERS; i++)
		if (!sim_sender_is_drained(r->senders[i]))
			return "a sender waits for acknowledgements";
	for (uint16_t s = 0; s < SHARDS; s++)
		if (!sim_appliance_owns(r->appliances[0], s) &&
		    !sim_appliance_owns(r->appliances[1], s))
			return "a shard has no owner";
	return sim_judge_what_lags(r->judge, r->config.redis_enabled ? r->redis : NULL,
				   r->kafka, EVENTS_TOPIC, POSITIONS_TOPIC);
}

static void flood_event(void *arg, uint16_t shard, char *json, size_t max)
{
	static const char form[] =
		"\"pad\":\"%0*u\",\"user_id\":\"%s\",\"event_type\":\"purchase\","
		"\"mark\":\"f%llu\"}";
	struct run *r = arg;
	char user[16];

	for (uint32_t i = 0;; i++) {
		(void)snprintf(user, sizeof(user), "guest%u", i);
		if ((hr_murmur2(user, strlen(user)) & 0x7fffffff) % SHARDS == shard)
			break;
	}
	json[0] = '{';
	(void)snprintf(json + 1, max - 1, form, FLOOD_BYTES, 0u, user,
		       (unsigned long long)++r->n_guests);
}

static bool is_drained(const struct run *r)
{
	for (uint32_t i = 0; i < SENDERS; i++)
		if (!sim_sender_is_drained(r->senders[i]))
			return false;
	return true;
}

static void pass(struct run *r, uint64_t us)
{
	const uint64_t until_us = r->sim.now_us + us;

	while (sim_step(&r->sim, until_us))
		;
}

static void click_and_drain(struct run *r, uint64_t until_us)
{
	for (uint32_t i = 0; i < FLOOD_CLICKS; i++)
		sim_run_click_once(r);
	while (!r->sim.is_over && !is_drained(r) && r->sim.now_us < until_us)
		pass(r, SIM_SECOND / 100);
}

static void set_flood(struct run *r, sim_flood next)
{
	for (uint32_t i = 0; i < APPLIANCES; i++)
		sim_appliance_flood(r->appliances[i], next, r);
}

/* What nobody acknowledges takes all the room there is. Streams go on all the same. */
static void flood(struct run *r)
{
	/* A key whose share of streams is full waits until one of them is over. */
	const uint64_t wait_us =
		r->chain_streams < STREAMS_MAX ? LIVENESS_US : FLOOD_US;

	/* First the senders find out whom to ask. */
	r->end_us = r->sim.now_us + LIVENESS_US;
	click_and_drain(r, r->end_us);
	if (!is_drained(r))
		return;
	sim_trace(&r->sim, "a flood of events that nobody acknowledges");
	r->sim.faults.append_us = FLOOD_APPEND_US;
	set_flood(r, flood_event);
	pass(r, SIM_SECOND / 20);
	click_and_drain(r, r->sim.now_us + wait_us);
	if (!is_drained(r))
		sim_violated(&r->sim, "liveness",
			     "a sender waits for %llu s beside events that nobody "
			     "acknowledges",
			     (unsigned long long)(wait_us / SIM_SECOND));
	set_flood(r, NULL);
	r->end_us = r->sim.now_us + LIVENESS_US;
}

/* A sender sleeps until nobody knows its stream any more. What it has under way it cannot
 * be told. */
static void sleep_long(struct run *r)
{
	struct sim *sim = &r->sim;
	struct sim_sender *s = r->senders[sim_below(&sim->random, SENDERS)];
	const uint64_t until_us = sim->now_us + r->config.stream_max_age_us +
				  r->config.stream_ttl_memory_us + FORGOTTEN_US;

	for (uint32_t i = 0; i < FLOOD_CLICKS; i++)
		sim_run_click_once(r);
	pass(r, sim_below(&sim->random, 20000));
	sim_sender_sleep(s, true);
	while (!sim->is_over && sim->now_us < until_us) {
		sim_run_click_once(r);
		pass(r, SIM_SECOND);
	}
	sim_sender_sleep(s, false);
	r->end_us = sim->now_us + LIVENESS_US;
	click_and_drain(r, r->end_us);
	if (!is_drained(r))
		sim_violated(sim, "liveness",
			     "a sender that slept for long does not find back");
}

static void check_end(struct run *r)
{
	struct sim *sim = &r->sim;
	const char *open = what_is_open(r);

	if (open != NULL)
		sim_violated(sim, "liveness", "90 s after the last fault: %s", open);
	if (r->config.redis_enabled)
		sim_judge_redis(r->judge, r->redis, true);
	sim_judge_topics(r->judge, r->kafka, EVENTS_TOPIC, POSITIONS_TOPIC, true);
	sim_judge_end(r->judge);
}

static void converge(struct run *r)
{
	while (!r->sim.is_over && r->sim.now_us < r->end_us && what_is_open(r) != NULL)
		pass(r, SIM_SECOND);
}

static void close_all(struct run *r)
{
	for (uint32_t i = 0; i < APPLIANCES; i++) {
		sim_appliance_free(r->clones[i]);
		sim_appliance_free(r->appliances[i]);
	}
	for (uint32_t i = 0; i < SENDERS; i++)
		sim_sender_free(r->senders[i]);
	sim_network_free(r->network);
	sim_snapshots_free(r->snapshots);
	sim_kafka_free(r->kafka);
	sim_redis_free(r->redis);
	sim_judge_free(r->judge);
	sim_store_free(r->store);
	sim_world_fini(&r->sim);
}

void sim_run(uint64_t seed, int mutant, uint32_t trace_lines, struct sim_result *out)
{
	struct run *r = calloc(1, sizeof(*r));
	size_t n;

	if (r == NULL || sim_world_init(&r->sim, seed, trace_lines) < 0)
		abort();
	hr_mutant = mutant;
	sim_env_reset();
	sim_run_open_all(r);
	sim_run_begin(r);
	while (sim_step(&r->sim, r->faults_end_us))
		;
	calm(r);
	converge(r);
	if (r->is_flooded && !r->sim.is_over && what_is_open(r) == NULL) {
		flood(r);
		converge(r);
	}
	if (r->is_flooded && !r->sim.is_over && what_is_open(r) == NULL) {
		sleep_long(r);
		converge(r);
	}
	if (!r->sim.is_over)
		check_end(r);
	for (uint32_t i = 0; r->sim.is_over && i < APPLIANCES; i++)
		sim_appliance_describe(r->appliances[i]);
	sim_print_trace(&r->sim);
	*out = (struct sim_result){ .is_violated = r->sim.is_over,
				    .simulated_us = r->sim.now_us,
				    .n_events = sim_judge_n_events(r->judge),
				    .n_kills = r->sim.n_kills,
				    .n_faults = r->sim.n_faults };
	memcpy(out->happened, r->sim.happened, sizeof(out->happened));
	memcpy(out->invariant, r->sim.invariant, sizeof(out->invariant));
	memcpy(out->sentence, r->sim.sentence, sizeof(out->sentence));
	for (uint16_t s = 0; s < SHARDS; s++) {
		(void)sim_store_records(r->store, s, &n);
		out->n_records += n;
	}
	close_all(r);
	hr_mutant = HR_MUTANTS;
	free(r);
}
