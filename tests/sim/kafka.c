/* SPDX-License-Identifier: BSD-3-Clause */

/* The brokers of a run: topics and their records, transactions and their ends. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/kafka_impl.h"

struct topic *sim_kafka_topic_find(const struct sim_kafka *k, const char *name)
{
	struct topic *t = k->topics;

	while (t != NULL && strcmp(t->name, name) != 0)
		t = t->next;
	return t;
}

struct partition *sim_kafka_partition_find(const struct sim_kafka *k, const char *name,
					   int32_t partition)
{
	struct topic *t = sim_kafka_topic_find(k, name);

	if (t == NULL || partition < 0 || (uint32_t)partition >= t->n_partitions)
		abort();
	return &t->partitions[partition];
}

static void record_drop(struct record *r)
{
	free((void *)(uintptr_t)r->key.p);
	free((void *)(uintptr_t)r->value.p);
}

int64_t sim_kafka_record_add(struct partition *p, struct record r)
{
	if (p->n == p->max) {
		p->max = p->max != 0 ? 2 * p->max : 16;
		p->records = realloc(p->records, p->max * sizeof(*p->records));
		if (p->records == NULL)
			abort();
	}
	p->records[p->n] = r;
	return p->n++;
}

/* The last stable offset. It is looked for where it was found the last time. */
uint32_t sim_kafka_stable_end(struct partition *p)
{
	while (p->stable < p->n && p->records[p->stable].state != OPEN)
		p->stable++;
	return p->stable;
}

struct coordinator *sim_kafka_coordinator_get(struct sim_kafka *k, const char *id)
{
	struct coordinator *c = k->coordinators;

	while (c != NULL && strcmp(c->id, id) != 0)
		c = c->next;
	if (c != NULL)
		return c;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		abort();
	(void)snprintf(c->id, sizeof(c->id), "%s", id);
	c->next = k->coordinators;
	k->coordinators = c;
	return c;
}

/* A marker ends whatever is open of its producer; only what was there before it can be. */
static void mark_left(struct partition *p, const struct coordinator *producer,
		      uint64_t transaction, enum state state)
{
	for (uint32_t i = sim_kafka_stable_end(p); i < p->n; i++)
		if (p->records[i].is_left && p->records[i].producer == producer &&
		    p->records[i].transaction < transaction &&
		    p->records[i].state == OPEN) {
			p->records[i].state = state;
			p->is_robbed |= p->records[i].was_committed && state == ABORTED;
		}
}

/* One partition learns how a transaction ended. */
static void mark(struct partition *p, uint64_t transaction, enum state state)
{
	const struct coordinator *producer = NULL;
	bool has = false;

	for (uint32_t i = sim_kafka_stable_end(p); i < p->n; i++)
		if (p->records[i].transaction == transaction &&
		    p->records[i].state == OPEN) {
			p->records[i].state = state;
			producer = p->records[i].producer;
			has = true;
		}
	if (has)
		mark_left(p, producer, transaction, state);
	if (has)
		sim_kafka_record_add(p, (struct record){ .state = MARKER });
}

struct late_mark {
	struct late_mark *next; /* of the same producer */
	struct coordinator *coordinator;
	struct partition *partition;
	uint64_t transaction; /* 0: it was told by now */
	enum state state;
};

static void land(struct late_mark *l)
{
	if (l->transaction != 0)
		mark(l->partition, l->transaction, l->state);
	l->transaction = 0;
}

static void mark_late(struct sim *sim, void *arg, uint64_t number)
{
	struct late_mark *l = arg, **at = &l->coordinator->late;

	(void)sim;
	(void)number;
	land(l);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	sim_drop(l);
}

/* A coordinator lets nothing new begin before every partition was told of the last one. */
void sim_kafka_transaction_begin(struct sim_kafka *k, struct coordinator *c)
{
	for (struct late_mark *l = c->late; l != NULL; l = l->next)
		land(l);
	c->transaction = ++k->n_transactions;
}

/* The coordinator found no leader: nobody tells the partition. */
static bool leave_out(struct sim_kafka *k, const struct topic *t, struct partition *p,
		      uint64_t transaction, enum state state)
{
	/* Records have no headers here, without which a dead letter cannot be compared. */
	if ((state == COMMITTED && strstr(t->name, "dead_letters") != NULL) ||
	    !sim_strikes(k->sim, k->faults.lost_markers))
		return false;
	sim_trace(k->sim, "topics: transaction %llu: %s, partition %u is not told",
		  (unsigned long long)transaction, t->name,
		  (unsigned int)(p - t->partitions));
	for (uint32_t i = sim_kafka_stable_end(p); i < p->n; i++)
		if (p->records[i].transaction == transaction) {
			p->records[i].is_left = true;
			p->records[i].was_committed = state == COMMITTED;
		}
	return true;
}

static void end_everywhere(struct sim_kafka *k, struct coordinator *c,
			   uint64_t transaction, enum state state)
{
	for (struct topic *t = k->topics; t != NULL; t = t->next)
		for (uint32_t i = 0; i < t->n_partitions; i++) {
			struct late_mark *l;

			if (leave_out(k, t, &t->partitions[i], transaction, state))
				continue;
			if (!sim_strikes(k->sim, k->faults.late_markers)) {
				mark(&t->partitions[i], transaction, state);
				continue;
			}
			l = sim_keep(k->sim, sizeof(*l));
			*l = (struct late_mark){ c->late, c, &t->partitions[i],
						 transaction, state };
			c->late = l;
			sim_after(k->sim, sim_below(&k->sim->random, k->faults.late_us),
				  mark_late, l, 0);
		}
}

void sim_kafka_transaction_end(struct sim_kafka *k, struct coordinator *c,
			       enum state state)
{
	if (c->transaction != 0)
		sim_trace(k->sim, "topics: transaction %llu of ...%s %s",
			  (unsigned long long)c->transaction, c->id + strlen(c->id) - 1,
			  state == COMMITTED ? "commits" : "aborts");
	if (c->transaction != 0)
		end_everywhere(k, c, c->transaction, state);
	c->transaction = 0;
}

struct sim_kafka *sim_kafka_new(struct sim *sim, const struct sim_kafka_faults *faults)
{
	struct sim_kafka *k = calloc(1, sizeof(*k));

	if (k == NULL)
		abort();
	k->sim = sim;
	k->faults = *faults;
	return k;
}

void sim_kafka_watch(struct sim_kafka *k,
		     void (*begins)(void *arg, void *owner, uint16_t shard), void *arg)
{
	k->begins = begins;
	k->begins_arg = arg;
}

void sim_kafka_calm(struct sim_kafka *kafka)
{
	kafka->faults =
		(struct sim_kafka_faults){ .request_us = kafka->faults.request_us };
}

void sim_kafka_topic_make(struct sim_kafka *kafka, const char *name,
			  uint32_t n_partitions)
{
	struct topic *t = calloc(1, sizeof(*t));

	if (t == NULL)
		abort();
	(void)snprintf(t->name, sizeof(t->name), "%s", name);
	t->n_partitions = n_partitions;
	t->partitions = calloc(n_partitions, sizeof(*t->partitions));
	if (t->partitions == NULL)
		abort();
	t->next = kafka->topics;
	kafka->topics = t;
}

void sim_kafka_cut(struct sim_kafka *kafka, const char *name, int32_t partition,
		   uint32_t n)
{
	struct partition *p = sim_kafka_partition_find(kafka, name, partition);

	for (; n > 0 && p->n > 0; n--)
		record_drop(&p->records[--p->n]);
	if (p->stable > p->n)
		p->stable = p->n;
}

static bool is_open(const struct sim_kafka *k, uint64_t transaction)
{
	for (const struct coordinator *c = k->coordinators; c != NULL; c = c->next)
		if (c->transaction == transaction)
			return true;
	return false;
}

bool sim_kafka_is_settled(const struct sim_kafka *kafka, const char *name,
			  int32_t partition)
{
	struct partition *p = sim_kafka_partition_find(kafka, name, partition);

	for (uint32_t i = sim_kafka_stable_end(p); i < p->n; i++)
		if (p->records[i].state == OPEN &&
		    !is_open(kafka, p->records[i].transaction))
			return false;
	return true;
}

bool sim_kafka_is_robbed(const struct sim_kafka *kafka, const char *name,
			 int32_t partition)
{
	return sim_kafka_partition_find(kafka, name, partition)->is_robbed;
}

bool sim_kafka_ends_in_abort(const struct sim_kafka *kafka, const char *name,
			     int32_t partition)
{
	const struct partition *p = sim_kafka_partition_find(kafka, name, partition);
	uint32_t i = p->n;

	while (i > 0 &&
	       (p->records[i - 1].state == MARKER || p->records[i - 1].key.n == 0))
		i--;
	return i > 0 && p->records[i - 1].state == ABORTED;
}

bool sim_kafka_committed(const struct sim_kafka *kafka, const char *name,
			 int32_t partition, int64_t *at, struct sim_kafka_record *out)
{
	struct partition *p = sim_kafka_partition_find(kafka, name, partition);
	uint32_t end = sim_kafka_stable_end(p);

	for (; *at < end; (*at)++) {
		const struct record *r = &p->records[*at];

		if (r->state != COMMITTED && r->state != PLAIN)
			continue;
		*out = (struct sim_kafka_record){ r->key, r->value, (*at)++ };
		return true;
	}
	return false;
}

void sim_kafka_free(struct sim_kafka *kafka)
{
	while (kafka->clients != NULL)
		hr_kafka_put(kafka->clients);
	while (kafka->topics != NULL) {
		struct topic *t = kafka->topics;

		kafka->topics = t->next;
		for (uint32_t i = 0; i < t->n_partitions; i++) {
			for (uint32_t r = 0; r < t->partitions[i].n; r++)
				record_drop(&t->partitions[i].records[r]);
			free(t->partitions[i].records);
		}
		free(t->partitions);
		free(t);
	}
	while (kafka->coordinators != NULL) {
		struct coordinator *c = kafka->coordinators;

		kafka->coordinators = c->next;
		free(c);
	}
	free(kafka);
}
