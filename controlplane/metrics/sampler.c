/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/metrics/sampler.h"
#include "dataplane/drops.h"
#include "dataplane/stats/names.h"

#define LOOK_AGAIN_US 200000u
#define PATH_MAX_BYTES 512

struct hr_sampler {
	char path[PATH_MAX_BYTES];
	struct hr_stats_reader *reader; /* NULL: no dataplane */
	struct hr_reading last;
	bool has_last;
	struct hr_rates rates;
	uint64_t processed, rejected; /* highest seen */
	uint64_t turned_away;         /* of dataplanes that are gone */
	uint64_t due_us;
};

static uint64_t sum(const struct hr_stats_reader *r, enum hr_metric m,
		    const char *label)
{
	return hr_stats_sum(r, hr_metric_rows[m].name, label);
}

void hr_reading_take(const struct hr_stats_reader *r, uint64_t now_us,
		     struct hr_reading *out)
{
	out->at_us = now_us;
	out->events = sum(r, HR_METRIC_EVENTS_LOGGED, "");
	out->datagrams = sum(r, HR_METRIC_DATAGRAMS_RECEIVED, "");
	hr_stats_histogram(r, hr_metric_rows[HR_METRIC_ACCEPT_LATENCY].name, "",
			   out->accept);
}

/* Counters go up; a reading that went back is of another dataplane. */
static double a_second(uint64_t a, uint64_t b, double seconds)
{
	return b > a ? (double)(b - a) / seconds : 0;
}

void hr_rates_between(const struct hr_reading *a, const struct hr_reading *b,
		      struct hr_rates *out)
{
	uint64_t buckets[HR_HIST_BUCKETS];
	double p99_us;

	memset(out, 0, sizeof(*out));
	if (b->at_us <= a->at_us)
		return;
	for (unsigned int i = 0; i < HR_HIST_BUCKETS; i++)
		buckets[i] =
			b->accept[i] > a->accept[i] ? b->accept[i] - a->accept[i] : 0;
	p99_us = hr_hist_quantile_us(buckets, 0.99);
	out->is_measured = true;
	out->over_s = (double)(b->at_us - a->at_us) / 1e6;
	out->events_per_s = a_second(a->events, b->events, out->over_s);
	out->datagrams_per_s = a_second(a->datagrams, b->datagrams, out->over_s);
	out->accept_p99_s = p99_us < 0 ? 0 : p99_us / 1e6;
}

void hr_left_read(const struct hr_stats_reader *r, struct hr_left *out)
{
	char label[64];

	(void)snprintf(label, sizeof(label), "reason=\"%s\"",
		       hr_drop_rows[HR_DROP_SHUTDOWN].label);
	out->is_known = true;
	out->in_flight = sum(r, HR_METRIC_DATAGRAMS_IN_FLIGHT, "");
	out->dropped = sum(r, HR_METRIC_DATAGRAMS_DROPPED, label);
	out->lag_links = sum(r, HR_METRIC_VIEW_LAG_LINKS, "");
}

bool hr_left_is_nothing(const struct hr_left *left)
{
	return left->is_known && left->in_flight == 0 && left->dropped == 0;
}

int hr_sampler_new(struct hr_sampler **out, const char *path)
{
	struct hr_sampler *s = calloc(1, sizeof(*s));

	if (s == NULL || strlen(path) >= sizeof(s->path)) {
		free(s);
		return -ENOMEM;
	}
	strcpy(s->path, path);
	*out = s;
	return 0;
}

void hr_sampler_free(struct hr_sampler *s)
{
	if (s == NULL)
		return;
	hr_stats_close(s->reader);
	free(s);
}

static uint64_t verdicts(const struct hr_stats_reader *r)
{
	return sum(r, HR_METRIC_EVENTS_VERDICT, "verdict=\"counted\"") +
	       sum(r, HR_METRIC_EVENTS_VERDICT, "verdict=\"late\"") +
	       sum(r, HR_METRIC_EVENTS_VERDICT, "verdict=\"overflow\"");
}

static uint64_t turned_away(const struct hr_stats_reader *r)
{
	return sum(r, HR_METRIC_DATAGRAMS_REFUSED, "") +
	       sum(r, HR_METRIC_DATAGRAMS_DROPPED, "");
}

static uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void keep_highest(struct hr_sampler *s)
{
	s->processed = higher(s->processed, verdicts(s->reader));
	s->rejected =
		higher(s->rejected, sum(s->reader, HR_METRIC_EVENTS_REJECTED, ""));
}

static void let_go(struct hr_sampler *s)
{
	if (s->reader == NULL)
		return;
	keep_highest(s);
	s->turned_away += turned_away(s->reader);
	hr_stats_close(s->reader);
	s->reader = NULL;
	s->has_last = false;
	memset(&s->rates, 0, sizeof(s->rates));
}

void hr_sampler_end(struct hr_sampler *s, struct hr_left *left)
{
	memset(left, 0, sizeof(*left));
	/* Its mapping outlives its writer and its file. */
	if (s->reader != NULL)
		hr_left_read(s->reader, left);
	let_go(s);
	s->due_us = 0;
}

static void measure(struct hr_sampler *s, uint64_t now_us)
{
	struct hr_reading now;

	hr_reading_take(s->reader, now_us, &now);
	if (s->has_last)
		hr_rates_between(&s->last, &now, &s->rates);
	s->last = now;
	s->has_last = true;
	keep_highest(s);
}

uint64_t hr_sampler_turn(struct hr_sampler *s, uint64_t now_us)
{
	if (now_us < s->due_us)
		return s->due_us;
	if (s->reader != NULL && !hr_stats_is_alive(s->reader))
		let_go(s);
	if (s->reader == NULL && hr_stats_open(&s->reader, s->path, NULL) < 0) {
		s->reader = NULL;
		s->due_us = now_us + LOOK_AGAIN_US;
		return s->due_us;
	}
	measure(s, now_us);
	s->due_us = now_us + HR_SAMPLER_INTERVAL_US;
	return s->due_us;
}

const struct hr_stats_reader *hr_sampler_reader(const struct hr_sampler *s)
{
	return s->reader != NULL && hr_stats_is_alive(s->reader) ? s->reader : NULL;
}

void hr_sampler_rates(const struct hr_sampler *s, struct hr_rates *out)
{
	*out = s->rates;
}

void hr_sampler_totals(const struct hr_sampler *s, struct hr_totals *out)
{
	uint64_t processed = s->processed, rejected = s->rejected,
		 away = s->turned_away;

	if (s->reader != NULL) {
		processed = higher(processed, verdicts(s->reader));
		rejected =
			higher(rejected, sum(s->reader, HR_METRIC_EVENTS_REJECTED, ""));
		away += turned_away(s->reader);
	}
	out->processed = processed;
	out->failed = rejected + away;
}
