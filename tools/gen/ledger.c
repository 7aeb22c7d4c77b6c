/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "tools/gen/ledger.h"

#define BUFFER_BYTES 65536
#define LINE_MAX 320
#define BUCKETS 64 /* of latencies: 8 to each power of two above 16 us */

struct entry {
	uint64_t tracked_us;
	uint64_t birth, random, sequence; /* of the datagram, once committed */
	uint32_t order;
	uint16_t shard;
	uint8_t state;
};

struct hr_ledger {
	const struct hr_planner *planner;
	int fd; /* -1: none */
	pthread_mutex_t lock;
	struct entry *entries;
	uint64_t n, max;
	uint32_t *orders; /* by user */
	uint64_t states[HR_LEDGER_STATES];
	uint64_t latency[BUCKETS * 8], max_us;
	char buffer[BUFFER_BYTES];
	size_t n_buffer;
	bool has_failed;
};

static const char *const names[HR_LEDGER_STATES] = {
	[HEADRACE_COMMITTED] = "committed", [HEADRACE_DROPPED] = "dropped",
	[HEADRACE_UNKNOWN] = "unknown",     [HEADRACE_LOST] = "lost",
	[HR_LEDGER_PENDING] = "pending",
};

const char *hr_ledger_state(unsigned int state)
{
	return names[state];
}

/* ---- the file ---- */

/* The lock is held. Whole lines: a killed process leaves no torn one but the last. */
static void write_out(struct hr_ledger *l)
{
	size_t at = 0;

	while (l->fd >= 0 && at < l->n_buffer) {
		const ssize_t n = write(l->fd, l->buffer + at, l->n_buffer - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			l->has_failed = true;
			break;
		}
		at += (size_t)n;
	}
	l->n_buffer = 0;
}

static void put_line(struct hr_ledger *l, const char *line, int n)
{
	if (l->n_buffer + (size_t)n > sizeof(l->buffer))
		write_out(l);
	memcpy(l->buffer + l->n_buffer, line, (size_t)n);
	l->n_buffer += (size_t)n;
}

static struct entry *entry_at(struct hr_ledger *l, uint64_t i)
{
	if (i >= l->max) {
		const uint64_t max = i * 2 + 4096;
		struct entry *fresh = realloc(l->entries, max * sizeof(*fresh));

		if (fresh == NULL) { /* a load generator without memory is no judge */
			fprintf(stderr,
				"headrace-gen sdk: no memory for %" PRIu64 " events\n",
				max);
			abort();
		}
		l->entries = fresh;
		l->max = max;
	}
	return &l->entries[i];
}

static void add_entry(struct hr_ledger *l, uint64_t i, uint32_t user, uint64_t now_us)
{
	struct entry *e = entry_at(l, i);

	memset(e, 0, sizeof(*e));
	e->tracked_us = now_us;
	e->order = ++l->orders[user];
	e->state = HR_LEDGER_PENDING;
	l->states[HR_LEDGER_PENDING]++;
	l->n = i + 1;
}

static void put_state(struct hr_ledger *l, uint64_t i, const struct hr_planned *event,
		      unsigned int state, uint64_t now_us)
{
	struct entry *e = entry_at(l, i);
	char line[LINE_MAX];

	l->states[e->state]--;
	l->states[state]++;
	e->state = (uint8_t)state;
	put_line(l, line,
		 snprintf(line, sizeof(line),
			  "%.*s %.*s %u %s %" PRIu64 " %" PRIu64 "\n",
			  (int)event->event.id.n, event->event.id.p,
			  (int)event->event.user.n, event->event.user.p, e->order,
			  names[state], e->tracked_us, now_us));
}

/* ---- reading what is there ---- */

static int state_named(const char *word)
{
	for (int s = 0; s < HR_LEDGER_STATES; s++)
		if (strcmp(word, names[s]) == 0)
			return s;
	return -1;
}

static bool take_line(struct hr_ledger *l, const char *line)
{
	char id[HEADRACE_DATAGRAM_MIN], user[HEADRACE_DATAGRAM_MIN], state[16];
	uint64_t tracked_us, decided_us, i;
	struct hr_planned planned;
	uint32_t order;
	int s;

	if (line[0] == '#')
		return true;
	if (sscanf(line, "+ %255s %255s %u", id, user, &order) == 3)
		tracked_us = 0;
	else if (sscanf(line, "%255s %255s %u %15s %" SCNu64 " %" SCNu64, id, user,
			&order, state, &tracked_us, &decided_us) != 6)
		return false;
	if (strncmp(id, l->planner->prefix, l->planner->prefix_bytes) != 0)
		return false;
	i = strtoull(id + l->planner->prefix_bytes, NULL, 10);
	hr_planned_make(l->planner, i, &planned);
	if (line[0] == '+') {
		if (i != l->n)
			return false;
		add_entry(l, i, planned.user, 0);
		return l->entries[i].order == order;
	}
	s = state_named(state);
	if (i >= l->n || s < 0)
		return false;
	l->states[l->entries[i].state]--;
	l->states[s]++;
	l->entries[i].state = (uint8_t)s;
	l->entries[i].tracked_us = tracked_us;
	return true;
}

/* A last line that was cut is cut off. */
static int read_back(struct hr_ledger *l, const char *path, struct hr_err *err)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	unsigned int line_no = 0;
	off_t whole = 0;
	int r = 0;

	if (f == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && fgets(line, sizeof(line), f) != NULL) {
		line_no++;
		if (strchr(line, '\n') == NULL)
			break;
		if (!take_line(l, line))
			r = hr_fail(err, -EINVAL,
				    "%s:%u: is no ledger of this plan: continue with "
				    "the same seed, users and shape, or take another "
				    "file",
				    path, line_no);
		whole += (off_t)strlen(line);
	}
	fclose(f);
	if (r == 0 && truncate(path, whole) < 0)
		r = hr_fail(err, -errno, "ledger %s: %s", path, strerror(errno));
	return r;
}

int hr_ledger_open(struct hr_ledger **out, const char *path,
		   const struct hr_planner *planner, struct hr_err *err)
{
	struct hr_ledger *l = calloc(1, sizeof(*l));
	char line[LINE_MAX];
	int r = 0;

	*out = NULL;
	if (l == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a ledger");
	l->fd = -1;
	l->planner = planner;
	pthread_mutex_init(&l->lock, NULL);
	l->orders = calloc(planner->plan.n_users, sizeof(*l->orders));
	if (l->orders == NULL)
		r = hr_fail(err, -ENOMEM, "no memory for %u users",
			    planner->plan.n_users);
	if (r == 0 && path != NULL)
		r = read_back(l, path, err);
	if (r == 0 && path != NULL) {
		l->fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (l->fd < 0)
			r = hr_fail(err, -errno, "ledger %s: %s", path,
				    strerror(errno));
	}
	if (r < 0) {
		free(l->orders);
		free(l->entries);
		free(l);
		return r;
	}
	put_line(l, line,
		 snprintf(line, sizeof(line),
			  "# headrace-ledger 1 seed=%" PRIu64 " users=%u pid=%d\n",
			  planner->plan.seed, planner->plan.n_users, getpid()));
	write_out(l);
	*out = l;
	return 0;
}

int hr_ledger_close(struct hr_ledger *l, struct hr_err *err)
{
	const uint64_t now_us = hr_wall_us();
	struct hr_planned planned;
	int r = 0;

	for (uint64_t i = 0; i < l->n; i++)
		if (l->entries[i].state == HR_LEDGER_PENDING) {
			hr_planned_make(l->planner, i, &planned);
			put_state(l, i, &planned, HR_LEDGER_PENDING, now_us);
		}
	write_out(l);
	if (l->has_failed || (l->fd >= 0 && close(l->fd) < 0))
		r = hr_fail(err, -EIO, "the ledger could not be written: %s",
			    strerror(errno));
	pthread_mutex_destroy(&l->lock);
	free(l->orders);
	free(l->entries);
	free(l);
	return r;
}

uint64_t hr_ledger_next(const struct hr_ledger *l)
{
	return l->n;
}

/* ---- events ---- */

void hr_ledger_announce(struct hr_ledger *l, const struct hr_planned *event, uint64_t i)
{
	char line[LINE_MAX];

	pthread_mutex_lock(&l->lock);
	add_entry(l, i, event->user, hr_wall_us());
	put_line(l, line,
		 snprintf(line, sizeof(line), "+ %.*s %.*s %u\n",
			  (int)event->event.id.n, event->event.id.p,
			  (int)event->event.user.n, event->event.user.p,
			  l->entries[i].order));
	pthread_mutex_unlock(&l->lock);
}

void hr_ledger_flush(struct hr_ledger *l)
{
	pthread_mutex_lock(&l->lock);
	write_out(l);
	pthread_mutex_unlock(&l->lock);
}

void hr_ledger_refused(struct hr_ledger *l, const struct hr_planned *event, uint64_t i)
{
	pthread_mutex_lock(&l->lock);
	put_state(l, i, event, HEADRACE_DROPPED, hr_wall_us());
	pthread_mutex_unlock(&l->lock);
}

static uint32_t bucket_of(uint64_t us)
{
	uint32_t bits, i;

	if (us < 16)
		return 0;
	bits = 63 - (uint32_t)__builtin_clzll(us);
	i = (bits - 4) * 8 + (uint32_t)(us >> (bits - 3) & 7);
	return i < BUCKETS * 8 ? i : BUCKETS * 8 - 1;
}

/* The upper end of a bucket. */
static uint64_t bucket_us(uint32_t i)
{
	return ((uint64_t)(8 + i % 8) + 1) << (i / 8 + 1);
}

static void decide_lost(struct hr_ledger *l, const struct headrace_outcome *o,
			uint64_t now_us)
{
	struct hr_planned planned;

	for (uint64_t i = 0; i < l->n; i++) {
		const struct entry *e = &l->entries[i];

		if (e->state != HEADRACE_COMMITTED || e->birth != o->birth ||
		    e->random != o->random || e->shard != o->shard ||
		    e->sequence < o->first || e->sequence > o->last)
			continue;
		hr_planned_make(l->planner, i, &planned);
		put_state(l, i, &planned, HEADRACE_LOST, now_us);
	}
}

void hr_ledger_decide(void *arg, const struct headrace_outcome *o)
{
	const struct hr_str id = { (const uint8_t *)o->id.p, (uint32_t)o->id.n };
	struct hr_ledger *l = arg;
	const uint64_t now_us = hr_wall_us();
	struct hr_planned planned;
	uint64_t i = 0;

	pthread_mutex_lock(&l->lock);
	if (o->state == HEADRACE_LOST) {
		decide_lost(l, o, now_us);
		pthread_mutex_unlock(&l->lock);
		return;
	}
	if (id.n > l->planner->prefix_bytes &&
	    memcmp(id.p, l->planner->prefix, l->planner->prefix_bytes) == 0)
		for (uint32_t k = l->planner->prefix_bytes; k < id.n; k++)
			i = i * 10 + (uint64_t)(id.p[k] - '0');
	else
		i = UINT64_MAX;
	if (i < l->n) {
		struct entry *e = &l->entries[i];

		if (o->state == HEADRACE_COMMITTED && e->tracked_us != 0 &&
		    now_us >= e->tracked_us) {
			l->latency[bucket_of(now_us - e->tracked_us)]++;
			if (now_us - e->tracked_us > l->max_us)
				l->max_us = now_us - e->tracked_us;
		}
		e->birth = o->birth;
		e->random = o->random;
		e->sequence = o->first;
		e->shard = (uint16_t)o->shard;
		hr_planned_make(l->planner, i, &planned);
		put_state(l, i, &planned, o->state, now_us);
	}
	pthread_mutex_unlock(&l->lock);
}

uint64_t hr_ledger_waiting(struct hr_ledger *l)
{
	uint64_t n;

	pthread_mutex_lock(&l->lock);
	n = l->states[HR_LEDGER_PENDING];
	pthread_mutex_unlock(&l->lock);
	return n;
}

static uint64_t quantile(const struct hr_ledger *l, unsigned int permille)
{
	uint64_t total = 0, sum = 0;

	for (uint32_t i = 0; i < BUCKETS * 8; i++)
		total += l->latency[i];
	for (uint32_t i = 0; i < BUCKETS * 8 && total > 0; i++) {
		sum += l->latency[i];
		if (sum * 1000 >= total * permille)
			return bucket_us(i) < l->max_us ? bucket_us(i) : l->max_us;
	}
	return 0;
}

struct hr_ledger_sums hr_ledger_sums(struct hr_ledger *l)
{
	struct hr_ledger_sums sums;

	pthread_mutex_lock(&l->lock);
	sums.n = l->n;
	memcpy(sums.states, l->states, sizeof(sums.states));
	sums.p50_us = quantile(l, 500);
	sums.p99_us = quantile(l, 990);
	sums.p999_us = quantile(l, 999);
	sums.max_us = l->max_us;
	pthread_mutex_unlock(&l->lock);
	return sums;
}
