/* SPDX-License-Identifier: BSD-3-Clause */

/* One shard: read the chain, fence, append, read back, recover. Committer thread. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <rte_ring.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/log.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/owner_impl.h"

#define WATCHDOG_MIN_MS 5000u
#define WATCHDOG_MAX_MS 60000u
#define BACKOFF_MIN_MS 50u
#define BACKOFF_MAX_MS 5000u
#define CONTEST_MS 2000u /* an author that shows no link within this is dead */
#define IDLE_LINK_US (3600ull * 1000000u)
#define READ_AT_ONCE 64u /* messages, then the next shard's turn */
#define SECOND_US 1000000u

/* ---- what others see ------------------------------------------------------- */

static void show_state(struct hr_owned *s)
{
	static const enum hr_shard_state of_phase[] = {
		[HR_PHASE_WAITING] = HR_SHARD_STARTING,
		[HR_PHASE_FENCING] = HR_SHARD_STARTING,
		[HR_PHASE_FIRST] = HR_SHARD_STARTING,
		[HR_PHASE_READY] = HR_SHARD_READY,
		[HR_PHASE_FENCED] = HR_SHARD_FENCED,
		[HR_PHASE_STOPPED] = HR_SHARD_STOPPED,
	};
	enum hr_shard_state state = of_phase[s->phase];

	if (state == HR_SHARD_STARTING && s->was_ready)
		state = HR_SHARD_RECOVERING;
	hr_stat_set(s->ready, state == HR_SHARD_READY);
	/* Workers acquire it: what they read of the view is not older. */
	atomic_store_explicit(&s->view.state, state, memory_order_release);
}

static void add_relaxed(_Atomic uint64_t *cell, uint64_t n)
{
	/* One writer. */
	atomic_store_explicit(cell,
			      atomic_load_explicit(cell, memory_order_relaxed) + n,
			      memory_order_release);
}

static void say(struct hr_owned *s, const char *text)
{
	pthread_mutex_lock(&s->lock);
	snprintf(s->reason, sizeof(s->reason), "%s", text);
	pthread_mutex_unlock(&s->lock);
}

static uint32_t jitter(uint32_t ms)
{
	uint32_t r = 0;

	if (getrandom(&r, sizeof(r), 0) != sizeof(r))
		r = (uint32_t)hr_mono_us();
	return ms / 2 + r % (ms / 2 + 1);
}

static uint32_t grow(uint32_t ms, uint32_t max)
{
	return 2 * ms < max ? 2 * ms : max;
}

/* ---- epochs: taken, given back --------------------------------------------- */

static void waiting_push(struct hr_owned *s, struct hr_epoch *epoch)
{
	assert(s->n_waiting < s->max_waiting);
	s->waiting[(s->waiting_at + s->n_waiting++) % s->max_waiting] = epoch;
}

static void waiting_push_front(struct hr_owned *s, struct hr_epoch *epoch)
{
	assert(s->n_waiting < s->max_waiting);
	s->waiting_at = (s->waiting_at + s->max_waiting - 1) % s->max_waiting;
	s->waiting[s->waiting_at] = epoch;
	s->n_waiting++;
}

static struct hr_epoch *waiting_pop(struct hr_owned *s)
{
	struct hr_epoch *epoch = s->waiting[s->waiting_at];

	s->waiting_at = (s->waiting_at + 1) % s->max_waiting;
	s->n_waiting--;
	return epoch;
}

/* Give back what is both done and no longer referred to by a producer. */
static void reap(struct hr_owned *s)
{
	struct hr_append **at = &s->appends;

	while (*at != NULL) {
		struct hr_append *a = *at;

		if (!a->is_done || !a->is_reported) {
			at = &a->next;
			continue;
		}
		*at = a->next;
		if (a->epoch != NULL)
			hr_epoch_put(s->owner->conf.pool, a->epoch);
		free(a);
	}
}

static void count_dropped(struct hr_owned *s, const struct hr_epoch *epoch)
{
	struct hr_owner *o = s->owner;

	hr_stat_add(s->phase == HR_PHASE_FENCED ? o->dropped_fenced
						: o->dropped_stopped,
		    epoch->n_items);
	add_relaxed(&s->view.items_dropped, epoch->n_items);
	add_relaxed(&s->view.epochs_done, 1);
}

/* Fenced or stopped: nothing of ours will be accepted any more. */
static void drop_all(struct hr_owned *s)
{
	if (s->flight != NULL) {
		s->flight->is_done = true;
		if (s->flight->epoch != NULL)
			count_dropped(s, s->flight->epoch);
		s->flight = NULL;
	}
	while (s->n_waiting > 0) {
		struct hr_epoch *epoch = waiting_pop(s);

		count_dropped(s, epoch);
		hr_epoch_put(s->owner->conf.pool, epoch);
	}
	reap(s);
}

void hr_owned_take(struct hr_owned *s, struct hr_epoch *epoch)
{
	waiting_push(s, epoch);
	if (s->phase == HR_PHASE_FENCED || s->phase == HR_PHASE_STOPPED)
		drop_all(s);
}

bool hr_owned_is_drained(const struct hr_owned *s)
{
	return s->n_waiting == 0 && (s->flight == NULL || s->flight->epoch == NULL);
}

/* ---- producers ------------------------------------------------------------- */

/* Hand the producer to a thread that closes it; with opens, a new one comes back. */
static void renew(struct hr_owned *s, bool opens, bool restarts_fetch)
{
	struct hr_renewal *r = &s->renewal;

	assert(!r->is_running);
	if (s->producer != NULL)
		s->retired_errors += hr_kafka_errors(s->producer);
	r->owner = s->owner;
	r->shard = s;
	if (s->producer != NULL) { /* else what a failed start left there */
		r->old = s->producer;
		r->old_topic = s->topic;
	}
	r->opens = opens;
	r->restarts_fetch = restarts_fetch;
	r->fetch_from = s->next_offset;
	s->producer = NULL;
	s->topic = NULL;
	s->has_failed_report = false;
	s->wants_refetch = false;
	if (hr_renewal_start(r) < 0)
		hr_warn("log", "shard %u: %s; tried again", s->shard, r->err.text);
}

/* The renewal's thread has ended. */
static void on_renewed(struct hr_owned *s)
{
	struct hr_renewal *r = &s->renewal;

	/* Nothing refers to the epochs of the old producer any more. */
	for (struct hr_append *a = s->appends; a != NULL; a = a->next)
		a->is_reported = true;
	reap(s);
	s->producer = r->fresh;
	s->topic = r->fresh_topic;
	r->fresh = NULL;
	r->fresh_topic = NULL;
	if (s->producer == NULL && r->opens) {
		s->not_before_us = hr_mono_us() + SECOND_US;
		hr_warn("log", "shard %u: no new producer: %s; tried again", s->shard,
			r->err.text);
	}
	s->owner->must_poll = true;
}

static void leave(struct hr_owned *s, enum hr_phase phase)
{
	s->phase = phase;
	s->deadline_us = 0;
	show_state(s);
	if (!s->renewal.is_running && s->producer != NULL)
		renew(s, false, false);
	drop_all(s);
}

void hr_owned_stop(struct hr_owned *s, const char *fmt, ...)
{
	char text[HR_REASON_BYTES];
	va_list args;

	if (s->phase == HR_PHASE_STOPPED)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say(s, text);
	hr_error("log", "shard %u stopped: %s", s->shard, text);
	leave(s, HR_PHASE_STOPPED);
}

/*
 * Whatever was under way has an unknown outcome: close the producer, and fence anew
 * with a fresh owner id once a new one is there and at least wait_ms went by.
 */
static void recover(struct hr_owned *s, uint32_t wait_ms, bool restarts_fetch,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void recover(struct hr_owned *s, uint32_t wait_ms, bool restarts_fetch,
		    const char *fmt, ...)
{
	uint64_t until_us = hr_mono_us() + (uint64_t)wait_ms * 1000;
	char text[HR_REASON_BYTES];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	say(s, text);
	hr_warn("log", "shard %u: %s", s->shard, text);
	hr_stat_add(s->recoveries, 1);
	if (until_us > s->not_before_us)
		s->not_before_us = until_us;
	s->phase = HR_PHASE_WAITING;
	s->deadline_us = 0;
	show_state(s);
	if (!s->renewal.is_running)
		renew(s, true, restarts_fetch);
}

/* ---- appending ------------------------------------------------------------- */

static void sent_failed(struct hr_owned *s)
{
	s->has_failed_report = true;
	snprintf(s->failed_report, sizeof(s->failed_report), "%s",
		 rd_kafka_err2str(rd_kafka_last_error()));
}

static void watch(struct hr_owned *s, uint64_t now_us)
{
	s->was_delivered = false;
	s->deadline_us = now_us + (uint64_t)s->watchdog_ms * 1000;
}

/* Append FENCE(current + 1) under an owner id that nobody has ever seen. */
static void fence(struct hr_owned *s, uint64_t now_us)
{
	uint8_t record[HR_FENCE_MAX];
	struct hr_fence f = { .incarnation = s->chain.incarnation + 1 };
	size_t n;

	if (getrandom(&f.owner, sizeof(f.owner), 0) != sizeof(f.owner)) {
		hr_owned_stop(s, "the kernel gave no random bytes");
		return;
	}
	s->id = f.owner;
	s->ids[s->n_ids++ % HR_OWNER_IDS_KEPT] = f.owner;
	n = hr_record_encode_fence(record, &s->owner->set, s->shard, &f);
	s->phase = HR_PHASE_FENCING;
	s->fence_times.sent_mono_us = now_us;
	s->fence_times.sent_wall_us = hr_wall_us();
	watch(s, now_us);
	if (rd_kafka_produce(s->topic, s->shard, RD_KAFKA_MSG_F_COPY, record, n, NULL,
			     0, NULL) < 0)
		sent_failed(s);
}

/*
 * Send a link: n, prev_hash and clock are given here and nowhere earlier. The body
 * of an epoch lies in place already and is not copied; a small one is.
 */
static void append(struct hr_owned *s, struct hr_epoch *epoch, uint16_t kind,
		   struct hr_str body, uint64_t now_us)
{
	struct hr_owner *o = s->owner;
	uint8_t *record = epoch != NULL ? epoch->record : o->scratch;
	struct hr_link_head head = {
		.owner = s->id,
		.n = s->chain.n + 1,
		.prev_hash = s->chain.hash,
		.clock_us = hr_record_clock_at(&o->clock, now_us, s->chain.clock_us),
		.body_kind = kind,
		.body = body,
	};
	struct hr_append *a = calloc(1, sizeof(*a));

	if (a == NULL) {
		if (epoch != NULL)
			waiting_push_front(s, epoch);
		return; /* the next step tries again */
	}
	a->epoch = epoch;
	a->owner = s->id;
	a->n = head.n;
	a->bytes = (uint32_t)hr_record_encode_link(record, &o->set, s->shard, &head);
	head.body.p = record + HR_LINK_HEAD_BYTES;
	hr_link_hash(&o->set, s->shard, &head, &a->hash);
	a->sent_us = now_us;
	a->next = s->appends;
	s->appends = a;
	s->flight = a;
	s->own_hashes[a->n % HR_OWN_HASHES_KEPT] = a->hash;
	watch(s, now_us);
	if (rd_kafka_produce(s->topic, s->shard,
			     epoch != NULL ? 0 : RD_KAFKA_MSG_F_COPY, record, a->bytes,
			     NULL, 0, a) < 0) {
		a->is_reported = true;
		sent_failed(s);
	}
}

static void send_empty(struct hr_owned *s, uint64_t now_us)
{
	append(s, NULL, HR_BODY_EPOCH, (struct hr_str){ s->owner->scratch, 0 }, now_us);
}

static void chain_config_from(struct hr_chain_config *out, const struct hr_config *c)
{
	memset(out, 0, sizeof(*out));
	out->fold_version = HR_FOLD_VERSION;
	out->setting[HR_CHAIN_MAX_EVENTS] = c->epoch_max_events;
	out->setting[HR_CHAIN_MAX_STREAMS] = c->stream_max;
	out->setting[HR_CHAIN_STREAM_MAX_AGE_US] = c->stream_max_age_us;
	out->setting[HR_CHAIN_KEY_STREAMS] = c->stream_max_per_key;
	out->setting[HR_CHAIN_TTL_MEMORY_US] = c->stream_ttl_memory_us;
	out->setting[HR_CHAIN_TTL_DISK_US] = c->stream_ttl_disk_us;
	out->setting[HR_CHAIN_DEDUP_WINDOW_US] = c->dedup_window_us;
	out->setting[HR_CHAIN_DEDUP_MAX] = c->dedup_max;
}

/* So that an owner is visible: CONFIG on an empty chain, else an empty EPOCH. */
static void send_first(struct hr_owned *s, uint64_t now_us)
{
	uint8_t body[HR_CHAIN_CONFIG_MAX];
	struct hr_chain_config config;
	size_t n;

	if (s->chain.n > 0) {
		send_empty(s, now_us);
		return;
	}
	chain_config_from(&config, s->owner->conf.config);
	n = hr_chain_config_encode(body, &config);
	append(s, NULL, HR_BODY_CONFIG, (struct hr_str){ body, (uint32_t)n }, now_us);
}

static void send_next(struct hr_owned *s, uint64_t now_us)
{
	struct hr_epoch *epoch;

	if (s->n_waiting > 0) {
		epoch = waiting_pop(s);
		append(s, epoch, HR_BODY_EPOCH,
		       (struct hr_str){ hr_epoch_body(epoch), epoch->body_bytes },
		       now_us);
	} else if (now_us > s->last_link_us + IDLE_LINK_US) {
		send_empty(s, now_us);
	}
}

/* ---- reading back ---------------------------------------------------------- */

static bool is_own_id(const struct hr_owned *s, const struct hr_id128 *id)
{
	uint32_t n = s->n_ids < HR_OWNER_IDS_KEPT ? s->n_ids : HR_OWNER_IDS_KEPT;

	for (uint32_t i = 0; i < n; i++)
		if (hr_id128_equals(&s->ids[i], id))
			return true;
	return false;
}

static void take_clock(struct hr_owned *s, const rd_kafka_message_t *m)
{
	struct hr_owner *o = s->owner;
	rd_kafka_timestamp_type_t type;
	int64_t corrected;

	if (o->clock.is_set)
		return;
	s->fence_times.stamped_ms = rd_kafka_message_timestamp(m, &type);
	s->fence_times.seen_mono_us = hr_mono_us();
	s->fence_times.seen_wall_us = hr_wall_us();
	/* A topic that stamps otherwise was refused at the start; since then only
	 * an operator can have changed it: the wall clock is all there is. */
	if (type != RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME) {
		hr_warn("log",
			"topic %s does not stamp records (LogAppendTime): the "
			"wall clock is taken as it is",
			s->owner->set.log_topic);
		s->fence_times.stamped_ms = (int64_t)s->fence_times.seen_wall_us / 1000;
	}
	corrected = hr_record_clock_take(&o->clock, &s->fence_times);
	if (corrected != 0)
		hr_warn("log",
			"the wall clock is off: record time runs %+lld ms beside it, "
			"within a second of the broker's",
			(long long)(corrected / 1000));
}

/* Our FENCE was accepted: what was in flight under the old id never will be. */
static void became_owner(struct hr_owned *s, const rd_kafka_message_t *m)
{
	take_clock(s, m);
	if (s->flight != NULL) {
		struct hr_append *a = s->flight;

		assert(a->is_reported); /* its producer is gone */
		if (a->epoch != NULL)
			waiting_push_front(s, a->epoch);
		a->epoch = NULL;
		a->is_done = true;
		s->flight = NULL;
		reap(s);
	}
	s->was_owner = true;
	s->is_contested = false;
	s->phase = HR_PHASE_FIRST;
	send_first(s, hr_mono_us());
}

static void on_foreign_fence(struct hr_owned *s)
{
	bool is_owner = s->phase == HR_PHASE_FIRST || s->phase == HR_PHASE_READY;
	unsigned long long i = (unsigned long long)s->chain.incarnation;

	if (is_owner || s->was_owner) {
		s->is_contested = true;
		recover(s, CONTEST_MS, false,
			"fenced by another appliance (incarnation %llu); it has %u s "
			"to "
			"show that it is alive",
			i, CONTEST_MS / 1000);
	} else if (s->phase == HR_PHASE_FENCING) {
		recover(s, jitter(400), false,
			"another appliance fenced first (incarnation %llu); tried "
			"again",
			i);
	}
}

static void on_fence(struct hr_owned *s, const struct hr_fence *f,
		     const rd_kafka_message_t *m)
{
	hr_stat_set(s->incarnation, f->incarnation);
	atomic_store_explicit(&s->view.incarnation, f->incarnation,
			      memory_order_relaxed);
	if (s->phase == HR_PHASE_FENCING && hr_id128_equals(&f->owner, &s->id))
		became_owner(s, m);
	else if (!is_own_id(s, &f->owner))
		on_foreign_fence(s);
	else if (s->phase != HR_PHASE_WAITING)
		recover(s, 0, false, "a fence of ours, given up before, arrived late");
}

/* Somebody appends under our own id. */
static void on_clone(struct hr_owned *s, uint64_t n)
{
	struct hr_owner *o = s->owner;

	for (uint32_t i = 0; i < o->n_shards; i++)
		hr_owned_stop(
			&o->shards[i],
			"link %llu of shard %u came from this owner's id with "
			"other bytes: a copy of this machine is running; stop one",
			(unsigned long long)n, s->shard);
}

/* A link that was not accepted although it carries our current id: a duplicate of
 * one we sent, or a clone's. */
static void on_refused_own(struct hr_owned *s, const struct hr_link_head *link)
{
	struct hr_id128 hash;

	if (link->n + HR_OWN_HASHES_KEPT <= s->chain.n)
		return;
	hr_link_hash(&s->owner->set, s->shard, link, &hash);
	if (!hr_id128_equals(&hash, &s->own_hashes[link->n % HR_OWN_HASHES_KEPT]))
		on_clone(s, link->n);
}

static void became_ready(struct hr_owned *s)
{
	bool again = s->was_ready;

	s->phase = HR_PHASE_READY;
	s->was_ready = true;
	say(s, "");
	hr_info("log", "shard %u: %s at link %llu (incarnation %llu)", s->shard,
		again ? "owner again" : "owner", (unsigned long long)s->chain.n,
		(unsigned long long)s->chain.incarnation);
	show_state(s);
}

/* Our link is in the chain. */
static void flight_accepted(struct hr_owned *s)
{
	struct hr_append *a = s->flight;
	struct hr_owner *o = s->owner;
	uint64_t now_us = hr_mono_us();

	a->is_done = true;
	s->flight = NULL;
	s->deadline_us = 0;
	s->watchdog_ms = WATCHDOG_MIN_MS;
	s->backoff_ms = BACKOFF_MIN_MS;
	hr_stat_observe_us(o->append_seconds, now_us - a->sent_us);
	hr_stat_add(s->log_bytes, a->bytes);
	if (a->epoch != NULL) {
		uint64_t wall = hr_wall_us();

		if (a->epoch->oldest_received_us != 0 &&
		    wall > a->epoch->oldest_received_us)
			hr_stat_observe_us(o->latency_seconds,
					   wall - a->epoch->oldest_received_us);
		hr_stat_add(s->epochs_accepted, 1);
		hr_stat_add(s->datagrams_logged, a->epoch->n_items);
		add_relaxed(&s->view.items_accepted, a->epoch->n_items);
		add_relaxed(&s->view.epochs_done, 1);
	}
	if (s->phase == HR_PHASE_FIRST)
		became_ready(s);
	reap(s);
}

static void on_foreign_link(struct hr_owned *s)
{
	char text[HR_REASON_BYTES];

	if (!s->was_owner)
		return; /* history */
	snprintf(text, sizeof(text),
		 "another appliance owns this shard since incarnation %llu",
		 (unsigned long long)s->chain.incarnation);
	say(s, text);
	hr_warn("log", "shard %u: %s", s->shard, text);
	leave(s, HR_PHASE_FENCED);
}

static bool keep_config(struct hr_owned *s, struct hr_str body)
{
	const struct hr_config *c = s->owner->conf.config;
	struct hr_chain_config file;
	struct hr_err err;

	if (hr_chain_config_decode(&s->config, body, &err) < 0) {
		hr_owned_stop(s, "link %llu: %s", (unsigned long long)s->chain.n,
			      err.text);
		return false;
	}
	chain_config_from(&file, c);
	if (memcmp(file.setting, s->config.setting, sizeof(file.setting)) != 0)
		hr_warn("log",
			"shard %u: the chain says epoch.max_events %llu, streams.max "
			"%llu, streams.max_age %llu us, and that holds; the file says "
			"%llu, %llu, %llu",
			s->shard,
			(unsigned long long)s->config.setting[HR_CHAIN_MAX_EVENTS],
			(unsigned long long)s->config.setting[HR_CHAIN_MAX_STREAMS],
			(unsigned long long)
				s->config.setting[HR_CHAIN_STREAM_MAX_AGE_US],
			(unsigned long long)file.setting[HR_CHAIN_MAX_EVENTS],
			(unsigned long long)file.setting[HR_CHAIN_MAX_STREAMS],
			(unsigned long long)file.setting[HR_CHAIN_STREAM_MAX_AGE_US]);
	return true;
}

/* The link for worker and views, with the memory that fold will write to. Takes over
 * the message if it returns true. */
static bool hand_out(struct hr_owned *s, rd_kafka_message_t *m,
		     const struct hr_record *record)
{
	struct hr_owner *o = s->owner;
	struct hr_link *link;
	struct hr_err err;
	size_t bytes;
	void *memory;

	if (hr_link_from_message(&link, o->consumer, m, record, &s->chain, &err) < 0) {
		hr_owned_stop(s, "link %llu at offset %lld: %s",
			      (unsigned long long)s->chain.n, (long long)m->offset,
			      err.text);
		return false;
	}
	bytes = (hr_out_bytes(link) + 63) & ~(size_t)63;
	memory = aligned_alloc(64, bytes);
	if (memory == NULL) {
		hr_link_put(link); /* and the message with it */
		hr_owned_stop(s, "no memory for the outputs of link %llu (%zu bytes)",
			      (unsigned long long)s->chain.n, bytes);
		return true;
	}
	link->out = hr_out_init(memory, link);
	assert((void *)link->out == memory); /* hr_link_put() frees it */
	link->held_bytes += bytes;
	hr_owner_hand_out(o, s->worker, link);
	return true;
}

/* An accepted link, whoever sent it. Returns true when the message was taken. */
static bool on_link(struct hr_owned *s, rd_kafka_message_t *m,
		    const struct hr_record *record)
{
	const struct hr_link_head *link = &record->link;

	s->last_link_us = hr_mono_us();
	hr_stat_set(s->log_link, s->chain.n);
	if (link->body_kind == HR_BODY_CONFIG && !keep_config(s, link->body))
		return false;
	if (s->flight != NULL && hr_id128_equals(&s->flight->hash, &s->chain.hash) &&
	    hr_id128_equals(&s->flight->owner, &link->owner))
		flight_accepted(s);
	else if (s->n_ids > 0 && hr_id128_equals(&s->id, &link->owner))
		on_clone(s, link->n);
	else if (!is_own_id(s, &link->owner))
		on_foreign_link(s);
	/* The floors go up when the worker folds it; it may look at this first. */
	atomic_store_explicit(&s->view.accepted_n, s->chain.n, memory_order_release);
	return hand_out(s, m, record);
}

/* Our own bytes need no second hash. */
static enum hr_verdict offer(struct hr_owned *s, const rd_kafka_message_t *m,
			     const struct hr_record *record)
{
	const struct hr_append *a = s->flight;
	bool is_same = a != NULL && a->epoch != NULL && m->len == a->bytes &&
		       memcmp(m->payload, a->epoch->record, a->bytes) == 0;

	return hr_chain_offer_hashed(&s->chain, record, is_same ? &a->hash : NULL);
}

static void on_unknown(struct hr_owned *s, const rd_kafka_message_t *m,
		       const struct hr_record *record)
{
	if (record->type == HR_RECORD_LINK)
		hr_owned_stop(
			s,
			"the link at offset %lld has a body of kind %u, of a later "
			"program: use that one",
			(long long)m->offset, record->link.body_kind);
	else
		hr_owned_stop(
			s,
			"the record at offset %lld is of a later program (version "
			"%u, type %u): use that one",
			(long long)m->offset, record->version, record->type_no);
}

static bool on_record(struct hr_owned *s, rd_kafka_message_t *m)
{
	struct hr_record record;

	s->next_offset = m->offset + 1;
	if (hr_record_decode(&record, m->payload, m->len, NULL) < 0)
		return false;
	switch (offer(s, m, &record)) {
	case HR_VERDICT_LINK:
		return on_link(s, m, &record);
	case HR_VERDICT_FENCE:
		on_fence(s, &record.fence, m);
		break;
	case HR_VERDICT_STALE_FENCE:
		if (s->phase == HR_PHASE_FENCING &&
		    hr_id128_equals(&record.fence.owner, &s->id))
			recover(s, jitter(400), false,
				"another appliance fenced first (incarnation %llu); "
				"tried again",
				(unsigned long long)s->chain.incarnation);
		break;
	case HR_VERDICT_UNKNOWN:
		on_unknown(s, m, &record);
		break;
	case HR_VERDICT_FOREIGN:
		s->saw_foreign = true;
		break;
	default:
		if (s->n_ids > 0 && hr_id128_equals(&record.link.owner, &s->id))
			on_refused_own(s, &record.link);
		break;
	}
	return false;
}

static void on_end(struct hr_owned *s)
{
	if (s->caught_up)
		return;
	s->caught_up = true;
	/* A fresh chain behind somebody else's records is how a lost headrace.meta
	 * would show: nobody would miss the old data until it is too late. */
	if (s->chain.n == 0 && s->saw_foreign)
		hr_owned_stop(s,
			      "topic %s holds records of another data set and none of "
			      "this one: headrace.meta was lost or made anew; bring it "
			      "back, or use another kafka.topic_prefix",
			      s->owner->set.log_topic);
}

/*
 * The chain counts as read once everything is that was there when reading began: on
 * a partition that somebody appends to all the time PARTITION_EOF never comes. What
 * follows is read before our own FENCE is seen.
 */
static void look_for_end(struct hr_owned *s)
{
	int64_t low = -1, high = -1;

	/* As of the newest answer of the broker; asks nobody. */
	if (s->end_at_start < 0 &&
	    rd_kafka_get_watermark_offsets(hr_kafka_handle(s->owner->consumer),
					   s->owner->set.log_topic, s->shard, &low,
					   &high) == RD_KAFKA_RESP_ERR_NO_ERROR)
		s->end_at_start = high;
	if (s->end_at_start >= 0 && s->next_offset >= s->end_at_start)
		on_end(s);
}

static void on_fetch_error(struct hr_owned *s, const rd_kafka_message_t *m)
{
	if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
	    m->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
		hr_owned_stop(s,
			      "what stands at offset %lld of partition %u, behind link "
			      "%llu, is gone: topic %s was truncated, trimmed or made "
			      "anew",
			      (long long)s->next_offset, s->shard,
			      (unsigned long long)s->chain.n, s->owner->set.log_topic);
		return;
	}
	if (s->renewal.is_running) {
		s->wants_refetch = true;
		return;
	}
	recover(s, jitter(s->backoff_ms), true, "reading the log: %s",
		rd_kafka_message_errstr(m));
	s->backoff_ms = grow(s->backoff_ms, BACKOFF_MAX_MS);
}

unsigned int hr_owned_read(struct hr_owned *s)
{
	unsigned int n = 0;

	while (n < READ_AT_ONCE && s->phase != HR_PHASE_FENCED &&
	       s->phase != HR_PHASE_STOPPED &&
	       !(s->renewal.is_running && s->renewal.restarts_fetch) &&
	       hr_owner_has_room(s->owner, s->worker)) {
		rd_kafka_message_t *m = rd_kafka_consume_queue(s->inbox, 0);
		bool is_taken = false;

		if (m == NULL)
			return n;
		n++;
		if (m->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			is_taken = on_record(s, m);
		else if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			on_end(s);
		else
			on_fetch_error(s, m);
		if (!s->caught_up)
			look_for_end(s);
		if (!is_taken)
			rd_kafka_message_destroy(m);
	}
	return n;
}

/* ---- time passes ----------------------------------------------------------- */

static void say_progress(struct hr_owned *s, uint64_t now_us)
{
	char text[HR_REASON_BYTES];

	if (s->caught_up || now_us - s->last_progress_us < SECOND_US)
		return;
	s->last_progress_us = now_us;
	snprintf(text, sizeof(text),
		 "reading the chain in topic %s: at link %llu, offset %lld",
		 s->owner->set.log_topic, (unsigned long long)s->chain.n,
		 (long long)s->next_offset);
	say(s, text);
}

/* Returns true when there is trouble: then the shard is recovering. */
static bool has_trouble(struct hr_owned *s, uint64_t now_us)
{
	if (s->producer == NULL || s->phase == HR_PHASE_WAITING)
		return false;
	if (s->has_failed_report || hr_kafka_is_fatal(s->producer)) {
		char why[HR_REASON_BYTES - 64];

		if (s->has_failed_report)
			snprintf(why, sizeof(why), "%s", s->failed_report);
		else
			hr_kafka_last_error(s->producer, why, sizeof(why));
		recover(s, jitter(s->backoff_ms), false, "appending to the log: %s",
			why);
		s->backoff_ms = grow(s->backoff_ms, BACKOFF_MAX_MS);
		return true;
	}
	if (s->deadline_us == 0 || now_us < s->deadline_us)
		return false;
	recover(s, jitter(BACKOFF_MIN_MS), s->was_delivered,
		"%s was not read back within %u s (%s)",
		s->phase == HR_PHASE_FENCING ? "a fence" : "a link",
		s->watchdog_ms / 1000,
		s->was_delivered           ? "the broker has taken it"
		: s->renewal.topic_is_gone ? "the topic is not there"
					   : "the broker has not answered");
	s->watchdog_ms = grow(s->watchdog_ms, WATCHDOG_MAX_MS);
	return true;
}

static void step_waiting(struct hr_owned *s, uint64_t now_us)
{
	if (s->renewal.is_running || now_us < s->not_before_us)
		return;
	if (s->producer == NULL || s->wants_refetch)
		renew(s, true, s->wants_refetch);
	else if (s->caught_up)
		fence(s, now_us);
}

void hr_owned_step(struct hr_owned *s, uint64_t now_us)
{
	if (s->renewal.is_running && hr_renewal_join(&s->renewal))
		on_renewed(s);
	if (s->producer != NULL && s->owner->must_poll)
		rd_kafka_poll(hr_kafka_handle(s->producer), 0);
	if (s->appends != NULL)
		reap(s);
	switch (s->phase) {
	case HR_PHASE_FENCED:
	case HR_PHASE_STOPPED:
		/* A renewal may have been opening one when the shard was left. */
		if (s->producer != NULL && !s->renewal.is_running)
			renew(s, false, false);
		return;
	case HR_PHASE_WAITING:
		say_progress(s, now_us);
		step_waiting(s, now_us);
		return;
	case HR_PHASE_READY:
		if (!has_trouble(s, now_us) && s->flight == NULL)
			send_next(s, now_us);
		return;
	case HR_PHASE_FENCING:
	case HR_PHASE_FIRST:
		(void)has_trouble(s, now_us);
		return;
	}
}

/* ---- beginning and end ----------------------------------------------------- */

static void add_rows(struct hr_owned *s, struct hr_stats *stats, hr_cell *none)
{
	const struct {
		hr_cell **cell;
		enum hr_metric metric;
	} rows[] = {
		{ &s->epochs_accepted, HR_METRIC_EPOCHS_ACCEPTED },
		{ &s->datagrams_logged, HR_METRIC_DATAGRAMS_LOGGED },
		{ &s->log_link, HR_METRIC_LOG_LINK },
		{ &s->log_bytes, HR_METRIC_LOG_BYTES },
		{ &s->incarnation, HR_METRIC_LOG_INCARNATION },
		{ &s->recoveries, HR_METRIC_LOG_RECOVERIES },
		{ &s->ready, HR_METRIC_SHARD_READY },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		*rows[i].cell = stats == NULL
					? none
					: hr_stats_add_metric(stats, rows[i].metric,
							      "shard=\"%u\"", s->shard);
}

int hr_owned_init(struct hr_owned *s, struct hr_owner *owner, uint16_t shard,
		  struct hr_err *err)
{
	static const uint64_t one = 1;

	s->owner = owner;
	s->shard = shard;
	s->worker = owner->conf.worker_of_shard[shard];
	s->watchdog_ms = WATCHDOG_MIN_MS;
	s->backoff_ms = BACKOFF_MIN_MS;
	s->end_at_start = -1;
	pthread_mutex_init(&s->lock, NULL);
	hr_chain_init(&s->chain, &owner->set, shard);
	s->max_waiting = rte_ring_get_capacity(owner->conf.closed[s->worker]) + 1;
	s->waiting = calloc(s->max_waiting, sizeof(*s->waiting));
	if (s->waiting == NULL)
		return hr_fail(err, -ENOMEM, "no memory for shard %u", shard);
	add_rows(s, owner->conf.stats, owner->no_cells);
	show_state(s);
	say(s, "reading the chain");
	s->inbox = rd_kafka_queue_new(hr_kafka_handle(owner->consumer));
	rd_kafka_queue_io_event_enable(s->inbox, owner->wake_fd, &one, sizeof(one));
	/* From offset 0: a log that lost its beginning is told by an error. */
	if (rd_kafka_consume_start_queue(owner->log, shard, 0, s->inbox) < 0)
		return hr_fail(err, -EIO, "partition %u of topic %s: %s", shard,
			       owner->set.log_topic,
			       rd_kafka_err2str(rd_kafka_last_error()));
	return 0;
}

uint64_t hr_owned_end(struct hr_owned *s)
{
	uint64_t tentative = 0;

	if (s->renewal.is_running) {
		hr_renewal_wait(&s->renewal);
		on_renewed(s);
	}
	if (s->flight != NULL && s->flight->epoch != NULL)
		tentative += s->flight->epoch->n_items;
	if (s->flight != NULL)
		s->flight->is_done = true;
	s->flight = NULL;
	if (s->producer != NULL || s->renewal.old != NULL) {
		renew(s, false, false);
		if (!s->renewal.is_running)
			hr_renewal_run(&s->renewal); /* no thread to be had */
		hr_renewal_wait(&s->renewal);
		on_renewed(s);
	}
	while (s->n_waiting > 0) {
		struct hr_epoch *epoch = waiting_pop(s);

		tentative += epoch->n_items;
		hr_epoch_put(s->owner->conf.pool, epoch);
	}
	reap(s);
	assert(s->appends == NULL);
	return tentative;
}

void hr_owned_fini(struct hr_owned *s)
{
	if (s->inbox != NULL) {
		rd_kafka_consume_stop(s->owner->log, s->shard);
		rd_kafka_queue_destroy(s->inbox);
	}
	free(s->waiting);
	if (s->owner != NULL)
		pthread_mutex_destroy(&s->lock);
}
