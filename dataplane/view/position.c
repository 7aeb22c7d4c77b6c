/* SPDX-License-Identifier: BSD-3-Clause */

/* position - the text that a store keeps of a position. Any thread. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "dataplane/view/view.h"

static const char digits[] = "0123456789abcdef";

static void print_id(const struct hr_id128 *id, char out[33])
{
	for (size_t i = 0; i < sizeof(id->b); i++) {
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[32] = '\0';
}

int hr_position_print(const struct hr_position *p, char out[HR_POSITION_TEXT])
{
	char hash[33], digest[33];

	print_id(&p->hash, hash);
	print_id(&p->digest, digest);
	return snprintf(out, HR_POSITION_TEXT,
			"%" PRIu32 " %" PRIu64 " %" PRIu32 " %s %s", p->generation,
			p->n, p->k, hash, digest);
}

struct cursor {
	const char *at, *end;
};

/* Decimal, without sign or leading zeroes, so that one position has one text. */
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
	return c->at > first && (*first != '0' || c->at == first + 1);
}

static int read_nibble(char x)
{
	if (x >= '0' && x <= '9')
		return x - '0';
	return x >= 'a' && x <= 'f' ? x - 'a' + 10 : -1;
}

static bool read_id(struct cursor *c, struct hr_id128 *out)
{
	if (c->end - c->at < 32)
		return false;
	for (size_t i = 0; i < sizeof(out->b); i++, c->at += 2) {
		int high = read_nibble(c->at[0]), low = read_nibble(c->at[1]);

		if (high < 0 || low < 0)
			return false;
		out->b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static bool read_space(struct cursor *c)
{
	return c->at < c->end && *c->at++ == ' ';
}

int hr_position_parse(const char *text, size_t n, struct hr_position *out)
{
	struct cursor c = { text, text + n };
	uint64_t generation, link, k;

	if (!read_number(&c, UINT32_MAX, &generation) || !read_space(&c) ||
	    !read_number(&c, UINT64_MAX, &link) || !read_space(&c) ||
	    !read_number(&c, UINT32_MAX, &k) || !read_space(&c) ||
	    !read_id(&c, &out->hash) || !read_space(&c) || !read_id(&c, &out->digest) ||
	    c.at != c.end)
		return -EBADMSG;
	out->generation = (uint32_t)generation;
	out->n = link;
	out->k = (uint32_t)k;
	return 0;
}
