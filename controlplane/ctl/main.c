/* SPDX-License-Identifier: BSD-3-Clause */

/* headracectl - the command line of an appliance: one word per verb. */

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "controlplane/ctl/check.h"
#include "controlplane/ctl/report.h"
#include "controlplane/ctl/stop.h"

#define CONFIG_DEFAULT "/etc/headrace/headrace.yaml"

static const char usage[] =
	"usage: headracectl [--config FILE | --run-dir DIR] [--json] status\n"
	"       headracectl [--config FILE | --run-dir DIR] stop\n"
	"       headracectl [--json] check FILE\n"
	"\n"
	"  status  what runs, how it goes, and whether the ledgers balance\n"
	"          exit code 0: ready, 1: not ready, 3: nothing runs\n"
	"  check   every problem of a configuration, one a line\n"
	"          exit code 0: none, 1: some\n"
	"  stop    ends dataplane and headraced in good order and waits for it\n"
	"          exit code 0: nothing lost, 1: something was or it still runs,\n"
	"          3: nothing runs\n"
	"\n"
	"  --config FILE  whose appliance.run_dir is meant (" CONFIG_DEFAULT ")\n"
	"  --run-dir DIR  the run folder itself\n"
	"  --json         one JSON object on standard output\n";

struct options {
	const char *config, *run_dir;
	bool json;
};

static int bad_usage(const char *why)
{
	fprintf(stderr, "headracectl: %s\n%s", why, usage);
	return 2;
}

static int find_run_dir(const struct options *o, char out[HR_CONFIG_TEXT])
{
	const char *path = o->config != NULL ? o->config : CONFIG_DEFAULT;
	struct hr_config config;
	struct hr_err err;

	if (o->run_dir != NULL) {
		(void)snprintf(out, HR_CONFIG_TEXT, "%s", o->run_dir);
		return 0;
	}
	if (hr_config_read(&config, path, &err) < 0) {
		fprintf(stderr,
			"headracectl: %s\n"
			"headracectl: --config FILE chooses another configuration, "
			"--run-dir DIR does without one\n",
			err.text);
		return -1;
	}
	memcpy(out, config.run_dir, HR_CONFIG_TEXT);
	return 0;
}

static int status(const struct options *o)
{
	char run_dir[HR_CONFIG_TEXT];
	enum hr_report_state state;
	json_t *report;

	if (find_run_dir(o, run_dir) < 0)
		return 2;
	report = hr_report_make(run_dir);
	if (o->json) {
		json_dumpf(report, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		hr_report_print(stdout, report);
	}
	state = hr_report_state(report);
	json_decref(report);
	return (int)state;
}

static int stop(const struct options *o)
{
	char run_dir[HR_CONFIG_TEXT];

	if (find_run_dir(o, run_dir) < 0)
		return 2;
	return hr_stop(run_dir);
}

static int do_verb(const struct options *o, int n, char **words)
{
	const char *verb = words[0];

	if (strcmp(verb, "check") == 0) {
		if (n != 2)
			return bad_usage("check takes one file");
		return hr_check(stdout, words[1], o->json);
	}
	if (n != 1)
		return bad_usage("too many words");
	if (strcmp(verb, "status") == 0)
		return status(o);
	if (strcmp(verb, "stop") == 0)
		return stop(o);
	return bad_usage("no such verb");
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { 0 };
	int c;

	while ((c = getopt_long(argc, argv, "c:r:jhV", long_options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o.config = optarg;
			break;
		case 'r':
			o.run_dir = optarg;
			break;
		case 'j':
			o.json = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("headracectl " HR_VERSION);
			return 0;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return bad_usage("say what to do");
	return do_verb(&o, argc - optind, argv + optind);
}
