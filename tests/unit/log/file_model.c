/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/log/file_shard.h"
#include "tests/fake/disk.h"
#include "tests/unit/log/file_model.h"

#define RECORDS_MAX 32
#define ALL_SUBSETS_TO 8 /* pending pieces; more are sampled */
#define FRAMES_A_SEGMENT 3u
#define RECORD_BYTES 40u
#define STEPS_MAX 400u

enum fault {
	FAULT_NONE,
	FAULT_SYNC_GO_ON,   /* the n-th sync fails, the process opens the log again */
	FAULT_SYNC_RESTART, /* the n-th sync fails, another process opens it */
	FAULT_FULL,         /* no room after n bytes, later there is */
	FAULTS
};

struct record {
	uint64_t id;
	int64_t offset;
	bool was_reported, was_shown;
};

struct model {
	struct fake_disk *disk, *copy, *later;
	struct hr_disk ops;
	struct hr_data_set set;
	struct hr_file_place place;
	struct hr_file_writer writer;
	struct record records[RECORDS_MAX];
	uint32_t n_records;
	uint32_t
		own_from; /* of this opening: those before it were given up or reported */
	struct file_model_sum *sum;
	/* For people. */
	enum fault fault;
	uint32_t fault_at, call;
	uint64_t keeps;
	bool is_broken;
};

static void broke(struct model *m, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static void broke(struct model *m, const char *fmt, ...)
{
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	if (m->sum->broken == 0 && !m->is_broken)
		snprintf(m->sum->first, sizeof(m->sum->first),
			 "fault %d at %u, power off at call %u, kept %llx: %s",
			 m->fault, m->fault_at, m->call, (unsigned long long)m->keeps,
			 what);
	m->is_broken = true;
}

static void use(struct model *m, struct fake_disk *disk)
{
	m->ops = fake_disk_ops(disk);
	m->place.disk = &m->ops;
}

static void make_record(uint8_t bytes[RECORD_BYTES], uint64_t id)
{
	memset(bytes, (int)('a' + id % 26), RECORD_BYTES);
	hr_store64(bytes, id);
}

/* ---- what a reader sees ---------------------------------------------------- */

static struct record *find(struct model *m, const struct hr_file_record *seen)
{
	uint8_t bytes[RECORD_BYTES];

	for (uint32_t i = 0; i < m->n_records; i++) {
		make_record(bytes, m->records[i].id);
		if (m->records[i].offset == seen->offset &&
		    seen->n_bytes == RECORD_BYTES &&
		    memcmp(bytes, seen->bytes, RECORD_BYTES) == 0)
			return &m->records[i];
	}
	return NULL;
}

/* Read everything. With must_have: what was promised has to be among it. */
static void read_all(struct model *m, const char *when, bool must_have)
{
	bool found[RECORDS_MAX] = { false };
	struct hr_file_record seen;
	struct hr_file_reader r;
	int64_t last = -1;
	struct hr_err err = { "" };
	int rc;

	hr_file_reader_init(&r, &m->place);
	rc = hr_file_reader_seek(&r, 0, &err);
	while (rc >= 0 && (rc = hr_file_reader_next(&r, &seen, &err)) > 0) {
		struct record *known = find(m, &seen);

		if (known == NULL)
			broke(m, "%s: what nobody appended at offset %lld", when,
			      (long long)seen.offset);
		else
			found[known - m->records] = known->was_shown = true;
		if (seen.offset <= last)
			broke(m, "%s: offset %lld comes behind %lld", when,
			      (long long)seen.offset, (long long)last);
		last = seen.offset;
		free(seen.memory);
	}
	hr_file_reader_fini(&r);
	if (rc < 0)
		broke(m, "%s: %s", when, err.text);
	for (uint32_t i = 0; i < m->n_records && must_have; i++)
		if ((m->records[i].was_reported || m->records[i].was_shown) &&
		    !found[i])
			broke(m, "%s: record %llu at offset %lld was %s and is gone",
			      when, (unsigned long long)m->records[i].id,
			      (long long)m->records[i].offset,
			      m->records[i].was_reported ? "reported" : "shown");
}

/* ---- writing --------------------------------------------------------------- */

static int append(struct model *m)
{
	struct record *rec = &m->records[m->n_records];
	uint8_t bytes[RECORD_BYTES];
	int r;

	rec->id = m->n_records + 1;
	rec->was_reported = rec->was_shown = false;
	make_record(bytes, rec->id);
	/* Its place is known before: half of it may be written when power goes. */
	rec->offset = m->writer.at + HR_FRAME_BYTES(RECORD_BYTES) - 1;
	m->n_records++;
	r = hr_file_writer_append(&m->writer, bytes, RECORD_BYTES, &rec->offset, NULL);
	return r;
}

static int sync_it(struct model *m)
{
	int r = hr_file_writer_sync(&m->writer, NULL);

	for (uint32_t i = m->own_from; i < m->n_records && r == 0; i++)
		m->records[i].was_reported = true;
	return r;
}

/* A record given up may lie anywhere or nowhere; what follows may take its place. */
static int write_some(struct model *m, uint32_t n_groups)
{
	int r = 0;

	for (uint32_t g = 0; g < n_groups && r == 0; g++) {
		for (uint32_t i = 0; i < 1 + g % 2 && r == 0; i++)
			r = append(m);
		if (r == 0)
			r = sync_it(m);
	}
	return r == 0 ? append(m) : r; /* and one that is not synced */
}

static int open_writer(struct model *m, struct hr_err *err)
{
	m->own_from = m->n_records;
	return hr_file_writer_open(&m->writer, err);
}

static void renew_writer(struct model *m)
{
	hr_file_writer_fini(&m->writer);
	(void)hr_file_writer_init(&m->writer, &m->place, NULL);
}

/* The history up to where the power goes, or all of it. */
static void act(struct model *m)
{
	int r = open_writer(m, NULL);

	if (r == 0)
		r = write_some(m, 3);
	if (r == 0 || m->disk->is_off)
		return;
	/* Not the power: the fault. */
	read_all(m, "behind the fault", true);
	if (m->fault == FAULT_SYNC_RESTART) {
		uint32_t off = m->disk->off_at_call;

		renew_writer(m);
		fake_disk_kill(m->disk);
		m->disk->off_at_call = off;
	}
	m->disk->room_bytes = UINT64_MAX;
	if (open_writer(m, NULL) < 0 && !m->disk->is_off)
		(void)open_writer(m, NULL); /* the same fault may have hit it first */
	if (m->writer.is_open)
		(void)write_some(m, 2);
}

/* ---- ends ------------------------------------------------------------------ */

static void recover(struct model *m)
{
	struct hr_err err = { "" };

	/* Somebody reads before anybody recovers. */
	read_all(m, "after the power came back", false);
	if (hr_file_writer_init(&m->writer, &m->place, NULL) < 0)
		abort();
	if (open_writer(m, &err) < 0)
		broke(m, "opened again: %s", err.text);
	else
		read_all(m, "opened again", true);
}

/* Power comes back, the log is opened and goes on, and power goes once more with
 * nothing kept that was not synced. */
static void judge(struct model *m, uint64_t keeps)
{
	struct record before[RECORDS_MAX];
	uint32_t n_before = m->n_records;
	struct hr_file_writer live = m->writer;

	memcpy(before, m->records, sizeof(before));
	m->keeps = keeps;
	m->is_broken = false;
	m->sum->ends++;
	fake_disk_copy(m->copy, m->disk);
	use(m, m->copy);
	fake_disk_cut(m->copy, keeps);
	recover(m);
	if (m->writer.is_open && (append(m) < 0 || sync_it(m) < 0))
		broke(m, "the opened log takes nothing");
	m->writer.is_poisoned = true; /* killed: no orderly end */
	hr_file_writer_fini(&m->writer);
	fake_disk_cut(m->copy, 0);
	recover(m);
	m->writer.is_poisoned = true;
	hr_file_writer_fini(&m->writer);
	if (m->is_broken)
		m->sum->broken++;
	memcpy(m->records, before, sizeof(before));
	m->n_records = n_before;
	m->writer = live;
	use(m, m->disk);
}

static void judge_all(struct model *m)
{
	uint32_t n = m->disk->n_pending;
	uint64_t all = n >= 64 ? UINT64_MAX : (1ull << n) - 1;

	m->disk->is_off = false; /* a reader had looked right before */
	read_all(m, "before", true);
	if (n <= ALL_SUBSETS_TO && m->fault == FAULT_NONE) {
		for (uint64_t keeps = 0; keeps <= all; keeps++)
			judge(m, keeps);
		return;
	}
	judge(m, 0);
	judge(m, all);
	for (uint32_t i = 0; i < n && i < 64; i++) {
		judge(m, all & ~(1ull << i));
		judge(m, 1ull << i);
		judge(m, (1ull << i) - 1);
	}
}

/* Returns false when the history ended before the power went. */
static bool run_one(struct model *m, enum fault fault, uint32_t fault_at, uint32_t call)
{
	bool is_over;

	fake_disk_init(m->disk);
	use(m, m->disk);
	m->fault = fault;
	m->fault_at = fault_at;
	m->call = call;
	m->n_records = 0;
	m->is_broken = false;
	m->disk->off_at_call = call;
	if (fault == FAULT_FULL)
		m->disk->room_bytes = fault_at;
	else if (fault != FAULT_NONE)
		m->disk->fail_at_sync = fault_at;
	m->disk->fail_keeps_half = fault_at % 2 == 0;
	if (hr_file_writer_init(&m->writer, &m->place, NULL) < 0)
		abort();
	act(m);
	is_over = m->disk->is_off;
	judge_all(m);
	m->writer.is_poisoned = true;
	hr_file_writer_fini(&m->writer);
	return is_over;
}

static bool is_enough(const struct model *m, uint64_t enough)
{
	return enough != 0 && m->sum->broken >= enough;
}

void file_model_run(struct file_model_sum *sum, uint64_t enough)
{
	static const struct {
		enum fault fault;
		uint32_t first, last, step;
	} plans[] = {
		{ FAULT_NONE, 0, 0, 1 },
		{ FAULT_SYNC_GO_ON, 1, 14, 1 },
		{ FAULT_SYNC_RESTART, 1, 14, 1 },
		{ FAULT_FULL, 0, 4096 + 7 * 64, 88 },
	};
	struct model m = { .sum = sum };

	memset(sum, 0, sizeof(*sum));
	m.disk = calloc(1, sizeof(*m.disk));
	m.copy = calloc(1, sizeof(*m.copy));
	m.set = (struct hr_data_set){ .id = { { 1, 2, 3 } },
				      .generation = 1,
				      .n_shards = 1 };
	strcpy(m.set.log_topic, "log");
	m.place = (struct hr_file_place){
		.set = &m.set,
		.root = "/log",
		.shard = 0,
		.segment_bytes = HR_SEGMENT_FRAMES_AT +
				 FRAMES_A_SEGMENT * HR_FRAME_BYTES(RECORD_BYTES),
	};
	for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++)
		for (uint32_t at = plans[p].first; at <= plans[p].last;
		     at += plans[p].step)
			for (uint32_t call = 1; call < STEPS_MAX; call++)
				if (is_enough(&m, enough) ||
				    !run_one(&m, plans[p].fault, at, call))
					break;
	free(m.disk);
	free(m.copy);
}
