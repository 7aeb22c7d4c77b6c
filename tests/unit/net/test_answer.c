/* SPDX-License-Identifier: BSD-3-Clause */

/* Answers against questions that the tests wrote by hand, checked by the tests' own
 * slow sums and by the parser of the opposite direction. */

#include <stdlib.h>

#include "dataplane/drops.h"
#include "dataplane/net/net.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/net/frames.h"

#define OUR_PORT 4000
#define THEIR_PORT 5555

static struct frame question, answer;
static struct hr_net_ports ours, theirs;

static struct hr_net_way way_of(const struct frame *f, const struct hr_net_ports *ports)
{
	struct hr_net_beacon b;
	struct hr_net_way way;

	CU_ASSERT_EQUAL_FATAL(hr_net_parse(f->bytes, f->n, 0, ports, &b), HR_DROP_NONE);
	hr_net_way_back(f->bytes, &b, &way);
	return way;
}

static void write_answer(const struct hr_net_way *way, uint32_t payload_bytes)
{
	const uint32_t head = HR_NET_ANSWER_HEAD(way);

	for (uint32_t i = 0; i < payload_bytes; i++)
		answer.bytes[head + i] = (uint8_t)(i * 31 + payload_bytes);
	answer.bytes[head + payload_bytes] = 0xa5;
	answer.n = hr_net_answer_write(answer.bytes, way, payload_bytes);
	CU_ASSERT_EQUAL(answer.n, head + payload_bytes);
	CU_ASSERT_EQUAL(answer.bytes[answer.n], 0xa5); /* nothing behind it */
	answer.ip = way->vlan_type != 0 ? 18 : 14;
	answer.udp = answer.n - payload_bytes - 8;
}

/* Every header field at its place, by offsets of the RFCs. */
static bool is_as_the_rfcs_say(uint32_t family, uint32_t payload_bytes)
{
	const uint8_t *ip = answer.bytes + answer.ip;
	const uint8_t *asked = question.bytes + question.ip;
	const uint32_t at = family == 4 ? 12 : 8, n = family == 4 ? 4 : 16;
	bool is_right =
		memcmp(answer.bytes, question.bytes + 6, 6) == 0 &&
		memcmp(answer.bytes + 6, question.bytes, 6) == 0 &&
		memcmp(answer.bytes + 12, question.bytes + 12, answer.ip - 12) == 0 &&
		memcmp(ip + at, asked + at + n, n) == 0 &&
		memcmp(ip + at + n, asked + at, n) == 0;

	if (family == 4) {
		uint32_t total = 28 + payload_bytes;
		uint8_t want[10] = {
			0x45, 0,   (uint8_t)(total >> 8), (uint8_t)total, 0, 0, 0x40, 0,
			64,   0x11
		};

		is_right &= memcmp(ip, want, sizeof(want)) == 0 &&
			    slow_sum(0, ip, 20) == 0xffff;
	} else {
		uint32_t bytes = 8 + payload_bytes;
		uint8_t want[8] = { 0x60,           0,    0, 0, (uint8_t)(bytes >> 8),
				    (uint8_t)bytes, 0x11, 64 };

		is_right &= memcmp(ip, want, sizeof(want)) == 0;
	}
	return is_right && udp_sum(&answer, family, 8 + payload_bytes) == 0xffff;
}

static bool is_taken_at_the_other_end(uint32_t family, uint32_t payload_bytes)
{
	const uint8_t *asked = question.bytes + question.ip;
	struct hr_net_beacon b;
	int drop = hr_net_parse(answer.bytes, answer.n, 0, &theirs, &b);

	if (drop != HR_DROP_NONE || b.payload_bytes != payload_bytes ||
	    b.source_port != OUR_PORT || b.dest_port != THEIR_PORT ||
	    b.family != family ||
	    memcmp(b.source, asked + (family == 4 ? 16 : 24), family == 4 ? 4 : 16))
		return false;
	for (uint32_t i = 0; i < payload_bytes; i++)
		if (b.payload[i] != (uint8_t)(i * 31 + payload_bytes))
			return false;
	return true;
}

static const struct shape shapes[] = {
	{ .family = 4 },
	{ .family = 4, .vlan_tags = 1 },
	{ .family = 4, .vlan_tags = 1, .vlan_type = 0x88a8 },
	{ .family = 4, .option_bytes = 40 },
	{ .family = 4, .vlan_tags = 1, .option_bytes = 4 },
	{ .family = 6 },
	{ .family = 6, .vlan_tags = 1 },
	{ .family = 6, .vlan_tags = 1, .vlan_type = 0x88a8 },
	{ .family = 6, .n_extensions = 2, .extensions = { 0, 60 } },
};

static void every_answer_is_one_that_its_receiver_takes(void)
{
	uint32_t wrong = 0;

	for (uint32_t s = 0; s < HR_COUNT(shapes); s++) {
		struct shape shape = shapes[s];
		struct hr_net_way way;

		shape.payload_bytes = 100;
		shape.padding = s % 3 * 4;
		build(&question, &shape);
		way = way_of(&question, &ours);
		CU_ASSERT_EQUAL(way.family, shape.family);
		for (uint32_t n = 0; n <= HR_NET_ANSWER_PAYLOAD_MAX; n++) {
			write_answer(&way, n);
			wrong += !is_as_the_rfcs_say(shape.family, n) ||
				 !is_taken_at_the_other_end(shape.family, n);
		}
	}
	CU_ASSERT_EQUAL(wrong, 0);
}

/* The way back from the answer is the way that the question came. */
static void the_way_back_from_an_answer_is_the_question_s(void)
{
	for (uint32_t s = 0; s < HR_COUNT(shapes); s++) {
		struct hr_net_way back, forth;

		build(&question, &shapes[s]);
		back = way_of(&question, &ours);
		write_answer(&back, 7);
		forth = way_of(&answer, &theirs);
		CU_ASSERT_EQUAL(memcmp(forth.dest_mac, back.source_mac, 6), 0);
		CU_ASSERT_EQUAL(memcmp(forth.source_mac, back.dest_mac, 6), 0);
		CU_ASSERT_EQUAL(memcmp(forth.dest, back.source, 16), 0);
		CU_ASSERT_EQUAL(memcmp(forth.source, back.dest, 16), 0);
		CU_ASSERT_TRUE(forth.dest_port == back.source_port &&
			       forth.source_port == back.dest_port);
		CU_ASSERT_TRUE(forth.vlan_type == back.vlan_type &&
			       forth.vlan_tci == back.vlan_tci);
	}
}

/* Priority, drop eligibility and id. */
static void a_tag_goes_back_as_it_came(void)
{
	struct shape shape = { .family = 4, .vlan_tags = 1 };
	struct hr_net_way way;

	build(&question, &shape);
	set16(&question, 14, 0xbabe);
	way = way_of(&question, &ours);
	CU_ASSERT_EQUAL(way.vlan_tci, 0xbabe);
	write_answer(&way, 1);
	CU_ASSERT_EQUAL(answer.bytes[14] << 8 | answer.bytes[15], 0xbabe);
}

/* A sum that comes out as 0 goes out as 0xffff: 0 would say "not computed". */
static void a_checksum_is_never_written_as_zero(void)
{
	struct shape shape = { .family = 4 };
	struct hr_net_way way;
	uint32_t seen = 0;

	build(&question, &shape);
	way = way_of(&question, &ours);
	for (uint32_t v = 0; v < 65536; v++) {
		set16(&answer, HR_NET_ANSWER_HEAD(&way), v);
		hr_net_answer_write(answer.bytes, &way, 2);
		CU_ASSERT_FALSE(answer.bytes[40] == 0 && answer.bytes[41] == 0);
		seen += answer.bytes[40] == 0xff && answer.bytes[41] == 0xff;
	}
	CU_ASSERT_EQUAL(seen, 1);
}

static void groups_and_nobody_get_no_answers(void)
{
	static const struct {
		uint32_t family,
			at; /* from the frame's begin, or from IP's if >= 100 */
		uint8_t n, bytes[16];
	} rows[] = {
		{ 4, 0, 6, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } }, /* sent to all */
		{ 4, 0, 6, { 1, 0, 0x5e, 1, 2, 3 } },
		{ 4, 6, 6, { 0x33, 0x33, 0, 0, 0, 1 } },
		{ 4, 100 + 12, 4, { 0, 0, 0, 0 } }, /* from nobody */
		{ 4, 100 + 12, 4, { 224, 0, 0, 1 } },
		{ 4, 100 + 12, 4, { 255, 255, 255, 255 } },
		{ 4, 100 + 16, 4, { 239, 1, 2, 3 } },
		{ 4, 100 + 16, 4, { 255, 255, 255, 255 } },
		{ 4, 100 + 20, 2, { 0, 0 } }, /* port 0 */
		{ 6, 6, 6, { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } },
		{ 6, 100 + 8, 16, { 0 } },
		{ 6, 100 + 8, 16, { 0xff, 2 } },
		{ 6, 100 + 24, 16, { 0xff, 2 } },
		{ 6, 100 + 40, 2, { 0, 0 } },
	};

	for (uint32_t i = 0; i < HR_COUNT(rows); i++) {
		struct shape shape = { .family = rows[i].family, .payload_bytes = 9 };
		uint32_t at = rows[i].at;
		struct hr_net_way way;

		build(&question, &shape);
		memcpy(question.bytes + (at >= 100 ? question.ip + at - 100 : at),
		       rows[i].bytes, rows[i].n);
		if (shape.family == 4)
			fix_ip(&question, 20);
		fix_udp(&question, shape.family, 8 + 9);
		way = way_of(&question, &ours);
		CU_ASSERT_EQUAL(way.family, 0);
		CU_ASSERT_EQUAL(hr_net_answer_write(answer.bytes, &way, 1), 0);
	}
}

static void what_is_longer_than_a_datagram_is_not_written(void)
{
	struct shape shape = { .family = 6 };
	struct hr_net_way way;

	build(&question, &shape);
	way = way_of(&question, &ours);
	CU_ASSERT_EQUAL(hr_net_answer_write(answer.bytes, &way, 1473), 0);
	CU_ASSERT_EQUAL(hr_net_answer_write(answer.bytes, &way, UINT32_MAX), 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every answer is one that its receiver takes",
		  every_answer_is_one_that_its_receiver_takes },
		{ "the way back from an answer is the question's",
		  the_way_back_from_an_answer_is_the_question_s },
		{ "a tag goes back as it came", a_tag_goes_back_as_it_came },
		{ "a checksum is never written as zero",
		  a_checksum_is_never_written_as_zero },
		{ "groups and nobody get no answers",
		  groups_and_nobody_get_no_answers },
		{ "what is longer than a datagram is not written",
		  what_is_longer_than_a_datagram_is_not_written },
		CU_TEST_INFO_NULL,
	};

	hr_net_ports_add(&ours, OUR_PORT);
	hr_net_ports_add(&theirs, THEIR_PORT);
	hr_net_ports_add(&theirs, 0);
	return hr_test_run("answer", NULL, NULL, tests);
}
