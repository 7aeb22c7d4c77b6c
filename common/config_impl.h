/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CONFIG_IMPL_H
#define HR_CONFIG_IMPL_H

/* Inside of config: the schema table, and the problems found so far. */

#include <stddef.h>

#include "common/config.h"

enum hr_option_type {
	HR_OPT_TEXT,
	HR_OPT_PATH,   /* a text; made absolute */
	HR_OPT_WORD,   /* a text out of `unit` */
	HR_OPT_CHOICE, /* an enum or bool: the word's place in `unit` */
	HR_OPT_BOOL,
	HR_OPT_NUMBER,
	HR_OPT_SIZE,
	HR_OPT_DURATION,
	HR_OPT_LIST,       /* numbers and ranges of numbers */
	HR_OPT_PROPERTIES, /* a mapping, stored as "name=value\n" each */
	HR_OPT_DEVICE,
	HR_OPT_BROKERS, /* host:port,host:port */
	HR_OPT_LISTEN,  /* address:port */
};

enum hr_option_effect {
	HR_EFFECT_RESTART,
	HR_EFFECT_LIVE,
};

struct hr_option {
	const char *path;
	enum hr_option_type type;
	enum hr_option_effect effect;
	size_t at, bytes;            /* the member; bytes 0: it has none (fixed) */
	size_t item_bytes, count_at; /* of a list */
	const char *unit;
	uint64_t min, max;
	const char *def;
	const char *help;
	const char *refusal; /* of a fixed option */
};

struct hr_section {
	const char *path;
	const char *help;
};

extern const struct hr_option hr_options[];
extern const uint32_t hr_n_options;
extern const struct hr_option hr_port_options[]; /* of an item of `ports` */
extern const uint32_t hr_n_port_options;
extern const struct hr_section hr_sections[];
extern const uint32_t hr_n_sections;

#define HR_OPTIONS_MAX 80
#define HR_SECTIONS_MAX 20

struct hr_place {
	int line, column; /* from 1; 0: stands nowhere in the file */
};

struct hr_problem {
	struct hr_place place;
	uint32_t order; /* of finding, among equals */
	char text[sizeof(((struct hr_err *)NULL)->text)];
};

/* One reading of one file. */
struct hr_config_reading {
	struct hr_config *config;
	const char *path;
	char folder[HR_CONFIG_TEXT]; /* absolute; where relative paths start */
	struct hr_problem *problems;
	uint32_t n_problems, max_problems;
	bool is_yaml; /* options were read; rules over them make sense */
	struct hr_place section_at[HR_SECTIONS_MAX];
	struct hr_place option_at[HR_OPTIONS_MAX];
	struct hr_place port_at[HR_PORTS_MAX][HR_OPTIONS_MAX];
};

void hr_config_problem(struct hr_config_reading *r, struct hr_place place,
		       const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* What is expected of an option: "a size from 1MiB to 64GiB, such as 128MiB". */
#define HR_EXPECTED_TEXT 320
void hr_option_expected(const struct hr_option *o, char out[HR_EXPECTED_TEXT]);

/*
 * Store a text as the file would give it. base: the struct the option is in. folder:
 * of relative paths. Returns 0, or -EINVAL with the reason ("" when there is nothing
 * to say beyond what is expected).
 */
int hr_option_store(const struct hr_option *o, void *base, const char *text,
		    const char *folder, struct hr_err *reason);
/* One number or range more for a list. */
int hr_option_append(const struct hr_option *o, void *base, const char *text,
		     struct hr_err *reason);
void hr_option_store_default(const struct hr_option *o, void *base);
/* One property more. */
int hr_option_append_property(const struct hr_option *o, void *base, const char *name,
			      const char *value, struct hr_err *reason);
/* The value as it would stand in the file. Returns its length. */
int hr_option_print(const struct hr_option *o, const void *base, char *out, size_t max);

/* A bound of the option in its unit. */
int hr_option_print_bound(const struct hr_option *o, uint64_t v, char *out, size_t max);

/* Rules over several options, after all of them are stored. */
void hr_config_rules(struct hr_config_reading *r);

#endif
