/* SPDX-License-Identifier: BSD-3-Clause */

/* What happens in a run again and again: faults, what operators do, events. */

#include <stdio.h>
#include <string.h>

#include "common/murmur2.h"
#include "tests/sim/run_impl.h"

#define CLONE_TRIES 1000u
#define CROWD_ROUNDS 20u
#define CROWD_US 7000u

/* The next one of a kind, half to one and a half times its mean from now. */
static void again(struct sim *sim, uint64_t mean_us, sim_deed deed, void *arg)
{
	struct run *r = arg;

	if (mean_us == 0)
		return;
	mean_us = mean_us / 2 + sim_below(&sim->random, mean_us + 1);
	if (sim->now_us + mean_us < r->faults_end_us)
		sim_after(sim, mean_us, deed, arg, 0);
}

void sim_run_start_later(struct sim *sim, void *arg, uint64_t number)
{
	(void)sim;
	(void)number;
	sim_appliance_start(arg);
}

static void crash(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	struct sim_appliance *a = r->appliances[sim_below(&sim->random, APPLIANCES)];

	(void)number;
	/* Sometimes in the middle of what it writes to Redis. */
	if (sim_appliance_is_up(a) && sim_once_in(&sim->random, 3))
		sim_redis_cut_next(r->redis);
	sim->n_kills += sim_appliance_is_up(a);
	sim_appliance_kill(a);
	sim_after(sim, sim_delay(&sim->random, 1000, 10 * SIM_SECOND),
		  sim_run_start_later, a, 0);
	again(sim, sim->faults.crash_us, crash, r);
}

static void pause_one(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint64_t us = sim_delay(&sim->random, 1000, 15 * SIM_SECOND);
	const uint64_t i = sim_below(&sim->random, APPLIANCES);

	(void)number;
	sim->n_faults++;
	sim_appliance_pause(r->appliances[i], us);
	again(sim, sim->faults.pause_us, pause_one, r);
}

/* The other one starts and takes the shards of one that has something under way, or
 * stands still and wakes up as a former owner. */
static void usurp(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint64_t i = sim_below(&sim->random, APPLIANCES);
	struct sim_appliance *other = r->appliances[(i + 1) % APPLIANCES];

	(void)number;
	sim->n_faults++;
	if (sim_once_in(&sim->random, 2))
		sim_appliance_pause(r->appliances[i],
				    sim_delay(&sim->random, 10000, 4 * SIM_SECOND));
	sim->n_kills += sim_appliance_is_up(other);
	sim_appliance_kill(other);
	sim_after(sim, sim_delay(&sim->random, 100, SIM_SECOND / 2),
		  sim_run_start_later, other, 0);
	again(sim, sim->faults.take_us, usurp, r);
}

/* The operator takes a shard from whoever has it. */
static void take(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint16_t s = (uint16_t)sim_below(&sim->random, SHARDS);
	const uint64_t i = sim_below(&sim->random, APPLIANCES);

	(void)number;
	sim_appliance_take(r->appliances[i], s);
	again(sim, sim->faults.command_us, take, r);
}

/* Of the two one is stopped; what it had taken nobody has. */
void sim_run_stop_clone(struct run *r, uint64_t i)
{
	for (uint16_t s = 0; s < SHARDS && sim_appliance_is_up(r->clones[i]); s++)
		r->orphans[s] = i + 1; /* or it will be: it may have fenced */
	sim_appliance_kill(r->clones[i]);
}

static void end_clone(struct sim *sim, void *arg, uint64_t i)
{
	(void)sim;
	sim_run_stop_clone(arg, i);
}

/* So much at once that both have something under way, and each something else. */
static void crowd(struct sim *sim, void *arg, uint64_t rounds)
{
	struct run *r = arg;

	for (uint32_t i = 0; i < SENDERS; i++)
		sim_run_click_once(r);
	if (rounds > 0 && sim->faults.clone_us != 0)
		sim_after(sim, CROWD_US, crowd, r, rounds - 1);
}

/* Not at every moment: the number says which one, and how often that was tried. */
static void clone_soon(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint64_t i = number % APPLIANCES;
	uint64_t us;

	if (sim->faults.clone_us == 0 || sim_appliance_is_up(r->clones[i]))
		return;
	if (!sim_appliance_can_clone(r->appliances[i])) {
		if (number < CLONE_TRIES * APPLIANCES)
			sim_after(sim, 500, clone_soon, r, number + APPLIANCES);
		return;
	}
	us = sim_delay(&sim->random, 0, 3 * SIM_SECOND);
	sim_appliance_clone(r->clones[i], r->appliances[i], us);
	sim_after(sim, us, crowd, r, CROWD_ROUNDS);
	sim_after(sim, sim_delay(&sim->random, SIM_SECOND, 15 * SIM_SECOND), end_clone,
		  r, i);
}

/* A snapshot of a machine is restored beside it. */
static void clone(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	clone_soon(sim, r, sim_below(&sim->random, APPLIANCES));
	again(sim, sim->faults.clone_us, clone, r);
}

/* Who sends to a machine's address finds one of the two. */
struct sim_appliance *sim_run_at_address(struct run *r, uint64_t i)
{
	if (sim_appliance_is_up(r->clones[i]) && sim_once_in(&r->sim.random, 2))
		return r->clones[i];
	return r->appliances[i];
}

/* A partition loses its end, sometimes all of it; whoever writes next writes there. */
static void cut(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint16_t s = (uint16_t)sim_below(&sim->random, SHARDS);
	const uint32_t n = sim_once_in(&sim->random, 8)
				   ? UINT32_MAX
				   : (uint32_t)sim_delay(&sim->random, 1, 60);
	const int64_t end = sim_store_end(r->store, s);
	const struct sim_record *left;
	size_t n_left;

	(void)number;
	sim->n_faults++;
	sim_store_cut(r->store, s, n);
	left = sim_store_records(r->store, s, &n_left);
	sim_judge_cut(r->judge, s, left, n_left);
	if (sim_once_in(&sim->random, 3))
		sim_store_regrow(r->store, s, end);
	again(sim, sim->faults.cut_us, cut, r);
}

/* The operator looks after shards that nobody is ready for. */
static void operate(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	for (uint16_t s = 0; s < SHARDS; s++) {
		bool is_ready = false;

		for (uint32_t i = 0; i < APPLIANCES; i++)
			is_ready |= sim_appliance_owns(r->appliances[i], s);
		for (uint32_t i = 0; i < APPLIANCES && !is_ready; i++)
			sim_appliance_mend(r->appliances[i], s);
		if (r->orphans[s] != 0 && !is_ready)
			sim_appliance_take(r->appliances[r->orphans[s] - 1], s);
	}
	/* "A copy of this machine is running; stop one" */
	for (uint32_t i = 0; i < APPLIANCES; i++)
		if (sim_appliance_is_stopped(r->clones[i]))
			sim_run_stop_clone(r, i);
	sim_after(sim, SIM_SECOND, operate, r, 0);
}

static void redis_back(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	uint32_t n = (uint32_t)sim_delay(&sim->random, 0, 100);

	(void)number;
	if (sim_once_in(&sim->random, 4))
		n = UINT32_MAX;
	sim_trace(sim, "Redis loses its newest %u writes", n);
	sim->n_faults++;
	sim_redis_back(r->redis, n);
	again(sim, sim->faults.redis_back_us, redis_back, r);
}

static void clock_step(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	int64_t us = (int64_t)sim_below(&sim->random, 7200 * SIM_SECOND) -
		     (int64_t)(3600 * SIM_SECOND);

	(void)number;
	sim->n_faults++;
	sim_appliance_step_clock(r->appliances[sim_below(&sim->random, APPLIANCES)],
				 us);
	again(sim, sim->faults.clock_step_us, clock_step, r);
}

/* The next event of a user; each has one sender, as an application would have it. */
void sim_run_click_once(struct run *r)
{
	struct sim *sim = &r->sim;
	uint32_t user = (uint32_t)sim_below(&sim->random, USERS);
	char name[16], product[16], category[16];

	(void)snprintf(name, sizeof(name), "user%u", user);
	(void)snprintf(product, sizeof(product), "p%llu",
		       (unsigned long long)sim_below(&sim->random, PRODUCTS));
	(void)snprintf(category, sizeof(category), "c%llu",
		       (unsigned long long)sim_below(&sim->random, 3));
	(void)sim_sender_track(r->senders[user % SENDERS], name, ++r->orders[user],
			       sim_once_in(&sim->random, 4), product, category);
}

static void click(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim_run_click_once(r);
	again(sim, r->event_us, click, r);
}

/* An event that nobody acknowledges, with or without an id: in the log once, or not. */
static void guest(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	struct sim_appliance *a =
		sim_run_at_address(r, sim_below(&sim->random, APPLIANCES));
	uint32_t user = (uint32_t)sim_below(&sim->random, 3);
	char json[256], name[16], id[40] = "";
	uint16_t shard;

	(void)number;
	(void)snprintf(name, sizeof(name), "guest%u", user);
	shard = (uint16_t)((hr_murmur2(name, strlen(name)) & 0x7fffffff) % SHARDS);
	r->n_guests++;
	if (sim_once_in(&sim->random, 3))
		(void)snprintf(id, sizeof(id), "\"event_id\":\"g%llu\",",
			       (unsigned long long)r->n_guests);
	(void)snprintf(json, sizeof(json),
		       "{\"user_id\":\"%s\",%s\"event_type\":\"purchase\","
		       "\"mark\":\"g%llu\"}",
		       name, id, (unsigned long long)r->n_guests);
	/* Where the window is short, the second may come too late for it. */
	for (uint32_t n = id[0] != '\0' && r->config.dedup_max == DEDUP_MAX ? 2 : 1;
	     n > 0; n--)
		(void)sim_appliance_event(a, shard, json);
	again(sim, r->guest_us, guest, r);
}

static void replay(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim->n_faults++;
	sim_network_replay(r->network, APPLIANCES);
	again(sim, sim->faults.replay_us, replay, r);
}

static void sdk_restart(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim->n_kills++;
	sim_sender_restart(r->senders[sim_below(&sim->random, SENDERS)]);
	again(sim, sim->faults.sdk_restart_us, sdk_restart, r);
}

static void blackhole(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim->n_faults++;
	sim_network_cut(r->network, sim_delay(&sim->random, 1000, 10 * SIM_SECOND));
	again(sim, sim->faults.pause_us, blackhole, r);
}

static void stop_view(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	const uint64_t us = sim_delay(&sim->random, SIM_SECOND, 15 * SIM_SECOND);
	const uint64_t i = sim_below(&sim->random, APPLIANCES);

	(void)number;
	sim_appliance_stop_view(r->appliances[i], us);
	again(sim, sim->faults.view_stop_us, stop_view, r);
}

/* Where the log is trimmed snapshots are all there is: then only what was never read
 * back whole is damaged. */
static void damage(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim_snapshots_damage(r->snapshots);
	again(sim, sim->faults.damage_us, damage, r);
}

static void look(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	if (r->config.redis_enabled)
		sim_judge_redis(r->judge, r->redis, false);
	sim_judge_topics(r->judge, r->kafka, EVENTS_TOPIC, POSITIONS_TOPIC, false);
	sim_after(sim, SIM_SECOND / 2, look, r, 0);
}

void sim_run_begin(struct run *r)
{
	struct sim *sim = &r->sim;
	const struct sim_faults *f = &sim->faults;

	again(sim, r->event_us, click, r);
	again(sim, f->crash_us, crash, r);
	again(sim, f->pause_us, pause_one, r);
	again(sim, f->take_us, usurp, r);
	again(sim, f->command_us, take, r);
	again(sim, f->clone_us, clone, r);
	/* Where the log is trimmed, too, nothing is left to begin from. */
	if (r->config.redis_enabled)
		again(sim, f->cut_us, cut, r);
	operate(sim, r, 0);
	again(sim, f->redis_back_us, redis_back, r);
	again(sim, f->clock_step_us, clock_step, r);
	again(sim, f->sdk_restart_us, sdk_restart, r);
	again(sim, f->view_stop_us, stop_view, r);
	if (r->config.redis_enabled)
		again(sim, f->damage_us, damage, r);
	again(sim, f->replay_us, replay, r);
	again(sim, r->guest_us, guest, r);
	again(sim, f->pause_us, blackhole, r);
	look(sim, r, 0);
}
