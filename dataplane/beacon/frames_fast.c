/* SPDX-License-Identifier: BSD-3-Clause */

/* Where one event of a payload ends and the next begins. */

#include "common/wire.h"
#include "dataplane/beacon/brackets_impl.h"
#include "dataplane/beacon/event.h"
#include "dataplane/beacon/json_impl.h"
#include "dataplane/beacon/protobuf_impl.h"

#define DEPTH_MAX 64

/* At the opening quote; the byte behind the closing one, or NULL. */
static const uint8_t *quotes_end(const uint8_t *p, const uint8_t *end)
{
	for (p++; p < end; p++) {
		if (*p == '"')
			return p + 1;
		if (*p == '\n')
			return NULL;
		if (*p == '\\') {
			p++;
			if (p < end && *p == '\n')
				return NULL;
		}
	}
	return NULL;
}

const uint8_t *hr_brackets_end(const uint8_t *at, const uint8_t *end)
{
	uint64_t is_object = 0; /* of the open brackets, the innermost lowest */
	uint32_t depth = 0;

	for (const uint8_t *p = at; p < end;) {
		switch (*p) {
		case '"':
			p = quotes_end(p, end);
			if (p == NULL)
				return NULL;
			continue;
		case '{':
		case '[':
			if (depth++ == DEPTH_MAX)
				return NULL;
			is_object = is_object << 1 | (*p == '{');
			break;
		case '}':
		case ']':
			if ((is_object & 1) != (*p == '}'))
				return NULL;
			is_object >>= 1;
			if (--depth == 0)
				return p + 1;
			break;
		default:
			break;
		}
		p++;
	}
	return NULL;
}

void hr_frames_init(struct hr_frames *f, uint8_t codec, struct hr_str payload,
		    bool allow_array)
{
	struct json j = { payload.p, bytes_end(payload.p, payload.n) };

	f->at = j.at;
	f->end = j.end;
	f->codec = codec;
	f->is_array = codec == HR_CODEC_JSON && allow_array && json_take(&j, '[');
	if (f->is_array)
		f->at = j.at;
}

static int next_message(struct hr_frames *f, struct hr_str *event)
{
	struct pb c = { f->at, f->end };
	uint32_t tag;

	if (!pb_take_tag(&c, &tag) || tag != BATCH_EVENTS || !pb_take_bytes(&c, event))
		return -1;
	f->at = c.at;
	return 1;
}

static const uint8_t *line_end(const uint8_t *p, const uint8_t *end)
{
	for (; end - p >= 8; p += 8) {
		const uint64_t marks = word_equal(hr_load64(p), '\n');

		if (marks != 0)
			return p + word_first(marks);
	}
	while (p < end && *p != '\n')
		p++;
	return p;
}

static int next_line(struct hr_frames *f, struct hr_str *event)
{
	const uint8_t *end = line_end(f->at, f->end);

	if (end == f->at)
		return -1;
	event->p = f->at;
	event->n = (uint32_t)(end - f->at);
	f->at = end < f->end ? end + 1 : end;
	return 1;
}

/*
 *      [  {...} , {...} , {...}  ]
 *       ^at     ^at             ^at, then at = end
 * The comma is taken with what stands in front of it, so that one without an object
 * behind it is seen.
 */
static int next_element(struct hr_frames *f, struct hr_str *event)
{
	struct json j = { f->at, f->end };
	const uint8_t *first;

	if (json_take(&j, ']')) {
		json_space(&j);
		f->at = j.at;
		f->is_array = j.at != j.end; /* so that asking again says 0 again */
		return f->is_array ? -1 : 0;
	}
	if (json_peek(&j) != '{')
		return -1;
	first = j.at;
	j.at = hr_brackets_end(first, j.end);
	if (j.at == NULL)
		return -1;
	event->p = first;
	event->n = (uint32_t)(j.at - first);
	if (json_take(&j, ',') ? json_peek(&j) != '{' : json_peek(&j) != ']')
		return -1;
	f->at = j.at;
	return 1;
}

int hr_frames_next(struct hr_frames *f, struct hr_str *event)
{
	if (f->is_array)
		return f->at == f->end ? -1 : next_element(f, event);
	if (f->at == f->end)
		return 0;
	return f->codec == HR_CODEC_PROTOBUF ? next_message(f, event)
					     : next_line(f, event);
}

bool hr_frames_fit(uint8_t codec, struct hr_str payload, uint32_t n_events)
{
	struct hr_frames f;
	struct hr_str event;
	uint32_t n = 0;
	int r;

	hr_frames_init(&f, codec, payload, false);
	while ((r = hr_frames_next(&f, &event)) == 1 && n <= n_events)
		n++;
	return r == 0 && n == n_events;
}
