/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/process.h"
#include "controlplane/ctl/stop.h"
#include "controlplane/metrics/sampler.h"
#include "controlplane/supervise/run_dir.h"

#define ASK_MS 5000u
/* A dataplane alone: stop_drain's own default and then some. */
#define ALONE_MS 20000u
#define SLACK_MS 10000u
#define LOOK_MS 20

struct process {
	int pid;
	uint64_t ticks;
};

static bool find(struct process *out, const char *socket_path)
{
	out->pid = hr_control_server_pid(socket_path);
	return out->pid > 0 && hr_process_start_ticks(out->pid, &out->ticks) == 0;
}

static bool wait_gone(const struct process *p, uint64_t within_ms)
{
	const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000 };
	uint64_t until_us = hr_mono_us() + within_ms * 1000;

	while (hr_process_is(p->pid, p->ticks)) {
		if (hr_mono_us() >= until_us)
			return false;
		nanosleep(&pause, NULL);
	}
	return true;
}

static uint64_t stop_within_ms(const char *socket_path)
{
	json_t *status = NULL;
	json_int_t ms = 0;

	if (hr_control_ask(socket_path, "status", ASK_MS, &status, NULL) == 0)
		ms = json_integer_value(json_object_get(status, "stop_within_ms"));
	json_decref(status);
	return ms > 0 ? (uint64_t)ms + SLACK_MS : ALONE_MS;
}

/* What was left, by the last state of the statistics: the mapping outlives all. */
static int tell_left(struct hr_stats_reader *stats)
{
	struct hr_left left;

	if (stats == NULL) {
		puts("stopped; no dataplane was running");
		return 0;
	}
	hr_left_read(stats, &left);
	if (hr_left_is_nothing(&left)) {
		puts("stopped; everything that was taken is in the log");
	} else {
		printf("stopped; lost: %" PRIu64 " datagrams in flight, %" PRIu64
		       " dropped at the shutdown; the log of the dataplane says why\n",
		       left.in_flight, left.dropped);
	}
	if (left.lag_links > 0)
		printf("the views were %" PRIu64
		       " links behind: they go on from the log at the next start\n",
		       left.lag_links);
	return hr_left_is_nothing(&left) ? 0 : 1;
}

static int ask_and_wait(const char *socket_path, const struct process *p,
			uint64_t within_ms)
{
	json_t *answer = NULL;
	struct hr_err err = { "" };
	int rc = hr_control_ask(socket_path, "stop", ASK_MS, &answer, &err);

	json_decref(answer);
	/* It may hang up on its way out. */
	if (rc < 0 && hr_process_is(p->pid, p->ticks)) {
		fprintf(stderr, "headracectl: %s\n", err.text);
		return 1;
	}
	if (wait_gone(p, within_ms))
		return 0;
	fprintf(stderr,
		"headracectl: process %d was asked to stop and still runs after "
		"%" PRIu64 " s; end it with: kill -9 %d\n",
		p->pid, within_ms / 1000, p->pid);
	return 1;
}

int hr_stop(const char *run_dir)
{
	char headraced[HR_RUN_DIR_PATH_MAX], dataplane[HR_RUN_DIR_PATH_MAX],
		segment[HR_RUN_DIR_PATH_MAX];
	struct hr_stats_reader *stats = NULL;
	struct process p;
	int rc;

	hr_run_dir_path(headraced, run_dir, HR_CONTROL_HEADRACED);
	hr_run_dir_path(dataplane, run_dir, HR_CONTROL_DATAPLANE);
	hr_run_dir_path(segment, run_dir, HR_CONTROL_STATS);
	if (hr_stats_open(&stats, segment, NULL) < 0)
		stats = NULL;
	if (find(&p, headraced)) {
		rc = ask_and_wait(headraced, &p, stop_within_ms(headraced));
	} else if (find(&p, dataplane)) {
		puts("headraced is not running; asking the dataplane itself");
		rc = ask_and_wait(dataplane, &p, ALONE_MS);
	} else {
		printf("nothing is running in %s\n", run_dir);
		rc = 3;
	}
	if (rc == 0)
		rc = tell_left(stats);
	hr_stats_close(stats);
	return rc;
}
