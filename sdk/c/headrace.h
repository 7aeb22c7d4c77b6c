/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HEADRACE_H
#define HEADRACE_H

/*
 * headrace - send user events to a Headrace appliance.
 *
 * Copy headrace.h and headrace.c into your program; they need libc and pthreads
 * on Linux and nothing else. docs/wire-format.md says what goes over the wire.
 *
 *     any thread                          the sender thread
 *     headrace_track() --> [ open batch per shard ] --> queue --> UDP
 *
 * track() checks the event, encodes it into the open batch of its user's shard
 * and returns: it makes no system call for it (one to wake a sleeping sender)
 * and waits for nobody who waits for the network. A batch leaves when the next
 * event does not fit any more, or flush_ms after its first event; where others of
 * its shard wait for credit, it waits with them and fills up. All memory is taken
 * by headrace_open().
 *
 * What is promised. Each event is committed to the appliance's log exactly once,
 * in the order of its user's track() calls, or it is said what became of it: see
 * enum headrace_state. A datagram is kept and sent again, verbatim, until the
 * shard's owner says that it is committed; it is never sent under another identity.
 * Not protected: a clone of a running machine, and a disk queue that was put back
 * from a copy.
 *
 * HEADRACE_HANDSHAKE_OFF speaks to appliances with `handshake: off`: datagrams are
 * sent once and not acknowledged, one lost on the way stays lost, and the appliance
 * counts the gap. Events of one user arrive in order unless the network reorders.
 *
 * The first part is for applications. The second, headrace_encoder_*, makes
 * datagrams in the caller's memory and does no input or output at all.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a call can come back with: X(NAME, label, sentence). Stays in this order;
 * new ones go to the end. */
#define HEADRACE_RESULTS(X)                                                            \
	X(OK, "ok", "done")                                                            \
	X(BAD_USER, "bad_user",                                                        \
	  "the user id is not 1 to 128 bytes of UTF-8 without control characters")     \
	X(BAD_TYPE, "bad_type",                                                        \
	  "the event type is not 1 to 64 bytes of UTF-8 without control characters")   \
	X(BAD_EVENT_ID, "bad_event_id",                                                \
	  "the event id is longer than 64 bytes, not UTF-8 or has control characters") \
	X(BAD_TIME, "bad_time",                                                        \
	  "the timestamp is not ISO 8601, or is before 1970 or after 9999")            \
	X(BAD_KEY, "bad_key",                                                          \
	  "a metadata key is not 1 to 64 bytes of UTF-8 without control characters")   \
	X(DUPLICATE_KEY, "duplicate_key", "a metadata key appears twice")              \
	X(BAD_TEXT, "bad_text", "a metadata text is not UTF-8")                        \
	X(BAD_PRODUCT, "bad_product",                                                  \
	  "product_id is not a text of 1 to 64 bytes without control characters")      \
	X(BAD_CATEGORY, "bad_category",                                                \
	  "category is not a text of 1 to 64 bytes without control characters")        \
	X(BAD_NUMBER, "bad_number",                                                    \
	  "a metadata number is not written as JSON writes numbers, or is out of "     \
	  "range")                                                                     \
	X(TOO_MANY_PAIRS, "too_many_pairs", "more than 64 metadata pairs")             \
	X(TOO_LARGE, "too_large", "the event alone is larger than a datagram")         \
	X(QUEUE_FULL, "queue_full",                                                    \
	  "the queue is full: events come faster than the network takes them")         \
	X(BATCH_FULL, "batch_full",                                                    \
	  "the event does not fit behind those already in this batch")                 \
	X(BAD_CONFIG, "bad_config", "a setting is out of range")                       \
	X(BAD_ADDRESS, "bad_address", "an appliance address cannot be used")           \
	X(BAD_WRITE_KEY, "bad_write_key", "the write key cannot be used")              \
	X(TIMEOUT, "timeout", "the time given ran out first")                          \
	X(SEND_FAILED, "send_failed", "the network did not take a datagram")           \
	X(SYSTEM, "system", "the system refused a thread, socket or memory")           \
	X(GIVEN_UP, "given_up", "some events were given up: see enum headrace_state")  \
	X(BAD_QUEUE, "bad_queue", "the disk queue cannot be used")

enum headrace_result {
#define HEADRACE_RESULT(name, label, sentence) HEADRACE_##name,
	HEADRACE_RESULTS(HEADRACE_RESULT)
#undef HEADRACE_RESULT
	HEADRACE_RESULT_COUNT
};

/* "bad_user", and the sentence. Never NULL, whatever the number. */
const char *headrace_result_label(int result);
const char *headrace_result_text(int result);

/* ---- events ---- */

/* Bytes that lie elsewhere, not terminated; p may be NULL where n is 0. */
struct headrace_slice {
	const char *p;
	size_t n;
};

/* A C string as such a view; NULL is the empty one. */
struct headrace_slice headrace_str(const char *text);

enum headrace_form {
	HEADRACE_TEXT,
	HEADRACE_INTEGER,
	HEADRACE_NUMBER, /* a decimal in text, as JSON writes it: "19.99" */
	HEADRACE_TRUE,
	HEADRACE_FALSE,
	HEADRACE_NULL,
};

/* One metadata pair. product_id, category (texts), price and quantity (numbers
 * below 10^15 in size) are understood by the appliance, all others are carried
 * through unchanged. A number has at most 1,000 characters. */
struct headrace_pair {
	struct headrace_slice key;
	struct headrace_slice text; /* TEXT and NUMBER */
	int64_t integer;            /* INTEGER */
	enum headrace_form form;
};

/* Pairs from C strings, which must live until the call they are given to ends. */
struct headrace_pair headrace_text(const char *key, const char *text);
struct headrace_pair headrace_integer(const char *key, int64_t integer);
struct headrace_pair headrace_number(const char *key, const char *decimal);
struct headrace_pair headrace_bool(const char *key, bool yes);

enum headrace_time {
	HEADRACE_TIME_NONE,   /* track: now; encoder: the appliance's time of receipt */
	HEADRACE_TIME_MILLIS, /* time_ms */
	HEADRACE_TIME_TEXT,   /* time_text: ISO 8601; without a zone it is UTC */
};

struct headrace_event {
	struct headrace_slice user; /* 1 to 128 bytes */
	struct headrace_slice type; /* 1 to 64 bytes */
	struct headrace_slice id;   /* 0 to 64 bytes; empty: track() makes one, the
				   * encoder leaves it to the appliance */
	enum headrace_time time_form;
	int64_t time_ms; /* since 1970 UTC */
	struct headrace_slice time_text;
	const struct headrace_pair *pairs; /* in the order they are carried */
	size_t n_pairs;                    /* 0 to 64; each key once */
};

/* ---- for applications ---- */

struct headrace; /* one connection to the appliances, used by all threads */

enum headrace_codec {
	HEADRACE_PROTOBUF = 1,
	HEADRACE_JSON = 2,
};

enum headrace_handshake {
	HEADRACE_HANDSHAKE_ON,
	HEADRACE_HANDSHAKE_OFF,
};

/* What became of an event that track() took. */
enum headrace_state {
	/* It is in the log, once. */
	HEADRACE_COMMITTED,
	/* It never left: older than event_ttl_ms before it had a sequence, or the
	 * handle was closed. */
	HEADRACE_DROPPED,
	/* It was sent, and nobody will ever say: older than event_ttl_ms without an
	 * acknowledgement, the appliances forgot its stream, or the handle was closed.
	 * It is in the log once or not at all, and is not sent any more. */
	HEADRACE_UNKNOWN,
	/* It was committed, and the log lost its end after that. */
	HEADRACE_LOST,
	HEADRACE_STATES
};

/* One event, or for HEADRACE_LOST, whose events are not in memory any more, the
 * datagrams `first` to `last` of {stream, shard}: n_events is what the newest 1,024
 * of these held. Texts are valid during the call. */
struct headrace_outcome {
	enum headrace_state state;
	struct headrace_slice user, id; /* empty in LOST */
	uint64_t n_events;
	uint64_t birth, random; /* of the stream; 0: it had no sequence */
	uint64_t first, last;   /* sequence of its datagram */
	uint32_t shard;
	uint32_t index; /* in its datagram, from 0 */
};

/* Called by the sender thread, so it holds up all sending, and must not call
 * headrace_flush() or headrace_close(). */
typedef void headrace_outcome_fn(void *arg, const struct headrace_outcome *outcome);

/* Start from all zero: 0 and NULL mean the default named here. */
struct headrace_config {
	/* Required. "host:port", "[address]:port", "host:first-last" for a range of
	 * ports, or several of these separated by commas. Shard s begins with address
	 * number s % (how many there are), counted in the order written; it goes to
	 * the next where that one is silent, and to the owner's where that one names
	 * it. Without handshake it stays: give appliance i of n the `shards:` with
	 * s % n = i. */
	const char *address;

	/* Required: the write key, by its number and as 32 hex digits, or in a file of
	 * lines "<id> <32 hex digits> [comment]" (the appliance's own key file will
	 * do), where key_id chooses the line. */
	uint32_t key_id;
	const char *key_hex;
	const char *key_file;

	/* As the appliance's data set says: n_shards 5, generation 1. With handshake
	 * they are where it begins: the appliance tells. */
	uint32_t n_shards;
	uint32_t generation;

	enum headrace_codec codec; /* HEADRACE_PROTOBUF */

	/* UDP payload bytes, 256 to 1,472. 1,232: never fragmented, whatever the way.
	 * Less where the appliance takes no more. */
	uint32_t datagram_bytes;
	uint32_t flush_ms; /* 5: the longest an event waits for company */

	/* 4 MiB: memory for events that are not committed (without handshake: not yet
	 * taken by the network), a datagram at a time. When it is used up new events
	 * are dropped, counted, and reported to the appliance. At least one datagram
	 * per shard and one more. */
	uint64_t queue_bytes;

	/* 100: without handshake, how long a datagram is tried again while the network
	 * is busy (EAGAIN, ENOBUFS) before it counts as failed. In headrace_close():
	 * for all together. */
	uint32_t send_retry_ms;

	/* 3,600,000: a new stream is opened this often. At most the appliance's
	 * stream.max_age. */
	uint64_t stream_max_age_ms;

	enum headrace_handshake handshake; /* HEADRACE_HANDSHAKE_ON */

	/* Ten minutes, with queue_dir seven days, which is also the most: how long an
	 * event is tried before it is given up. */
	uint64_t event_ttl_ms;

	/* 5,000: how long headrace_close() waits for what is not committed. */
	uint32_t close_ms;

	/* A folder for a queue that survives the process: docs/sdk-queue.md. What
	 * track() took is there when it returns, whatever kills the process then; what
	 * was not recorded yet does not survive the machine. What it holds from earlier
	 * processes is sent first. queue_bytes bounds it as well: the files have at most
	 * three times as many and 1 MiB. NULL: memory only. */
	const char *queue_dir;
	/* Do not wait for the disk before a datagram is sent: the queue then survives
	 * the process, but after a loss of power events may be sent twice. */
	bool queue_no_sync;

	/* Told of each event in one of these states: bits 1u << enum headrace_state.
	 * NULL: nobody. */
	headrace_outcome_fn *on_outcome;
	void *on_outcome_arg;
	unsigned int outcomes;
};

/*
 * Open. Resolves the addresses, which may wait for a name server. No datagram is
 * sent, so it succeeds while the appliance is down.
 * On success *out belongs to the caller until headrace_close(); otherwise it is
 * NULL and error (if error_bytes > 0) holds a sentence: what was found, what was
 * expected. Returns OK, BAD_CONFIG, BAD_ADDRESS, BAD_WRITE_KEY or SYSTEM.
 */
int headrace_open(const struct headrace_config *config, struct headrace **out,
		  char *error, size_t error_bytes);

/*
 * Track one event, now. Any thread; nothing is kept of what the pointers show.
 * Returns OK, QUEUE_FULL (dropped and counted), or what is wrong with the event:
 * BAD_*, DUPLICATE_KEY, TOO_MANY_PAIRS, TOO_LARGE (refused and counted).
 */
int headrace_track(struct headrace *h, const char *user, const char *type,
		   const struct headrace_pair *pairs, size_t n_pairs);

/* The same with id and time of the caller's choice, and texts of any origin. An
 * id must be unique for its user: milliseconds are not. */
int headrace_track_event(struct headrace *h, const struct headrace_event *event);

/*
 * HEADRACE_TRACK(h, "user_1", "purchase", headrace_text("product_id", "p_7"),
 *                headrace_number("price", "19.99"), headrace_integer("quantity", 2));
 * One pair or more.
 */
#ifndef __cplusplus
#define HEADRACE_PAIRS(...) ((const struct headrace_pair[]){ __VA_ARGS__ })
#define HEADRACE_TRACK(h, user, type, ...)                                             \
	headrace_track((h), (user), (type), HEADRACE_PAIRS(__VA_ARGS__),               \
		       sizeof(HEADRACE_PAIRS(__VA_ARGS__)) /                           \
			       sizeof(struct headrace_pair))
#else
#define HEADRACE_TRACK(h, user, type, ...)                                             \
	([&](struct headrace *handle_, const char *user_, const char *type_) {         \
		const struct headrace_pair pairs_[] = { __VA_ARGS__ };                 \
		return headrace_track(handle_, user_, type_, pairs_,                   \
				      sizeof(pairs_) / sizeof(pairs_[0]));             \
	}((h), (user), (type)))
#endif

/*
 * Wait until everything tracked before this call is committed; without handshake:
 * handed to the network, which says nothing about arrival.
 * Returns OK; TIMEOUT (headrace_waiting() says how many are left); GIVEN_UP, without
 * handshake SEND_FAILED (nothing is left, and since the call began some were given
 * up); or SYSTEM.
 */
int headrace_flush(struct headrace *h, uint32_t timeout_ms);

/* Events that are not decided yet: events_waiting of headrace_stats(). */
uint64_t headrace_waiting(struct headrace *h);

/*
 * What became of the events, since headrace_open() (in a forked child: since the
 * fork). At rest, and after headrace_flush():
 *     calls of track = tracked + refused + dropped
 *     with handshake:    tracked + restored = committed + expired + unknown + waiting
 *     without handshake: tracked = sent + failed + waiting
 * (lost were committed before.)
 * While other threads are at work the numbers are each right but not all of one
 * moment.
 */
struct headrace_counts {
	uint64_t events_tracked; /* taken: track returned OK */
	uint64_t events_refused; /* bad input; by reason in refused[] */
	uint64_t events_dropped; /* the queue was full; reported to the appliance */
	uint64_t events_sent;    /* in datagrams that the network took, once each */
	uint64_t events_failed;  /* without handshake: that it did not take: a gap */
	uint64_t events_waiting;
	uint64_t events_restored;  /* from the disk queue of earlier processes */
	uint64_t events_committed; /* HEADRACE_COMMITTED */
	uint64_t events_expired;   /* HEADRACE_DROPPED */
	uint64_t events_unknown;   /* HEADRACE_UNKNOWN */
	uint64_t events_lost;      /* HEADRACE_LOST, in datagrams_lost */
	uint64_t datagrams_lost;
	uint64_t datagrams_sent; /* each transmission */
	uint64_t datagrams_resent;
	uint64_t datagrams_failed; /* the network refused */
	uint64_t probes_sent;
	uint64_t answers,
		answers_ignored; /* ignored: forged, of a former owner, late */
	uint64_t failovers;      /* a shard went to another address */
	uint64_t queue_errors;   /* writes that the disk queue did not take */
	int last_queue_errno;
	uint64_t bytes_sent;       /* UDP payload */
	uint64_t send_retries;     /* the network was busy */
	uint64_t send_unreachable; /* "port unreachable": nobody listens there */
	uint64_t streams;          /* opened so far */
	int last_send_errno;       /* of the newest failed datagram */
	uint64_t refused[HEADRACE_RESULT_COUNT];
};

void headrace_stats(struct headrace *h, struct headrace_counts *out);

/*
 * Send what is left, wait for it up to close_ms, stop the sender, free everything.
 * No other thread may be in a call with h, or enter one. NULL is fine. Returns OK;
 * TIMEOUT where something is not committed (in the disk queue it waits for the next
 * start, otherwise it is given up and told); without handshake SEND_FAILED when some
 * of what was left was not taken by the network.
 */
int headrace_close(struct headrace *h);

/*
 * fork(): parent and child may both go on with the handle. What waited belongs to
 * the parent; the child begins a stream and sockets of its own with its first
 * event, and with queue_dir a file. (A raw clone() does not run the handlers this
 * needs.) A process that starts anew starts a new stream; what waited in the old
 * one's memory is gone, what waited in its disk queue is sent first, as it was.
 */

/* ---- the encoder: datagrams without input or output ---- */

#define HEADRACE_HEADER_BYTES 80
#define HEADRACE_TAG_BYTES 16
#define HEADRACE_KEY_BYTES 16
#define HEADRACE_DATAGRAM_MIN 256
#define HEADRACE_DATAGRAM_DEFAULT 1232
#define HEADRACE_DATAGRAM_MAX 1472
#define HEADRACE_EVENTS_MAX 512 /* in one datagram */

/* toPositive(murmur2(user)) % n_shards, as Kafka's clients choose partitions. */
uint32_t headrace_shard(const char *user, size_t n, uint32_t n_shards);

/* The tag's key: bound to a write key and one stream. Once per stream. */
void headrace_stream_key(const uint8_t write_key[HEADRACE_KEY_BYTES], uint64_t birth,
			 uint64_t random, uint8_t out[HEADRACE_KEY_BYTES]);

/* One datagram in the making, in a buffer of the caller's. The fields are for
 * reading: payload lies at buffer + HEADRACE_HEADER_BYTES and ends at `end`. */
struct headrace_encoder {
	uint8_t *buffer;
	uint32_t end;   /* of the payload, from the start of the buffer */
	uint32_t limit; /* that end can grow to */
	uint32_t n_events;
	enum headrace_codec codec;
};

/* Use datagram_bytes (HEADRACE_DATAGRAM_MIN to _MAX) of buffer, with no events yet.
 * Returns OK or BAD_CONFIG. */
int headrace_encoder_init(struct headrace_encoder *e, enum headrace_codec codec,
			  void *buffer, size_t datagram_bytes);

/* No events again; the same buffer. */
void headrace_encoder_reset(struct headrace_encoder *e);

/*
 * Append an event, checked in full. The same calls give the same bytes. Nothing is
 * changed unless OK comes back; BATCH_FULL: finish and reset first; TOO_LARGE: no
 * datagram of this size can carry it; else what is wrong with the event.
 * The shard is the caller's business: all events of a datagram belong to one.
 */
int headrace_encoder_append(struct headrace_encoder *e,
			    const struct headrace_event *event);

/* What the header says, beside what the encoder knows. */
struct headrace_datagram {
	uint8_t stream_key[HEADRACE_KEY_BYTES];
	uint32_t key_id;
	uint32_t generation;
	uint64_t birth;    /* of the stream: us since 1970 */
	uint64_t random;   /* of the stream */
	uint64_t sequence; /* dense per (stream, shard), from 1 */
	uint16_t shard;
	uint16_t n_shards;
	uint32_t attempt; /* 0 for the first transmission */
	uint32_t client_drops;
	uint64_t sent_us;
	uint64_t token;
};

/*
 * Write header and tag around the payload. May be called again, with another
 * attempt. Returns the bytes of the datagram in e->buffer, or 0 if it has no events.
 */
size_t headrace_encoder_finish(struct headrace_encoder *e,
			       const struct headrace_datagram *d);

#ifdef __cplusplus
}
#endif

#endif
