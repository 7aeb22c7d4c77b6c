/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/port/eal_args.h"

/* The longest text: a program name, 17 lcores and 8 PCI addresses of 255 bytes. */
_Static_assert(sizeof(((struct hr_eal_args *)0)->text) >
		       HR_CONFIG_TEXT + 17 * sizeof("16@1023,") +
			       HR_PORTS_MAX * (HR_CONFIG_TEXT + sizeof("-a")) + 256,
	       "every configuration has room");

static __attribute__((format(printf, 2, 3))) void word(struct hr_eal_args *a,
						       const char *fmt, ...)
{
	size_t room = sizeof(a->text) - a->text_bytes;
	va_list args;
	int n;

	assert(a->n < HR_EAL_ARGS_MAX);
	a->words[a->n] = a->text + a->text_bytes;
	va_start(args, fmt);
	n = vsnprintf(a->words[a->n++], room, fmt, args);
	va_end(args);
	assert(n >= 0 && (size_t)n < room);
	a->text_bytes += (uint32_t)n + 1;
}

static void lcores(struct hr_eal_args *a, const struct hr_config *config)
{
	char list[sizeof("0@()") + 2 * HR_CPUS_MAX * sizeof("16@1023,")];
	size_t at = (size_t)snprintf(list, sizeof(list), "0@(");

	for (uint32_t i = 0; i < config->n_main_cpus; i++)
		at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%" PRIu32,
				       i > 0 ? "," : "", config->main_cpus[i]);
	at += (size_t)snprintf(list + at, sizeof(list) - at, ")");
	for (uint32_t w = 0; w < config->n_workers; w++)
		at += (size_t)snprintf(list + at, sizeof(list) - at,
				       ",%" PRIu32 "@%" PRIu32, 1 + w,
				       config->worker_cpus[w]);
	assert(at < sizeof(list));
	word(a, "--lcores");
	word(a, "%s", list);
}

static void devices(struct hr_eal_args *a, const struct hr_config *config)
{
	bool has_pci = false;

	for (uint32_t i = 0; i < config->n_ports; i++)
		if (config->ports[i].kind == HR_PORT_PCI) {
			has_pci = true;
			word(a, "-a");
			word(a, "%s", config->ports[i].target);
		}
	if (!has_pci) {
		word(a, "--no-pci");
		word(a, "--iova-mode=va");
	}
}

void hr_eal_args(struct hr_eal_args *out, const struct hr_config *config,
		 const char *program)
{
	const char *slash = strrchr(program, '/');

	memset(out, 0, sizeof(*out));
	word(out, "%.*s", HR_CONFIG_TEXT - 1, slash != NULL ? slash + 1 : program);
	lcores(out, config);
	word(out, "-m");
	word(out, "%" PRIu32, config->memory_mb);
	if (config->huge_pages) {
		word(out, "--in-memory");
	} else {
		word(out, "--no-huge");
		word(out, "--no-shconf");
	}
	devices(out, config);
	/* The first sets the limit of all, the second of single kinds; telemetry warns
	 * of a socket that nobody misses. */
	if (config->log_level == HR_LOG_DEBUG) {
		word(out, "--log-level=debug");
		word(out, "--log-level=*:info");
	} else {
		word(out, "--log-level=warning");
		word(out, "--log-level=lib.telemetry:error");
	}
}
