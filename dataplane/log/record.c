/* SPDX-License-Identifier: BSD-3-Clause */

/* The cold half of record: whole records, bodies, and the accept rule. */

#include <assert.h>
#include <errno.h>

#include "common/crc32c.h"
#include "common/mutant.h"
#include "common/siphash.h"
#include "dataplane/log/record_impl.h"

/* The bytes between a text and the next multiple of 8, which are the high ones of
 * the last whole word. */
static bool is_padded(const uint8_t *text, uint32_t n)
{
	const uint32_t pad = HR_PAD8(n) - n;

	return pad == 0 || hr_load64(text + n + pad - 8) >> (64 - 8 * pad) == 0;
}

/*
 *      0       1       2       3       4       5       6       7
 *   0 | 'H'   | 'R'   | 'L'   |version|     type      |     shard     |
 *   8 |          generation           |     record bytes, whole       |
 *  16 |            data set id (16 bytes)                             |
 */
static int frame_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
			struct hr_err *err)
{
	uint32_t crc;

	if (n < HR_RECORD_HEAD_BYTES + HR_RECORD_TAIL_BYTES || n > HR_RECORD_MAX ||
	    n % 8 != 0)
		return hr_fail(err, -EBADMSG,
			       "%zu bytes: a record has 40 to %u, in eights", n,
			       HR_RECORD_MAX);
	if (memcmp(bytes, "HRL", 3) != 0)
		return hr_fail(err, -EBADMSG,
			       "record starts with %02x %02x %02x: "
			       "expected HRL",
			       bytes[0], bytes[1], bytes[2]);
	if (hr_load32(bytes + 12) != n)
		return hr_fail(err, -EBADMSG, "record says it has %u bytes: it has %zu",
			       hr_load32(bytes + 12), n);
	crc = hr_crc32c(bytes, n - 4);
	if (hr_load32(bytes + n - 4) != crc)
		return hr_fail(err, -EBADMSG,
			       "record's crc is %08x: its bytes give %08x",
			       hr_load32(bytes + n - 4), crc);

	memset(out, 0, sizeof(*out));
	out->version = bytes[3];
	out->type_no = hr_load16(bytes + 4);
	out->shard = hr_load16(bytes + 6);
	out->generation = hr_load32(bytes + 8);
	memcpy(&out->data_set, bytes + 16, sizeof(out->data_set));
	return 0;
}

/* The whole size must be what the inner length gives, and what pads it zero. */
static int tail_check(const uint8_t *bytes, size_t n, uint32_t head, uint32_t text,
		      const char *what, struct hr_err *err)
{
	if (n != (size_t)head + HR_PAD8(text) + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "%s of %u bytes in a record of %zu", what,
			       text, n);
	if (!is_padded(bytes + head, text) || hr_load32(bytes + n - 8) != 0)
		return hr_fail(err, -EBADMSG, "padding behind the %s is not zero",
			       what);
	return 0;
}

/*  32 | S: u32 | log topic bytes u32 | hash key (16) | 56 log topic, padded  */
static int meta_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
		       struct hr_err *err)
{
	struct hr_data_set *set = &out->meta;
	uint32_t topic_bytes;
	int r;

	if (n < HR_META_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "META of %zu bytes", n);
	topic_bytes = hr_load32(bytes + 36);
	if (topic_bytes == 0 || topic_bytes >= sizeof(set->log_topic))
		return hr_fail(err, -EBADMSG,
			       "META names a log topic of %u bytes: expected 1 to %zu",
			       topic_bytes, sizeof(set->log_topic) - 1);
	r = tail_check(bytes, n, HR_META_HEAD_BYTES, topic_bytes, "log topic", err);
	if (r < 0)
		return r;
	if (memchr(bytes + HR_META_HEAD_BYTES, 0, topic_bytes) != NULL)
		return hr_fail(err, -EBADMSG, "META's log topic holds a NUL");
	set->id = out->data_set;
	set->generation = out->generation;
	set->n_shards = hr_load32(bytes + 32);
	if (set->n_shards == 0 || set->n_shards > UINT16_MAX)
		return hr_fail(err, -EBADMSG, "META says S is %u", set->n_shards);
	memcpy(set->hash_key, bytes + 40, sizeof(set->hash_key));
	memcpy(set->log_topic, bytes + HR_META_HEAD_BYTES, topic_bytes);
	return 0;
}

/*  32 | incarnation u64 | owner (16) | address bytes u32 | 0 u32 | 64 addresses  */
static int fence_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
			struct hr_err *err)
{
	struct hr_fence *fence = &out->fence;

	if (n < HR_FENCE_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "FENCE of %zu bytes", n);
	fence->incarnation = hr_load64(bytes + 32);
	memcpy(&fence->owner, bytes + 40, sizeof(fence->owner));
	fence->addresses =
		(struct hr_str){ bytes + HR_FENCE_HEAD_BYTES, hr_load32(bytes + 56) };
	if (fence->addresses.n > HR_ADDRESSES_MAX)
		return hr_fail(err, -EBADMSG,
			       "FENCE with %u bytes of addresses: expected at most %u",
			       fence->addresses.n, HR_ADDRESSES_MAX);
	if (hr_load32(bytes + 60) != 0)
		return hr_fail(err, -EBADMSG, "FENCE: reserved bytes are not zero");
	return tail_check(bytes, n, HR_FENCE_HEAD_BYTES, fence->addresses.n,
			  "addresses", err);
}

/*
 *  32 | owner (16) | n u64 | prev_hash (16) | clock us u64 |
 *  80 | body kind u16 | 0 u16 | body bytes u32 | 88 body
 */
static int link_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
		       struct hr_err *err)
{
	struct hr_link_head *link = &out->link;

	if (n < HR_LINK_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return hr_fail(err, -EBADMSG, "LINK of %zu bytes", n);
	memcpy(&link->owner, bytes + 32, sizeof(link->owner));
	link->n = hr_load64(bytes + 48);
	memcpy(&link->prev_hash, bytes + 56, sizeof(link->prev_hash));
	link->clock_us = hr_load64(bytes + 72);
	link->body_kind = hr_load16(bytes + 80);
	link->body =
		(struct hr_str){ bytes + HR_LINK_HEAD_BYTES, hr_load32(bytes + 84) };
	if (link->body.n > HR_BODY_MAX)
		return hr_fail(err, -EBADMSG, "LINK with a body of %u bytes",
			       link->body.n);
	if (hr_load16(bytes + 82) != 0)
		return hr_fail(err, -EBADMSG, "LINK: reserved bytes are not zero");
	return tail_check(bytes, n, HR_LINK_HEAD_BYTES, link->body.n, "body", err);
}

int hr_record_decode(struct hr_record *out, const uint8_t *bytes, size_t n,
		     struct hr_err *err)
{
	int r = frame_decode(out, bytes, n, err);

	if (r < 0 || out->version != HR_RECORD_VERSION)
		return r;
	switch (out->type_no) {
	case HR_RECORD_META:
		r = meta_decode(out, bytes, n, err);
		break;
	case HR_RECORD_FENCE:
		r = fence_decode(out, bytes, n, err);
		break;
	case HR_RECORD_LINK:
		r = link_decode(out, bytes, n, err);
		break;
	default:
		return 0;
	}
	if (r == 0)
		out->type = (enum hr_record_type)out->type_no;
	return r;
}

/* Head, and behind whatever the caller put between: padding, zero word, crc. */
static void frame_open(uint8_t *out, const struct hr_data_set *set, uint16_t type,
		       uint16_t shard)
{
	memcpy(out, "HRL", 3);
	out[3] = HR_RECORD_VERSION;
	hr_store16(out + 4, type);
	hr_store16(out + 6, shard);
	hr_store32(out + 8, set->generation);
	memcpy(out + 16, &set->id, sizeof(set->id));
}

static size_t frame_close(uint8_t *out, uint32_t head, uint32_t text)
{
	uint32_t padded = head + HR_PAD8(text);
	uint32_t bytes = padded + HR_RECORD_TAIL_BYTES;

	memset(out + head + text, 0, padded - head - text);
	hr_store32(out + 12, bytes);
	hr_store32(out + padded, 0);
	hr_store32(out + padded + 4, hr_crc32c(out, padded + 4));
	return bytes;
}

size_t hr_record_encode_meta(uint8_t *out, const struct hr_data_set *set)
{
	uint32_t topic_bytes =
		(uint32_t)strnlen(set->log_topic, sizeof(set->log_topic));

	assert(topic_bytes > 0 && topic_bytes < sizeof(set->log_topic));
	frame_open(out, set, HR_RECORD_META, 0);
	hr_store32(out + 32, set->n_shards);
	hr_store32(out + 36, topic_bytes);
	memcpy(out + 40, set->hash_key, sizeof(set->hash_key));
	memcpy(out + HR_META_HEAD_BYTES, set->log_topic, topic_bytes);
	return frame_close(out, HR_META_HEAD_BYTES, topic_bytes);
}

size_t hr_record_encode_fence(uint8_t *out, const struct hr_data_set *set,
			      uint16_t shard, const struct hr_fence *fence)
{
	assert(fence->addresses.n <= HR_ADDRESSES_MAX);
	frame_open(out, set, HR_RECORD_FENCE, shard);
	hr_store64(out + 32, fence->incarnation);
	memcpy(out + 40, &fence->owner, sizeof(fence->owner));
	hr_store32(out + 56, fence->addresses.n);
	hr_store32(out + 60, 0);
	if (fence->addresses.n != 0)
		memcpy(out + HR_FENCE_HEAD_BYTES, fence->addresses.p,
		       fence->addresses.n);
	return frame_close(out, HR_FENCE_HEAD_BYTES, fence->addresses.n);
}

size_t hr_record_encode_link(uint8_t *out, const struct hr_data_set *set,
			     uint16_t shard, const struct hr_link_head *link)
{
	assert(link->body.n <= HR_BODY_MAX);
	frame_open(out, set, HR_RECORD_LINK, shard);
	memcpy(out + 32, &link->owner, sizeof(link->owner));
	hr_store64(out + 48, link->n);
	memcpy(out + 56, &link->prev_hash, sizeof(link->prev_hash));
	hr_store64(out + 72, link->clock_us);
	hr_store16(out + 80, link->body_kind);
	hr_store16(out + 82, 0);
	hr_store32(out + 84, link->body.n);
	if (link->body.n != 0 && link->body.p != out + HR_LINK_HEAD_BYTES)
		memmove(out + HR_LINK_HEAD_BYTES, link->body.p, link->body.n);
	return frame_close(out, HR_LINK_HEAD_BYTES, link->body.n);
}

void hr_link_hash(const struct hr_data_set *set, uint16_t shard,
		  const struct hr_link_head *link, struct hr_id128 *out)
{
	uint8_t head[40];
	struct hr_siphash s;

	memcpy(head, &link->prev_hash, sizeof(link->prev_hash));
	hr_store32(head + 16, set->generation);
	hr_store16(head + 20, shard);
	hr_store16(head + 22, link->body_kind);
	hr_store64(head + 24, link->n);
	hr_store64(head + 32, link->clock_us);
	hr_siphash_init(&s, set->hash_key);
	hr_siphash_update(&s, head, sizeof(head));
	hr_siphash_update(&s, link->body.p, link->body.n);
	if (HR_MUTANT(hash_with_owner))
		hr_siphash_update(&s, link->owner.b, sizeof(link->owner.b));
	hr_siphash_final(&s, out->b);
}

void hr_chain_root(const struct hr_data_set *set, uint16_t shard, struct hr_id128 *out)
{
	uint8_t bytes[24];

	memcpy(bytes, &set->id, sizeof(set->id));
	hr_store64(bytes + 16, shard);
	hr_siphash128(set->hash_key, bytes, sizeof(bytes), out->b);
}

/* DATAGRAM and EVENT: 80 bytes of fields, then the payload. */
static int datagram_decode(struct hr_item *out, const uint8_t *p, uint32_t n)
{
	if (n < HR_ITEM_DATAGRAM_BYTES || hr_load16(p + 62) != 0)
		return -EBADMSG;
	out->birth = hr_load64(p + 8);
	out->random = hr_load64(p + 16);
	out->sequence = hr_load64(p + 24);
	out->key_id = hr_load32(p + 32);
	out->client_drops = hr_load32(p + 36);
	memcpy(out->source, p + 40, sizeof(out->source));
	out->source_port = hr_load16(p + 56);
	out->n_events = hr_load16(p + 58);
	out->flags = hr_load16(p + 60);
	out->sent_us = hr_load64(p + 64);
	out->received_us = hr_load64(p + 72);
	out->payload = (struct hr_str){ p + HR_ITEM_DATAGRAM_BYTES,
					n - HR_ITEM_DATAGRAM_BYTES };
	return 1;
}

static int skip_decode(struct hr_item *out, const uint8_t *p, uint32_t n)
{
	if (n != HR_ITEM_SKIP_BYTES || hr_load32(p + 36) != 0)
		return -EBADMSG;
	out->birth = hr_load64(p + 8);
	out->random = hr_load64(p + 16);
	out->sequence = hr_load64(p + 24);
	out->key_id = hr_load32(p + 32);
	return 1;
}

static int fact_decode(struct hr_item *out, const uint8_t *p, uint32_t n)
{
	uint32_t key_bytes, value_bytes;

	if (n < HR_ITEM_FACT_BYTES)
		return -EBADMSG;
	key_bytes = hr_load16(p + 10);
	value_bytes = hr_load32(p + 12);
	if (key_bytes > n - HR_ITEM_FACT_BYTES ||
	    value_bytes != n - HR_ITEM_FACT_BYTES - key_bytes)
		return -EBADMSG;
	out->what = hr_load16(p + 8);
	out->key = (struct hr_str){ p + HR_ITEM_FACT_BYTES, key_bytes };
	out->payload =
		(struct hr_str){ p + HR_ITEM_FACT_BYTES + key_bytes, value_bytes };
	return 1;
}

static int note_decode(struct hr_item *out, const uint8_t *p, uint32_t n)
{
	if (n < HR_ITEM_NOTE_BYTES || hr_load32(p + 12) != n - HR_ITEM_NOTE_BYTES)
		return -EBADMSG;
	out->what = hr_load32(p + 8);
	out->payload =
		(struct hr_str){ p + HR_ITEM_NOTE_BYTES, n - HR_ITEM_NOTE_BYTES };
	return 1;
}

/*  0 | kind u16 | codec u8 | source family u8 | item bytes u32, unpadded | ...  */
int hr_item_next(struct hr_str body, uint32_t *cursor, struct hr_item *out)
{
	uint32_t left = body.n - *cursor;
	const uint8_t *p;
	uint32_t n;

	if (left == 0)
		return 0;
	p = body.p + *cursor;
	if (left < HR_ITEM_HEAD_BYTES)
		return -EBADMSG;
	n = hr_load32(p + 4);
	if (n < HR_ITEM_HEAD_BYTES || n > left || HR_PAD8(n) > left || !is_padded(p, n))
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	out->kind = hr_load16(p);
	out->codec = p[2];
	out->family = p[3];
	*cursor += HR_PAD8(n);
	switch (out->kind) {
	case HR_ITEM_DATAGRAM:
	case HR_ITEM_EVENT:
		return datagram_decode(out, p, n);
	case HR_ITEM_SKIP:
		return skip_decode(out, p, n);
	case HR_ITEM_FACT:
		return fact_decode(out, p, n);
	case HR_ITEM_NOTE:
		return note_decode(out, p, n);
	default:
		return -ENOTSUP;
	}
}

static int epoch_check(struct hr_str body, struct hr_body_sum *sum, struct hr_err *err)
{
	uint32_t cursor = 0, at = 0;
	struct hr_item item;
	int r;

	while ((r = hr_item_next(body, &cursor, &item)) > 0) {
		sum->n_items++;
		sum->n_events += item.n_events;
		if (item.received_us != 0 &&
		    (sum->oldest_received_us == 0 ||
		     item.received_us < sum->oldest_received_us))
			sum->oldest_received_us = item.received_us;
		at = cursor;
	}
	if (r == -ENOTSUP)
		return hr_fail(
			err, r,
			"EPOCH holds an item of kind %u at byte %u: this program "
			"knows 1 to 5; use the one that wrote it, or a later one",
			item.kind, at);
	if (r < 0)
		return hr_fail(err, r,
			       "EPOCH is laid out wrongly from byte %u of %u on", at,
			       body.n);
	return 0;
}

int hr_body_check(uint16_t body_kind, struct hr_str body, struct hr_body_sum *sum,
		  struct hr_err *err)
{
	struct hr_chain_config config;

	memset(sum, 0, sizeof(*sum));
	switch (body_kind) {
	case HR_BODY_CONFIG:
		return hr_chain_config_decode(&config, body, err);
	case HR_BODY_EPOCH:
		return epoch_check(body, sum, err);
	case HR_BODY_LOSS:
		if (body.n != 24)
			return hr_fail(err, -EBADMSG, "LOSS of %u bytes: expected 24",
				       body.n);
		return 0;
	default:
		return hr_fail(
			err, -ENOTSUP,
			"link with a body of kind %u: this program knows 1 to 3; "
			"use the one that wrote it, or a later one",
			body_kind);
	}
}

#define CONFIG_HEAD_BYTES 8u
#define CONFIG_SETTING_BYTES 16u

size_t hr_chain_config_encode(uint8_t *out, const struct hr_chain_config *config)
{
	uint8_t *p = out + CONFIG_HEAD_BYTES;

	assert(config->pipeline_bytes <= HR_PIPELINE_MAX);
	hr_store32(out, config->fold_version);
	hr_store32(out + 4, HR_CHAIN_SETTINGS - 1);
	for (uint32_t id = 1; id < HR_CHAIN_SETTINGS; id++, p += CONFIG_SETTING_BYTES) {
		hr_store32(p, id);
		hr_store32(p + 4, 0);
		hr_store64(p + 8, config->setting[id]);
	}
	hr_store32(p, config->pipeline_bytes);
	hr_store32(p + 4, 0);
	memcpy(p + 8, config->pipeline, config->pipeline_bytes);
	return (size_t)(p + 8 - out) + config->pipeline_bytes;
}

static int settings_decode(struct hr_chain_config *out, const uint8_t *p, uint32_t n,
			   struct hr_err *err)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < n; i++, p += CONFIG_SETTING_BYTES) {
		uint32_t id = hr_load32(p);

		if (id <= last || hr_load32(p + 4) != 0)
			return hr_fail(err, -EBADMSG,
				       "CONFIG: setting %u behind setting %u", id,
				       last);
		if (id >= HR_CHAIN_SETTINGS)
			return hr_fail(
				err, -ENOTSUP,
				"CONFIG holds setting %u: this program knows 1 to "
				"%d; use the one that wrote it, or a later one",
				id, HR_CHAIN_SETTINGS - 1);
		out->setting[id] = hr_load64(p + 8);
		last = id;
	}
	return 0;
}

int hr_fold_version_check(uint32_t version, const char *what, struct hr_err *err)
{
	if (version >= HR_FOLD_VERSION_LEAST && version <= HR_FOLD_VERSION)
		return 0;
	return hr_fail(err, -ENOTSUP,
		       "%s fold version %u, and this program has %s: run one that has "
		       "version %u (`headraced --version` says)",
		       what, version, HR_FOLD_VERSIONS, version);
}

int hr_chain_config_decode(struct hr_chain_config *out, struct hr_str body,
			   struct hr_err *err)
{
	uint32_t n, left;
	const uint8_t *p;
	int r;

	if (body.n < 2 * CONFIG_HEAD_BYTES)
		return hr_fail(err, -EBADMSG, "CONFIG of %u bytes", body.n);
	memset(out, 0, sizeof(*out));
	out->fold_version = hr_load32(body.p);
	r = hr_fold_version_check(out->fold_version, "CONFIG asks for", err);
	if (r < 0)
		return r;
	n = hr_load32(body.p + 4);
	left = body.n - 2 * CONFIG_HEAD_BYTES;
	if (n > left / CONFIG_SETTING_BYTES)
		return hr_fail(err, -EBADMSG, "CONFIG of %u bytes with %u settings",
			       body.n, n);
	r = settings_decode(out, body.p + CONFIG_HEAD_BYTES, n, err);
	if (r < 0)
		return r;
	left -= n * CONFIG_SETTING_BYTES;
	p = body.p + CONFIG_HEAD_BYTES + n * CONFIG_SETTING_BYTES;
	out->pipeline_bytes = hr_load32(p);
	if (out->pipeline_bytes != left || hr_load32(p + 4) != 0)
		return hr_fail(err, -EBADMSG,
			       "CONFIG says its pipeline has %u bytes: %u are there",
			       out->pipeline_bytes, left);
	if (left > HR_PIPELINE_MAX)
		return hr_fail(
			err, -ENOTSUP,
			"CONFIG with a pipeline of %u bytes: this program takes %u",
			left, HR_PIPELINE_MAX);
	memcpy(out->pipeline, p + 8, left);
	return 0;
}

void hr_chain_init(struct hr_chain *chain, const struct hr_data_set *set,
		   uint16_t shard)
{
	memset(chain, 0, sizeof(*chain));
	chain->set = set;
	chain->shard = shard;
	hr_chain_root(set, shard, &chain->hash);
}

static bool is_ours(const struct hr_chain *chain, const struct hr_record *record)
{
	return record->generation == chain->set->generation &&
	       record->shard == chain->shard &&
	       hr_id128_equals(&record->data_set, &chain->set->id);
}

static enum hr_verdict fence_offer(struct hr_chain *chain, const struct hr_fence *fence)
{
	if (fence->incarnation != chain->incarnation + 1)
		return HR_VERDICT_STALE_FENCE;
	chain->incarnation = fence->incarnation;
	chain->owner = fence->owner;
	chain->has_owner = true;
	memset(chain->addresses, 0, sizeof(chain->addresses));
	if (fence->addresses.n > 0)
		memcpy(chain->addresses, fence->addresses.p, fence->addresses.n);
	return HR_VERDICT_FENCE;
}

/* The order of the questions is part of no promise; only HR_VERDICT_LINK is. */
static enum hr_verdict link_judge(const struct hr_chain *chain,
				  const struct hr_link_head *link)
{
	if (!chain->has_owner || (!HR_MUTANT(no_owner_check) &&
				  !hr_id128_equals(&link->owner, &chain->owner)))
		return HR_VERDICT_NOT_OWNER;
	if (link->n != chain->n + 1 && !HR_MUTANT(no_n_check))
		return HR_VERDICT_WRONG_N;
	if (!hr_id128_equals(&link->prev_hash, &chain->hash) &&
	    !HR_MUTANT(no_prev_check))
		return HR_VERDICT_WRONG_PREV;
	/* Before the next question: a later writer's first link is not "none". */
	if (link->body_kind < HR_BODY_CONFIG || link->body_kind > HR_BODY_LOSS)
		return HR_VERDICT_UNKNOWN;
	if (link->n == 1 && link->body_kind != HR_BODY_CONFIG)
		return HR_VERDICT_NO_CONFIG;
	if (link->clock_us < chain->clock_us && !HR_MUTANT(clock_back))
		return HR_VERDICT_CLOCK;
	return HR_VERDICT_LINK;
}

enum hr_verdict hr_chain_offer_hashed(struct hr_chain *chain,
				      const struct hr_record *record,
				      const struct hr_id128 *hash)
{
	struct hr_id128 own;
	enum hr_verdict v;

	if (!is_ours(chain, record))
		return HR_VERDICT_FOREIGN;
	switch (record->type) {
	case HR_RECORD_FENCE:
		return fence_offer(chain, &record->fence);
	case HR_RECORD_LINK:
		break;
	case HR_RECORD_UNKNOWN:
		return HR_VERDICT_UNKNOWN;
	default:
		return HR_VERDICT_FOREIGN;
	}
	v = link_judge(chain, &record->link);
	if (v != HR_VERDICT_LINK)
		return v;
	if (hash == NULL) {
		hr_link_hash(chain->set, chain->shard, &record->link, &own);
		hash = &own;
	}
	chain->hash = *hash;
	chain->n = record->link.n;
	chain->clock_us = record->link.clock_us;
	return v;
}

enum hr_verdict hr_chain_offer(struct hr_chain *chain, const struct hr_record *record)
{
	return hr_chain_offer_hashed(chain, record, NULL);
}

const char *hr_verdict_name(enum hr_verdict verdict)
{
	static const char *const names[] = {
		[HR_VERDICT_FENCE] = "fence accepted",
		[HR_VERDICT_LINK] = "link accepted",
		[HR_VERDICT_FOREIGN] = "foreign",
		[HR_VERDICT_UNKNOWN] = "of a later writer",
		[HR_VERDICT_STALE_FENCE] = "stale fence",
		[HR_VERDICT_NOT_OWNER] = "not from the owner",
		[HR_VERDICT_WRONG_N] = "wrong n",
		[HR_VERDICT_WRONG_PREV] = "wrong prev_hash",
		[HR_VERDICT_NO_CONFIG] = "first link is not CONFIG",
		[HR_VERDICT_CLOCK] = "clock runs backwards",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == HR_VERDICT_COUNT,
		       "every verdict has a name");

	return names[verdict];
}
