/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * headraced - the control plane: one configuration, one dataplane looked after, its
 * metrics served. One thread, one poll loop.
 *
 * Exit codes: 0 it was stopped and the dataplane wrote out all it had taken; 1 it
 * could not start, or something was left; 2 usage.
 */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "controlplane/checkpoint/keeper.h"
#include "controlplane/metrics/http.h"
#include "controlplane/metrics/pages.h"
#include "controlplane/metrics/sampler.h"
#include "controlplane/settings.h"
#include "controlplane/supervise/run_dir.h"
#include "controlplane/supervise/supervise.h"
#include "controlplane/trim/trim.h"
#include "dataplane/log/record.h"

#define TURN_MAX_US 1000000u
#define TRIM_EVERY_US 1000000u /* looks for something to trim */

struct headraced {
	struct hr_settings settings;
	struct hr_run_dir *run;
	struct hr_sampler *sampler;
	struct hr_supervise *supervise;
	struct hr_trimmer *trimmer;
	struct hr_keeper *keeper;
	uint64_t trim_due_us;
	struct hr_control *control;
	struct hr_http *http;
	struct hr_pages pages;
	int signals;
	bool is_stopping;
};

static const char usage[] =
	"usage: headraced --config FILE\n"
	"\n"
	"Starts and supervises the dataplane of an appliance, looks after the XDP\n"
	"programs of its ports, and serves /metrics, /livez and /readyz. Runs in the\n"
	"foreground; SIGTERM, SIGINT or `headracectl stop` end it in good order.\n";

static void stop(struct headraced *d, const char *why)
{
	if (!d->is_stopping)
		hr_info("headraced", "stopping: %s", why);
	d->is_stopping = true;
	hr_supervise_stop(d->supervise);
}

static json_t *handle(void *ctx, const char *command, const json_t *request)
{
	struct headraced *d = ctx;

	(void)request;
	if (strcmp(command, "status") == 0)
		return hr_pages_status(&d->pages);
	if (strcmp(command, "stop") == 0) {
		stop(d, "asked over the command socket");
		return json_pack("{s:b, s:s}", "ok", 1, "state", "stopping");
	}
	return NULL;
}

static void take_signals(struct headraced *d)
{
	struct signalfd_siginfo info;

	while (read(d->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			hr_info("headraced", "SIGHUP: this version reads its "
					     "configuration at a start only");
		else
			stop(d, strsignal((int)info.ssi_signo));
	}
}

static int open_signals(struct headraced *d, struct hr_err *err)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (d->signals < 0)
		return hr_fail(err, -errno, "no signalfd: %s", strerror(errno));
	return 0;
}

static int open_supervision(struct headraced *d, struct hr_err *err)
{
	struct hr_supervise_setup setup = {
		.config = &d->settings.config,
		.config_path = d->settings.config_path,
		.program = d->settings.program,
	};
	char path[HR_RUN_DIR_PATH_MAX];

	hr_run_dir_path(path, d->settings.config.run_dir, HR_CONTROL_STATS);
	if (hr_sampler_new(&d->sampler, path) < 0)
		return hr_fail(err, -ENOMEM, "no memory for statistics");
	setup.sampler = d->sampler;
	return hr_supervise_new(&d->supervise, &setup, err);
}

static int open_doors(struct headraced *d, struct hr_err *err)
{
	char path[HR_RUN_DIR_PATH_MAX];
	int rc;

	rc = hr_http_open(&d->http, d->settings.config.metrics_listen, hr_pages_table,
			  &d->pages, err);
	if (rc < 0)
		return rc;
	d->pages = (struct hr_pages){
		.config = &d->settings.config,
		.supervise = d->supervise,
		.sampler = d->sampler,
		.keeper = d->keeper,
		.metrics_address = hr_http_address(d->http),
		.started_us = hr_mono_us(),
	};
	hr_run_dir_path(path, d->settings.config.run_dir, HR_CONTROL_HEADRACED);
	return hr_control_listen(&d->control, path, handle, d, err);
}

static int open_all(struct headraced *d, const char *config, struct hr_err *err)
{
	int rc = hr_settings_read(&d->settings, config, err);

	if (rc == 0)
		rc = open_signals(d, err);
	if (rc == 0)
		rc = hr_run_dir_open(&d->run, d->settings.config.run_dir, err);
	if (rc == 0)
		rc = open_supervision(d, err);
	if (rc == 0)
		rc = hr_trimmer_new(&d->trimmer, &d->settings.config, err);
	if (rc == 0)
		rc = hr_keeper_new(&d->keeper, &d->settings.config, err);
	if (rc == 0)
		rc = open_doors(d, err);
	return rc;
}

static void close_all(struct headraced *d)
{
	hr_control_close(d->control);
	hr_http_close(d->http);
	hr_keeper_free(d->keeper);
	hr_trimmer_free(d->trimmer);
	hr_supervise_free(d->supervise);
	hr_sampler_free(d->sampler);
	hr_run_dir_close(d->run);
	if (d->signals >= 0)
		close(d->signals);
}

enum {
	FD_SIGNALS,
	FD_CONTROL,
	FD_HTTP,
	FD_SUPERVISE,
	FD_COUNT = FD_SUPERVISE + HR_SUPERVISE_FDS
};

static int wait_ms(uint64_t due_us, uint64_t now_us, int http_ms)
{
	uint64_t us = due_us > now_us ? due_us - now_us : 0;
	int ms =
		us > TURN_MAX_US ? (int)(TURN_MAX_US / 1000) : (int)((us + 999) / 1000);

	return http_ms >= 0 && http_ms < ms ? http_ms : ms;
}

static void tell_trimmer(struct headraced *d, uint64_t now_us)
{
	json_t *status;

	if (now_us < d->trim_due_us)
		return;
	d->trim_due_us = now_us + TRIM_EVERY_US;
	status = hr_supervise_answer(d->supervise);
	hr_trimmer_tell(d->trimmer, status);
	json_decref(status);
}

/* Everything that may have something to do, in turn; returns how long to wait. */
static int turn(struct headraced *d)
{
	uint64_t now_us = hr_mono_us(), due_us, sampler_due_us;
	int http_ms;

	take_signals(d);
	sampler_due_us = hr_sampler_turn(d->sampler, now_us);
	due_us = hr_supervise_turn(d->supervise, now_us);
	tell_trimmer(d, now_us);
	hr_control_serve(d->control);
	http_ms = hr_http_serve(d->http);
	return wait_ms(sampler_due_us < due_us ? sampler_due_us : due_us, now_us,
		       http_ms);
}

static bool run(struct headraced *d)
{
	struct pollfd fds[FD_COUNT];
	bool drained;

	for (;;) {
		int ms = turn(d);

		if (hr_supervise_is_over(d->supervise, &drained))
			return drained;
		fds[FD_SIGNALS] = (struct pollfd){ d->signals, POLLIN, 0 };
		fds[FD_CONTROL] =
			(struct pollfd){ hr_control_fd(d->control), POLLIN, 0 };
		fds[FD_HTTP] = (struct pollfd){ hr_http_fd(d->http), POLLIN, 0 };
		hr_supervise_fds(d->supervise, &fds[FD_SUPERVISE]);
		(void)poll(fds, FD_COUNT, ms);
	}
}

static const char *parse_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	const char *config = NULL;
	int c;

	while ((c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1) {
		if (c == 'c') {
			config = optarg;
		} else if (c == 'h') {
			fputs(usage, stdout);
			exit(0);
		} else if (c == 'V') {
			puts("headraced " HR_VERSION
			     ", fold version " HR_FOLD_VERSIONS);
			exit(0);
		} else {
			exit(2);
		}
	}
	if (config == NULL || optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
	return config;
}

int main(int argc, char **argv)
{
	static struct headraced d = { .signals = -1 };
	const char *config = parse_options(argc, argv);
	struct hr_err err = { "" };
	bool drained;

	if (open_all(&d, config, &err) < 0) {
		fprintf(stderr, "headraced: %s\n", err.text);
		close_all(&d);
		return 1;
	}
	hr_info("headraced",
		"%s: version " HR_VERSION ", process %d, metrics at "
		"http://%s/metrics",
		d.settings.config.name, getpid(), d.pages.metrics_address);
	drained = run(&d);
	close_all(&d);
	hr_info("headraced", drained ? "stopped" : "stopped, with something left");
	return drained ? 0 : 1;
}
