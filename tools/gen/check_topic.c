/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "tools/gen/check_topic.h"

#define NAME_BYTES 256
#define SHOWN_BYTES 900

int hr_check_topic_init(struct hr_check_topic *check, const struct hr_known *known,
			struct hr_findings *findings, enum hr_place place,
			uint32_t n_partitions, struct hr_err *err)
{
	*check = (struct hr_check_topic){
		.known = known,
		.findings = findings,
		.place = place,
		.n_partitions = n_partitions,
		.seen = calloc(known->n_events / 8 + 1, 1),
		.newest = calloc(known->n_users, sizeof(*check->newest)),
	};
	if (check->seen != NULL && check->newest != NULL)
		return 0;
	hr_check_topic_fini(check);
	return hr_fail(err, -ENOMEM, "no memory for the records of a topic");
}

void hr_check_topic_fini(struct hr_check_topic *check)
{
	free(check->seen);
	free(check->newest);
	check->seen = NULL;
	check->newest = NULL;
}

static bool takes(const struct hr_check_topic *check, enum hr_planned_type type)
{
	switch (check->place) {
	case HR_AT_PRODUCT_VIEWS:
		return type == HR_PLANNED_VIEW;
	case HR_AT_PURCHASES:
		return type == HR_PLANNED_PURCHASE;
	default:
		return true;
	}
}

uint64_t hr_check_topic_expected(const struct hr_check_topic *check)
{
	const struct hr_known *known = check->known;
	struct hr_planned planned;
	uint64_t n = 0;

	if (check->place == HR_AT_USER_EVENTS)
		return known->n_logged;
	for (uint32_t i = 0; i < known->n_events; i++) {
		if (known->events[i].rank == 0)
			continue;
		hr_known_make(known, i, &planned);
		n += takes(check, planned.type);
	}
	return n;
}

/* ---- one record against its event ---- */

static bool text_is(const json_t *value, struct headrace_slice s)
{
	return json_is_string(value) && json_string_length(value) == s.n &&
	       memcmp(json_string_value(value), s.p, s.n) == 0;
}

/* A number must be spelt in the record as the sender spelt it: jansson's value alone
 * would not tell 1.50 from 1.5. */
static bool number_is(const json_t *value, struct hr_str record,
		      const struct headrace_pair *pair)
{
	char spelt[160];
	const int n = snprintf(spelt, sizeof(spelt), "\"%.*s\":%.*s", (int)pair->key.n,
			       pair->key.p, (int)pair->text.n, pair->text.p);
	const uint8_t *at;

	if (!json_is_number(value) || n >= (int)sizeof(spelt))
		return false;
	at = memmem(record.p, record.n, spelt, (size_t)n);
	return at != NULL && at + n < record.p + record.n &&
	       (at[n] == ',' || at[n] == '}');
}

static bool pair_is(const json_t *value, struct hr_str record,
		    const struct headrace_pair *pair)
{
	switch (pair->form) {
	case HEADRACE_TEXT:
		return text_is(value, pair->text);
	case HEADRACE_NUMBER:
		return number_is(value, record, pair);
	case HEADRACE_INTEGER:
		return json_is_integer(value) &&
		       json_integer_value(value) == pair->integer;
	case HEADRACE_TRUE:
		return json_is_true(value);
	case HEADRACE_FALSE:
		return json_is_false(value);
	default:
		return json_is_null(value);
	}
}

static const char *check_metadata(const json_t *metadata, struct hr_str record,
				  const struct headrace_event *ev)
{
	if (!json_is_object(metadata) || json_object_size(metadata) != ev->n_pairs)
		return "metadata has other pairs";
	for (size_t i = 0; i < ev->n_pairs; i++) {
		const struct headrace_pair *pair = &ev->pairs[i];
		char key[64];

		snprintf(key, sizeof(key), "%.*s", (int)pair->key.n, pair->key.p);
		if (!pair_is(json_object_get(metadata, key), record, pair))
			return "a metadata pair";
	}
	return NULL;
}

static void spell_time(char out[40], const char *format, int64_t ms)
{
	const time_t seconds = (time_t)(ms / 1000);
	struct tm t;
	size_t n;

	gmtime_r(&seconds, &t);
	n = strftime(out, 40, format, &t);
	snprintf(out + n, 40 - n, ".%03d", (int)(ms % 1000));
}

static bool timestamp_is(const json_t *value, const struct hr_planned *planned)
{
	const struct headrace_event *ev = &planned->event;
	char iso[44];

	switch (ev->time_form) {
	case HEADRACE_TIME_TEXT:
		return text_is(value, ev->time_text);
	case HEADRACE_TIME_MILLIS:
		return json_is_integer(value) &&
		       json_integer_value(value) == ev->time_ms;
	default:
		spell_time(iso, "%Y-%m-%dT%H:%M:%S", planned->time_ms);
		strcat(iso, "Z");
		return text_is(value, headrace_str(iso));
	}
}

/* What of the record is not as it should be, in a word; NULL: nothing. */
static const char *compare(const json_t *record, struct hr_str bytes,
			   const struct hr_planned *planned)
{
	const struct headrace_event *ev = &planned->event;
	char sql[40];

	if (json_object_size(record) != 6)
		return "it has other members than the contract's six";
	if (!text_is(json_object_get(record, "event_id"), ev->id))
		return "event_id";
	if (!text_is(json_object_get(record, "user_id"), ev->user))
		return "user_id";
	if (!text_is(json_object_get(record, "event_type"), ev->type))
		return "event_type";
	if (planned->time_ms == HR_KNOWN_NO_TIME)
		return check_metadata(json_object_get(record, "metadata"), bytes, ev);
	spell_time(sql, "%Y-%m-%d %H:%M:%S", planned->time_ms);
	if (!timestamp_is(json_object_get(record, "timestamp"), planned))
		return "timestamp";
	if (!text_is(json_object_get(record, "event_time"), headrace_str(sql)))
		return "event_time";
	return check_metadata(json_object_get(record, "metadata"), bytes, ev);
}

static void check_value(struct hr_check_topic *check, const struct hr_planned *planned,
			struct hr_str value)
{
	char name[NAME_BYTES], shown[SHOWN_BYTES];
	json_error_t problem;
	json_t *record = json_loadb((const char *)value.p, value.n,
				    JSON_REJECT_DUPLICATES, &problem);
	const char *what = record == NULL || !json_is_object(record)
				   ? "it is no JSON object"
				   : compare(record, value, planned);

	json_decref(record);
	if (what == NULL)
		return;
	snprintf(name, sizeof(name), "%.*s", (int)planned->event.id.n,
		 planned->event.id.p);
	hr_finding(check->findings, check->place, HR_DIFFERENT, "%s: %s: %s", name,
		   what, hr_readable(shown, sizeof(shown), value));
}

/* ---- records of a topic ---- */

static bool mark_seen(struct hr_check_topic *check, uint32_t ordinal)
{
	const uint8_t bit = (uint8_t)(1u << (ordinal & 7));
	const bool was = (check->seen[ordinal / 8] & bit) != 0;

	check->seen[ordinal / 8] |= bit;
	return was;
}

static void check_order(struct hr_check_topic *check, uint32_t user, uint32_t ordinal)
{
	const uint32_t rank = check->known->events[ordinal].rank;
	char name[NAME_BYTES];

	if (rank < check->newest[user])
		hr_finding(check->findings, check->place, HR_MISPLACED,
			   "%s is its user's event number %" PRIu32
			   " in the log and comes behind number %" PRIu32,
			   hr_known_name(check->known, ordinal, name, sizeof(name)),
			   rank, check->newest[user]);
	else
		check->newest[user] = rank;
}

static void check_key(struct hr_check_topic *check, const struct hr_planned *planned,
		      uint32_t partition, struct hr_str key)
{
	const struct headrace_slice user = planned->event.user;
	const uint32_t right = headrace_shard(user.p, user.n, check->n_partitions);
	char shown[SHOWN_BYTES];

	if (key.n != user.n || memcmp(key.p, user.p, key.n) != 0)
		hr_finding(check->findings, check->place, HR_MISPLACED,
			   "%.*s has the key %s, not its user",
			   (int)planned->event.id.n, planned->event.id.p,
			   hr_readable(shown, sizeof(shown), key));
	if (partition != right)
		hr_finding(check->findings, check->place, HR_MISPLACED,
			   "%.*s is in partition %" PRIu32 ", not %" PRIu32,
			   (int)planned->event.id.n, planned->event.id.p, partition,
			   right);
}

static void unexpected(struct hr_check_topic *check, uint32_t partition,
		       struct hr_str value, const char *why)
{
	char shown[SHOWN_BYTES];

	hr_finding(check->findings, check->place, HR_UNEXPECTED,
		   "partition %" PRIu32 ": %s: %s", partition, why,
		   hr_readable(shown, sizeof(shown), value));
}

void hr_check_record(struct hr_check_topic *check, uint32_t partition,
		     struct hr_str key, struct hr_str value)
{
	const struct hr_known *known = check->known;
	const uint32_t ordinal = hr_known_find(known, value);
	struct hr_planned planned;
	char name[NAME_BYTES];

	if (ordinal == HR_KNOWN_NONE) {
		check->n_others++;
		if (!check->takes_others)
			unexpected(check, partition, value, "an event of no plan");
		return;
	}
	if (known->events[ordinal].rank == 0) {
		unexpected(check, partition, value, "this event is not in the log");
		return;
	}
	hr_known_make(known, ordinal, &planned);
	if (!takes(check, planned.type)) {
		unexpected(check, partition, value, "events of this type go elsewhere");
		return;
	}
	if (mark_seen(check, ordinal)) {
		hr_finding(check->findings, check->place, HR_DOUBLED,
			   "partition %" PRIu32 ": %s", partition,
			   hr_known_name(known, ordinal, name, sizeof(name)));
		return;
	}
	check->n_records++;
	check_key(check, &planned, partition, key);
	check_order(check, planned.user, ordinal);
	check_value(check, &planned, value);
}

void hr_check_topic_end(struct hr_check_topic *check)
{
	const struct hr_known *known = check->known;
	struct hr_planned planned;
	char name[NAME_BYTES];

	for (uint32_t i = 0; i < known->n_events; i++) {
		if (known->events[i].rank == 0 ||
		    (check->seen[i / 8] & 1u << (i & 7)) != 0)
			continue;
		hr_known_make(known, i, &planned);
		if (takes(check, planned.type))
			hr_finding(check->findings, check->place, HR_MISSING,
				   "%s, of link %" PRIu64,
				   hr_known_name(known, i, name, sizeof(name)),
				   known->events[i].link);
	}
}
