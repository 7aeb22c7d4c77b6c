/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Records of the epoch log. The first byte chooses: 0 the bytes are a record as they
 * are; 1 they are one once magic, size and crc are put right; from 2 on they are the
 * body of a link, of that kind - 1 (1 CONFIG, 2 EPOCH, 3 LOSS, others unknown).
 */

#include <errno.h>

#include "common/crc32c.h"
#include "dataplane/log/record.h"
#include "tests/fuzz/fuzz.h"

static const struct hr_data_set set = {
	.id = { { 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31 } },
	.hash_key = { 1, 2, 3 },
	.generation = 1,
	.n_shards = 5,
	.log_topic = "headrace.log.g1",
};

/* The items an encoder makes of what was read are those that were read. */
static void check_item(struct hr_str body, uint32_t at, uint32_t behind,
		       const struct hr_item *item)
{
	uint8_t *out;
	uint32_t n;

	HOLDS(behind > at && behind <= body.n && behind % 8 == 0);
	if (item->kind != HR_ITEM_DATAGRAM && item->kind != HR_ITEM_EVENT)
		return;
	out = malloc(hr_item_bytes(item->payload.n));
	n = hr_item_encode(out, item);
	HOLDS(n == behind - at && memcmp(out, body.p + at, n) == 0);
	free(out);
}

static void walk_items(struct hr_str body)
{
	struct hr_body_sum sum;
	struct hr_item item;
	struct hr_err err = { "" };
	uint32_t cursor = 0, n_items = 0, n_events = 0;
	int r, whole = hr_body_check(HR_BODY_EPOCH, body, &sum, &err);

	for (;;) {
		const uint32_t at = cursor;

		r = hr_item_next(body, &cursor, &item);
		if (r != 1)
			break;
		check_item(body, at, cursor, &item);
		n_items++;
		n_events += item.n_events;
	}
	HOLDS(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	HOLDS(whole == r);
	if (r == 0) {
		HOLDS(cursor == body.n);
		HOLDS(sum.n_items == n_items && sum.n_events == n_events);
	} else {
		HOLDS(err.text[0] != '\0');
	}
}

static void read_config(struct hr_str body)
{
	struct hr_chain_config *config = calloc(1, sizeof(*config));
	uint8_t *out = malloc(HR_CHAIN_CONFIG_MAX);
	struct hr_err err = { "" };
	const int r = hr_chain_config_decode(config, body, &err);

	HOLDS(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	if (r == 0) {
		/* Written again it says the same; a setting of 0 need not be there. */
		struct hr_chain_config *again = calloc(1, sizeof(*again));
		const size_t n = hr_chain_config_encode(out, config);

		HOLDS(n <= HR_CHAIN_CONFIG_MAX);
		HOLDS(hr_chain_config_decode(again, (struct hr_str){ out, (uint32_t)n },
					     &err) == 0);
		HOLDS(again->pipeline_bytes == config->pipeline_bytes);
		HOLDS(memcmp(again->pipeline, config->pipeline,
			     config->pipeline_bytes) == 0);
		HOLDS(memcmp(again->setting, config->setting, sizeof(again->setting)) ==
		      0);
		free(again);
	}
	free(out);
	free(config);
}

static void check_body(uint16_t kind, struct hr_str body)
{
	struct hr_body_sum sum;
	struct hr_err err;
	const int r = hr_body_check(kind, body, &sum, &err);

	HOLDS(r == 0 || r == -EBADMSG || r == -ENOTSUP);
	if (kind == HR_BODY_EPOCH)
		walk_items(body);
	if (kind == HR_BODY_CONFIG)
		read_config(body);
}

static void offer(const struct hr_record *record)
{
	struct hr_chain chain;
	enum hr_verdict v;

	hr_chain_init(&chain, &set, record->shard);
	v = hr_chain_offer(&chain, record);
	HOLDS(v < HR_VERDICT_COUNT && hr_verdict_name(v) != NULL);
	HOLDS(v != HR_VERDICT_LINK); /* nobody owns an empty chain */
	if (record->type == HR_RECORD_LINK) {
		chain.has_owner = true;
		chain.owner = record->link.owner;
		chain.n = record->link.n - 1;
		chain.hash = record->link.prev_hash;
		v = hr_chain_offer(&chain, record);
		HOLDS(v != HR_VERDICT_NOT_OWNER && v != HR_VERDICT_WRONG_N &&
		      v != HR_VERDICT_WRONG_PREV);
	}
}

/* Written again from what was read it is the same, byte by byte. */
static void check_encoder(const struct hr_record *record, const uint8_t *bytes,
			  size_t n)
{
	struct hr_data_set mine = set;
	uint8_t *out = calloc(1, n + HR_META_MAX);
	size_t written = n;

	mine.id = record->data_set;
	mine.generation = record->generation;
	if (record->type == HR_RECORD_META && record->shard == 0)
		written = hr_record_encode_meta(out, &record->meta);
	else if (record->type == HR_RECORD_FENCE)
		written = hr_record_encode_fence(out, &mine, record->shard,
						 &record->fence);
	else if (record->type == HR_RECORD_LINK)
		written =
			hr_record_encode_link(out, &mine, record->shard, &record->link);
	else
		memcpy(out, bytes, n);
	HOLDS(written == n && memcmp(out, bytes, n) == 0);
	free(out);
}

static void read_record(const uint8_t *bytes, size_t n)
{
	struct hr_record *record = calloc(1, sizeof(*record));
	struct hr_err err = { "" };
	const int r = hr_record_decode(record, bytes, n, &err);

	HOLDS(r == 0 || r == -EBADMSG);
	HOLDS((r == 0) == (err.text[0] == '\0'));
	if (r == 0) {
		offer(record);
		check_encoder(record, bytes, n);
		if (record->type == HR_RECORD_LINK)
			check_body(record->link.body_kind, record->link.body);
	}
	free(record);
}

static void put_right(uint8_t *bytes, size_t n)
{
	if (n < HR_RECORD_HEAD_BYTES + HR_RECORD_TAIL_BYTES)
		return;
	memcpy(bytes, "HRL", 3);
	hr_store32(bytes + 12, (uint32_t)n);
	memcpy(bytes + 16, set.id.b, sizeof(set.id.b));
	hr_store32(bytes + n - 8, 0);
	hr_store32(bytes + n - 4, hr_crc32c(bytes, n - 4));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint8_t *bytes;

	if (n < 1 || n > 16384)
		return 0;
	bytes = exact_copy(data + 1, --n);
	if (data[0] == 1)
		put_right(bytes, n);
	if (data[0] <= 1)
		read_record(bytes, n);
	else
		check_body((uint16_t)(data[0] - 1),
			   (struct hr_str){ bytes, (uint32_t)n });
	free(bytes);
	return 0;
}
