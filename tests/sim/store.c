/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/coro.h"
#include "tests/sim/store.h"
#include "tests/sim/world.h"

struct landing;

struct partition {
	struct landing *landings; /* on their way */
	struct sim_record *records;
	size_t n, max;
	int64_t first, next_offset;
	uint64_t readable_us; /* of the newest: the high watermark does not go back */
	uint32_t n_cuts;
};

struct sim_store {
	struct sim *sim;
	uint32_t n_partitions;
	struct partition *partitions;
	struct hr_log *logs; /* all open handles */
	uint64_t stopped_until_us;
	uint64_t n_writers;
	void (*news)(void *arg);
	void *news_arg;
	void (*landed)(void *arg, uint16_t shard, const struct sim_record *record);
	void *landed_arg;
};

struct report {
	struct report *next;
	struct hr_log_report report;
};

struct hr_log_part {
	struct hr_log_part *next;
	struct hr_log *log;
	uint16_t shard;
	int64_t cursor;
	bool is_broken, told_end, waits_for_seek;
	enum hr_log_writer writer;
	uint64_t writer_no; /* of the one that is open or being opened */
	uint64_t lands_us;  /* when the last append of this writer lands */
	bool is_stuck;
	struct report *reports, **reports_end;
	int64_t verify_offset; /* -1: nothing is asked */
	uint64_t verify_no;
	bool is_verified;
};

struct hr_log {
	struct hr_log *next;
	struct sim_store *store;
	struct hr_log_part *parts;
	uint64_t n_lost;
	void (*news)(void *arg);
	void *news_arg;
};

/* ---- deeds that outlive what asked for them ---- */

struct landing {
	struct landing *next, **at; /* of the partition's */
	struct sim_store *store;
	uint16_t shard;
	uint64_t writer_no;
	void *cookie;
	uint32_t n_cuts; /* of the partition when it was sent */
	bool is_copy, reports, says_no;
	bool has_landed; /* before its time, behind another */
	uint32_t n_bytes;
	uint8_t bytes[];
};

static void tell(struct hr_log *log)
{
	if (log->news != NULL)
		log->news(log->news_arg);
}

static struct hr_log_part *part_of_writer(struct sim_store *store, uint64_t writer_no)
{
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		for (struct hr_log_part *p = l->parts; p != NULL; p = p->next)
			if (p->writer_no == writer_no)
				return p;
	return NULL;
}

static void report(struct hr_log_part *part, void *cookie, bool was_taken)
{
	struct report *r = calloc(1, sizeof(*r));

	if (r == NULL)
		abort();
	r->report = (struct hr_log_report){ cookie, was_taken };
	*part->reports_end = r;
	part->reports_end = &r->next;
	tell(part->log);
}

static void readable(struct sim *sim, void *arg, uint64_t shard)
{
	struct sim_store *store = arg;

	(void)sim;
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		for (struct hr_log_part *p = l->parts; p != NULL; p = p->next)
			if (p->shard == shard)
				tell(l);
}

static void partition_add(struct sim_store *store, uint16_t shard, const uint8_t *bytes,
			  uint32_t n_bytes)
{
	struct partition *p = &store->partitions[shard];
	struct sim *sim = store->sim;
	uint64_t delay_us = sim_delay(&sim->random, 50, sim->faults.append_us);
	struct sim_record *r;

	if (p->n == p->max) {
		p->max = p->max != 0 ? 2 * p->max : 64;
		p->records = realloc(p->records, p->max * sizeof(*p->records));
		if (p->records == NULL)
			abort();
	}
	r = &p->records[p->n++];
	r->bytes = malloc(n_bytes);
	if (r->bytes == NULL)
		abort();
	memcpy(r->bytes, bytes, n_bytes);
	r->n_bytes = n_bytes;
	r->offset = p->next_offset;
	/* Offsets have gaps, as behind transactions and compaction. */
	p->next_offset += 1 + (int64_t)sim_once_in(&sim->random, 16);
	r->stamped_ms = (int64_t)((SIM_EPOCH_US + sim->now_us) / 1000);
	if (p->readable_us < sim->now_us + delay_us)
		p->readable_us = sim->now_us + delay_us;
	r->readable_us = p->readable_us;
	if (store->landed != NULL)
		store->landed(store->landed_arg, shard, r);
	sim_after(sim, r->readable_us - sim->now_us, readable, store, shard);
}

static void landing_forget(struct landing *l)
{
	l->has_landed = true;
	*l->at = l->next;
	if (l->next != NULL)
		l->next->at = l->at;
}

static void land_now(struct landing *l)
{
	struct sim_store *store = l->store;
	struct hr_log_part *part;

	landing_forget(l);
	partition_add(store, l->shard, l->bytes, l->n_bytes);
	part = part_of_writer(store, l->writer_no);
	if (part != NULL && l->reports && !l->is_copy)
		report(part, l->cookie, !l->says_no);
}

static bool is_refused(const struct landing *l)
{
	return l->is_copy && l->n_cuts != l->store->partitions[l->shard].n_cuts;
}

/* What opened the way for one may have opened it for others: an append that was under
 * way, or that somebody gave up, comes right behind the fence that was to keep it out. A
 * living writer has one under way at most, so it keeps its order. */
static void land_others(struct sim_store *store, const struct landing *landed)
{
	struct landing *next;

	for (struct landing *l = store->partitions[landed->shard].landings; l != NULL;
	     l = next) {
		next = l->next;
		if (l->writer_no != landed->writer_no && !is_refused(l) &&
		    sim_strikes(store->sim, store->sim->faults.append_rides))
			land_now(l);
	}
}

static void land(struct sim *sim, void *arg, uint64_t unused)
{
	struct landing *l = arg;
	struct sim_store *store = l->store;

	(void)unused;
	if (store->stopped_until_us > sim->now_us && !l->has_landed) {
		sim_after(sim, store->stopped_until_us - sim->now_us, land, l, 0);
		return;
	}
	if (!l->has_landed && is_refused(l)) {
		landing_forget(l);
	} else if (!l->has_landed) {
		land_now(l);
		land_others(store, l);
	}
	sim_drop(l);
}

/* ---- the interface: handles and reading ---- */

static struct sim_store *current;

void sim_store_use(struct sim_store *store, void (*news)(void *arg), void *arg)
{
	current = store;
	store->news = news;
	store->news_arg = arg;
}

static int log_open(struct hr_log **out, const struct hr_log_conf *conf,
		    struct hr_err *err)
{
	struct hr_log *log = calloc(1, sizeof(*log));

	(void)conf;
	if (log == NULL)
		return hr_fail(err, -ENOMEM, "no memory");
	log->store = current;
	log->news = current->news;
	log->news_arg = current->news_arg;
	log->next = current->logs;
	current->logs = log;
	*out = log;
	return 0;
}

static void reports_free(struct hr_log_part *part)
{
	while (part->reports != NULL) {
		struct report *r = part->reports;

		part->reports = r->next;
		free(r);
	}
	part->reports_end = &part->reports;
}

static void part_close(struct hr_log_part *part)
{
	struct hr_log_part **at = &part->log->parts;

	while (*at != part)
		at = &(*at)->next;
	*at = part->next;
	reports_free(part);
	free(part);
}

static void log_close(struct hr_log *log)
{
	struct hr_log **at = &log->store->logs;

	while (log->parts != NULL)
		part_close(log->parts);
	while (*at != log)
		at = &(*at)->next;
	*at = log->next;
	free(log);
}

static int log_wake_fd(const struct hr_log *log)
{
	(void)log;
	return -1;
}

static void log_poll(struct hr_log *log)
{
	(void)log;
}

static int part_open(struct hr_log_part **out, struct hr_log *log, uint16_t shard,
		     int64_t from, struct hr_err *err)
{
	struct hr_log_part *part = calloc(1, sizeof(*part));

	if (part == NULL)
		return hr_fail(err, -ENOMEM, "no memory");
	part->log = log;
	part->shard = shard;
	part->cursor = from;
	part->verify_offset = -1;
	part->reports_end = &part->reports;
	part->next = log->parts;
	log->parts = part;
	tell(log);
	*out = part;
	return 0;
}

static struct partition *partition_of(const struct hr_log_part *part)
{
	return &part->log->store->partitions[part->shard];
}

static bool answers(const struct hr_log_part *part)
{
	const struct sim_store *store = part->log->store;

	return store->stopped_until_us <= store->sim->now_us;
}

static void part_seek(struct hr_log_part *part, int64_t offset)
{
	part->cursor = offset == HR_LOG_BEGINNING ? partition_of(part)->first : offset;
	part->waits_for_seek = part->told_end = false;
	tell(part->log);
}

static void message_free(struct hr_log_message *message)
{
	free(message->held[0]);
}

static void message_make(struct hr_log_message *out, const struct sim_record *r)
{
	uint8_t *copy = malloc(r->n_bytes);

	if (copy == NULL)
		abort();
	memcpy(copy, r->bytes, r->n_bytes);
	*out = (struct hr_log_message){
		.offset = r->offset,
		.stamped_ms = r->stamped_ms,
		.bytes = copy,
		.n_bytes = r->n_bytes,
		.held = { copy, NULL },
		.free = message_free,
	};
}

/* The first record at this offset or behind it, or NULL. */
static const struct sim_record *record_at(const struct partition *p, int64_t offset)
{
	for (size_t i = p->n; i > 0; i--)
		if (p->records[i - 1].offset < offset)
			return i < p->n ? &p->records[i] : NULL;
	return p->n > 0 ? &p->records[0] : NULL;
}

static enum hr_log_read part_read(struct hr_log_part *part, struct hr_log_message *out,
				  struct hr_err *err)
{
	struct partition *p = partition_of(part);
	struct sim *sim = part->log->store->sim;
	const struct sim_record *r;

	if (sim_coro_is_ending()) {
		hr_fail(err, -EIO, "the reader's process died");
		return HR_LOG_GONE;
	}
	if (part->waits_for_seek || !answers(part))
		return HR_LOG_NOTHING;
	if (sim_strikes(sim, sim->faults.read_trouble)) {
		part->waits_for_seek = true;
		hr_fail(err, -EIO, "simulated trouble");
		return HR_LOG_TROUBLE;
	}
	if (part->cursor < p->first || part->cursor > p->next_offset) {
		part->waits_for_seek = true;
		hr_fail(err, -ENODATA, "offset %lld is not there: %lld to %lld are",
			(long long)part->cursor, (long long)p->first,
			(long long)p->next_offset);
		return HR_LOG_GONE;
	}
	r = record_at(p, part->cursor);
	if (r != NULL && r->readable_us <= sim->now_us) {
		message_make(out, r);
		part->cursor = r->offset + 1;
		part->told_end = false;
		return HR_LOG_RECORD;
	}
	if (part->told_end)
		return HR_LOG_NOTHING;
	part->told_end = true;
	return HR_LOG_END;
}

static int64_t part_first(const struct hr_log_part *part)
{
	return partition_of(part)->first;
}

static int64_t part_end(const struct hr_log_part *part)
{
	const struct partition *p = partition_of(part);
	int64_t end = p->first;

	for (size_t i = 0; i < p->n; i++)
		if (p->records[i].readable_us <= part->log->store->sim->now_us)
			end = p->records[i].offset + 1;
	return end;
}

/* ---- writing ---- */

static void writer_opened(struct sim *sim, void *arg, uint64_t writer_no)
{
	struct sim_store *store = arg;
	struct hr_log_part *part = part_of_writer(store, writer_no);

	if (part == NULL)
		return;
	if (store->stopped_until_us > sim->now_us) {
		sim_after(sim, store->stopped_until_us - sim->now_us, writer_opened,
			  store, writer_no);
		return;
	}
	part->writer =
		sim_strikes(sim, 50) ? HR_LOG_WRITER_FAILED : HR_LOG_WRITER_READY;
	tell(part->log);
}

static void writer_drop(struct hr_log_part *part)
{
	reports_free(part);
	part->writer_no = 0;
	part->writer = HR_LOG_WRITER_NONE;
	part->is_stuck = part->is_broken = false;
	part->lands_us = 0;
}

static void part_renew(struct hr_log_part *part)
{
	struct sim_store *store = part->log->store;

	writer_drop(part);
	part->writer = HR_LOG_WRITER_OPENING;
	part->writer_no = ++store->n_writers;
	sim_after(store->sim, sim_delay(&store->sim->random, 200, 20000), writer_opened,
		  store, part->writer_no);
}

static void part_retire(struct hr_log_part *part)
{
	writer_drop(part);
}

static enum hr_log_writer part_writer(struct hr_log_part *part, struct hr_err *err)
{
	if (part->writer == HR_LOG_WRITER_FAILED)
		hr_fail(err, -EIO, "simulated: no writer to be had");
	return part->writer;
}

static struct landing *landing_new(struct hr_log_part *part, const uint8_t *bytes,
				   uint32_t n_bytes, void *cookie)
{
	struct landing *l = sim_keep(part->log->store->sim, sizeof(*l) + n_bytes);

	*l = (struct landing){
		.store = part->log->store,
		.shard = part->shard,
		.writer_no = part->writer_no,
		.cookie = cookie,
		.n_cuts = partition_of(part)->n_cuts,
		.reports = true,
		.n_bytes = n_bytes,
	};
	memcpy(l->bytes, bytes, n_bytes);
	l->at = &partition_of(part)->landings;
	l->next = *l->at;
	if (l->next != NULL)
		l->next->at = &l->next;
	*l->at = l;
	return l;
}

/* In the writer's order, and not before `us`. */
static void land_after(struct hr_log_part *part, struct landing *l, uint64_t us)
{
	struct sim *sim = part->log->store->sim;

	if (part->lands_us < sim->now_us + us)
		part->lands_us = sim->now_us + us;
	sim_after(sim, part->lands_us - sim->now_us, land, l, 0);
}

static int part_append(struct hr_log_part *part, const uint8_t *bytes, uint32_t n_bytes,
		       bool copies, void *cookie, struct hr_err *err)
{
	struct sim *sim = part->log->store->sim;
	const struct sim_faults *f = &sim->faults;
	uint64_t us = sim_delay(&sim->random, 50, f->append_us);
	struct landing *l;

	(void)copies;
	if (part->writer != HR_LOG_WRITER_READY)
		return hr_fail(err, -EPIPE, "there is no writer");
	if (part->is_stuck || sim_strikes(sim, f->append_lost)) {
		part->is_stuck = true;
		return 0;
	}
	l = landing_new(part, bytes, n_bytes, cookie);
	l->reports = !sim_strikes(sim, f->report_lost);
	l->says_no = sim_strikes(sim, f->append_refused);
	part->is_stuck = part->is_broken = l->says_no;
	if (sim_strikes(sim, f->append_late))
		us = sim_delay(&sim->random, us, f->late_us);
	land_after(part, l, us);
	if (sim_strikes(sim, f->append_doubled)) {
		l = landing_new(part, bytes, n_bytes, NULL);
		l->is_copy = true;
		/* It was under way somewhere: it keeps no order. */
		sim_after(sim, us + sim_delay(&sim->random, 0, f->late_us), land, l, 0);
	}
	return 0;
}

static int part_report(struct hr_log_part *part, struct hr_log_report *out,
		       struct hr_err *err)
{
	struct report *r = part->reports;

	if (r == NULL)
		return 0;
	*out = r->report;
	if (!out->was_taken)
		hr_fail(err, -EIO, "simulated: it may or may not have been taken");
	part->reports = r->next;
	if (part->reports == NULL)
		part->reports_end = &part->reports;
	free(r);
	return 1;
}

static bool part_is_broken(struct hr_log_part *part, struct hr_err *err)
{
	if (part->is_broken)
		hr_fail(err, -EIO, "simulated: the writer cannot go on");
	return part->is_broken;
}

/* ---- verifying ---- */

static void verify_answer(struct sim *sim, void *arg, uint64_t verify_no)
{
	struct sim_store *store = arg;

	(void)sim;
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		for (struct hr_log_part *p = l->parts; p != NULL; p = p->next)
			if (p->verify_offset >= 0 && p->verify_no == verify_no) {
				p->is_verified = true;
				tell(l);
			}
}

static void part_verify(struct hr_log_part *part, int64_t offset)
{
	struct sim_store *store = part->log->store;

	part->verify_offset = offset;
	part->verify_no = ++store->n_writers;
	part->is_verified = false;
	sim_after(store->sim, sim_delay(&store->sim->random, 50, 5000), verify_answer,
		  store, part->verify_no);
}

static enum hr_log_read part_verified(struct hr_log_part *part,
				      struct hr_log_message *out, struct hr_err *err)
{
	const struct partition *p = partition_of(part);
	struct sim *sim = part->log->store->sim;
	const struct sim_record *r;
	int64_t offset = part->verify_offset;

	if (!part->is_verified || !answers(part))
		return HR_LOG_NOTHING;
	part->verify_offset = -1;
	part->is_verified = false;
	if (sim_strikes(sim, sim->faults.read_trouble)) {
		hr_fail(err, -EIO, "simulated trouble");
		return HR_LOG_TROUBLE;
	}
	r = record_at(p, offset);
	if (r == NULL || r->offset != offset) {
		hr_fail(err, -ENODATA, "no record at offset %lld", (long long)offset);
		return HR_LOG_GONE;
	}
	message_make(out, r);
	return HR_LOG_RECORD;
}

static uint64_t log_n_lost(const struct hr_log *log)
{
	return log->n_lost;
}

static void log_errors(const struct hr_log *log, uint64_t *reading, uint64_t *appending)
{
	(void)log;
	*reading = *appending = 0;
}

static int log_trim(struct hr_log *log, uint16_t shard, int64_t before,
		    struct hr_err *err)
{
	struct partition *p = &log->store->partitions[shard];
	struct sim *sim = log->store->sim;
	size_t n = 0;

	sim_coro_sleep(sim_delay(&sim->random, 1000, sim->faults.late_us));
	if (sim_coro_is_ending() || sim_once_in(&sim->random, sim->faults.report_lost))
		return hr_fail(err, -EIO, "simulated: it seems not");
	if (before > p->next_offset)
		return hr_fail(err, -ERANGE, "offset %lld is beyond the end",
			       (long long)before);
	while (n < p->n && p->records[n].offset < before)
		free(p->records[n++].bytes);
	memmove(p->records, p->records + n, (p->n - n) * sizeof(*p->records));
	p->n -= n;
	if (before > p->first)
		p->first = before;
	if (n > 0)
		sim_happened(sim, SIM_TRIMS);
	sim_trace(sim,
		  "shard %u: the log is trimmed up to offset %lld: %zu records went",
		  shard, (long long)before, n);
	return 0;
}

const struct hr_log_ops sim_log_ops = {
	.name = "simulated",
	.open = log_open,
	.close = log_close,
	.wake_fd = log_wake_fd,
	.poll = log_poll,
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
	.n_lost = log_n_lost,
	.errors = log_errors,
	.trim = log_trim,
};

const struct hr_log_ops *hr_log_ops_of(const struct hr_config *config)
{
	(void)config;
	return &sim_log_ops;
}

/* ---- the run's side ---- */

static void lose_connections(struct sim *sim, void *arg, uint64_t number)
{
	struct sim_store *store = arg;

	(void)number;
	for (struct hr_log *l = store->logs; l != NULL; l = l->next)
		if (sim_strikes(sim, sim->faults.connection_lost)) {
			l->n_lost++;
			tell(l);
		}
	if (sim->faults.connection_lost != 0)
		sim_after(sim, SIM_SECOND, lose_connections, store, 0);
}

struct sim_store *sim_store_new(struct sim *sim, uint32_t n_partitions)
{
	struct sim_store *store = calloc(1, sizeof(*store));

	if (store == NULL)
		return NULL;
	store->sim = sim;
	store->n_partitions = n_partitions;
	store->partitions = calloc(n_partitions, sizeof(*store->partitions));
	if (store->partitions == NULL) {
		free(store);
		return NULL;
	}
	sim_after(sim, SIM_SECOND, lose_connections, store, 0);
	return store;
}

void sim_store_free(struct sim_store *store)
{
	while (store->logs != NULL)
		log_close(store->logs);
	for (uint32_t s = 0; s < store->n_partitions; s++) {
		for (size_t i = 0; i < store->partitions[s].n; i++)
			free(store->partitions[s].records[i].bytes);
		free(store->partitions[s].records);
	}
	free(store->partitions);
	free(store);
}

void sim_store_watch(struct sim_store *store,
		     void (*landed)(void *arg, uint16_t shard,
				    const struct sim_record *record),
		     void *arg)
{
	store->landed = landed;
	store->landed_arg = arg;
}

const struct sim_record *sim_store_records(const struct sim_store *store,
					   uint16_t shard, size_t *n)
{
	*n = store->partitions[shard].n;
	return store->partitions[shard].records;
}

void sim_store_cut(struct sim_store *store, uint16_t shard, uint32_t n)
{
	struct partition *p = &store->partitions[shard];

	for (; n > 0 && p->n > 0; n--) {
		p->n--;
		p->next_offset = p->records[p->n].offset;
		free(p->records[p->n].bytes);
	}
	p->readable_us = 0;
	p->n_cuts++;
	for (struct hr_log *l = store->logs; l != NULL; l = l->next) {
		l->n_lost++; /* a new leader: every connection to the old one went */
		tell(l);
	}
}

void sim_store_regrow(struct sim_store *store, uint16_t shard, int64_t offset)
{
	static const uint8_t foreign[16] = "not a record";

	while (store->partitions[shard].next_offset < offset)
		partition_add(store, shard, foreign, sizeof(foreign));
}

int64_t sim_store_end(const struct sim_store *store, uint16_t shard)
{
	return store->partitions[shard].next_offset;
}

void sim_store_stop(struct sim_store *store, uint64_t us)
{
	uint64_t until = store->sim->now_us + us;

	if (until > store->stopped_until_us)
		store->stopped_until_us = until;
	for (uint16_t s = 0; s < store->n_partitions; s++)
		sim_after(store->sim, us, readable, store, s);
}
