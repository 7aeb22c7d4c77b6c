/* SPDX-License-Identifier: BSD-3-Clause */

#include "common/siphash.h"
#include "dataplane/fold/digest.h"

#define ROWS 32u /* as many as go to the hash at once */

/* One entry. Offsets count from the start of what holds them, body or event, so a
 * row is the same wherever the bytes lie. */
struct event_row {
	uint32_t item;
	uint32_t raw_at, raw_n;
	uint32_t user_row; /* of missing events: how many they are */
	uint32_t metadata_at, metadata_n;
	uint8_t verdict, reject, codec, type_no, time_form, reserved[3];
	int64_t time_ms;
	uint64_t texts;
};

struct user_row {
	uint64_t text;
	uint32_t hash;
	uint32_t first_event, last_event;
	uint32_t n_events, n_views, n_purchases;
	int64_t last_active_ms;
};

_Static_assert(sizeof(struct event_row) == 48, "no bytes between its fields");
_Static_assert(sizeof(struct user_row) == 40, "no bytes between its fields");

/* Seeds of a text's hash: which field it is. */
enum text_field {
	TEXT_USER = 1,
	TEXT_TYPE,
	TEXT_ID,
	TEXT_PRODUCT,
	TEXT_CATEGORY,
	TEXT_TIME,
};

static inline uint64_t text_hash(struct hr_str text, enum text_field field)
{
	return text.n == 0 ? 0 : XXH3_64bits_withSeed(text.p, text.n, field);
}

/* A sum, so that the hashes need not wait for one another; each knows its field. */
static inline uint64_t texts_hash(const struct hr_event *ev)
{
	uint64_t sum = text_hash(ev->id, TEXT_ID) +
		       text_hash(ev->product, TEXT_PRODUCT) +
		       text_hash(ev->category, TEXT_CATEGORY) +
		       text_hash(ev->time_text, TEXT_TIME);

	return ev->type_no == HR_EVENT_OTHER ? sum + text_hash(ev->type, TEXT_TYPE)
					     : sum;
}

static inline void event_row_set(struct event_row *row, const struct hr_link *link,
				 const struct hr_out_event *e)
{
	const struct hr_event *ev = &e->event;

	*row = (struct event_row){
		.item = e->item,
		.raw_at = (uint32_t)(e->raw.p - link->body.p),
		.raw_n = e->raw.n,
		.user_row = e->user_row,
		.verdict = e->verdict,
		.reject = e->reject,
		.codec = e->codec,
	};
	if (e->verdict != HR_COUNTED)
		return;
	row->type_no = ev->type_no;
	row->time_form = ev->time_form;
	row->time_ms = ev->time_ms;
	row->texts = texts_hash(ev);
	row->metadata_n = ev->metadata.n;
	if (ev->metadata.n != 0)
		row->metadata_at = (uint32_t)(ev->metadata.p - e->raw.p);
}

void hr_digest_begin(struct hr_digest *d)
{
	XXH3_128bits_reset(&d->state);
}

void hr_digest_events(struct hr_digest *d, const struct hr_link *link,
		      const struct hr_out_event *events, uint32_t n)
{
	struct event_row rows[ROWS];

	while (n > 0) {
		const uint32_t some = n < ROWS ? n : ROWS;

		for (uint32_t i = 0; i < some; i++)
			event_row_set(&rows[i], link, &events[i]);
		XXH3_128bits_update(&d->state, rows, some * sizeof(rows[0]));
		events += some;
		n -= some;
	}
}

void hr_digest_missing(struct hr_digest *d, uint32_t item, uint8_t verdict,
		       uint8_t reject, uint32_t n)
{
	const struct event_row row = {
		.item = item, .user_row = n, .verdict = verdict, .reject = reject
	};

	XXH3_128bits_update(&d->state, &row, sizeof(row));
}

void hr_digest_users(struct hr_digest *d, const struct hr_out_user *users, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct hr_out_user *u = &users[i];
		const struct user_row row = {
			.text = text_hash(u->user, TEXT_USER),
			.hash = u->hash,
			.first_event = u->first_event,
			.last_event = u->last_event,
			.n_events = u->n_events,
			.n_views = u->n_views,
			.n_purchases = u->n_purchases,
			.last_active_ms = u->last_active_ms,
		};

		XXH3_128bits_update(&d->state, &row, sizeof(row));
	}
}

/*
 *   0 | digest of the link before (16) | the link's hash (16) | rows (16) |
 *  48 | n u64 | gaps u64 | filled u64 | entries u32 | users u32 |
 */
void hr_digest_end(struct hr_digest *d, const struct hr_link *link,
		   struct hr_id128 *digest)
{
	static const uint8_t key[] = "headrace: digest";
	const XXH128_hash_t rows = XXH3_128bits_digest(&d->state);
	const struct hr_out *out = link->out;
	uint8_t bytes[80];

	_Static_assert(sizeof(key) - 1 == HR_SIPHASH_KEY_BYTES, "16 letters");
	memcpy(bytes, digest, sizeof(*digest));
	memcpy(bytes + 16, &link->hash, sizeof(link->hash));
	hr_store64(bytes + 32, rows.low64);
	hr_store64(bytes + 40, rows.high64);
	hr_store64(bytes + 48, link->n);
	hr_store64(bytes + 56, out->gaps);
	hr_store64(bytes + 64, out->filled);
	hr_store32(bytes + 72, out->n_events);
	hr_store32(bytes + 76, out->n_users);
	hr_siphash128(key, bytes, sizeof(bytes), digest->b);
}
