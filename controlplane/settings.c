/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "controlplane/settings.h"

static void tell_problem(void *ctx, const char *sentence)
{
	(void)ctx;
	fprintf(stderr, "headraced: %s\n", sentence);
}

/* In the build tree the dataplane stands in a folder beside ours. */
static int find_program(struct hr_settings *s, struct hr_err *err)
{
	const char *const places[] = { "headrace-dataplane",
				       "../dataplane/headrace-dataplane" };
	char self[PATH_MAX];
	ssize_t n;

	if (s->config.dataplane_program[0] != '\0') {
		(void)snprintf(s->program, sizeof(s->program), "%s",
			       s->config.dataplane_program);
		if (access(s->program, X_OK) == 0)
			return 0;
		return hr_fail(err, -errno,
			       "dataplane.program: %s cannot be executed: %s",
			       s->program, strerror(errno));
	}
	n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	self[n > 0 ? n : 0] = '\0';
	(void)dirname(self);
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		n = snprintf(s->program, sizeof(s->program), "%s/%s", self, places[i]);
		if ((size_t)n < sizeof(s->program) && access(s->program, X_OK) == 0)
			return 0;
	}
	return hr_fail(err, -ENOENT,
		       "found no headrace-dataplane in %s; install it there, or say "
		       "where it is in dataplane.program",
		       self);
}

int hr_settings_read(struct hr_settings *s, const char *path, struct hr_err *err)
{
	uint32_t problems;

	if (realpath(path, s->config_path) == NULL)
		return hr_fail(err, -errno, "%s: %s", path, strerror(errno));
	problems = hr_config_check(&s->config, s->config_path, tell_problem, NULL);
	if (problems != 0)
		return hr_fail(err, -EINVAL, "%s has %u problem%s", path, problems,
			       problems == 1 ? "" : "s");
	hr_log_set_level(s->config.log_level);
	return find_program(s, err);
}
