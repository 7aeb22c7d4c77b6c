/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "controlplane/supervise/run_dir.h"
#include "controlplane/supervise/supervise_impl.h"

#define HELD_RETRY_US 1000000u
#define STEERING_TURN_US 200000u
#define ASK_SOON_US 200000u
#define ASK_USUAL_US 500000u
#define DETACH_TRIES 10
#define DETACH_PAUSE_US 50000u

static void path_in_run_dir(const struct hr_supervise *s, const char *name,
			    char out[HR_RUN_DIR_PATH_MAX])
{
	hr_run_dir_path(out, s->setup.config->run_dir, name);
}

int hr_supervise_new(struct hr_supervise **out, const struct hr_supervise_setup *setup,
		     struct hr_err *err)
{
	struct hr_supervise *s = calloc(1, sizeof(*s));
	char path[HR_RUN_DIR_PATH_MAX];

	if (s == NULL)
		return hr_fail(err, -ENOMEM, "no memory to supervise a dataplane");
	s->setup = *setup;
	s->state = HR_DATAPLANE_WAITING;
	s->child.pidfd = -1;
	hr_backoff_init(&s->backoff, setup->config->restart_delay_ms);
	path_in_run_dir(s, HR_CONTROL_DATAPLANE, path);
	if (hr_asker_new(&s->asker, path) < 0 ||
	    hr_steering_new(&s->steering, setup->config) < 0) {
		hr_supervise_free(s);
		return hr_fail(err, -ENOMEM, "no memory to supervise a dataplane");
	}
	*out = s;
	return 0;
}

void hr_supervise_free(struct hr_supervise *s)
{
	if (s == NULL)
		return;
	hr_child_forget(&s->child);
	hr_steering_free(s->steering);
	hr_asker_free(s->asker);
	free(s);
}

void hr_supervise_fds(const struct hr_supervise *s, struct pollfd out[HR_SUPERVISE_FDS])
{
	out[0] = (struct pollfd){ .fd = hr_child_fd(&s->child), .events = POLLIN };
	out[1] = (struct pollfd){ .fd = hr_asker_fd(s->asker), .events = POLLIN };
}

/* A dataplane may have been started by a headraced that is gone, or by hand. */
static bool find_running(struct hr_supervise *s)
{
	struct hr_stats_reader *reader;
	char path[HR_RUN_DIR_PATH_MAX];
	int pid = 0;

	path_in_run_dir(s, HR_RUN_DIR_DATAPLANE_PID, path);
	if (hr_child_adopt_file(&s->child, path) == 0)
		return true;
	path_in_run_dir(s, HR_CONTROL_STATS, path);
	if (hr_stats_open(&reader, path, NULL) == 0) {
		pid = hr_stats_writer_pid(reader);
		hr_stats_close(reader);
		if (hr_child_adopt(&s->child, pid) == 0)
			return true;
	}
	path_in_run_dir(s, HR_CONTROL_DATAPLANE, path);
	pid = hr_control_server_pid(path);
	return pid > 0 && hr_child_adopt(&s->child, pid) == 0;
}

/* An adopted process has lived before; what counts for the back-off is all of it. */
static uint64_t age_us(const struct hr_child *child)
{
	uint64_t now_us = hr_wall_us();

	return now_us > child->started_us ? now_us - child->started_us : 0;
}

static void now_running(struct hr_supervise *s, uint64_t now_us)
{
	s->state = HR_DATAPLANE_RUNNING;
	s->hold.text[0] = '\0';
	s->running_since_us = now_us - age_us(&s->child);
	hr_asker_reset(s->asker);
}

static void wait_for_next(struct hr_supervise *s, uint64_t now_us, uint64_t lived_ms)
{
	uint32_t delay_ms = hr_backoff_next_ms(&s->backoff, lived_ms);

	s->state = HR_DATAPLANE_WAITING;
	s->due_us = now_us + delay_ms * 1000ull;
	hr_info("supervise", "the dataplane is started again in %.1f s",
		delay_ms / 1e3);
}

static void hold(struct hr_supervise *s, uint64_t now_us, const char *why)
{
	if (s->state != HR_DATAPLANE_HELD || strcmp(why, s->hold.text) != 0)
		hr_error("supervise", "the dataplane is not started: %s", why);
	(void)hr_fail(&s->hold, -EBUSY, "%s", why);
	s->state = HR_DATAPLANE_HELD;
	s->due_us = now_us + HELD_RETRY_US;
}

static void start(struct hr_supervise *s, uint64_t now_us)
{
	char *argv[] = { (char *)s->setup.program, (char *)"--config",
			 (char *)s->setup.config_path, NULL };
	char pid_file[HR_RUN_DIR_PATH_MAX];
	struct hr_err err;

	if (hr_steering_clear(s->steering, &err) < 0) {
		hold(s, now_us, err.text);
		return;
	}
	path_in_run_dir(s, HR_RUN_DIR_DATAPLANE_PID, pid_file);
	if (hr_child_start(&s->child, argv, pid_file, &err) < 0) {
		hr_error("supervise", "the dataplane is not started: %s", err.text);
		(void)snprintf(s->last_end, sizeof(s->last_end), "was not started: %s",
			       err.text);
		wait_for_next(s, now_us, 0);
		return;
	}
	s->restarts += s->n_started++ > 0;
	now_running(s, now_us);
	hr_info("supervise", "dataplane started as process %d", s->child.pid);
}

static void start_or_adopt(struct hr_supervise *s, uint64_t now_us)
{
	if (!find_running(s)) {
		hr_run_dir_sweep(s->setup.config->run_dir);
		start(s, now_us);
		return;
	}
	s->n_started++;
	now_running(s, now_us);
	hr_info("supervise", "dataplane process %d was running: adopted", s->child.pid);
}

void hr_supervise_describe_end(const struct hr_child_end *end, char *out, size_t max)
{
	static const char *const codes[] = {
		[0] = " (everything written out)",
		[1] = " (it could not start or gave up; its log says why)",
		[3] = " (something was left; its log names it)",
		[4] = " (a ledger law does not hold, which is a bug; its log has the "
		      "numbers)",
		[127] = " (the program could not be executed)",
	};
	const size_t n = sizeof(codes) / sizeof(codes[0]);

	if (!end->is_known)
		(void)snprintf(out, max,
			       "ended (it had been adopted: its exit status is not "
			       "known)");
	else if (end->is_signal)
		(void)snprintf(out, max, "was killed by signal %d (%s)", end->code,
			       strsignal(end->code));
	else
		(void)snprintf(out, max, "exited with %d%s", end->code,
			       (size_t)end->code < n && codes[end->code] != NULL
				       ? codes[end->code]
				       : "");
}

/* Sockets vanish from the program's map a moment after their process. */
static void detach(struct hr_supervise *s)
{
	const struct timespec pause = { .tv_nsec = DETACH_PAUSE_US * 1000 };
	bool is_last = s->state == HR_DATAPLANE_STOPPING;
	struct hr_err err;
	int rc;

	for (int i = 0;; i++) {
		rc = hr_steering_end(s->steering, &err);
		if (rc != -EBUSY || !is_last || i == DETACH_TRIES)
			break;
		nanosleep(&pause, NULL);
	}
	if (rc < 0)
		hr_warn("supervise", "%s", err.text);
}

/* SIGTERM ends only a dataplane that has not come to catching it: it took nothing. */
static bool has_drained(const struct hr_child_end *end, const struct hr_left *left)
{
	if (end->is_known)
		return end->is_signal ? end->code == SIGTERM : end->code == 0;
	return hr_left_is_nothing(left);
}

static void ended(struct hr_supervise *s, const struct hr_child_end *end,
		  uint64_t now_us)
{
	uint64_t lived_ms = (now_us - s->running_since_us) / 1000;
	bool is_asked = s->state == HR_DATAPLANE_STOPPING;
	struct hr_left left;
	char how[128];

	hr_sampler_end(s->setup.sampler, &left);
	hr_supervise_describe_end(end, how, sizeof(how));
	(void)snprintf(s->last_end, sizeof(s->last_end), "%s after %.1f s", how,
		       (double)lived_ms / 1e3);
	s->last_has_drained = has_drained(end, &left);
	if (is_asked && s->last_has_drained)
		hr_info("supervise", "the dataplane %s", s->last_end);
	else
		hr_error("supervise", "the dataplane %s", s->last_end);
	detach(s);
	hr_asker_reset(s->asker);
	hr_run_dir_sweep(s->setup.config->run_dir);
	if (is_asked)
		s->state = HR_DATAPLANE_ENDED;
	else
		wait_for_next(s, now_us, lived_ms);
}

static void kill_when_due(struct hr_supervise *s, uint64_t now_us)
{
	if (s->is_killed || now_us < s->kill_us)
		return;
	s->is_killed = true;
	hr_warn("supervise",
		"dataplane process %d did not stop within %.1f s: killed; what it had "
		"not written out is lost",
		s->child.pid,
		(s->setup.config->stop_drain_ms + HR_SUPERVISE_KILL_AFTER_MS) / 1e3);
	hr_child_signal(&s->child, SIGKILL);
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t follow(struct hr_supervise *s, uint64_t now_us)
{
	uint64_t at_us, next;
	const json_t *answer = hr_asker_answer(s->asker, &at_us);
	bool is_ready = json_is_true(json_object_get(answer, "ready"));

	next = hr_asker_turn(s->asker, now_us, is_ready ? ASK_USUAL_US : ASK_SOON_US);
	if (hr_steering_count(s->steering) == 0)
		return next;
	if (now_us >= s->steering_due_us) {
		hr_steering_turn(s->steering);
		s->steering_due_us = now_us + STEERING_TURN_US;
	}
	return sooner(next, s->steering_due_us);
}

uint64_t hr_supervise_turn(struct hr_supervise *s, uint64_t now_us)
{
	struct hr_child_end end;

	if (hr_child_has_ended(&s->child, &end))
		ended(s, &end, now_us);
	switch (s->state) {
	case HR_DATAPLANE_HELD:
	case HR_DATAPLANE_WAITING:
		if (now_us >= s->due_us)
			start_or_adopt(s, now_us);
		return s->child.pid != 0 ? now_us : s->due_us;
	case HR_DATAPLANE_RUNNING:
		return follow(s, now_us);
	case HR_DATAPLANE_STOPPING:
		kill_when_due(s, now_us);
		return s->is_killed ? UINT64_MAX : s->kill_us;
	case HR_DATAPLANE_ENDED:
		break;
	}
	return UINT64_MAX;
}

void hr_supervise_stop(struct hr_supervise *s)
{
	if (s->state == HR_DATAPLANE_STOPPING || s->state == HR_DATAPLANE_ENDED)
		return;
	if (s->child.pid == 0) {
		s->state = HR_DATAPLANE_ENDED;
		return;
	}
	hr_info("supervise", "stopping dataplane process %d", s->child.pid);
	s->state = HR_DATAPLANE_STOPPING;
	s->kill_us = hr_mono_us() + (s->setup.config->stop_drain_ms +
				     (uint64_t)HR_SUPERVISE_KILL_AFTER_MS) *
					    1000;
	hr_child_signal(&s->child, SIGTERM);
}

bool hr_supervise_is_over(const struct hr_supervise *s, bool *drained)
{
	*drained = s->n_started == 0 || s->last_has_drained;
	return s->state == HR_DATAPLANE_ENDED;
}
