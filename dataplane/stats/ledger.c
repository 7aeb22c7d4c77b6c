/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "dataplane/stats/ledger.h"
#include "dataplane/stats/names.h"

#define SHARDS_MAX 128u /* more than the configuration takes */
#define LOOK_AGAIN_US 1000u
#define LOOKS_IN_MOTION 5u

const char *const hr_ledger_datagram_names[HR_LEDGER_DATAGRAM_TERMS] = {
	"received", "split",   "logged",  "answered",
	"repeated", "refused", "dropped", "in flight",
};

const char *const hr_ledger_event_names[HR_LEDGER_EVENT_TERMS] = {
	"logged",   "counted",  "late",     "repeated",
	"filtered", "rejected", "overflow", "rejected by reason",
};

struct reading {
	int64_t datagram[HR_LEDGER_DATAGRAM_TERMS];
	int64_t event[SHARDS_MAX][HR_LEDGER_EVENT_TERMS];
};

static int datagram_term(const char *name)
{
	static const enum hr_metric metrics[HR_LEDGER_DATAGRAM_TERMS] = {
		HR_METRIC_DATAGRAMS_RECEIVED, HR_METRIC_DATAGRAMS_SPLIT,
		HR_METRIC_DATAGRAMS_LOGGED,   HR_METRIC_DATAGRAMS_ANSWERED,
		HR_METRIC_DATAGRAMS_REPEATED, HR_METRIC_DATAGRAMS_REFUSED,
		HR_METRIC_DATAGRAMS_DROPPED,  HR_METRIC_DATAGRAMS_IN_FLIGHT,
	};

	for (int i = 0; i < HR_LEDGER_DATAGRAM_TERMS; i++)
		if (strcmp(name, hr_metric_rows[metrics[i]].name) == 0)
			return i;
	return -1;
}

/* The value of a label, cut to max - 1 bytes; "" when it is not there. */
static void label_value(const char *labels, const char *key, char *out, size_t max)
{
	size_t n = strlen(key);
	const char *at = labels;

	out[0] = '\0';
	while ((at = strstr(at, key)) != NULL) {
		if ((at == labels || at[-1] == ',') && at[n] == '=' &&
		    at[n + 1] == '"') {
			size_t len = strcspn(at + n + 2, "\"");

			if (len >= max)
				len = max - 1;
			memcpy(out, at + n + 2, len);
			out[len] = '\0';
			return;
		}
		at += n;
	}
}

static int verdict_term(const char *verdict)
{
	for (int i = HR_LEDGER_COUNTED; i <= HR_LEDGER_OVERFLOW; i++)
		if (strcmp(verdict, hr_ledger_event_names[i]) == 0)
			return i;
	return -1;
}

static int event_term(const struct hr_stat_row *row)
{
	char verdict[16];

	if (strcmp(row->name, hr_metric_rows[HR_METRIC_EVENTS_LOGGED].name) == 0)
		return HR_LEDGER_EVENTS_LOGGED;
	if (strcmp(row->name, hr_metric_rows[HR_METRIC_EVENTS_REJECTED].name) == 0)
		return HR_LEDGER_REJECTED_BY_REASON;
	if (strcmp(row->name, hr_metric_rows[HR_METRIC_EVENTS_VERDICT].name) != 0)
		return -1;
	label_value(row->labels, "verdict", verdict, sizeof(verdict));
	return verdict_term(verdict);
}

static void read_once(const struct hr_stats_reader *r, struct reading *out)
{
	struct hr_stat_row row;

	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0, n = hr_stats_count(r); i < n; i++) {
		char shard[8];
		unsigned long s;
		int term;

		if (!hr_stats_row(r, i, &row) || row.kind == HR_STAT_HISTOGRAM)
			continue;
		term = datagram_term(row.name);
		if (term >= 0) {
			out->datagram[term] += (int64_t)hr_stat_get(row.cells);
			continue;
		}
		term = event_term(&row);
		if (term < 0)
			continue;
		label_value(row.labels, "shard", shard, sizeof(shard));
		s = strtoul(shard, NULL, 10);
		if (s < SHARDS_MAX)
			out->event[s][term] += (int64_t)hr_stat_get(row.cells);
	}
}

static uint64_t moved(const int64_t *a, const int64_t *b, int n)
{
	uint64_t sum = 0;

	for (int i = 0; i < n; i++)
		sum += (uint64_t)(a[i] > b[i] ? a[i] - b[i] : b[i] - a[i]);
	return sum;
}

static int64_t magnitude(int64_t v)
{
	return v < 0 ? -v : v;
}

static enum hr_balance judge(int64_t off, uint64_t moved_by)
{
	if ((uint64_t)magnitude(off) > moved_by)
		return HR_OUT_OF_BALANCE;
	return moved_by == 0 ? HR_BALANCED : HR_BALANCED_IN_MOTION;
}

static void judge_datagrams(const struct reading *a, const struct reading *b,
			    struct hr_ledger *out)
{
	const int64_t *t = a->datagram;

	memcpy(out->datagram, t, sizeof(out->datagram));
	out->datagrams_off = t[HR_LEDGER_RECEIVED] + t[HR_LEDGER_SPLIT];
	for (int i = HR_LEDGER_LOGGED; i < HR_LEDGER_DATAGRAM_TERMS; i++)
		out->datagrams_off -= t[i];
	out->datagrams_moved = moved(t, b->datagram, HR_LEDGER_DATAGRAM_TERMS);
	/* in flight goes up and down: what it did between is bounded by what the
	 * others did, so all of them count once more. */
	out->datagrams_moved *= 2;
	out->datagrams = judge(out->datagrams_off, out->datagrams_moved);
}

/* The two equations of one shard: the one that is off more. */
static int64_t shard_off(const int64_t *t)
{
	int64_t off = t[HR_LEDGER_EVENTS_LOGGED], by_reason;

	for (int i = HR_LEDGER_COUNTED; i <= HR_LEDGER_OVERFLOW; i++)
		off -= t[i];
	by_reason = t[HR_LEDGER_REJECTED] - t[HR_LEDGER_REJECTED_BY_REASON];
	return magnitude(by_reason) > magnitude(off) ? by_reason : off;
}

static void judge_events(const struct reading *a, const struct reading *b,
			 struct hr_ledger *out)
{
	memset(out->event, 0, sizeof(out->event));
	out->events = HR_BALANCED;
	out->events_off = 0;
	out->events_shard = -1;
	out->events_moved = 0;
	for (uint32_t s = 0; s < SHARDS_MAX; s++) {
		int64_t off = shard_off(a->event[s]);
		uint64_t by = moved(a->event[s], b->event[s], HR_LEDGER_EVENT_TERMS);
		enum hr_balance balance = judge(off, by);

		for (int i = 0; i < HR_LEDGER_EVENT_TERMS; i++)
			out->event[i] += a->event[s][i];
		out->events_moved += by;
		if (balance > out->events)
			out->events = balance;
		if (balance == HR_OUT_OF_BALANCE &&
		    magnitude(off) > magnitude(out->events_off)) {
			out->events_off = off;
			out->events_shard = (int32_t)s;
		}
	}
}

static void look(const struct hr_stats_reader *r, struct hr_ledger *out)
{
	struct reading a, b;

	read_once(r, &a);
	read_once(r, &b);
	judge_datagrams(&a, &b, out);
	judge_events(&a, &b, out);
}

static enum hr_balance worse(const struct hr_ledger *l)
{
	return l->datagrams > l->events ? l->datagrams : l->events;
}

void hr_ledger_read(const struct hr_stats_reader *r, uint32_t patience_ms,
		    struct hr_ledger *out)
{
	const struct timespec pause = { .tv_nsec = LOOK_AGAIN_US * 1000 };
	uint64_t until_us = hr_mono_us() + patience_ms * 1000ull;

	for (unsigned int looks = 1;; looks++) {
		enum hr_balance b;

		look(r, out);
		b = worse(out);
		if (b == HR_BALANCED || hr_mono_us() >= until_us ||
		    (b == HR_BALANCED_IN_MOTION && looks >= LOOKS_IN_MOTION))
			return;
		nanosleep(&pause, NULL);
	}
}

const char *hr_balance_text(enum hr_balance balance)
{
	static const char *const texts[] = {
		[HR_BALANCED] = "BALANCED",
		[HR_BALANCED_IN_MOTION] = "BALANCED IN MOTION",
		[HR_OUT_OF_BALANCE] = "OUT OF BALANCE",
	};

	return texts[balance];
}
