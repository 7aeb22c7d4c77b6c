/* SPDX-License-Identifier: BSD-3-Clause */

/* The record of headrace.positions: text, so that any consumer can read it. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/topics_impl.h"

/* " 10000:9223372036854775807" */
#define END_TEXT 27u

const char *const hr_topic_names[HR_TOPIC_COUNT] = {
	[HR_TOPIC_USER_EVENTS] = "user_events",
	[HR_TOPIC_PRODUCT_VIEWS] = "product_views",
	[HR_TOPIC_PURCHASES] = "purchases",
	[HR_TOPIC_DEAD_LETTERS] = "dead_letters",
};

void hr_topics_shape_of(struct hr_topics_shape *s, const struct hr_config *c,
			const struct hr_data_set *set, uint16_t shard)
{
	*s = (struct hr_topics_shape){ .shard = shard, .n_shards = set->n_shards };
	if (c->topics_encoding != HR_ENCODING_JSON)
		return;
	s->n_partitions[HR_TOPIC_USER_EVENTS] = c->user_events_partitions;
	s->n_partitions[HR_TOPIC_PRODUCT_VIEWS] = c->product_views_partitions;
	s->n_partitions[HR_TOPIC_PURCHASES] = c->purchases_partitions;
	s->n_partitions[HR_TOPIC_DEAD_LETTERS] = c->dead_letters_partitions;
}

int hr_topics_ends_init(struct hr_topics_ends *ends,
			const struct hr_topics_shape *shape)
{
	*ends = (struct hr_topics_ends){ .shape = *shape };
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		ends->end[t] =
			calloc(hr_topics_own(shape, t) + 1, sizeof(*ends->end[t]));
		if (ends->end[t] == NULL) {
			hr_topics_ends_fini(ends);
			return -ENOMEM;
		}
	}
	return 0;
}

void hr_topics_ends_fini(struct hr_topics_ends *ends)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		free(ends->end[t]);
		ends->end[t] = NULL;
	}
}

void hr_topics_ends_clear(struct hr_topics_ends *ends)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		memset(ends->end[t], 0,
		       hr_topics_own(&ends->shape, t) * sizeof(*ends->end[t]));
}

void hr_topics_ends_raise(struct hr_topics_ends *to, const struct hr_topics_ends *from)
{
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		for (uint32_t i = 0; i < hr_topics_own(&to->shape, t); i++)
			if (from->end[t][i] > to->end[t][i])
				to->end[t][i] = from->end[t][i];
}

size_t hr_topics_position_max(const struct hr_topics_shape *shape)
{
	size_t n = HR_POSITION_TEXT + 1;

	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++)
		n += strlen(hr_topic_names[t]) + 1 +
		     (size_t)hr_topics_own(shape, t) * END_TEXT;
	return n + 1;
}

size_t hr_topics_position_print(const struct hr_position *position,
				const struct hr_topics_ends *ends, char *out)
{
	const struct hr_topics_shape *s = &ends->shape;
	char *at = out + hr_position_print(position, out);

	*at++ = '\n';
	for (enum hr_topic t = 0; t < HR_TOPIC_COUNT; t++) {
		bool has = false;

		for (uint32_t i = 0; i < hr_topics_own(s, t); i++) {
			if (ends->end[t][i] == 0)
				continue;
			if (!has)
				at = stpcpy(at, hr_topic_names[t]);
			has = true;
			at += sprintf(at, " %u:%lld", s->shard + i * s->n_shards,
				      (long long)ends->end[t][i]);
		}
		if (has)
			*at++ = '\n';
	}
	return (size_t)(at - out);
}

struct cursor {
	const char *at, *end;
};

static bool read_number(struct cursor *c, uint64_t max, uint64_t *out)
{
	const char *first = c->at;
	uint64_t v = 0;

	for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
		uint64_t d = (uint64_t)(*c->at - '0');

		if (v > (max - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*out = v;
	return c->at > first;
}

static bool read_char(struct cursor *c, char want)
{
	if (c->at == c->end || *c->at != want)
		return false;
	c->at++;
	return true;
}

/* HR_TOPIC_COUNT: none of ours. */
static enum hr_topic topic_of(const char *name, size_t n)
{
	enum hr_topic t = 0;

	while (t < HR_TOPIC_COUNT && (strlen(hr_topic_names[t]) != n ||
				      memcmp(hr_topic_names[t], name, n) != 0))
		t++;
	return t;
}

static void keep_end(struct hr_topics_ends *ends, enum hr_topic t, uint64_t partition,
		     uint64_t end)
{
	const struct hr_topics_shape *s = &ends->shape;
	uint64_t i = partition / s->n_shards;

	if (t < HR_TOPIC_COUNT && partition % s->n_shards == s->shard &&
	    i < hr_topics_own(s, t))
		ends->end[t][i] = (int64_t)end;
}

/* "<topic> <partition>:<end> ...\n" */
static bool read_line(struct cursor *c, struct hr_topics_ends *ends)
{
	const char *space = memchr(c->at, ' ', (size_t)(c->end - c->at));
	enum hr_topic t;

	if (space == NULL)
		return false;
	t = topic_of(c->at, (size_t)(space - c->at));
	c->at = space;
	while (read_char(c, ' ')) {
		uint64_t partition, end;

		if (!read_number(c, UINT32_MAX, &partition) || !read_char(c, ':') ||
		    !read_number(c, INT64_MAX, &end))
			return false;
		keep_end(ends, t, partition, end);
	}
	return read_char(c, '\n');
}

int hr_topics_position_parse(const char *text, size_t n, struct hr_position *position,
			     struct hr_topics_ends *ends)
{
	const char *newline = n > 0 ? memchr(text, '\n', n) : NULL;
	struct cursor c;

	hr_topics_ends_clear(ends);
	if (newline == NULL ||
	    hr_position_parse(text, (size_t)(newline - text), position) < 0)
		return -EBADMSG;
	c = (struct cursor){ newline + 1, text + n };
	while (c.at < c.end)
		if (!read_line(&c, ends))
			return -EBADMSG;
	return 0;
}
