/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fake/log_store.h"

#define OPENING_US 3000u

struct stored {
	uint8_t *bytes;
	uint32_t n_bytes;
	int64_t stamp_ms;
};

struct partition {
	struct stored *records;
	int64_t n, max;
	int64_t first; /* what lies before it was trimmed */
};

/* An append on its way to the log; its bytes are a copy. */
struct under_way {
	struct under_way *next;
	uint16_t shard;
	uint64_t due_us;
	uint8_t *bytes;
	uint32_t n_bytes;
	/* Of the writer that waits for the report; NULL: nobody does. */
	struct hr_log_part *part;
	const uint8_t *original; /* which must not change until then */
	void *cookie;
	bool is_refused;
};

struct report {
	struct report *next;
	struct hr_log_report report;
};

struct hr_log {
	struct hr_log *next;
	struct fake_store *store;
	struct hr_log_part *parts;
	uint64_t n_lost;
};

struct hr_log_part {
	struct hr_log_part *next;
	struct hr_log *log;
	uint16_t shard;
	int64_t at;
	bool is_told_end, is_gone, fails;
	bool wants_writer, has_failed;
	uint64_t ready_us; /* of the writer; 0: it is there, or none is wanted */
	struct report *reports;
	int64_t asked; /* by verify(); -1: nothing */
};

struct fake_store {
	uint32_t n_shards;
	struct partition *partitions;
	struct under_way *under_way; /* in the order of appending */
	struct hr_log *logs;
	uint64_t now_us, delay_us, late_us;
	enum fake_fate fate;
	uint32_t n_fate;
	int64_t stamp_ms;
	bool holds_verify, fails_writers;
	uint64_t n_verifies, n_appends;
};

static struct fake_store *used;

/* ---- the store ------------------------------------------------------------------ */

struct fake_store *fake_store_new(uint32_t n_shards)
{
	struct fake_store *store = calloc(1, sizeof(*store));

	store->n_shards = n_shards;
	store->partitions = calloc(n_shards, sizeof(*store->partitions));
	store->delay_us = 1000;
	store->late_us = 1000000;
	return store;
}

void fake_store_use(struct fake_store *store)
{
	used = store;
}

static void under_way_free(struct under_way *u)
{
	free(u->bytes);
	free(u);
}

void fake_store_free(struct fake_store *store)
{
	assert(store->logs == NULL);
	while (store->under_way != NULL) {
		struct under_way *u = store->under_way;

		store->under_way = u->next;
		under_way_free(u);
	}
	for (uint32_t s = 0; s < store->n_shards; s++) {
		for (int64_t i = 0; i < store->partitions[s].n; i++)
			free(store->partitions[s].records[i].bytes);
		free(store->partitions[s].records);
	}
	free(store->partitions);
	free(store);
}

int64_t fake_store_put(struct fake_store *store, uint16_t shard, const void *bytes,
		       uint32_t n_bytes)
{
	struct partition *p = &store->partitions[shard];
	struct stored *r;

	if (p->n == p->max) {
		p->max = p->max == 0 ? 64 : 2 * p->max;
		p->records = realloc(p->records, (size_t)p->max * sizeof(*p->records));
	}
	r = &p->records[p->n];
	r->bytes = malloc(n_bytes);
	memcpy(r->bytes, bytes, n_bytes);
	r->n_bytes = n_bytes;
	r->stamp_ms = store->stamp_ms;
	store->n_appends++;
	return p->n++;
}

void fake_store_cut(struct fake_store *store, uint16_t shard, int64_t offset)
{
	struct partition *p = &store->partitions[shard];

	while (p->n > offset)
		free(p->records[--p->n].bytes);
}

void fake_store_trim(struct fake_store *store, uint16_t shard, int64_t before)
{
	store->partitions[shard].first = before;
}

int64_t fake_store_end(const struct fake_store *store, uint16_t shard)
{
	return store->partitions[shard].n;
}

const uint8_t *fake_store_at(const struct fake_store *store, uint16_t shard,
			     int64_t offset, uint32_t *n_bytes)
{
	const struct partition *p = &store->partitions[shard];

	if (offset < 0 || offset >= p->n)
		return NULL;
	*n_bytes = p->records[offset].n_bytes;
	return p->records[offset].bytes;
}

void fake_store_delays(struct fake_store *store, uint64_t delay_us, uint64_t late_us)
{
	store->delay_us = delay_us;
	store->late_us = late_us;
}

void fake_store_fate(struct fake_store *store, enum fake_fate fate, uint32_t n)
{
	store->fate = fate;
	store->n_fate = n;
}

void fake_store_stamp(struct fake_store *store, int64_t stamp_ms)
{
	store->stamp_ms = stamp_ms;
}

void fake_store_lose_connections(struct fake_store *store)
{
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		l->n_lost++;
}

void fake_store_fail_reads(struct fake_store *store)
{
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		for (struct hr_log_part *p = l->parts; p != NULL; p = p->next)
			p->fails = true;
}

void fake_store_hold_verify(struct fake_store *store, bool holds)
{
	store->holds_verify = holds;
}

void fake_store_fail_writers(struct fake_store *store, bool fails)
{
	store->fails_writers = fails;
}

uint64_t fake_store_verifies(const struct fake_store *store)
{
	return store->n_verifies;
}

uint64_t fake_store_appends(const struct fake_store *store)
{
	return store->n_appends;
}

static void report_add(struct hr_log_part *part, void *cookie, bool was_taken)
{
	struct report *r = calloc(1, sizeof(*r));
	struct report **at = &part->reports;

	r->report = (struct hr_log_report){ cookie, was_taken };
	while (*at != NULL)
		at = &(*at)->next;
	*at = r;
}

static void arrive(struct fake_store *store, struct under_way *u)
{
	/* What was given without copying stays as it was until the report. */
	if (u->original != NULL)
		assert(memcmp(u->original, u->bytes, u->n_bytes) == 0);
	if (!u->is_refused)
		fake_store_put(store, u->shard, u->bytes, u->n_bytes);
	if (u->part != NULL)
		report_add(u->part, u->cookie, !u->is_refused);
	under_way_free(u);
}

void fake_store_time(struct fake_store *store, uint64_t now_us)
{
	struct under_way **at = &store->under_way;

	store->now_us = now_us;
	while (*at != NULL) {
		struct under_way *u = *at;

		if (u->due_us > now_us) {
			at = &u->next;
			continue;
		}
		*at = u->next;
		arrive(store, u);
	}
}

/* ---- the interface ---------------------------------------------------------------- */

static int fake_open(struct hr_log **out, const struct hr_log_conf *conf,
		     struct hr_err *err)
{
	struct hr_log *log = calloc(1, sizeof(*log));

	(void)conf;
	(void)err;
	log->store = used;
	log->next = used->logs;
	used->logs = log;
	*out = log;
	return 0;
}

static void fake_close(struct hr_log *log)
{
	struct hr_log **at = &log->store->logs;

	assert(log->parts == NULL);
	while (*at != log)
		at = &(*at)->next;
	*at = log->next;
	free(log);
}

static int fake_wake_fd(const struct hr_log *log)
{
	(void)log;
	return -1;
}

static void fake_poll(struct hr_log *log)
{
	(void)log;
}

static int part_open(struct hr_log_part **out, struct hr_log *log, uint16_t shard,
		     int64_t from, struct hr_err *err)
{
	struct hr_log_part *part = calloc(1, sizeof(*part));

	(void)err;
	part->log = log;
	part->shard = shard;
	part->at = from;
	part->asked = -1;
	part->next = log->parts;
	log->parts = part;
	*out = part;
	return 0;
}

/* Its writer waits for nothing any more, and refers to nothing. */
static void forget_writer(struct hr_log_part *part)
{
	for (struct under_way *u = part->log->store->under_way; u != NULL; u = u->next)
		if (u->part == part) {
			u->part = NULL;
			u->original = NULL;
		}
	while (part->reports != NULL) {
		struct report *r = part->reports;

		part->reports = r->next;
		free(r);
	}
}

static void part_close(struct hr_log_part *part)
{
	struct hr_log_part **at = &part->log->parts;

	forget_writer(part);
	while (*at != part)
		at = &(*at)->next;
	*at = part->next;
	free(part);
}

static int64_t first_of(const struct hr_log_part *part)
{
	return part->log->store->partitions[part->shard].first;
}

static void part_seek(struct hr_log_part *part, int64_t offset)
{
	part->at = offset == HR_LOG_BEGINNING ? first_of(part) : offset;
	part->is_told_end = part->is_gone = part->fails = false;
}

static void message_free(struct hr_log_message *m)
{
	free(m->held[0]);
}

static void message_make(struct hr_log_message *out, const struct stored *r,
			 int64_t offset)
{
	*out = (struct hr_log_message){
		.offset = offset,
		.stamped_ms = r->stamp_ms,
		.n_bytes = r->n_bytes,
		.held = { malloc(r->n_bytes) },
		.free = message_free,
	};
	memcpy(out->held[0], r->bytes, r->n_bytes);
	out->bytes = out->held[0];
}

static enum hr_log_read part_read(struct hr_log_part *part, struct hr_log_message *out,
				  struct hr_err *err)
{
	const struct partition *p = &part->log->store->partitions[part->shard];

	if (part->is_gone)
		return HR_LOG_NOTHING;
	if (part->fails) {
		hr_fail(err, -EIO, "the fake fails");
		part->is_gone = true; /* until seek() */
		return HR_LOG_TROUBLE;
	}
	if (part->at < p->first || part->at > p->n) {
		part->is_gone = true;
		hr_fail(err, -ENODATA, "offset %lld is gone", (long long)part->at);
		return HR_LOG_GONE;
	}
	if (part->at == p->n) {
		if (part->is_told_end)
			return HR_LOG_NOTHING;
		part->is_told_end = true;
		return HR_LOG_END;
	}
	part->is_told_end = false;
	message_make(out, &p->records[part->at], part->at);
	part->at++;
	return HR_LOG_RECORD;
}

static int64_t part_first(const struct hr_log_part *part)
{
	return first_of(part);
}

static int64_t part_end(const struct hr_log_part *part)
{
	return part->log->store->partitions[part->shard].n;
}

static void part_renew(struct hr_log_part *part)
{
	if (part->wants_writer && part->ready_us > part->log->store->now_us)
		return;
	forget_writer(part);
	part->wants_writer = true;
	part->has_failed = part->log->store->fails_writers;
	part->ready_us = part->log->store->now_us + OPENING_US;
}

static void part_retire(struct hr_log_part *part)
{
	forget_writer(part);
	part->wants_writer = false;
	part->ready_us = part->log->store->now_us + OPENING_US;
}

static enum hr_log_writer part_writer(struct hr_log_part *part, struct hr_err *err)
{
	err->text[0] = '\0';
	if (part->ready_us > part->log->store->now_us)
		return HR_LOG_WRITER_OPENING;
	if (!part->wants_writer)
		return HR_LOG_WRITER_NONE;
	if (!part->has_failed)
		return HR_LOG_WRITER_READY;
	hr_fail(err, -EIO, "the fake opens none");
	return HR_LOG_WRITER_FAILED;
}

static void send(struct hr_log_part *part, const uint8_t *bytes, uint32_t n_bytes,
		 uint64_t delay_us, const struct under_way *rest)
{
	struct fake_store *store = part->log->store;
	struct under_way *u = malloc(sizeof(*u)), **at = &store->under_way;

	*u = *rest;
	u->next = NULL;
	u->shard = part->shard;
	u->due_us = store->now_us + delay_us;
	u->bytes = malloc(n_bytes);
	memcpy(u->bytes, bytes, n_bytes);
	u->n_bytes = n_bytes;
	while (*at != NULL)
		at = &(*at)->next;
	*at = u;
}

static int part_append(struct hr_log_part *part, const uint8_t *bytes, uint32_t n_bytes,
		       bool copies, void *cookie, struct hr_err *err)
{
	struct fake_store *store = part->log->store;
	enum fake_fate fate = store->n_fate > 0 ? store->fate : FAKE_TAKEN;
	const struct under_way waited = { .part = part,
					  .original = copies ? NULL : bytes,
					  .cookie = cookie,
					  .is_refused = fate == FAKE_REFUSED };
	const struct under_way silent = { .part = NULL };

	if (part_writer(part, err) != HR_LOG_WRITER_READY)
		return hr_fail(err, -ENOTCONN, "there is no writer");
	store->n_fate -= store->n_fate > 0;
	switch (fate) {
	case FAKE_TAKEN:
	case FAKE_REFUSED:
		send(part, bytes, n_bytes, store->delay_us, &waited);
		break;
	case FAKE_LOST:
		break;
	case FAKE_NO_ANSWER:
		send(part, bytes, n_bytes, store->delay_us, &silent);
		break;
	case FAKE_LATE:
		send(part, bytes, n_bytes, store->late_us, &silent);
		break;
	case FAKE_TWICE:
		send(part, bytes, n_bytes, store->delay_us, &waited);
		send(part, bytes, n_bytes, store->late_us, &silent);
		break;
	}
	return 0;
}

static int part_report(struct hr_log_part *part, struct hr_log_report *out,
		       struct hr_err *err)
{
	struct report *r = part->reports;

	if (r == NULL)
		return 0;
	part->reports = r->next;
	*out = r->report;
	if (!out->was_taken)
		hr_fail(err, -EIO, "the fake refused it");
	free(r);
	return 1;
}

static bool part_is_broken(struct hr_log_part *part, struct hr_err *err)
{
	(void)part;
	(void)err;
	return false;
}

static void part_verify(struct hr_log_part *part, int64_t offset)
{
	part->asked = offset;
	part->log->store->n_verifies++;
}

static enum hr_log_read part_verified(struct hr_log_part *part,
				      struct hr_log_message *out, struct hr_err *err)
{
	const struct fake_store *store = part->log->store;
	const struct partition *p = &store->partitions[part->shard];
	int64_t asked = part->asked;

	if (asked < 0 || store->holds_verify)
		return HR_LOG_NOTHING;
	part->asked = -1;
	if (asked < p->first || asked >= p->n) {
		hr_fail(err, -ENODATA, "offset %lld is gone", (long long)asked);
		return HR_LOG_GONE;
	}
	message_make(out, &p->records[asked], asked);
	return HR_LOG_RECORD;
}

static uint64_t fake_n_lost(const struct hr_log *log)
{
	return log->n_lost;
}

static void fake_errors(const struct hr_log *log, uint64_t *reading,
			uint64_t *appending)
{
	(void)log;
	*reading = *appending = 0;
}

static int fake_trim(struct hr_log *log, uint16_t shard, int64_t before,
		     struct hr_err *err)
{
	(void)log;
	(void)shard;
	(void)before;
	return hr_fail(err, -ENOTSUP, "the fake keeps everything");
}

const struct hr_log_ops fake_log_ops = {
	.name = "fake",
	.open = fake_open,
	.close = fake_close,
	.wake_fd = fake_wake_fd,
	.poll = fake_poll,
	.part_open = part_open,
	.part_close = part_close,
	.seek = part_seek,
	.read = part_read,
	.first = part_first,
	.end = part_end,
	.renew = part_renew,
	.retire = part_retire,
	.writer = part_writer,
	.append = part_append,
	.report = part_report,
	.is_broken = part_is_broken,
	.verify = part_verify,
	.verified = part_verified,
	.n_lost = fake_n_lost,
	.errors = fake_errors,
	.trim = fake_trim,
};
