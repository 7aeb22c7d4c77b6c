/* SPDX-License-Identifier: BSD-3-Clause */

/* verify: the topics that others read. */

#include <errno.h>
#include <inttypes.h>

#include "common/clock.h"
#include "tools/gen/check_topic.h"
#include "tools/gen/verify.h"

#define LOOK_MS 200
#define SHOWN_BYTES 600

static void take_record(void *arg, const rd_kafka_message_t *m)
{
	const struct hr_str key = { m->key, (uint32_t)m->key_len };
	const struct hr_str value = { m->payload, (uint32_t)m->len };

	hr_check_record(arg, (uint32_t)m->partition, key, value);
}

/* Read until all that must be there was seen, or waiting ends: the view may start
 * late. What is there beyond it by then is read as well. */
static int read_all(struct hr_verify *v, struct hr_check_topic *check,
		    struct hr_topic *topic, struct hr_err *err)
{
	const uint64_t expected = hr_check_topic_expected(check);

	for (;;) {
		const int64_t n =
			hr_topic_read(topic, LOOK_MS, take_record, check, err);

		if (n < 0)
			return (int)n;
		if (check->n_records >= expected || hr_mono_us() >= v->until_us)
			return 0;
	}
}

static int verify_topic(struct hr_verify *v, enum hr_place place, struct hr_err *err)
{
	struct hr_check_topic check;
	struct hr_topic *topic;
	int r = hr_topic_open(&topic, &v->config, hr_place_word(place), true, err);

	if (r < 0)
		return r;
	r = hr_check_topic_init(&check, &v->known, &v->findings, place,
				hr_topic_partitions(topic), err);
	check.takes_others = v->takes_others;
	if (r == 0)
		r = read_all(v, &check, topic, err);
	if (r == 0)
		hr_check_topic_end(&check);
	v->tallies[place] =
		(struct hr_verify_tally){ true, check.n_records, check.n_others };
	hr_check_topic_fini(&check);
	hr_topic_close(topic);
	return r;
}

/* ---- dead letters: none but of events that are nobody's ---- */

static const char *header(const rd_kafka_message_t *m, const char *name, size_t *n)
{
	rd_kafka_headers_t *headers;
	const void *value;

	if (rd_kafka_message_headers(m, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
	    rd_kafka_header_get_last(headers, name, &value, n) !=
		    RD_KAFKA_RESP_ERR_NO_ERROR) {
		*n = 1;
		return "?";
	}
	return value;
}

static void take_letter(void *arg, const rd_kafka_message_t *m)
{
	struct hr_verify *v = arg;
	const struct hr_str value = { m->payload, (uint32_t)m->len };
	char shown[SHOWN_BYTES];
	size_t n;
	const char *reason = header(m, "reason", &n);

	v->tallies[HR_AT_DEAD_LETTERS].records++;
	if (v->takes_others && hr_check_log_has_other(&v->check_log, value))
		return;
	hr_finding(&v->findings, HR_AT_DEAD_LETTERS, HR_UNEXPECTED,
		   "partition %" PRId32 ": reason %.*s: %s", m->partition, (int)n,
		   reason, hr_readable(shown, sizeof(shown), value));
}

static int verify_dead_letters(struct hr_verify *v, struct hr_err *err)
{
	struct hr_topic *topic;
	int64_t n;
	int r = hr_topic_open(&topic, &v->config, hr_place_word(HR_AT_DEAD_LETTERS),
			      true, err);

	if (r < 0)
		return r;
	hr_check_log_sort_others(&v->check_log);
	v->tallies[HR_AT_DEAD_LETTERS].was_done = true;
	n = hr_topic_read(topic, 0, take_letter, v, err);
	hr_topic_close(topic);
	return n < 0 ? (int)n : 0;
}

int hr_verify_topics(struct hr_verify *v, struct hr_err *err)
{
	int r = 0;

	if (v->skips_topics || !v->config.topics_enabled)
		return 0;
	if (v->config.topics_encoding == HR_ENCODING_JSON) {
		r = verify_topic(v, HR_AT_USER_EVENTS, err);
		if (r == 0)
			r = verify_topic(v, HR_AT_PRODUCT_VIEWS, err);
		if (r == 0)
			r = verify_topic(v, HR_AT_PURCHASES, err);
	}
	return r == 0 ? verify_dead_letters(v, err) : r;
}
