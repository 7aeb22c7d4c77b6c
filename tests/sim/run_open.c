/* SPDX-License-Identifier: BSD-3-Clause */

/* What a run is drawn to be, and made of. */

#include <stdio.h>
#include <string.h>

#include "dataplane/view/redis_tick.h"
#include "tests/sim/run_impl.h"

#define PARTITIONS 4u
#define DATAGRAM_EVENTS 16u /* more than one can hold: a link has room for it */

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

static void arrive(void *arg, bool to_appliance, uint32_t appliance, uint32_t sender,
		   const uint8_t *bytes, uint32_t n)
{
	struct run *r = arg;

	if (to_appliance)
		sim_appliance_datagram(sim_run_at_address(r, appliance), sender, bytes,
				       n);
	else
		sim_sender_arrive(r->senders[sender], appliance, bytes, n);
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

static void draw_kafka_faults(struct sim *sim, struct sim_kafka_faults *f)
{
	f->answer_lost = draw(sim, 10, 100);
	f->connection_closed = draw(sim, 10, 100);
	f->late_markers = draw(sim, 5, 50);
	f->hidden_retry = draw(sim, 5, 50);
	f->lost_markers = draw(sim, 5, 50);
	f->request_us = 300 + sim_below(&sim->random, 5000);
	f->late_us = 1000 + sim_below(&sim->random, SIM_SECOND);
}

static void open_stores(struct run *r)
{
	struct sim *sim = &r->sim;
	struct sim_kafka_faults faults = { 0 };
	static const char *const topics[] = { "product_views", "purchases",
					      "dead_letters", POSITIONS_TOPIC };

	draw_kafka_faults(sim, &faults);
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

void sim_run_open_all(struct run *r)
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
		sim_after(sim, sim_delay(&sim->random, 0, SIM_SECOND),
			  sim_run_start_later, r->appliances[i], 0);
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
