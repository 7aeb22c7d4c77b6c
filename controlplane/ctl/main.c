/* SPDX-License-Identifier: BSD-3-Clause */

/* headracectl - the command line of an appliance: one word per verb. */

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/control.h"
#include "controlplane/ctl/check.h"
#include "controlplane/ctl/checkpoint.h"
#include "controlplane/ctl/log.h"
#include "controlplane/ctl/report.h"
#include "controlplane/ctl/shards.h"
#include "controlplane/ctl/stop.h"
#include "controlplane/ctl/view.h"
#include "dataplane/log/record.h"

#define COMMAND_MS 10000u
#define CONFIG_DEFAULT "/etc/headrace/headrace.yaml"

static const char usage[] =
	"usage: headracectl [--config FILE | --run-dir DIR] [--json] status\n"
	"       headracectl [--config FILE | --run-dir DIR] stop\n"
	"       headracectl [--json] check FILE\n"
	"       headracectl [--config FILE | --run-dir DIR] [--json] shards list\n"
	"       headracectl [--config FILE | --run-dir DIR] shards take SHARD\n"
	"       headracectl [--config FILE | --run-dir DIR] log accept-loss SHARD\n"
	"       headracectl [--config FILE] [--json] log show SHARD [FROM [TO]]\n"
	"       headracectl [--config FILE] [--json] log verify [SHARD]\n"
	"       headracectl [--config FILE | --run-dir DIR] config commit\n"
	"       headracectl [--config FILE | --run-dir DIR] clock accept\n"
	"       headracectl [--config FILE] checkpoint make | list\n"
	"       headracectl [--config FILE] checkpoint restore NAME FOLDER\n"
	"       headracectl [--config FILE] [--json] [--shard N] view audit [VIEW]\n"
	"       headracectl [--config FILE] [--shard N] --yes view rebuild redis\n"
	"       headracectl [--config FILE | --run-dir DIR] [--shard N] --yes view "
	"repair "
	"topics\n"
	"\n"
	"  status  what runs, how it goes, and whether the ledgers balance\n"
	"          exit code 0: ready, 1: not ready, 3: nothing runs\n"
	"  check   every problem of a configuration, one a line\n"
	"          exit code 0: none, 1: some\n"
	"  stop    ends dataplane and headraced in good order and waits for it\n"
	"          exit code 0: nothing lost, 1: something was or it still runs,\n"
	"          3: nothing runs\n"
	"\n"
	"  shards list      who owns which shard, and where it listens\n"
	"  shards take      own a shard, whoever has it now; kept over restarts\n"
	"  log accept-loss  go on behind what the log has lost for good\n"
	"  config commit    the configuration's settings into every shard's chain\n"
	"  clock accept     record time from the wall clock as it is now\n"
	"          exit code 0: it is being done (see status), 1: refused,\n"
	"          3: nothing runs\n"
	"\n"
	"  checkpoint make     copy Redis, load the copy, compare it\n"
	"  checkpoint list     those there are, each with the link of every shard\n"
	"  checkpoint restore  fill a stopped Redis' data folder from one\n"
	"          exit code 0: done, 1: refused\n"
	"\n"
	"  log show    records of a shard from link FROM to link TO, with their items\n"
	"              and events and what became of them; without FROM the newest 20\n"
	"  log verify  every record judged and folded: digest, counts, first fault\n"
	"          both read the log itself, whatever runs; exit code 0: no fault,\n"
	"          1: one, or the log cannot be read\n"
	"\n"
	"  view audit  every value in Redis and every record of the topics (VIEW:\n"
	"          redis or topics, one alone) beside what folding the log says; only\n"
	"          reads, whatever runs; exit code 0: all is right, 1: not, or it "
	"could\n"
	"          not be compared\n"
	"  view rebuild redis  throws all keys, or a shard's, away, and has the "
	"running\n"
	"          appliance write them anew from the log; exit code 0: they are "
	"being\n"
	"          written, 1: refused, or it did not come to its end\n"
	"  view repair topics  appends to partitions that were cut at their tail what\n"
	"          they lost, and lets the view go on; exit code 0: done, 1: refused "
	"or\n"
	"          failed, 3: nothing runs\n"
	"\n"
	"  --config FILE  whose appliance.run_dir is meant (" CONFIG_DEFAULT ")\n"
	"  --run-dir DIR  the run folder itself\n"
	"  --shard N      that shard alone\n"
	"  --yes          what it deletes or appends is meant\n"
	"  --json         one JSON object on standard output\n";

struct options {
	const char *config, *run_dir;
	bool json, yes;
	int shard; /* -1: none was named */
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

static const struct {
	const char *noun, *verb;
	bool takes_shard;
} commands[] = {
	{ "shards", "take", true },
	{ "log", "accept-loss", true },
	{ "config", "commit", false },
	{ "clock", "accept", false },
};

/* The index of a command in two words, or -1. */
static int command_find(int n, char **words)
{
	for (size_t i = 0; n >= 2 && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (strcmp(words[0], commands[i].noun) == 0 &&
		    strcmp(words[1], commands[i].verb) == 0)
			return (int)i;
	return -1;
}

/* What has to be before a command is told: an exit code. */
static int prepare(const struct options *o, int command, const char *path)
{
	const char *config = o->config != NULL ? o->config : CONFIG_DEFAULT;
	json_t *status = NULL;
	int r = 0;

	if (strcmp(commands[command].noun, "config") != 0)
		return 0;
	/* Whoever does not answer is told of by the command itself. */
	if (hr_control_ask(path, "status", COMMAND_MS, &status, NULL) == 0)
		r = hr_ctl_checkpoint_first(o->run_dir != NULL ? NULL : config, status);
	json_decref(status);
	return r;
}

/* Tell the dataplane. */
static int command_do(const struct options *o, int command, const char *shard)
{
	char run_dir[HR_CONFIG_TEXT], path[HR_CONFIG_TEXT + 32], text[32];
	json_t *request = json_object(), *answer = NULL;
	struct hr_err err = { "" };
	char *end = NULL;
	int r;

	if (find_run_dir(o, run_dir) < 0) {
		json_decref(request);
		return 2;
	}
	(void)snprintf(text, sizeof(text), "%s %s", commands[command].noun,
		       commands[command].verb);
	(void)snprintf(path, sizeof(path), "%s/" HR_CONTROL_DATAPLANE, run_dir);
	json_object_set_new(request, "command", json_string(text));
	if (shard != NULL)
		json_object_set_new(request, "shard",
				    json_integer(strtol(shard, &end, 10)));
	if (shard != NULL && (end == shard || *end != '\0')) {
		json_decref(request);
		return bad_usage("SHARD is a number");
	}
	if (prepare(o, command, path) != 0) {
		json_decref(request);
		return 1;
	}
	r = hr_control_request(path, request, COMMAND_MS, &answer, &err);
	json_decref(request);
	json_decref(answer);
	if (r == 0)
		return 0;
	fprintf(stderr, "headracectl: %s\n", err.text);
	return r == -ENOENT || r == -ECONNREFUSED ? 3 : 1;
}

/* What the dataplane says of the shards; headraced has nothing to add. */
static int shards_list(const struct options *o)
{
	char run_dir[HR_CONFIG_TEXT], path[HR_CONFIG_TEXT + 32];
	json_t *answer = NULL, *shards;
	struct hr_err err = { "" };
	int r;

	if (find_run_dir(o, run_dir) < 0)
		return 2;
	(void)snprintf(path, sizeof(path), "%s/" HR_CONTROL_DATAPLANE, run_dir);
	r = hr_control_ask(path, "status", COMMAND_MS, &answer, &err);
	if (r < 0) {
		json_decref(answer);
		fprintf(stderr, "headracectl: %s\n", err.text);
		return r == -ENOENT || r == -ECONNREFUSED ? 3 : 1;
	}
	shards = json_object_get(answer, "shards");
	if (o->json) {
		json_dumpf(shards, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		hr_shards_print(stdout, shards);
	}
	json_decref(answer);
	return 0;
}

static bool number_read(const char *text, uint64_t max, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && *end == '\0' && errno == 0 &&
	       *out <= max;
}

static int log_show(const struct options *o, const char *config, int n, char **words)
{
	uint64_t shard, from = 0, to = UINT64_MAX;

	if (n < 3 || n > 5 || !number_read(words[2], UINT16_MAX, &shard) ||
	    (n > 3 && (!number_read(words[3], UINT64_MAX, &from) || from == 0)) ||
	    (n > 4 && !number_read(words[4], UINT64_MAX, &to)))
		return bad_usage("log show takes a shard, and links from 1 on");
	return hr_log_show(stdout, config, (uint16_t)shard, from, to, o->json);
}

static int log_verify(const struct options *o, const char *config, int n, char **words)
{
	uint64_t shard = 0;

	if (n > 3 || (n == 3 && !number_read(words[2], UINT16_MAX, &shard)))
		return bad_usage("log verify takes one shard, or all");
	return hr_log_verify(stdout, config, n == 3 ? (int)shard : -1, o->json);
}

/* "log show" and "log verify", which need no dataplane; -1: something else. */
static int log_verb(const struct options *o, int n, char **words)
{
	const char *config = o->config != NULL ? o->config : CONFIG_DEFAULT;

	if (n < 2 || strcmp(words[0], "log") != 0)
		return -1;
	if (strcmp(words[1], "show") != 0 && strcmp(words[1], "verify") != 0)
		return -1;
	if (o->run_dir != NULL)
		return bad_usage("the log is found by --config FILE");
	return strcmp(words[1], "show") == 0 ? log_show(o, config, n, words)
					     : log_verify(o, config, n, words);
}

static bool is_view(const char *word)
{
	return strcmp(word, "redis") == 0 || strcmp(word, "topics") == 0;
}

static int view_repair(const struct options *o)
{
	char run_dir[HR_CONFIG_TEXT];

	if (find_run_dir(o, run_dir) < 0)
		return 2;
	return hr_view_repair(stdout, run_dir, o->shard, o->yes);
}

/* "view audit", "view rebuild" and "view repair". */
static int view_verb(const struct options *o, int n, char **words)
{
	const char *config = o->config != NULL ? o->config : CONFIG_DEFAULT;

	if (n >= 2 && n <= 3 && strcmp(words[1], "audit") == 0 &&
	    (n == 2 || is_view(words[2])))
		return hr_view_audit(stdout, config, n == 3 ? words[2] : NULL, o->shard,
				     o->json);
	if (n == 3 && strcmp(words[1], "rebuild") == 0 &&
	    strcmp(words[2], "redis") == 0)
		return hr_view_rebuild(stdout, config, o->shard, o->yes);
	if (n == 3 && strcmp(words[1], "repair") == 0 &&
	    strcmp(words[2], "topics") == 0)
		return view_repair(o);
	return bad_usage(
		"view audit [redis|topics], view rebuild redis, or view repair "
		"topics");
}

static int do_verb(const struct options *o, int n, char **words)
{
	const char *verb = words[0];
	int r;

	if (strcmp(verb, "check") == 0) {
		if (n != 2)
			return bad_usage("check takes one file");
		return hr_check(stdout, words[1], o->json);
	}
	if (strcmp(verb, "view") == 0)
		return view_verb(o, n, words);
	if (o->shard >= 0 || o->yes)
		return bad_usage("--shard and --yes belong to view");
	r = log_verb(o, n, words);
	if (r >= 0)
		return r;
	if (n == 2 && strcmp(verb, "shards") == 0 && strcmp(words[1], "list") == 0)
		return shards_list(o);
	if (strcmp(verb, "checkpoint") == 0) {
		r = hr_ctl_checkpoint(o->config != NULL ? o->config : CONFIG_DEFAULT,
				      n - 1, words + 1);

		return r == 2 ? bad_usage("checkpoint make, list, or restore NAME "
					  "FOLDER")
			      : r;
	}
	if (command_find(n, words) >= 0) {
		int command = command_find(n, words);

		if (n != 2 + commands[command].takes_shard)
			return bad_usage(commands[command].takes_shard
						 ? "say which shard"
						 : "too many words");
		return command_do(o, command, n == 3 ? words[2] : NULL);
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
		{ "yes", no_argument, NULL, 'y' },
		{ "shard", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	struct options o = { .shard = -1 };
	uint64_t shard;
	int c;

	while ((c = getopt_long(argc, argv, "c:r:js:yhV", long_options, NULL)) != -1) {
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
		case 'y':
			o.yes = true;
			break;
		case 's':
			if (!number_read(optarg, UINT16_MAX, &shard))
				return bad_usage("--shard takes a number");
			o.shard = (int)shard;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("headracectl " HR_VERSION
			     ", fold version " HR_FOLD_VERSIONS);
			return 0;
		default:
			return 2;
		}
	}
	if (optind == argc)
		return bad_usage("say what to do");
	return do_verb(&o, argc - optind, argv + optind);
}
