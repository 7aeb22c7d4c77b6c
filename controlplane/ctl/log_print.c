/* SPDX-License-Identifier: BSD-3-Clause */

/* The JSON of a record is made first; the text for people is made from it. */

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/ctl/log_print.h"
#include "dataplane/beacon/event.h"

#define RAW_SHOWN 256u /* bytes of an event that is no JSON, in hex */

static const char *const verdict_names[HR_FOLD_VERDICTS] = {
	[HR_COUNTED] = "counted",   [HR_LATE] = "late",
	[HR_REPEATED] = "repeated", [HR_FILTERED] = "filtered",
	[HR_REJECTED] = "rejected", [HR_OVERFLOW] = "overflow",
};

static const char *const body_names[] = {
	[HR_BODY_CONFIG] = "CONFIG",
	[HR_BODY_EPOCH] = "EPOCH",
	[HR_BODY_LOSS] = "LOSS",
};

static const char *const item_names[] = {
	[HR_ITEM_DATAGRAM] = "DATAGRAM", [HR_ITEM_EVENT] = "EVENT",
	[HR_ITEM_SKIP] = "SKIP",         [HR_ITEM_FACT] = "FACT",
	[HR_ITEM_NOTE] = "NOTE",
};

static const char *const setting_names[HR_CHAIN_SETTINGS] = {
	[HR_CHAIN_MAX_EVENTS] = "max_events",
	[HR_CHAIN_MAX_STREAMS] = "max_streams",
	[HR_CHAIN_STREAM_MAX_AGE_US] = "stream_max_age_us",
	[HR_CHAIN_KEY_STREAMS] = "key_streams",
	[HR_CHAIN_TTL_MEMORY_US] = "ttl_memory_us",
	[HR_CHAIN_TTL_DISK_US] = "ttl_disk_us",
	[HR_CHAIN_DEDUP_WINDOW_US] = "dedup_window_us",
	[HR_CHAIN_DEDUP_MAX] = "dedup_max",
};

/* ---- small things -------------------------------------------------------------- */

static void set_text(json_t *o, const char *key, const char *text)
{
	json_object_set_new(o, key, json_string(text));
}

static void set_number(json_t *o, const char *key, uint64_t v)
{
	json_object_set_new(o, key, json_integer((json_int_t)v));
}

static json_t *hex(const uint8_t *bytes, size_t n)
{
	char *text = malloc(2 * n + 1);
	json_t *out;

	if (text == NULL)
		return json_null();
	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	out = json_string(text);
	free(text);
	return out;
}

static void set_id(json_t *o, const char *key, const struct hr_id128 *id)
{
	json_object_set_new(o, key, hex(id->b, sizeof(id->b)));
}

/* "" where there is none. */
static void set_time(json_t *o, const char *key, uint64_t us)
{
	char text[HR_TIME_ISO_BYTES + 1] = "";

	if (us > 0 && us / 1000 <= HR_TIME_MS_MAX)
		hr_time_iso((int64_t)(us / 1000), text);
	set_text(o, key, text);
}

/* Texts that are not UTF-8 as hex. */
static json_t *text_or_hex(struct hr_str s)
{
	json_t *out = json_stringn((const char *)s.p, s.n);

	return out != NULL ? out : hex(s.p, s.n < RAW_SHOWN ? s.n : RAW_SHOWN);
}

static json_t *source_of(const struct hr_item *item)
{
	char address[INET6_ADDRSTRLEN] = "", text[INET6_ADDRSTRLEN + 10];

	if (item->family == 0)
		return json_string("");
	inet_ntop(item->family == 4 ? AF_INET : AF_INET6, item->source, address,
		  sizeof(address));
	snprintf(text, sizeof(text), item->family == 4 ? "%s:%u" : "[%s]:%u", address,
		 item->source_port);
	return json_string(text);
}

/* ---- events -------------------------------------------------------------------- */

/* As user_events would have it; what cannot be read as its bytes. */
static json_t *event_read(const struct hr_event *event, struct hr_str raw)
{
	uint32_t max = HR_RENDER_BYTES(raw.n), n;
	uint8_t *text = malloc(max);
	json_t *out = NULL;

	n = text == NULL ? 0 : hr_event_render(event, text, max);
	if (n > 0)
		out = json_loadb((const char *)text, n, 0, NULL);
	free(text);
	return out != NULL ? out : text_or_hex(raw);
}

/* Parsed here, since of what was not counted fold keeps nothing. */
static json_t *event_parse(uint8_t codec, struct hr_str raw, uint64_t received_us)
{
	uint8_t *decoded = malloc(raw.n + 1);
	struct hr_arena arena = { decoded, decoded == NULL ? NULL : decoded + raw.n };
	int64_t received_ms = (int64_t)(received_us / 1000);
	struct hr_event event;
	enum hr_reject r;
	json_t *out;

	if (decoded == NULL)
		return json_null();
	r = codec == HR_CODEC_PROTOBUF
		    ? hr_event_parse_protobuf(&event, &arena, raw.p, raw.n, received_ms)
		    : hr_event_parse_json(&event, &arena, raw.p, raw.n, received_ms);
	out = r == HR_REJECT_NONE ? event_read(&event, raw) : text_or_hex(raw);
	free(decoded);
	return out;
}

static json_t *event_json(const struct hr_out_event *e, uint64_t received_us)
{
	json_t *out = json_object();

	set_text(out, "verdict", verdict_names[e->verdict]);
	if (e->verdict == HR_REJECTED)
		set_text(out, "reason", hr_reject_rows[e->reject].label);
	json_object_set_new(out, "event",
			    e->verdict == HR_COUNTED
				    ? event_read(&e->event, e->raw)
				    : event_parse(e->codec, e->raw, received_us));
	return out;
}

/* ---- bodies -------------------------------------------------------------------- */

static json_t *item_json(const struct hr_item *item)
{
	json_t *out = json_object();

	set_text(out, "kind", item_names[item->kind]);
	if (item->kind == HR_ITEM_NOTE) {
		set_number(out, "what", item->what);
		json_object_set_new(out, "text", text_or_hex(item->payload));
		return out;
	}
	if (item->kind == HR_ITEM_FACT) {
		set_number(out, "table", item->what);
		json_object_set_new(out, "key", text_or_hex(item->key));
		json_object_set_new(out, "value", text_or_hex(item->payload));
		return out;
	}
	if (item->kind != HR_ITEM_EVENT) {
		char stream[40];

		snprintf(stream, sizeof(stream), "%016" PRIx64 "-%016" PRIx64,
			 item->birth, item->random);
		set_text(out, "stream", stream);
		set_time(out, "born", item->birth);
		set_number(out, item->kind == HR_ITEM_SKIP ? "up_to" : "sequence",
			   item->sequence);
		set_number(out, "key_id", item->key_id);
	}
	if (item->kind == HR_ITEM_SKIP)
		return out;
	json_object_set_new(out, "source", source_of(item));
	set_time(out, "sent", item->sent_us);
	set_time(out, "received", item->received_us);
	set_number(out, "client_drops", item->client_drops);
	json_object_set_new(out, "ordered",
			    json_boolean((item->flags & HR_ITEM_ORDERED) != 0));
	set_number(out, "n_events", item->n_events);
	json_object_set_new(out, "events", json_array());
	return out;
}

/* Outputs are in input order: each goes to the item it came in. */
static void put_events(json_t *at, const struct hr_link *link, uint32_t offset,
		       uint32_t *next, uint64_t received_us)
{
	const struct hr_out *o = link->out;
	json_t *events = json_object_get(at, "events");

	for (; *next < o->n_events && o->events[*next].item == offset; (*next)++)
		json_array_append_new(events,
				      event_json(&o->events[*next], received_us));
}

static void epoch_json(json_t *out, struct hr_str body, const struct hr_link *link)
{
	json_t *items = json_array();
	uint32_t cursor = 0, at = 0, next = 0;
	struct hr_item item;

	while (hr_item_next(body, &cursor, &item) == 1) {
		json_t *row = item_json(&item);

		if (link != NULL)
			put_events(row, link, at, &next, item.received_us);
		json_array_append_new(items, row);
		at = cursor;
	}
	json_object_set_new(out, "items", items);
}

static void config_json(json_t *out, struct hr_str body)
{
	struct hr_chain_config *c = calloc(1, sizeof(*c));
	json_t *settings = json_object();

	/* Also of one that this program cannot fold. */
	if (body.n >= 4)
		set_number(out, "fold_version", hr_load32(body.p));
	if (c != NULL && hr_chain_config_decode(c, body, NULL) == 0) {
		for (uint32_t i = 1; i < HR_CHAIN_SETTINGS; i++)
			set_number(settings, setting_names[i], c->setting[i]);
	}
	json_object_set_new(out, "settings", settings);
	free(c);
}

static void link_json(json_t *out, const struct hr_walked *walked)
{
	const struct hr_link_head *head = &walked->record->link;
	const bool is_known =
		head->body_kind >= HR_BODY_CONFIG && head->body_kind <= HR_BODY_LOSS;

	set_text(out, "body", is_known ? body_names[head->body_kind] : "unknown");
	set_number(out, "n", head->n);
	set_id(out, "owner", &head->owner);
	set_id(out, "prev_hash", &head->prev_hash);
	set_time(out, "clock", head->clock_us);
	set_number(out, "clock_us", head->clock_us);
	if (walked->verdict == HR_VERDICT_LINK)
		set_id(out, "hash", &walked->chain->hash);
	if (walked->link != NULL)
		set_id(out, "digest", &walked->link->out->digest);
	if (head->body_kind == HR_BODY_EPOCH)
		epoch_json(out, head->body, walked->link);
	else if (head->body_kind == HR_BODY_CONFIG)
		config_json(out, head->body);
	else if (head->body_kind == HR_BODY_LOSS && head->body.n == 24) {
		set_number(out, "lost_n", hr_load64(head->body.p));
		json_object_set_new(out, "lost_hash", hex(head->body.p + 8, 16));
	}
}

static json_t *record_json(const struct hr_walked *walked)
{
	const struct hr_record *record = walked->record;
	json_t *out = json_object();

	set_number(out, "offset", (uint64_t)walked->offset);
	set_number(out, "bytes", walked->n_bytes);
	if (!walked->is_record) {
		set_text(out, "kind", "none");
		set_text(out, "verdict", "no record of ours");
		return out;
	}
	set_text(out, "verdict", hr_verdict_name(walked->verdict));
	if (record->type == HR_RECORD_FENCE) {
		set_text(out, "kind", "FENCE");
		set_number(out, "incarnation", record->fence.incarnation);
		set_id(out, "owner", &record->fence.owner);
		json_object_set_new(out, "addresses",
				    text_or_hex(record->fence.addresses));
	} else if (record->type == HR_RECORD_LINK) {
		set_text(out, "kind", "LINK");
		link_json(out, walked);
	} else {
		set_text(out, "kind",
			 record->type == HR_RECORD_META ? "META" : "unknown");
	}
	return out;
}

void hr_log_print_json(FILE *to, const struct hr_walked *walked)
{
	json_t *record = record_json(walked);

	json_dumpf(record, to, JSON_COMPACT);
	fputc('\n', to);
	json_decref(record);
}

/* ---- for people ---------------------------------------------------------------- */

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

static json_int_t number_of(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

/* The members of an object but those, on one line: "key value  key value". Texts of
 * senders are JSON strings. */
static void put_members(FILE *to, const json_t *o, const char *const *but)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)o, key, value)
	{
		bool is_left_out = false;

		for (const char *const *b = but; *b != NULL; b++)
			is_left_out |= strcmp(*b, key) == 0;
		if (is_left_out)
			continue;
		fprintf(to, "  %s ", key);
		json_dumpf(value, to, JSON_COMPACT | JSON_ENCODE_ANY);
	}
}

static void put_item(FILE *to, const json_t *item, size_t number)
{
	static const char *const but[] = { "kind", "events", "born", NULL };
	const json_t *event;
	size_t i;

	fprintf(to, "    %zu %s", number, text_of(item, "kind"));
	put_members(to, item, but);
	fputc('\n', to);
	json_array_foreach(json_object_get(item, "events"), i, event)
	{
		fprintf(to, "        %s", text_of(event, "verdict"));
		if (text_of(event, "reason")[0] != '\0')
			fprintf(to, " (%s)", text_of(event, "reason"));
		fputs("  ", to);
		json_dumpf(json_object_get(event, "event"), to,
			   JSON_COMPACT | JSON_ENCODE_ANY);
		fputc('\n', to);
	}
}

void hr_log_print_text(FILE *to, const struct hr_walked *walked)
{
	static const char *const but[] = { "offset", "bytes",    "kind",  "verdict",
					   "body",   "n",        "items", "prev_hash",
					   "clock",  "clock_us", NULL };
	json_t *record = record_json(walked);
	const json_t *item;
	size_t i;

	fprintf(to, "offset %" JSON_INTEGER_FORMAT "  ", number_of(record, "offset"));
	if (strcmp(text_of(record, "kind"), "LINK") == 0)
		fprintf(to, "link %" JSON_INTEGER_FORMAT "  %s  %s",
			number_of(record, "n"), text_of(record, "body"),
			text_of(record, "clock"));
	else
		fputs(text_of(record, "kind"), to);
	fprintf(to, "  %s, %" JSON_INTEGER_FORMAT " bytes\n",
		text_of(record, "verdict"), number_of(record, "bytes"));
	if (walked->is_record) {
		fputs("   ", to);
		put_members(to, record, but);
		fputc('\n', to);
	}
	json_array_foreach(json_object_get(record, "items"), i, item)
		put_item(to, item, i);
	json_decref(record);
}

/* ---- the sum of a walk --------------------------------------------------------- */

static json_t *not_accepted(const struct hr_walk_sum *sum)
{
	json_t *out = json_object();

	for (int v = 0; v < HR_VERDICT_COUNT; v++)
		if (v != HR_VERDICT_FENCE && v != HR_VERDICT_LINK &&
		    sum->verdicts[v] > 0)
			set_number(out, hr_verdict_name((enum hr_verdict)v),
				   sum->verdicts[v]);
	if (sum->n_none > 0)
		set_number(out, "no record of ours", sum->n_none);
	return out;
}

static json_t *events_of(const struct hr_walk_sum *sum)
{
	json_t *out = json_object(), *reasons = json_object();

	set_number(out, "logged", sum->totals.logged);
	for (int v = 0; v < HR_FOLD_VERDICTS; v++)
		set_number(out, verdict_names[v], sum->totals.verdicts[v]);
	for (int i = HR_REJECT_NONE + 1; i < HR_REJECT_COUNT; i++)
		if (sum->totals.rejects[i] > 0)
			set_number(reasons, hr_reject_rows[i].label,
				   sum->totals.rejects[i]);
	json_object_set_new(out, "rejected_by_reason", reasons);
	return out;
}

json_t *hr_log_sum_json(const struct hr_walk_sum *sum, uint16_t shard)
{
	json_t *out = json_object();

	set_number(out, "shard", shard);
	json_object_set_new(out, "ok", json_boolean(sum->fault[0] == '\0'));
	set_text(out, "fault", sum->fault);
	json_object_set_new(out, "fault_offset",
			    sum->fault[0] == '\0' ? json_null()
						  : json_integer(sum->fault_offset));
	set_number(out, "behind_snapshot", sum->began_behind);
	set_number(out, "first_link", sum->first_n);
	set_number(out, "link", sum->chain.n);
	set_id(out, "hash", &sum->chain.hash);
	set_id(out, "digest", &sum->digest);
	set_number(out, "incarnation", sum->chain.incarnation);
	set_time(out, "clock", sum->chain.clock_us);
	set_number(out, "next_offset", (uint64_t)sum->next_offset);
	set_number(out, "records", sum->n_records);
	set_number(out, "links", sum->n_links);
	set_number(out, "fences", sum->n_fences);
	json_object_set_new(out, "not_accepted", not_accepted(sum));
	json_object_set_new(out, "events", events_of(sum));
	set_number(out, "lost_links", sum->totals.lost_links);
	set_number(out, "snapshots", sum->n_snapshots);
	return out;
}

static void put_object(FILE *to, const char *title, const json_t *o)
{
	static const char *const none[] = { NULL };

	fprintf(to, "  %s", title);
	put_members(to, o, none);
	fputc('\n', to);
}

void hr_log_sum_print(FILE *to, const struct hr_walk_sum *sum, uint16_t shard)
{
	json_t *o = hr_log_sum_json(sum, shard);

	fprintf(to, "shard %u: ", shard);
	if (sum->n_links == 0)
		fputs("no links", to);
	else
		fprintf(to, "links %" PRIu64 " to %" PRIu64, sum->first_n,
			sum->chain.n);
	fprintf(to, ", incarnation %" PRIu64 ", clock %s\n", sum->chain.incarnation,
		text_of(o, "clock"));
	fprintf(to, "  digest  %s\n", text_of(o, "digest"));
	fprintf(to,
		"  records  %" PRIu64 ": %" PRIu64 " links, %" PRIu64
		" fences accepted; snapshots compared: %" PRIu64 "\n",
		sum->n_records, sum->n_links, sum->n_fences, sum->n_snapshots);
	if (sum->began_behind > 0)
		fprintf(to, "  begins behind the snapshot of link %" PRIu64 "\n",
			sum->began_behind);
	if (json_object_size(json_object_get(o, "not_accepted")) > 0)
		put_object(to, "not accepted", json_object_get(o, "not_accepted"));
	put_object(to, "events", json_object_get(o, "events"));
	if (sum->fault[0] != '\0')
		fprintf(to, "  FAULT at offset %" PRId64 ": %s\n", sum->fault_offset,
			sum->fault);
	else
		fputs("  no fault\n", to);
	json_decref(o);
}
