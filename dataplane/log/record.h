/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECORD_H
#define HR_RECORD_H

/*
 * record - the messages of headrace.meta and headrace.log.g1, byte by byte;
 * docs/epoch-log.md is the specification, with a table of byte sequences and
 * verdicts. Pure functions over bytes: any thread, no allocation.
 *
 * Every record opens with the same 32 bytes and closes with a crc32c over all
 * that stands before it; sizes are multiples of 8, padding is zero. That frame is
 * for ever: a later version or type keeps it, so that this reader can tell a
 * later writer's record (stop by name) from bytes that are none of ours (ignore).
 *
 *      0       1       2       3       4       5       6       7
 *   0 | 'H'   | 'R'   | 'L'   |version|     type      |     shard     |
 *   8 |          generation           |     record bytes, whole       |
 *  16 |            data set id (16 bytes)                             |
 *
 *  META    32 | S: u32 | log topic bytes u32 | hash key (16) |
 *          56 | log topic, padded | 0 u32 | crc
 *  FENCE   32 | incarnation u64 | owner (16) | address bytes u32 | 0 u32 |
 *          64 | addresses, padded | 0 u32 | crc
 *  LINK    32 | owner (16) | n u64 | prev_hash (16) | clock us u64 |
 *             | body kind u16 | 0 u16 | body bytes u32 |
 *          88 | body, padded | 0 u32 | crc
 *
 *  hash(link) = SipHash-2-4-128 with META's key over
 *      prev_hash (16) | generation u32 | shard u16 | body kind u16 | n u64 |
 *      clock u64 | body (body bytes, without padding)
 *  prev_hash(link 1) = the same function over data set id (16) | shard u64.
 *  Owner, incarnation and crc stay outside: a link appended again under another
 *  owner keeps its {n, hash}.
 *
 *  EPOCH body: items, each
 *   0 | kind u16 | codec u8 | source family u8 (4, 6 or 0) | item bytes u32, with
 *       this header and without padding | ...
 *  DATAGRAM
 *   8 | birth u64 | random u64 | sequence u64 | key id u32 | client drops u32 |
 *  40 | source address (16; IPv4 in the first 4) | source port u16 | events u16 |
 *  60 | flags u16 | 0 u16 | sent us u64 | received us u64 |
 *  80 | payload
 *  EVENT     the same with birth, random, sequence, key id and drops all zero
 *  SKIP      8 | birth u64 | random u64 | up to sequence u64 | key id u32 | 0 u32
 *  FACT      8 | table u16 | key bytes u16 | value bytes u32 | key | value
 *  NOTE      8 | what u32 | text bytes u32 | text
 *  Each item is padded with zeroes to a multiple of 8.
 *  Flags of a DATAGRAM: HR_ITEM_ORDERED; all others are the wire's, where none is
 *  defined.
 *
 *  CONFIG body: fold_version u32 | settings u32 | {id u32, 0 u32, value u64} each |
 *               pipeline bytes u32 | 0 u32 | pipeline (canonical text)
 *               settings stand in ascending order of id, each at most once; one
 *               that is missing is 0. An empty pipeline is the default one.
 *  LOSS body: n u64 | hash (16)
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/bytes.h"
#include "common/error.h"

#define HR_RECORD_VERSION 1
#ifndef HR_RECORD_MAX         /* the simulator's are small */
#define HR_RECORD_MAX 900000u /* default limits of librdkafka and brokers take it */
#endif
#define HR_RECORD_HEAD_BYTES 32u
#define HR_META_HEAD_BYTES 56u
#define HR_FENCE_HEAD_BYTES 64u
#define HR_LINK_HEAD_BYTES 88u
#define HR_RECORD_TAIL_BYTES 8u /* zero word and crc */
#define HR_META_MAX (HR_META_HEAD_BYTES + 64u + HR_RECORD_TAIL_BYTES)
#define HR_FENCE_MAX (HR_FENCE_HEAD_BYTES + HR_ADDRESSES_MAX + HR_RECORD_TAIL_BYTES)
#define HR_BODY_MAX (HR_RECORD_MAX - HR_LINK_HEAD_BYTES - HR_RECORD_TAIL_BYTES)
#define HR_ITEM_DATAGRAM_BYTES 80u
#define HR_ITEM_SKIP_BYTES 40u
/* Taken in order by an appliance that acknowledges: its stream has a floor. */
#define HR_ITEM_ORDERED 0x8000u
#define HR_ADDRESSES_MAX 128u
#define HR_PAD8(n) (((n) + 7u) & ~7u)

struct hr_id128 {
	uint8_t b[16];
};

static inline bool hr_id128_equals(const struct hr_id128 *a, const struct hr_id128 *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

#define HR_ID128_TEXT 33

/* Hexadecimal, as documents and file names have it. */
static inline void hr_id128_print(char out[HR_ID128_TEXT], const struct hr_id128 *id)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < sizeof(id->b); i++) {
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[2 * sizeof(id->b)] = '\0';
}

enum hr_record_type {
	HR_RECORD_UNKNOWN = 0, /* a sound frame of a later version or type */
	HR_RECORD_META = 1,
	HR_RECORD_FENCE = 2,
	HR_RECORD_LINK = 3,
};

enum hr_body_kind {
	HR_BODY_CONFIG = 1,
	HR_BODY_EPOCH = 2,
	HR_BODY_LOSS = 3,
};

enum hr_item_kind {
	HR_ITEM_DATAGRAM = 1,
	HR_ITEM_EVENT = 2,
	HR_ITEM_SKIP = 3,
	HR_ITEM_FACT = 4,
	HR_ITEM_NOTE = 5,
};

/* The data set: what the record at the lowest offset of headrace.meta says. */
struct hr_data_set {
	struct hr_id128 id;
	uint8_t hash_key[16];
	uint32_t generation;
	uint32_t n_shards;
	char log_topic[64];
};

struct hr_fence {
	struct hr_id128 owner;
	uint64_t incarnation;
	struct hr_str addresses;
};

struct hr_link_head {
	struct hr_id128 owner;
	uint64_t n;
	struct hr_id128 prev_hash;
	uint64_t clock_us;
	uint16_t body_kind;
	struct hr_str body; /* points into the record */
};

/* A record whose frame is sound: magic, size, crc; and, unless its type is
 * HR_RECORD_UNKNOWN, whose inside is laid out as above. */
struct hr_record {
	enum hr_record_type type;
	uint8_t version;  /* as found */
	uint16_t type_no; /* as found */
	uint16_t shard;
	uint32_t generation;
	struct hr_id128 data_set;
	union {
		struct hr_data_set meta;
		struct hr_fence fence;
		struct hr_link_head link;
	};
};

/*
 * Read one record. Returns 0, or -EBADMSG with what was found and expected in err:
 * then it is no record of ours and every reader ignores it. A sound frame with a
 * version or type that this reader does not know is HR_RECORD_UNKNOWN, only its
 * shard, generation and data set are set, and hr_chain_offer() judges it. The body
 * of a link is not looked into: see hr_body_check().
 */
int hr_record_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
		     struct hr_err *err);

/* Each writes one whole record and returns its bytes. out has room for
 * HR_META_MAX, HR_FENCE_MAX, or head, padded body and tail of the link. A link's
 * body may already lie at out + HR_LINK_HEAD_BYTES. */
size_t hr_record_encode_meta(uint8_t *out, const struct hr_data_set *set);
size_t hr_record_encode_fence(uint8_t *out, const struct hr_data_set *set,
			      uint16_t shard, const struct hr_fence *fence);
size_t hr_record_encode_link(uint8_t *out, const struct hr_data_set *set,
			     uint16_t shard, const struct hr_link_head *link);

void hr_link_hash(const struct hr_data_set *set, uint16_t shard,
		  const struct hr_link_head *link, struct hr_id128 *out);
void hr_chain_root(const struct hr_data_set *set, uint16_t shard, struct hr_id128 *out);

/* One item of an EPOCH body. Fields that the kind does not have are zero. */
struct hr_item {
	uint16_t kind;
	uint8_t codec;
	uint8_t family; /* of the source: 4, 6, or 0 where unknown (pcap without IP) */
	uint16_t n_events;
	uint16_t source_port;
	uint16_t flags;
	uint32_t key_id;
	uint32_t client_drops;
	uint64_t birth, random, sequence; /* of SKIP: up to this sequence */
	uint8_t source[16];
	uint64_t sent_us, received_us;
	uint32_t what;         /* table of FACT, what of NOTE */
	struct hr_str key;     /* of FACT */
	struct hr_str payload; /* events of DATAGRAM and EVENT; value of FACT; text of
				* NOTE */
};

/* Bytes that a DATAGRAM or EVENT item with this payload takes in the body. */
static inline uint32_t hr_item_bytes(uint32_t payload_bytes)
{
	return HR_ITEM_DATAGRAM_BYTES + HR_PAD8(payload_bytes);
}

/* Write one DATAGRAM or EVENT item, padding included; returns hr_item_bytes().
 * Hot. out has that room; the payload is copied in. */
uint32_t hr_item_encode(uint8_t *out, const struct hr_item *item);
/* Write a SKIP item from birth, random, sequence (up to it) and key id; returns
 * HR_ITEM_SKIP_BYTES. Hot. */
uint32_t hr_item_encode_skip(uint8_t *out, const struct hr_item *item);

/* Walk the items of an EPOCH body. *cursor starts at 0. Returns 1 and an item, 0 at
 * the end, -EBADMSG where the bytes are none of ours, -ENOTSUP at a kind that this
 * reader does not know (out->kind says which). */
int hr_item_next(struct hr_str body, uint32_t *cursor, struct hr_item *out);

/* What a walk over the body of an accepted link finds. */
struct hr_body_sum {
	uint32_t n_items;
	uint32_t n_events;           /* sum of the items' counts */
	uint64_t oldest_received_us; /* of DATAGRAM and EVENT items; 0: none */
};

/*
 * Look through the body of an accepted link, whatever its kind. Returns 0, or
 * -ENOTSUP (a body or item kind, setting or fold_version of a later writer) or
 * -EBADMSG (laid out wrongly), with err: then the reader stops by name, because
 * an accepted link is never skipped.
 */
int hr_body_check(uint16_t body_kind, struct hr_str body, struct hr_body_sum *sum,
		  struct hr_err *err);

/* Settings of a CONFIG body, by number: append, never reuse. */
enum hr_chain_setting {
	HR_CHAIN_MAX_EVENTS = 1,        /* events a link may hold */
	HR_CHAIN_MAX_STREAMS = 2,       /* streams a shard remembers */
	HR_CHAIN_STREAM_MAX_AGE_US = 3, /* handshake off: a stream's window is dropped
					 * this long after its last datagram; else a
					 * sender's stream takes new events so long */
	HR_CHAIN_KEY_STREAMS = 4,       /* of them, with one write key; 0: all */
	HR_CHAIN_TTL_MEMORY_US = 5,     /* how long a sender keeps events that it */
	HR_CHAIN_TTL_DISK_US = 6,       /* queues in memory, and on disk */
	HR_CHAIN_DEDUP_WINDOW_US = 7,   /* events without a stream are known again so
					 * long; 0: never */
	HR_CHAIN_DEDUP_MAX = 8,         /* such events a shard remembers */
	HR_CHAIN_SETTINGS
};

/* The rules of fold that a program has (docs/fold.md): its own, and those of the version
 * before, so that chains which were begun with them go on. */
#ifdef HR_WITH_NEXT_FOLD
#define HR_FOLD_VERSION 2 /* of tests alone: -Dnext_fold=true */
#define HR_FOLD_VERSIONS "1 and 2"
#else
#define HR_FOLD_VERSION 1
#define HR_FOLD_VERSIONS "1" /* for people */
#endif
#define HR_FOLD_VERSION_LEAST (HR_FOLD_VERSION > 1 ? HR_FOLD_VERSION - 1 : 1)
#define HR_PIPELINE_MAX 4096

/* Returns 0, or -ENOTSUP with err, which names the program that is needed. what: whose
 * version it is, as a sentence begins. */
int hr_fold_version_check(uint32_t version, const char *what, struct hr_err *err);

/* What fold obeys: it comes from the chain and nowhere else. */
struct hr_chain_config {
	uint32_t fold_version;
	uint64_t setting[HR_CHAIN_SETTINGS]; /* indexed by enum hr_chain_setting */
	uint32_t pipeline_bytes;
	char pipeline[HR_PIPELINE_MAX];
};

#define HR_CHAIN_CONFIG_MAX (16u + 16u * HR_CHAIN_SETTINGS + HR_PIPELINE_MAX)

/* out has room for HR_CHAIN_CONFIG_MAX. Returns the body's bytes. */
size_t hr_chain_config_encode(uint8_t *out, const struct hr_chain_config *config);
/* Returns 0, -EBADMSG, or -ENOTSUP for a setting or fold_version it does not know. */
int hr_chain_config_decode(struct hr_chain_config *out, struct hr_str body,
			   struct hr_err *err);

/*
 * The accept rule, for one shard. Everybody applies it: owner, views, fold's
 * replay, checkers. Feed it every record of the partition in offset order.
 */
struct hr_chain {
	const struct hr_data_set *set;
	uint16_t shard;
	bool has_owner;
	struct hr_id128 owner;
	uint64_t incarnation;
	char addresses[HR_ADDRESSES_MAX + 1]; /* of the owner, as its FENCE says */
	uint64_t n;                           /* last accepted link; 0: none */
	struct hr_id128 hash;
	uint64_t clock_us;
};

enum hr_verdict {
	HR_VERDICT_FENCE,   /* accepted: the owner changed */
	HR_VERDICT_LINK,    /* accepted: n and hash advanced */
	HR_VERDICT_FOREIGN, /* another data set, generation or shard; META */
	HR_VERDICT_UNKNOWN, /* ours, but a later writer's: the reader stops by name */
	HR_VERDICT_STALE_FENCE, /* incarnation is not current + 1 */
	HR_VERDICT_NOT_OWNER,
	HR_VERDICT_WRONG_N,
	HR_VERDICT_WRONG_PREV,
	HR_VERDICT_NO_CONFIG, /* link 1 is not CONFIG */
	HR_VERDICT_CLOCK,     /* clock before the last link's */
	HR_VERDICT_COUNT
};

void hr_chain_init(struct hr_chain *chain, const struct hr_data_set *set,
		   uint16_t shard);
enum hr_verdict hr_chain_offer(struct hr_chain *chain, const struct hr_record *record);
/* The same for a link whose hash the caller has already (it made these very bytes). */
enum hr_verdict hr_chain_offer_hashed(struct hr_chain *chain,
				      const struct hr_record *record,
				      const struct hr_id128 *hash);
/* A word for people: "accepted", "stale fence", ... */
const char *hr_verdict_name(enum hr_verdict verdict);

#endif
