/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The C SDK and the appliance agree: whatever event the SDK encodes, in either codec,
 * is taken, and both codecs give one record. The input is a recipe: each text is a
 * byte that says how long it is, then its characters; what is missing is zero.
 */

#include "headrace.h"
#include "tests/fuzz/event_laws.h"
#include "tests/fuzz/fuzz.h"

struct recipe {
	const uint8_t *at, *end;
};

static uint8_t take_byte(struct recipe *r)
{
	return r->at < r->end ? *r->at++ : 0;
}

static int64_t take_integer(struct recipe *r)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | take_byte(r);
	return (int64_t)v;
}

static struct headrace_slice take_text(struct recipe *r)
{
	const size_t wanted = take_byte(r), left = (size_t)(r->end - r->at);
	const size_t n = wanted < left ? wanted : left;
	struct headrace_slice s = { (const char *)r->at, n };

	r->at += n;
	return s;
}

/* The keys that mean something, or one of the recipe's. */
static struct headrace_slice take_key(struct recipe *r)
{
	switch (take_byte(r) % 6) {
	case 0:
		return headrace_str("product_id");
	case 1:
		return headrace_str("category");
	case 2:
		return headrace_str("price");
	case 3:
		return headrace_str("quantity");
	default:
		return take_text(r);
	}
}

static void take_event(struct recipe *r, struct headrace_event *ev,
		       struct headrace_pair pairs[HR_PAIRS_MAX])
{
	ev->user = take_text(r);
	ev->type = take_text(r);
	ev->id = take_text(r);
	ev->time_form = (enum headrace_time)(take_byte(r) % 3);
	ev->time_ms = take_integer(r);
	ev->time_text = take_text(r);
	ev->n_pairs = take_byte(r) % (HR_PAIRS_MAX + 1);
	ev->pairs = pairs;
	for (size_t i = 0; i < ev->n_pairs; i++) {
		pairs[i].form = (enum headrace_form)(take_byte(r) % 6);
		pairs[i].key = take_key(r);
		pairs[i].text = take_text(r);
		pairs[i].integer = take_integer(r);
	}
}

/* The record of the event as this codec carries it, or n = 0: it is refused. */
static struct hr_str record_by(enum headrace_codec codec,
			       const struct headrace_event *ev)
{
	uint8_t datagram[HEADRACE_DATAGRAM_MAX], *out;
	struct hr_str found, record = { NULL, 0 };
	struct headrace_encoder e;
	struct hr_frames frames;
	struct taken t;

	headrace_encoder_init(&e, codec, datagram, sizeof(datagram));
	if (headrace_encoder_append(&e, ev) != HEADRACE_OK)
		return record;
	hr_frames_init(&frames, (uint8_t)codec,
		       (struct hr_str){ datagram + HEADRACE_HEADER_BYTES,
					e.end - HEADRACE_HEADER_BYTES },
		       false);
	HOLDS(hr_frames_next(&frames, &found) == 1);
	taken_parse(&t, (uint8_t)codec, found.p, found.n);
	HOLDS(t.verdict == HR_REJECT_NONE);
	check_event_laws(&t);
	out = malloc(HR_RENDER_BYTES(found.n));
	record.p = out;
	record.n = hr_event_render(&t.ev, out, HR_RENDER_BYTES(found.n));
	HOLDS(hr_frames_next(&frames, &found) == 0);
	taken_free(&t);
	return record;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct recipe r = { data, data + n };
	struct headrace_pair pairs[HR_PAIRS_MAX];
	struct headrace_event ev = { 0 };
	struct hr_str by_protobuf, by_json;

	take_event(&r, &ev, pairs);
	by_protobuf = record_by(HEADRACE_PROTOBUF, &ev);
	by_json = record_by(HEADRACE_JSON, &ev);
	/* One of them may be too long for a datagram. */
	HOLDS(by_json.n == 0 || by_protobuf.n == 0 ||
	      hr_str_equals(by_json, by_protobuf));
	free((void *)by_protobuf.p);
	free((void *)by_json.p);
	return 0;
}
