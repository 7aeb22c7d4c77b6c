/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "common/log.h"
#include "dataplane/control/commands.h"
#include "dataplane/dataplane.h"
#include "dataplane/poison/poison.h"

#define ROUND_MS 100
#define STARTING_ROUND_MS 5

static const char usage[] =
	"headrace-dataplane: takes beacons from its ports, writes them to the log and "
	"its\n"
	"views. headraced starts it; by hand it runs in the foreground.\n"
	"\n"
	"  headrace-dataplane --config FILE\n"
	"  headrace-dataplane --version | --help\n"
	"\n"
	"SIGTERM or SIGINT (or `stop` on its socket) end it within "
	"control.stop_drain.\n"
	"Exit codes: 0 everything is written out, 1 it could not start or had to give "
	"up,\n"
	"3 something was left (its log names what), 4 a ledger law does not hold.\n";

struct process {
	struct hr_dataplane dataplane;
	struct hr_commands commands;
	struct hr_control *control;
	int signals;
};

/* Returns the exit code, or -1 to go on. */
static int parse_arguments(int argc, char **argv, const char **config)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			*config = optarg;
			break;
		case 'V':
			puts("headrace-dataplane " HR_VERSION
			     ", fold version " HR_FOLD_VERSIONS);
			return 0;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return HR_EXIT_NO_START;
		}
	}
	if (*config != NULL && optind == argc)
		return -1;
	fputs(usage, stderr);
	return HR_EXIT_NO_START;
}

/* Before any thread is made, so that all of them leave signals to this descriptor. */
static int open_signals(struct hr_err *err)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return hr_fail(err, -errno, "signals cannot be blocked: %m");
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return fd >= 0 ? fd : hr_fail(err, -errno, "no descriptor for signals: %m");
}

static int open_control(struct process *p, struct hr_err *err)
{
	const char *run_dir = p->dataplane.config.run_dir;
	char path[HR_CONFIG_TEXT + 32];

	if (mkdir(run_dir, 0755) < 0 && errno != EEXIST)
		return hr_fail(err, -errno, "appliance.run_dir: %s cannot be made: %m",
			       run_dir);
	snprintf(path, sizeof(path), "%s/" HR_CONTROL_DATAPLANE, run_dir);
	p->commands.dataplane = &p->dataplane;
	return hr_control_listen(&p->control, path, hr_commands_answer, &p->commands,
				 err);
}

static bool was_told_to_stop(struct process *p)
{
	struct signalfd_siginfo info;

	while (read(p->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			continue; /* a terminal went away; nothing is reloaded */
		hr_info("main", "signal %u: stopping", info.ssi_signo);
		p->commands.must_stop = true;
	}
	return p->commands.must_stop;
}

/* Returns 0, or a negated errno with err where the process must give up. */
static int round_of_work(struct process *p, struct hr_err *err)
{
	struct hr_dataplane *d = &p->dataplane;
	int r;

	if (d->state == HR_STATE_RUNNING)
		return hr_dataplane_round(d, err);
	r = hr_dataplane_searched(d, err);
	if (r <= 0)
		return r;
	r = hr_dataplane_start(d, err);
	if (r == 0)
		hr_info("main", "running: %u ports, %u workers, %u shards",
			d->config.n_ports, d->config.n_workers, d->set.n_shards);
	return r;
}

static int serve(struct process *p, struct hr_err *err)
{
	struct pollfd fds[] = {
		{ .fd = p->signals, .events = POLLIN },
		{ .fd = hr_control_fd(p->control), .events = POLLIN },
	};
	uint64_t next_us = 0;
	int r = hr_dataplane_prepare(&p->dataplane, err);

	while (r == 0 && !was_told_to_stop(p)) {
		const uint64_t now_us = hr_mono_us();
		const int round_ms = p->dataplane.state == HR_STATE_STARTING
					     ? STARTING_ROUND_MS
					     : ROUND_MS;

		if (now_us >= next_us) {
			r = round_of_work(p, err);
			next_us = now_us + (uint64_t)round_ms * 1000;
		}
		poll(fds, 2, round_ms);
		hr_control_serve(p->control);
	}
	return r;
}

/* Without it nothing is remembered, and everything else goes on. */
static void begin_poison(const struct hr_config *config)
{
	struct hr_err err;

	if (hr_poison_begin(config->state_dir, &err) < 0)
		hr_warn("poison",
			"appliance.state_dir: %s: a record that kills the dataplane is "
			"not remembered",
			err.text);
}

static int run(struct process *p, const char *config)
{
	struct hr_dataplane *d = &p->dataplane;
	struct hr_err err = { "" };
	enum hr_exit left;
	int r = hr_config_read(&d->config, config, &err);

	if (r == 0) {
		hr_log_set_level(d->config.log_level);
		begin_poison(&d->config);
		r = p->signals = open_signals(&err);
	}
	if (r >= 0)
		r = open_control(p, &err);
	if (r < 0) {
		hr_error("main", "%s", err.text);
		return HR_EXIT_NO_START;
	}
	r = hr_dataplane_begin(d, &err);
	if (r == 0)
		r = serve(p, &err);
	if (r < 0)
		hr_error("main", "%s", err.text);
	left = hr_dataplane_end(d);
	hr_control_close(p->control);
	close(p->signals);
	return r < 0 ? HR_EXIT_NO_START : (int)left;
}

int main(int argc, char **argv)
{
	static struct process process;
	const char *config = NULL;
	int r = parse_arguments(argc, argv, &config);

	return r >= 0 ? r : run(&process, config);
}
