/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/murmur2.h"
#include "common/mutant.h"
#include "dataplane/view/redis_tick.h"
#include "tests/sim/appliance.h"
#include "tests/sim/env.h"
#include "tests/sim/judge.h"
#include "tests/sim/run.h"
#include "tests/sim/sender.h"
#include "tests/sim/world.h"

#define SHARDS 2u
#define APPLIANCES 2u
#define SENDERS 3u
#define USERS 6u
#define PRODUCTS 5u
#define PARTITIONS 4u
#define DEDUP_MAX 4096u     /* more than a run has events of that kind */
#define DATAGRAM_EVENTS 16u /* more than one can hold: a link has room for it */
#define STREAMS_MAX 64u     /* that there is room for, whatever the chain says */

#define LIVENESS_US (90 * SIM_SECOND) /* behind the last fault all comes together */
#define FLOOD_US (20 * SIM_SECOND)
#define FLOOD_APPEND_US 50000u /* so that it is not too many events */
#define FLOOD_CLICKS 12u
/* Streams that were acknowledged stay known so long beyond their age, and then some. */
#define FORGOTTEN_US (90 * SIM_SECOND)
#define FLOOD_BYTES 1300 /* as large as a datagram may be, nearly */

#define CLONE_TRIES 1000u
#define CROWD_ROUNDS 20u
#define CROWD_US 7000u

#define EVENTS_TOPIC "user_events"
#define POSITIONS_TOPIC "headrace.positions"

struct run {
	struct sim sim;
	struct hr_config config;
	uint32_t chain_streams;               /* that a first CONFIG allows */
	struct hr_config configs[APPLIANCES]; /* as each has it in its file */
	struct hr_data_set set;
	struct sim_store *store;
	struct sim_redis *redis;
	struct sim_kafka *kafka;
	struct sim_judge *judge;
	struct sim_snapshots *snapshots;
	struct sim_network *network;
	struct sim_appliance *appliances[APPLIANCES];
	struct sim_appliance *clones[APPLIANCES]; /* down, nearly always */
	uint64_t orphans[SHARDS]; /* whose clone it was that owned it: index + 1 */
	struct sim_sender *senders[SENDERS];
	uint64_t orders[USERS]; /* events of each user so far */
	uint64_t faults_end_us, end_us;
	uint64_t event_us; /* mean time between two events */
	uint64_t guest_us; /* the same of those without acknowledgement */
	uint64_t n_guests;
	bool is_flooded; /* in the end */
};

/* ---- what is drawn ---- */

/* In half of the schedules a fault does not happen at all: some only show alone. */
static uint32_t draw(struct sim *sim, uint32_t often, uint32_t seldom)
{
	if (sim_once_in(&sim->random, 2))
		return 0;
	return (uint32_t)(often + sim_below(&sim->random, seldom - often + 1));
}

static uint64_t draw_us(struct sim *sim, uint64_t least_ms, uint64_t most_ms)
{
	if (sim_once_in(&sim->random, 2))
		return 0;
	return 1000 * (least_ms + sim_below(&sim->random, most_ms - least_ms + 1));
}

static void draw_faults(struct sim *sim)
{
	struct sim_faults *f = &sim->faults;

	f->append_us = 300 + sim_below(&sim->random, 5000);
	f->late_us = 1000 * sim_below(&sim->random, 20000);
	f->network_us = 200 + sim_below(&sim->random, 20000);
	f->network_late_us = 1000 * sim_below(&sim->random, 10000);
	f->datagram_lost = draw(sim, 2, 50);
	f->datagram_doubled = draw(sim, 3, 50);
	f->datagram_late = draw(sim, 3, 50);
	f->sdk_restart_us = draw_us(sim, 3000, 30000);
	f->append_lost = draw(sim, 20, 200);
	f->append_late = draw(sim, 10, 200);
	f->append_doubled = draw(sim, 10, 100);
	f->append_rides = draw(sim, 1, 4);
	f->report_lost = draw(sim, 10, 100);
	f->append_refused = draw(sim, 30, 300);
	f->read_trouble = draw(sim, 100, 2000);
	f->connection_lost = draw(sim, 2, 20);
	f->redis_cut = draw(sim, 20, 200);
	f->crash_us = draw_us(sim, 1000, 20000);
	f->pause_us = draw_us(sim, 1000, 20000);
	f->take_us = draw_us(sim, 1000, 20000);
	f->command_us = draw_us(sim, 500, 10000);
	if (sim_once_in(&sim->random, 3))
		f->cut_us = 1000000 + sim_below(&sim->random, 20 * SIM_SECOND);
	f->redis_back_us = draw_us(sim, 2000, 20000);
	f->replay_us = draw_us(sim, 500, 10000);
	f->clock_step_us = draw_us(sim, 5000, 50000);
	if (sim_once_in(&sim->random, 3))
		f->clone_us = SIM_SECOND + sim_below(&sim->random, 8 * SIM_SECOND);
	f->view_stop_us = draw_us(sim, 1000, 10000);
	f->snapshot_lost = draw(sim, 30, 500);
	f->snapshot_damaged = draw(sim, 30, 500);
	f->snapshot_refused = draw(sim, 30, 500);
	f->damage_us = draw_us(sim, 1000, 10000);
}

/* A flood in the end must be what keeps senders waiting: nothing else does that for
 * long where there is room for streams, clocks are right, and no shard has
 * to be mended. */
static void draw_flood(struct run *r)
{
	r->is_flooded = sim_once_in(&r->sim.random, 16);
	if (r->is_flooded)
		r->sim.faults.cut_us = r->sim.faults.clock_step_us = 0;
}

/* ---- deeds that come again and again ---- */

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

static void start_later(struct sim *sim, void *arg, uint64_t number)
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
	sim_after(sim, sim_delay(&sim->random, 1000, 10 * SIM_SECOND), start_later, a,
		  0);
	again(sim, sim->faults.crash_us, crash, r);
}

static void pause_one(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim->n_faults++;
	sim_appliance_pause(r->appliances[sim_below(&sim->random, APPLIANCES)],
			    sim_delay(&sim->random, 1000, 15 * SIM_SECOND));
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
	sim_after(sim, sim_delay(&sim->random, 100, SIM_SECOND / 2), start_later, other,
		  0);
	again(sim, sim->faults.take_us, usurp, r);
}

/* The operator takes a shard from whoever has it. */
static void take(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;

	(void)number;
	sim_appliance_take(r->appliances[sim_below(&sim->random, APPLIANCES)],
			   (uint16_t)sim_below(&sim->random, SHARDS));
	again(sim, sim->faults.command_us, take, r);
}

/* Of the two one is stopped; what it had taken nobody has. */
static void stop_clone(struct run *r, uint64_t i)
{
	for (uint16_t s = 0; s < SHARDS && sim_appliance_is_up(r->clones[i]); s++)
		r->orphans[s] = i + 1; /* or it will be: it may have fenced */
	sim_appliance_kill(r->clones[i]);
}

static void end_clone(struct sim *sim, void *arg, uint64_t i)
{
	(void)sim;
	stop_clone(arg, i);
}

static void click_once(struct run *r);

/* So much at once that both have something under way, and each something else. */
static void crowd(struct sim *sim, void *arg, uint64_t rounds)
{
	struct run *r = arg;

	for (uint32_t i = 0; i < SENDERS; i++)
		click_once(r);
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
static struct sim_appliance *at_address(struct run *r, uint64_t i)
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
			stop_clone(r, i);
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
static void click_once(struct run *r)
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
	click_once(r);
	again(sim, r->event_us, click, r);
}

/* An event that nobody acknowledges, with or without an id: in the log once, or not. */
static void guest(struct sim *sim, void *arg, uint64_t number)
{
	struct run *r = arg;
	struct sim_appliance *a = at_address(r, sim_below(&sim->random, APPLIANCES));
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

	(void)number;
	sim_appliance_stop_view(r->appliances[sim_below(&sim->random, APPLIANCES)],
				sim_delay(&sim->random, SIM_SECOND, 15 * SIM_SECOND));
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

static void arrive(void *arg, bool to_appliance, uint32_t appliance, uint32_t sender,
		   const uint8_t *bytes, uint32_t n)
{
	struct run *r = arg;

	if (to_appliance)
		sim_appliance_datagram(at_address(r, appliance), sender, bytes, n);
	else
		sim_sender_arrive(r->senders[sender], appliance, bytes, n);
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

static void landed(void *arg, uint16_t shard, const struct sim_record *record)
{
	struct run *r = arg;

	sim_judge_record(r->judge, shard, record->bytes, record->n_bytes);
}

/* A publisher that begins puts out every other one of its shard: only the owner may. */
static void publishes(void *arg, void *appliance, uint16_t shard)
{
	struct run *r = arg;

	if (!sim_appliance_is_owner(appliance, shard))
		sim_violated(&r->sim, "I9",
			     "an appliance publishes for shard %u, which it knows to "
			     "be another's",
			     shard);
}

/* ---- a run ---- */

/* Old streams and full tables, within the length of a run. */
static void make_short(struct run *r)
{
	struct hr_config *c = &r->config;
	struct sim_random *random = &r->sim.random;

	c->stream_max_age_us = SIM_SECOND + sim_below(random, 3 * SIM_SECOND);
	c->stream_ttl_memory_us = SIM_SECOND + sim_below(random, 4 * SIM_SECOND);
	c->stream_ttl_disk_us = 2 * c->stream_ttl_memory_us;
	c->dedup_window_us = SIM_SECOND + sim_below(random, 5 * SIM_SECOND);
	c->dedup_max = 4 + (uint32_t)sim_below(random, 16);
	if (sim_once_in(random, 2)) {
		r->chain_streams = 4 + (uint32_t)sim_below(random, 8);
		c->stream_max_per_key = r->chain_streams;
	}
}

/* Files that differ: what counts is what the chain says. */
static void configure_each(struct run *r)
{
	struct sim_random *random = &r->sim.random;

	for (uint32_t i = 0; i < APPLIANCES; i++) {
		struct hr_config *c = &r->configs[i];

		*c = r->config;
		if (sim_once_in(random, 2))
			continue;
		c->stream_max_age_us += sim_below(random, SIM_SECOND);
		c->epoch_max_events = DATAGRAM_EVENTS + (uint32_t)sim_below(random, 60);
	}
}

static void configure(struct run *r)
{
	struct hr_config *c = &r->config;

	hr_config_defaults(c);
	c->n_shards = SHARDS;
	c->stream_max = r->chain_streams = STREAMS_MAX;
	c->stream_max_per_key = STREAMS_MAX;
	c->stream_max_age_us =
		5 * SIM_SECOND + sim_below(&r->sim.random, 60 * SIM_SECOND);
	c->stream_ttl_memory_us = 60 * SIM_SECOND;
	c->stream_ttl_disk_us = 120 * SIM_SECOND;
	c->dedup_max = DEDUP_MAX;
	c->dedup_window_us = 60 * SIM_SECOND;
	c->log_keep_memory_bytes = sim_delay(&r->sim.random, 2000, 200000);
	c->recent_views_max = 4;
	c->recommendations_max = 3;
	c->similar_cache_entries = 16;
	c->user_events_partitions = PARTITIONS;
	c->product_views_partitions = SHARDS;
	c->purchases_partitions = SHARDS;
	c->dead_letters_partitions = SHARDS;
	c->epoch_min_interval_us = 500 + (uint32_t)sim_below(&r->sim.random, 20000);
	c->redis_tick_us = 500 + (uint32_t)sim_below(&r->sim.random, 20000);
	c->redis_enabled = !sim_once_in(&r->sim.random, 3);
	c->snapshot_interval_us = sim_delay(&r->sim.random, 100000, 5 * SIM_SECOND);
	c->snapshot_log_bytes = sim_delay(&r->sim.random, 5000, 100000);
	c->log_min_age_us = sim_delay(&r->sim.random, 0, 5 * SIM_SECOND);
	c->topics_interval_us = 1000 + (uint32_t)sim_below(&r->sim.random, 50000);
	c->epoch_max_events = DATAGRAM_EVENTS + (uint32_t)sim_below(&r->sim.random, 60);
	if (!r->is_flooded && sim_once_in(&r->sim.random, 2))
		make_short(r);
}

/* The log is as short as it may be, memory too, and the view is seldom there. */
static void be_short(struct run *r)
{
	struct hr_config *c = &r->config;

	c->log_keep_memory_bytes = 2000;
	c->log_min_age_us = sim_delay(&r->sim.random, 0, SIM_SECOND);
	c->snapshot_interval_us = sim_delay(&r->sim.random, 100000, SIM_SECOND);
	r->sim.faults.view_stop_us =
		sim_delay(&r->sim.random, SIM_SECOND / 4, SIM_SECOND);
}

static void open_stores(struct run *r)
{
	struct sim *sim = &r->sim;
	const struct sim_kafka_faults faults = {
		.answer_lost = draw(sim, 10, 100),
		.connection_closed = draw(sim, 10, 100),
		.late_markers = draw(sim, 5, 50),
		.hidden_retry = draw(sim, 5, 50),
		.lost_markers = draw(sim, 5, 50),
		.request_us = 300 + sim_below(&sim->random, 5000),
		.late_us = 1000 + sim_below(&sim->random, SIM_SECOND),
	};
	static const char *const topics[] = { "product_views", "purchases",
					      "dead_letters", POSITIONS_TOPIC };

	r->store = sim_store_new(sim, SHARDS);
	sim_store_watch(r->store, landed, r);
	r->redis = sim_redis_new(sim);
	r->kafka = sim_kafka_new(sim, &faults);
	sim_kafka_watch(r->kafka, publishes, r);
	sim_kafka_topic_make(r->kafka, EVENTS_TOPIC, PARTITIONS);
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		sim_kafka_topic_make(r->kafka, topics[i], SHARDS);
}

static void shop(struct run *r)
{
	for (uint32_t p = 0; p < PRODUCTS; p++) {
		char command[64], product[16], to[16];

		(void)snprintf(product, sizeof(product), "p%u", p);
		(void)snprintf(to, sizeof(to), "p%u", (p + 1) % PRODUCTS);
		(void)snprintf(command, sizeof(command), "SADD product:%s:similar %s",
			       product, to);
		sim_redis_do(r->redis, command);
		sim_judge_similar(r->judge, product, to);
	}
	sim_redis_keep(r->redis);
}

static void open_all(struct run *r)
{
	struct sim *sim = &r->sim;
	const struct sim_rules rules = {
		.recent_views = 4,
		.recommendations = 3,
		.trim_period = HR_TRIM_PERIOD_LINKS,
		.user_events_partitions = PARTITIONS,
		.is_ordered = true,
	};
	struct sim_stores stores = { .sim = sim,
				     .set = &r->set,
				     .config = &r->config,
				     .n_appliances = APPLIANCES };
	struct sim_sender_conf sender = {
		.sim = sim, .n_appliances = APPLIANCES, .n_shards = SHARDS, .key_id = 1
	};

	draw_faults(sim);
	draw_flood(r);
	configure(r);
	if (!r->config.redis_enabled && sim_once_in(&sim->random, 2))
		be_short(r);
	configure_each(r);
	r->set.generation = 1;
	r->set.n_shards = SHARDS;
	for (size_t i = 0; i < 16; i++) {
		r->set.id.b[i] = (uint8_t)sim_random(&sim->random);
		r->set.hash_key[i] = (uint8_t)sim_random(&sim->random);
	}
	open_stores(r);
	r->judge = sim_judge_new(sim, &r->set, &rules, STREAMS_MAX);
	shop(r);
	stores.log = r->store;
	stores.redis = r->config.redis_enabled ? r->redis : NULL;
	stores.has_snapshots = !r->config.redis_enabled || sim_once_in(&sim->random, 2);
	stores.has_holdings = sim_once_in(&sim->random, 2);
	stores.kafka = r->kafka;
	r->snapshots = sim_snapshots_new(sim, SHARDS);
	r->network = sim_network_new(sim, arrive, r);
	stores.snapshots = r->snapshots;
	stores.network = r->network;
	for (size_t i = 0; i < 16; i++) {
		stores.write_key[i] = (uint8_t)sim_random(&sim->random);
		stores.secret[i] = (uint8_t)sim_random(&sim->random);
	}
	for (uint32_t i = 0; i < APPLIANCES; i++) {
		stores.config = &r->configs[i];
		stores.chain_streams = r->chain_streams;
		if (!r->is_flooded && sim_once_in(&sim->random, 3))
			stores.chain_streams =
				4 + (uint32_t)sim_below(&sim->random, STREAMS_MAX - 3);
		r->appliances[i] = sim_appliance_new(&stores, i);
		r->clones[i] = sim_appliance_new(&stores, i);
		if (!r->is_flooded && sim_once_in(&sim->random, 2))
			sim_appliance_step_clock(
				r->appliances[i],
				(int64_t)sim_below(&sim->random, 40 * SIM_SECOND) -
					(int64_t)(20 * SIM_SECOND));
		sim_after(sim, sim_delay(&sim->random, 0, SIM_SECOND), start_later,
			  r->appliances[i], 0);
	}
	sender.network = r->network;
	sender.judge = r->judge;
	memcpy(sender.write_key, stores.write_key, sizeof(sender.write_key));
	sender.max_age_us = r->config.stream_max_age_us;
	sender.ttl_us = r->config.stream_ttl_memory_us;
	for (uint32_t i = 0; i < SENDERS; i++) {
		sender.index = i;
		r->senders[i] = sim_sender_new(&sender);
	}
	r->guest_us = draw_us(sim, 5, 500);
	r->event_us = 2000 + sim_below(&sim->random, 200000);
	r->faults_end_us =
		sim->now_us + 5 * SIM_SECOND + sim_below(&sim->random, 40 * SIM_SECOND);
	r->end_us = r->faults_end_us + LIVENESS_US;
}

static void begin(struct run *r)
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

static void calm(struct run *r)
{
	struct sim_faults *f = &r->sim.faults;
	struct sim_faults quiet = { .append_us = 1000, .network_us = 1000 };

	sim_trace(&r->sim, "no more faults");
	*f = quiet;
	sim_kafka_calm(r->kafka);
	for (uint32_t i = 0; i < APPLIANCES; i++)
		stop_clone(r, i);
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

/* ---- a flood ---- */

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
		click_once(r);
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

/* ---- a sender that sleeps ---- */

/* Until nobody knows its stream any more. What it has under way it cannot be told. */
static void sleep_long(struct run *r)
{
	struct sim *sim = &r->sim;
	struct sim_sender *s = r->senders[sim_below(&sim->random, SENDERS)];
	const uint64_t until_us = sim->now_us + r->config.stream_max_age_us +
				  r->config.stream_ttl_memory_us + FORGOTTEN_US;

	for (uint32_t i = 0; i < FLOOD_CLICKS; i++)
		click_once(r);
	pass(r, sim_below(&sim->random, 20000));
	sim_sender_sleep(s, true);
	while (!sim->is_over && sim->now_us < until_us) {
		click_once(r);
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
	open_all(r);
	begin(r);
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
