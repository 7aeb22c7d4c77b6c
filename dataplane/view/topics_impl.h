/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TOPICS_IMPL_H
#define HR_TOPICS_IMPL_H

/*
 * Inside of the Kafka topics view: one publisher a shard, each with a thread and a
 * transactional producer of its own, and one thread that looks after them.
 *
 *   feed ──link n──▶ batch (records rendered, link given back) ──▶ transaction
 *     └─GAP─▶ replay ──┘                                      records + position
 *
 *   topics.c            the view: topics made or checked, publishers woken, statistics
 *   topics_publisher.c  a publisher's thread: what comes next, when to write it
 *   topics_connect.c    its producer: opening, fencing, the position
 *   topics_hidden.c     positions whose marker the brokers left out
 *   topics_leftovers.c  records whose marker they left out
 *   topics_unseen.c     committed records that are not to be seen
 *   topics_producer.c   its transactions: begin to commit
 *   topics_batch.c      links to records
 *   topics_position.c   the record of headrace.positions as text
 *   topics_repair.c     what partitions lost at their tail, appended again
 *   topics_there.c      what is in the partitions, for audit and repair
 *
 * Exactly once: the position of a shard is the last record of each transaction that
 * moves it, and every new producer reads it after init_transactions() has fenced its
 * predecessor and ended what that had open. What was rendered or cached before is
 * thrown away then. A commit whose outcome is not known is never guessed at.
 *
 * Partition % S is the shard for every partition of every topic here, so each is
 * written by exactly one publisher.
 */

#include <pthread.h>
#include <stdatomic.h>

#include "common/config.h"
#include "dataplane/fold/fold.h"
#include "dataplane/log/kafka.h"
#include "dataplane/stats/names.h"
#include "dataplane/view/feed.h"
#include "dataplane/view/replay.h"
#include "dataplane/view/view.h"

#define HR_TOPICS_POSITIONS "headrace.positions"
#define HR_TOPICS_KEY "topics" /* of the position's record */
#define HR_TOPICS_REASON 400

/* The topics with a record per event, and the one of rejected events. */
enum hr_topic {
	HR_TOPIC_USER_EVENTS,
	HR_TOPIC_PRODUCT_VIEWS,
	HR_TOPIC_PURCHASES,
	HR_TOPIC_DEAD_LETTERS,
	HR_TOPIC_COUNT
};

extern const char *const hr_topic_names[HR_TOPIC_COUNT];

/* How a shard's outputs are spread. */
struct hr_topics_shape {
	uint16_t shard;
	uint32_t n_shards;
	uint32_t n_partitions[HR_TOPIC_COUNT]; /* whole topic; 0: not written */
};

void hr_topics_shape_of(struct hr_topics_shape *s, const struct hr_config *config,
			const struct hr_data_set *set, uint16_t shard);

static inline uint32_t hr_topics_own(const struct hr_topics_shape *s, enum hr_topic t)
{
	return s->n_partitions[t] / s->n_shards;
}

/* ---- ends: as much of each own partition as is known to have been written ------ */

/* In an end: records before it were committed, their marker was left out by the brokers,
 * and they have to be written again. No partition ever gets there, so a program that does
 * not know this bit takes it for one that was cut, and stops by name. */
#define HR_TOPICS_MISSING (INT64_C(1) << 62)

/* Index i is partition shard + i * S. 0: nothing known. */
struct hr_topics_ends {
	struct hr_topics_shape shape;
	int64_t *end[HR_TOPIC_COUNT];
};

int hr_topics_ends_init(struct hr_topics_ends *ends,
			const struct hr_topics_shape *shape);
void hr_topics_ends_fini(struct hr_topics_ends *ends);
void hr_topics_ends_clear(struct hr_topics_ends *ends);
/* Each end of `to` becomes the larger one. */
void hr_topics_ends_raise(struct hr_topics_ends *to, const struct hr_topics_ends *from);

/*
 * The record's value: the position's own text, then a line for each topic.
 *
 *     1 1234 0 <32 hex> <32 hex>
 *     user_events 3:1000 8:977
 *
 * Returns its bytes; out has room for hr_topics_position_max().
 */
size_t hr_topics_position_max(const struct hr_topics_shape *shape);
size_t hr_topics_position_print(const struct hr_position *position,
				const struct hr_topics_ends *ends, char *out);
/* Topics and partitions that the shape does not have are passed over. Returns 0 or
 * -EBADMSG. */
int hr_topics_position_parse(const char *text, size_t n, struct hr_position *position,
			     struct hr_topics_ends *ends);

/* ---- batch: what one transaction writes ------------------------------------------ */

/* A record's bytes: value at `value`, its key directly before it. */
struct hr_topics_record {
	const uint8_t *value;
	uint32_t value_bytes;
	uint16_t partition;
	uint16_t key_bytes; /* 0: no key */
};

struct hr_topics_records {
	struct hr_topics_record *rows;
	uint32_t n, max;
};

/* What a dead letter's headers say; one for each record of dead_letters. */
struct hr_topics_letter {
	uint8_t reject; /* enum hr_reject */
	uint8_t family;
	uint16_t source_port;
	uint32_t key_id;
	uint8_t source[16];
	uint64_t received_us;
};

/* The same as texts of the record's headers. */
struct hr_topics_letter_texts {
	const char *reason, *detail;
	char source[64], key_id[16], received[HR_TIME_ISO_BYTES]; /* the last: no NUL */
};

void hr_topics_letter_print(const struct hr_topics_letter *letter,
			    struct hr_topics_letter_texts *out);

struct hr_topics_chunk;

/* When the oldest datagram of a link came, and how many events count with it. */
struct hr_topics_received {
	uint64_t us;
	uint32_t n_events;
};

struct hr_topics_batch {
	struct hr_topics_shape shape;
	/* Bytes of keys and values; chunks are used in order and kept. */
	struct hr_topics_chunk *first, *chunk;
	struct hr_topics_records records[HR_TOPIC_COUNT];
	struct hr_topics_letter *letters;
	uint32_t max_letters;
	uint64_t sent_bytes; /* of all records, one that is written twice twice */
	struct hr_topics_received *received; /* of each link that has datagrams */
	uint32_t n_received, max_received;
	uint32_t n_links;
	uint32_t *counts[HR_TOPIC_COUNT]; /* records by own partition */
	uint32_t *order, max_order;
};

int hr_topics_batch_init(struct hr_topics_batch *batch,
			 const struct hr_topics_shape *shape);
void hr_topics_batch_fini(struct hr_topics_batch *batch);
void hr_topics_batch_clear(struct hr_topics_batch *batch);
/* Returns 0, or -ENOMEM with the batch as before. */
int hr_topics_batch_add(struct hr_topics_batch *batch, const struct hr_link *link);
/* Indices of the topic's records by partition, in each as they were added. NULL: no
 * memory. Good until the next call. */
const uint32_t *hr_topics_batch_sort(struct hr_topics_batch *batch,
				     enum hr_topic topic);

/* ---- publisher --------------------------------------------------------------------- */

struct hr_topics_publisher {
	struct hr_view *view;
	struct hr_topics_shape shape;
	pthread_t thread;

	/* Any thread reads them; the publisher's writes them. */
	atomic_uint state; /* enum hr_view_state */
	_Atomic uint64_t applied;
	_Atomic uint64_t settled; /* of it, what readers were seen to have */
	_Atomic uint64_t errors;
	atomic_bool is_away; /* the shard is not ours: nothing is to be done */
	atomic_bool is_idle; /* waits for the feed: the view's thread wakes it */
	atomic_bool is_cut;  /* stopped, because a partition lost its tail */
	atomic_bool
		must_repair; /* somebody asked for it; the publisher's takes it back */
	_Atomic uint64_t taken;
	/* Connections closed, by librdkafka's threads. */
	atomic_uint closes;

	pthread_mutex_t lock; /* of the rest of this paragraph */
	pthread_cond_t wake;
	bool is_woken;
	char reason[HR_TOPICS_REASON];
	char repair[HR_TOPICS_REASON]; /* how the last repair goes or went; "": none */

	/* The thread's own. */
	struct hr_kafka *producer; /* NULL: to be opened */
	rd_kafka_topic_t *topics[HR_TOPIC_COUNT], *positions;
	struct hr_replay *replay;
	struct hr_position at; /* behind the last link of the batch */
	bool is_checked;       /* `at` fits the chain, as far as it is in memory */
	uint64_t doubted_n; /* `at` was read again because of what went wrong there */
	struct hr_topics_batch batch;
	struct hr_topics_ends ends;  /* of transactions that are over */
	struct hr_topics_ends fresh; /* reported in the one that is not */
	char *position_text;
	uint64_t batch_max_bytes;
	uint64_t batch_bytes; /* as much as this broker writes in good time */
	uint64_t interval_us, mean_cycle_us, next_begin_us;
	uint64_t look_us; /* when leftovers are looked for next */
	rd_kafka_topic_partition_list_t
		*left;     /* found at the last look; NULL: none yet */
	uint64_t looked_n; /* applied at that time */
	uint64_t left_us;  /* that time */
	uint64_t next_alarm_us;
	uint64_t say_us; /* when it is told again that nothing begins */
	uint32_t backoff_ms, fence_backoff_ms;
	uint64_t fenced_us;
	bool was_fenced;
	unsigned int checked_closes; /* when the ends were looked at last */
	bool is_truncated;           /* a record landed below a known end */
	uint32_t n_failed; /* delivery reports of the transaction that said no */
	struct hr_err failed;
	hr_cell **lag[HR_TOPIC_COUNT]; /* by own partition; NULL: not exported */
};

struct hr_view {
	struct hr_view_conf conf;
	const struct hr_config *config;
	struct hr_data_set set;
	bool writes_events;
	char names[HR_TOPIC_COUNT][HR_KAFKA_TOPIC_NAME];
	char positions_name[HR_KAFKA_TOPIC_NAME];
	pthread_t thread;
	atomic_bool topics_are_there, stops, drains;
	atomic_bool is_refused; /* a topic is not what it must be: reason */

	/* Two readers for all publishers, each partition by one at a time: positions as
	 * readers see them, and how far partitions go, open transactions included. */
	struct hr_kafka *committed, *uncommitted;
	rd_kafka_topic_t *committed_positions, *uncommitted_positions;

	pthread_mutex_t lock; /* of reason, and of who writes `latency` */
	char reason[HR_TOPICS_REASON];
	hr_cell *latency, *up, *error_count;
	hr_cell **applied_link, **lag_links;
	uint64_t counted_errors;
	hr_cell no_cells[HR_HIST_CELLS]; /* where rows go without statistics */

	uint32_t n_publishers;
	struct hr_topics_publisher publishers[];
};

static inline bool hr_topics_stops(const struct hr_view *view)
{
	return atomic_load_explicit(&((struct hr_view *)(uintptr_t)view)->stops,
				    memory_order_acquire);
}

/* The view ends, or the shard is not ours any more: whoever waits for a broker gives up,
 * and nothing of it is begun again. */
static inline bool hr_topics_must_end(const struct hr_topics_publisher *p)
{
	return hr_topics_stops(p->view) ||
	       !hr_view_owns(&p->view->conf, p->shape.shard);
}

int hr_topics_publisher_init(struct hr_topics_publisher *p, struct hr_view *view,
			     uint16_t shard, struct hr_err *err);
void hr_topics_publisher_fini(struct hr_topics_publisher *p);
/* The thread. */
void *hr_topics_publish(void *publisher);
void hr_topics_publisher_wake(struct hr_topics_publisher *p);
/* State and the sentence that goes with it ("" for none). */
void hr_topics_tell(struct hr_topics_publisher *p, enum hr_view_state state,
		    const char *reason);

/* ---- a publisher and its broker: all for the publisher's thread ------------------- */

#define HR_TOPICS_ASK_MS 1000 /* one call; called again until the time is over */

/* Opaque of a record, so that its report is known: topics count from 1, the position's
 * record is NULL. */
static inline void *hr_topics_mark(enum hr_topic topic)
{
	return (void *)(uintptr_t)(topic + 1);
}

/* -EAGAIN with a sentence. */
int hr_topics_not_now(struct hr_topics_publisher *p, const char *what, const char *why,
		      struct hr_err *err);
/* The same of an error of the library, which goes; notices a fence. */
int hr_topics_judge(struct hr_topics_publisher *p, const char *what,
		    rd_kafka_error_t *e, struct hr_err *err);
bool hr_topics_is_fence(rd_kafka_resp_err_t code);

/*
 * Open a producer, fence its predecessors and read the position: p->at and p->ends
 * are set. Returns 0; -EAGAIN when it may be tried again (err says what was in the
 * way), -ECANCELED when the view stops or the shard is not ours any more, -ENOENT when
 * records lack their commit marker (hr_topics_repair() writes them again); any other: stop
 * by name.
 */
int hr_topics_connect(struct hr_topics_publisher *p, struct hr_err *err);
/*
 * The same where partitions were cut at their tail: cut gets what they had reached, and of
 * them alone nothing is known any more in p->ends. What is open in them is aborted. The
 * producer's transactions may last for ten minutes.
 */
int hr_topics_connect_to_repair(struct hr_topics_publisher *p,
				struct hr_topics_ends *cut, struct hr_err *err);
bool hr_topics_is_position(const rd_kafka_message_t *m);
/* Ends of partitions as that reader sees them: list's offsets. 0 or -EAGAIN. */
int hr_topics_ask_ends(struct hr_topics_publisher *p, struct hr_kafka *reader,
		       rd_kafka_topic_partition_list_t *list, struct hr_err *err);
/*
 * Behind init and the newest visible position, p->at and p->ends: whether a newer one, at
 * offsets from .. end - 1, was committed all the same. Then it is written again, and read
 * by the next producer: -EAGAIN. Else as hr_topics_connect().
 */
int hr_topics_find_hidden(struct hr_topics_publisher *p, int64_t from, int64_t end,
			  struct hr_err *err);
/*
 * Behind init and the position: what an aborted transaction left in the shard's partitions
 * without a marker gets one. Where a commit marker is missing the position says so from now
 * on: -EAGAIN. Else as hr_topics_connect().
 */
int hr_topics_end_leftovers(struct hr_topics_publisher *p, struct hr_err *err);
/* Behind that: whether readers see the last record that the position counts in each
 * partition. As hr_topics_end_leftovers(). */
int hr_topics_find_unseen(struct hr_topics_publisher *p, struct hr_err *err);
/* HR_TOPIC_COUNT: the positions. */
enum hr_topic hr_topics_topic_of(const struct hr_topics_publisher *p, const char *name);
/* Of an output partition, in p->ends. */
int64_t *hr_topics_end_of(struct hr_topics_publisher *p,
			  const rd_kafka_topic_partition_t *at);
/* Commit p->at and p->ends, some of which have HR_TOPICS_MISSING now. -EAGAIN. */
int hr_topics_tell_missing(struct hr_topics_publisher *p, struct hr_err *err);
/*
 * Between two transactions, now and then: whether something of the shard is open although
 * its transaction is over and its marker does not come any more. If nothing of the last look
 * is open, what was applied by then is settled. hr_topics_look_begin() behind a connect, and
 * before the end.
 */
bool hr_topics_look(struct hr_topics_publisher *p);
void hr_topics_look_begin(struct hr_topics_publisher *p);
/* Once more, where a connection was closed since: a broker that comes back may have lost
 * the end of a partition. 0, -EAGAIN; -ENODATA: it has. */
int hr_topics_check_ends(struct hr_topics_publisher *p, struct hr_err *err);
/* Destroy the producer; what it had open ends with the next one's init. */
void hr_topics_disconnect(struct hr_topics_publisher *p);
/*
 * Write the batch and p->at in one transaction. Returns 0: committed. -EAGAIN: the
 * outcome is not known, or it was not committed, and the producer has to go.
 * -ENODATA: a topic was truncated: stop by name.
 */
int hr_topics_transact(struct hr_topics_publisher *p, struct hr_err *err);
/* Parts of a transaction, for one that is not made of a batch and its position: as
 * hr_topics_transact(). Records of the batch, which has to stay until the flush. */
int hr_topics_begin(struct hr_topics_publisher *p, struct hr_err *err);
int hr_topics_produce(struct hr_topics_publisher *p, enum hr_topic topic, uint32_t i,
		      struct hr_err *err);
int hr_topics_flush(struct hr_topics_publisher *p, struct hr_err *err);
/* With the position p->at. */
int hr_topics_commit(struct hr_topics_publisher *p, struct hr_err *err);
void hr_topics_abort(struct hr_topics_publisher *p);

/*
 * Append what the shard's partitions lost at their tail, as far as the log reaches, in one
 * transaction with a position that says so. Returns 0: committed, said has what; -EAGAIN:
 * it may be asked for again; -ECANCELED; any other: stop by name. The producer is gone in
 * any case.
 */
int hr_topics_repair(struct hr_topics_publisher *p, char said[HR_TOPICS_REASON],
		     struct hr_err *err);
void hr_topics_tell_repair(struct hr_topics_publisher *p, const char *text);

/* Where the shard's log partition ends now; -1: nobody tells. */
int64_t hr_topics_log_end(struct hr_topics_publisher *p);
/* Everything in it below `end` has been folded into the feed, as far as is known. */
bool hr_topics_is_folded(struct hr_topics_publisher *p, int64_t end);

#endif
