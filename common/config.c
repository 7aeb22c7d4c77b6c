/* SPDX-License-Identifier: BSD-3-Clause */

/* Reading a configuration: YAML nodes, matched with the schema table. */

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libfyaml.h>

#include "common/config_impl.h"
#include "common/utf8.h"

#define PATH_TEXT 160

void hr_config_problem(struct hr_config_reading *r, struct hr_place place,
		       const char *fmt, ...)
{
	struct hr_problem *p;
	struct hr_err err;
	va_list args;
	int n;

	if (r->n_problems == r->max_problems) {
		uint32_t max = r->max_problems * 2 + 16;

		p = realloc(r->problems, max * sizeof(*p));
		if (p == NULL)
			abort(); /* cold, before anything runs: nothing to save */
		r->problems = p;
		r->max_problems = max;
	}
	va_start(args, fmt);
	n = vsnprintf(err.text, sizeof(err.text), fmt, args);
	va_end(args);
	(void)n;
	p = &r->problems[r->n_problems];
	p->place = place;
	p->order = r->n_problems++;
	if (place.line > 0)
		n = snprintf(p->text, sizeof(p->text), "%s:%d:%d: %s", r->path,
			     place.line, place.column, err.text);
	else
		n = snprintf(p->text, sizeof(p->text), "%s: %s", r->path, err.text);
	if (n >= (int)sizeof(p->text))
		memcpy(p->text + sizeof(p->text) - 4, "...", 4);
}

static bool is_quoted(struct fy_node *node)
{
	enum fy_node_style style = fy_node_get_style(node);

	return style == FYNS_SINGLE_QUOTED || style == FYNS_DOUBLE_QUOTED;
}

/* A node's place; of one without a text of its own its first child's, else what the
 * caller knows (its key's). */
static struct hr_place place_of(struct fy_node *node, struct hr_place otherwise)
{
	struct fy_token *token = NULL;
	const struct fy_mark *mark;

	for (int depth = 0; node != NULL && depth < 16; depth++) {
		if (fy_node_is_scalar(node)) {
			token = fy_node_get_scalar_token(node);
			break;
		}
		node = fy_node_is_mapping(node)
			       ? fy_node_pair_key(fy_node_mapping_get_by_index(node, 0))
			       : fy_node_sequence_get_by_index(node, 0);
	}
	mark = token == NULL ? NULL : fy_token_start_mark(token);
	if (mark == NULL)
		return otherwise;
	/* A quoted text's mark is behind its quote. */
	return (struct hr_place){ mark->line + 1, mark->column + 1 - is_quoted(node) };
}

/* "nothing": a key with nothing behind it, null or ~. */
static bool is_nothing(struct fy_node *node)
{
	const char *text;
	size_t n;

	if (node == NULL)
		return true;
	if (!fy_node_is_scalar(node) || is_quoted(node))
		return false;
	text = fy_node_get_scalar(node, &n);
	return text == NULL || n == 0 || (n == 1 && *text == '~') ||
	       (n == 4 && memcmp(text, "null", 4) == 0);
}

/* A scalar's text in out, cut when it is longer. False when it holds a NUL or does
 * not fit. */
static bool scalar_text(struct fy_node *node, char *out, size_t max)
{
	size_t n = 0;
	const char *text = fy_node_get_scalar(node, &n);
	size_t take = n < max - 1 ? n : max - 1;

	if (text != NULL)
		memcpy(out, text, take);
	out[text == NULL ? 0 : take] = '\0';
	return text == NULL || (take == n && memchr(text, '\0', n) == NULL);
}

/* What was found, for people: a few words with the beginning of a text. */
#define FOUND_TEXT 100
static void describe(struct fy_node *node, char out[FOUND_TEXT])
{
	char text[64];
	bool whole;

	if (is_nothing(node)) {
		(void)snprintf(out, FOUND_TEXT, "nothing");
	} else if (fy_node_is_mapping(node)) {
		(void)snprintf(out, FOUND_TEXT, "a mapping");
	} else if (fy_node_is_sequence(node)) {
		(void)snprintf(out, FOUND_TEXT, "a list");
	} else {
		whole = scalar_text(node, text, sizeof(text));
		for (char *p = text; *p != '\0'; p++)
			if ((unsigned char)*p < 0x20)
				*p = ' ';
		(void)snprintf(out, FOUND_TEXT,
			       is_quoted(node) ? "the text \"%s%s\"" : "%s%s", text,
			       whole ? "" : "...");
	}
}

static void expected(struct hr_config_reading *r, struct hr_place place,
		     const char *path, struct fy_node *node, const char *what,
		     const char *mend)
{
	char found[FOUND_TEXT];

	describe(node, found);
	hr_config_problem(r, place, "%s: found %s, expected %s%s%s", path, found, what,
			  *mend != '\0' ? "; " : "", mend);
}

/* Anchors, aliases and tags have no use here and hide what a value is. */
static bool is_plain_yaml(struct hr_config_reading *r, struct hr_place place,
			  const char *path, struct fy_node *node)
{
	const char *what = NULL;
	size_t n;

	if (node == NULL)
		return true;
	if (fy_node_is_alias(node))
		what = "an alias (*name)";
	else if (fy_node_get_anchor(node) != NULL)
		what = "an anchor (&name)";
	else if (fy_node_get_tag(node, &n) != NULL)
		what = "a tag (!name)";
	if (what != NULL)
		hr_config_problem(r, place,
				  "%s: found %s, expected a plain value; write it out",
				  path, what);
	return what == NULL;
}

static const char *mend_of(struct fy_node *node, const struct hr_option *o,
			   const struct hr_err *reason)
{
	if (o->refusal != NULL)
		return o->refusal;
	if (reason->text[0] != '\0')
		return reason->text;
	if (is_nothing(node))
		return "take the line out for the default";
	return "";
}

static bool wants_text(const struct hr_option *o)
{
	return o->type == HR_OPT_TEXT || o->type == HR_OPT_PATH ||
	       o->type == HR_OPT_DEVICE || o->type == HR_OPT_BROKERS ||
	       o->type == HR_OPT_LISTEN;
}

static void read_scalar(struct hr_config_reading *r, struct hr_place place,
			const char *path, struct fy_node *node,
			const struct hr_option *o, void *base)
{
	char text[4 * HR_CONFIG_TEXT], want[HR_EXPECTED_TEXT];
	struct hr_err reason = { "" };

	hr_option_expected(o, want);
	if (is_nothing(node) || !fy_node_is_scalar(node)) {
		expected(r, place, path, node, want, mend_of(node, o, &reason));
	} else if (!scalar_text(node, text, sizeof(text))) {
		expected(r, place, path, node, want, "it is too long or holds a NUL");
	} else if (is_quoted(node) && !wants_text(o)) {
		expected(r, place, path, node, want, "take the quotes off");
	} else if (hr_option_store(o, base, text, r->folder, &reason) < 0) {
		expected(r, place, path, node, want, mend_of(node, o, &reason));
	}
}

static void read_list(struct hr_config_reading *r, struct hr_place place,
		      const char *path, struct fy_node *node, const struct hr_option *o,
		      void *base)
{
	char text[64], want[HR_EXPECTED_TEXT];
	struct hr_err reason = { "" };
	struct fy_node *item;
	void *at = NULL;

	hr_option_expected(o, want);
	if (node == NULL || !fy_node_is_sequence(node)) {
		expected(r, place, path, node, want,
			 o->refusal != NULL ? o->refusal : "put it into [ ]");
		return;
	}
	if (o->bytes != 0)
		*(uint32_t *)((char *)base + o->count_at) = 0;
	while ((item = fy_node_sequence_iterate(node, &at)) != NULL) {
		struct hr_place here = place_of(item, place);

		if (!is_plain_yaml(r, here, path, item))
			continue;
		reason.text[0] = '\0';
		if (!fy_node_is_scalar(item) || is_nothing(item) || is_quoted(item) ||
		    !scalar_text(item, text, sizeof(text)) ||
		    hr_option_append(o, base, text, &reason) < 0)
			expected(r, here, path, item, want, mend_of(item, o, &reason));
	}
	/* Nothing usable: one problem told is enough. */
	if (o->bytes != 0 && !fy_node_sequence_is_empty(node) &&
	    *(uint32_t *)((char *)base + o->count_at) == 0)
		hr_option_store_default(o, base);
}

static void read_properties(struct hr_config_reading *r, struct hr_place place,
			    const char *path, struct fy_node *node,
			    const struct hr_option *o, void *base)
{
	char name[256], value[1024], want[HR_EXPECTED_TEXT];
	struct fy_node_pair *pair;
	struct hr_err reason;
	void *at = NULL;

	((char *)base)[o->at] = '\0';
	if (is_nothing(node))
		return;
	if (!fy_node_is_mapping(node)) {
		hr_option_expected(o, want);
		expected(r, place, path, node, want, "");
		return;
	}
	while ((pair = fy_node_mapping_iterate(node, &at)) != NULL) {
		struct fy_node *k = fy_node_pair_key(pair),
			       *v = fy_node_pair_value(pair);
		struct hr_place here = place_of(k, place);

		if (k == NULL || !fy_node_is_scalar(k) || is_nothing(v) ||
		    !fy_node_is_scalar(v) || !is_plain_yaml(r, here, path, v) ||
		    !scalar_text(k, name, sizeof(name)) ||
		    !scalar_text(v, value, sizeof(value))) {
			expected(r, here, path, v, "name: value", "");
			continue;
		}
		if (hr_option_append_property(o, base, name, value, &reason) < 0)
			hr_config_problem(r, here,
					  "%s.%s: found a property that is not taken, "
					  "expected one of the connection's; %s",
					  path, name, reason.text);
	}
}

static void read_option(struct hr_config_reading *r, struct hr_place place,
			const char *path, struct fy_node *node,
			const struct hr_option *o, void *base)
{
	if (!is_plain_yaml(r, place, path, node))
		return;
	if (o->type == HR_OPT_LIST)
		read_list(r, place, path, node, o, base);
	else if (o->type == HR_OPT_PROPERTIES)
		read_properties(r, place, path, node, o, base);
	else
		read_scalar(r, place, path, node, o, base);
}

/* Keys: what they could be, and what was probably meant. */

struct table {
	const struct hr_option *options;
	uint32_t n;
	const char *prefix; /* in front of a key: "", "epoch.", "topics.partitions." */
	const char *shown;  /* the same for people: "ports[0]." */
	void *base;
	struct hr_place *option_at;
};

static const struct hr_option *find_option(const struct table *t, const char *key)
{
	char path[PATH_TEXT];

	(void)snprintf(path, sizeof(path), "%s%s", t->prefix, key);
	for (uint32_t i = 0; i < t->n; i++)
		if (strcmp(t->options[i].path, path) == 0)
			return &t->options[i];
	return NULL;
}

/* A section's index, or -1. */
static int find_section(const char *path)
{
	for (uint32_t i = 0; i < hr_n_sections; i++)
		if (strcmp(hr_sections[i].path, path) == 0)
			return (int)i;
	return -1;
}

/* Changes of single letters between two words, counted up to 31 letters. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int row[33], n = (unsigned int)strlen(b);

	if (n > 31 || strlen(a) > 31)
		return UINT_MAX;
	for (unsigned int j = 0; j <= n; j++)
		row[j] = j;
	for (unsigned int i = 1; a[i - 1] != '\0'; i++) {
		unsigned int diagonal = row[0];

		row[0] = i;
		for (unsigned int j = 1; j <= n; j++) {
			unsigned int above = row[j];
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = above;
		}
	}
	return row[n];
}

/* The rest of path behind prefix, up to the next dot; false when it is elsewhere. */
static bool child_of(const char *path, const char *prefix, char out[64])
{
	size_t n = strlen(prefix);

	if (strncmp(path, prefix, n) != 0 || path[n] == '\0')
		return false;
	(void)snprintf(out, 64, "%.*s", (int)strcspn(path + n, "."), path + n);
	return true;
}

static const char *last_word(const char *path)
{
	const char *dot = strrchr(path, '.');

	return dot == NULL ? path : dot + 1;
}

struct guess {
	unsigned int distance;
	char name[64];
};

static void consider(struct guess *g, const char *key, const char *path,
		     const char *prefix)
{
	unsigned int d;
	char name[64];

	if (!child_of(path, prefix, name))
		return;
	d = distance(key, name);
	if (d < g->distance) {
		g->distance = d;
		strcpy(g->name, name);
	}
}

static void unknown_key(struct hr_config_reading *r, struct hr_place place,
			const struct table *t, const char *key)
{
	struct guess g = { .distance = 3 };
	char list[256] = "";
	size_t n = 0;

	for (uint32_t i = 0; i < t->n; i++)
		consider(&g, key, t->options[i].path, t->prefix);
	if (t->options == hr_options)
		for (uint32_t i = 0; i < hr_n_sections; i++)
			consider(&g, key, hr_sections[i].path, t->prefix);
	if (g.name[0] != '\0') {
		hr_config_problem(r, place,
				  "%s%s: found an unknown option, expected %s; write "
				  "%s or take it out",
				  t->shown, key, g.name, g.name);
		return;
	}
	for (uint32_t i = 0; i < hr_n_options; i++)
		if (strcmp(last_word(hr_options[i].path), key) == 0) {
			hr_config_problem(r, place,
					  "%s%s: found an unknown option, expected %s; "
					  "move it there",
					  t->shown, key, hr_options[i].path);
			return;
		}
	for (uint32_t i = 0; i < t->n; i++) {
		char name[64], marked[80];

		if (!child_of(t->options[i].path, t->prefix, name))
			continue;
		(void)snprintf(marked, sizeof(marked), " %s,", name);
		if (strstr(list, marked) == NULL)
			n += (size_t)snprintf(list + n, sizeof(list) - n, "%s", marked);
		if (n >= sizeof(list))
			break;
	}
	n = strlen(list);
	if (n > 0 && list[n - 1] == ',')
		list[n - 1] = '\0';
	hr_config_problem(r, place, "%s%s: found an unknown option, expected one of%s",
			  t->shown, key, list);
}

/* True when the key stood earlier in the same mapping; told with the first's line. */
static bool is_repeated(struct hr_config_reading *r, struct hr_place place,
			const char *shown, struct fy_node *map,
			struct fy_node_pair *pair, const char *key)
{
	struct fy_node_pair *earlier;
	char other[64];
	void *at = NULL;

	while ((earlier = fy_node_mapping_iterate(map, &at)) != NULL &&
	       earlier != pair) {
		struct fy_node *k = fy_node_pair_key(earlier);

		if (k == NULL || !fy_node_is_scalar(k))
			continue;
		(void)scalar_text(k, other, sizeof(other));
		if (strcmp(other, key) != 0)
			continue;
		hr_config_problem(r, place,
				  "%s%s: found it a second time, expected it once; the "
				  "first is in line %d",
				  shown, key, place_of(k, place).line);
		return true;
	}
	return false;
}

static void read_mapping(struct hr_config_reading *r, struct fy_node *map,
			 const struct table *t);

static void read_section(struct hr_config_reading *r, struct hr_place place,
			 const char *path, struct fy_node *node, const struct table *t)
{
	char prefix[PATH_TEXT + 1];
	struct table inner = *t;

	(void)snprintf(prefix, sizeof(prefix), "%s.", path);
	inner.prefix = inner.shown = prefix;
	if (!is_plain_yaml(r, place, path, node) || is_nothing(node))
		return; /* all its options are commented out */
	if (!fy_node_is_mapping(node))
		expected(r, place_of(node, place), path, node, "options, one a line",
			 "indent them below it");
	else
		read_mapping(r, node, &inner);
}

static void read_port(struct hr_config_reading *r, struct hr_place place,
		      struct fy_node *node)
{
	struct hr_config *c = r->config;
	struct hr_port_config *port = &c->ports[c->n_ports];
	char shown[32];
	const struct table t = {
		hr_port_options,       hr_n_port_options, "", shown, port,
		r->port_at[c->n_ports]
	};

	(void)snprintf(shown, sizeof(shown), "ports[%u].", c->n_ports);
	if (!is_plain_yaml(r, place, "ports", node))
		return;
	if (node == NULL || !fy_node_is_mapping(node)) {
		expected(r, place, "ports", node,
			 "an item such as - device: af_xdp:eth0", "");
		return;
	}
	memset(port, 0, sizeof(*port));
	for (uint32_t i = 0; i < hr_n_port_options; i++)
		hr_option_store_default(&hr_port_options[i], port);
	c->n_ports++;
	read_mapping(r, node, &t);
	if (t.option_at[0].line == 0)
		hr_config_problem(
			r, place,
			"%sdevice: found nothing, expected the port's device; "
			"add a line device: ...",
			shown);
}

static void read_ports(struct hr_config_reading *r, struct hr_place place,
		       struct fy_node *node)
{
	struct fy_node *item;
	void *at = NULL;

	if (!is_plain_yaml(r, place, "ports", node) || is_nothing(node))
		return; /* the rule that there must be one tells */
	if (!fy_node_is_sequence(node)) {
		expected(r, place_of(node, place), "ports", node,
			 "a list of items such as - device: af_xdp:eth0",
			 "put a dash in front of each item");
		return;
	}
	while ((item = fy_node_sequence_iterate(node, &at)) != NULL) {
		if (r->config->n_ports == HR_PORTS_MAX) {
			hr_config_problem(
				r, place_of(item, place),
				"ports: found more than %d items, expected at "
				"most %d",
				HR_PORTS_MAX, HR_PORTS_MAX);
			return;
		}
		read_port(r, place_of(item, place), item);
	}
}

static void read_pair(struct hr_config_reading *r, struct fy_node *map,
		      struct fy_node_pair *pair, const struct table *t)
{
	struct fy_node *k = fy_node_pair_key(pair), *v = fy_node_pair_value(pair);
	struct hr_place place = place_of(k, (struct hr_place){ 0, 0 });
	char key[64], path[PATH_TEXT], shown[PATH_TEXT];
	const struct hr_option *o;
	int section;

	if (k == NULL || !fy_node_is_scalar(k)) {
		hr_config_problem(r, place, "%s: found a key that is no text",
				  t->shown);
		return;
	}
	(void)scalar_text(k, key, sizeof(key));
	if (is_repeated(r, place, t->shown, map, pair, key))
		return;
	(void)snprintf(path, sizeof(path), "%s%s", t->prefix, key);
	(void)snprintf(shown, sizeof(shown), "%s%s", t->shown, key);
	o = find_option(t, key);
	section = t->options == hr_options ? find_section(path) : -1;
	if (section >= 0)
		r->section_at[section] = place;
	if (o != NULL) {
		t->option_at[o - t->options] = place_of(v, place);
		read_option(r, place_of(v, place), shown, v, o, t->base);
	} else if (section >= 0 && strcmp(path, "ports") == 0) {
		read_ports(r, place, v);
	} else if (section >= 0) {
		read_section(r, place, path, v, t);
	} else {
		unknown_key(r, place, t, key);
	}
}

static void read_mapping(struct hr_config_reading *r, struct fy_node *map,
			 const struct table *t)
{
	struct fy_node_pair *pair;
	void *at = NULL;

	while ((pair = fy_node_mapping_iterate(map, &at)) != NULL)
		read_pair(r, map, pair, t);
}

static void read_root(struct hr_config_reading *r, struct fy_node *root)
{
	const struct table t = { hr_options, hr_n_options, "",
				 "",         r->config,    r->option_at };
	const struct hr_place top = { 1, 1 };

	if (!is_plain_yaml(r, top, "the file", root))
		return;
	if (!is_nothing(root) && !fy_node_is_mapping(root)) {
		expected(r, place_of(root, top), "the file", root,
			 "sections such as listen: and ports:", "");
		return;
	}
	if (!is_nothing(root))
		read_mapping(r, root, &t);
	r->is_yaml = true;
}

static void tell_syntax(struct hr_config_reading *r, struct fy_diag *diag)
{
	struct fy_diag_error *e;
	void *at = NULL;
	bool any = false;

	while ((e = fy_diag_errors_iterate(diag, &at)) != NULL) {
		hr_config_problem(r, (struct hr_place){ e->line, e->column },
				  "found what is no YAML, expected YAML 1.2; %s",
				  e->msg);
		any = true;
	}
	if (!any)
		hr_config_problem(r, (struct hr_place){ 0, 0 },
				  "found what is no YAML, expected YAML 1.2");
}

static struct fy_diag *new_diag(void)
{
	struct fy_diag_cfg cfg;
	struct fy_diag *diag;

	fy_diag_cfg_default(&cfg);
	cfg.fp = NULL;
	diag = fy_diag_create(&cfg);
	if (diag != NULL)
		fy_diag_set_collect_errors(diag, true);
	return diag;
}

/* libfyaml 0.7.12 never comes back from "%" and a byte that is no UTF-8, so such a
 * text does not get to it. */
static bool is_utf8(struct hr_config_reading *r, const char *text)
{
	const uint8_t *p = (const uint8_t *)text, *end = p + strlen(text);
	struct hr_place place = { 1, 1 };

	while (p < end) {
		const size_t left = (size_t)(end - p);
		const uint32_t n = hr_utf8_bytes(p, left < 4 ? (uint32_t)left : 4);

		if (n == 0) {
			hr_config_problem(r, place,
					  "found the byte 0x%02x, which is no UTF-8 "
					  "here, expected UTF-8; save the file as that",
					  *p);
			return false;
		}
		place.column++;
		if (*p == '\n')
			place = (struct hr_place){ place.line + 1, 1 };
		p += n;
	}
	return true;
}

static void parse(struct hr_config_reading *r, const char *text)
{
	struct fy_parse_cfg cfg = { .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG |
					     FYPCF_ALLOW_DUPLICATE_KEYS |
					     FYPCF_JSON_NONE,
				    .diag = new_diag() };
	struct fy_document *document = NULL, *second = NULL;
	struct fy_parser *parser = fy_parser_create(&cfg);

	if (cfg.diag == NULL || parser == NULL ||
	    fy_parser_set_string(parser, text, strlen(text)) < 0)
		abort(); /* cold, before anything runs: no memory */
	document = fy_parse_load_document(parser);
	if (document == NULL && fy_diag_got_error(cfg.diag)) {
		tell_syntax(r, cfg.diag);
		goto out;
	}
	read_root(r, document == NULL ? NULL : fy_document_root(document));
	if (document != NULL)
		second = fy_parse_load_document(parser);
	if (second != NULL)
		hr_config_problem(r, (struct hr_place){ 0, 0 },
				  "found a second document behind ---, expected one; "
				  "take the line --- out");
	else if (fy_diag_got_error(cfg.diag))
		tell_syntax(r, cfg.diag);
out:
	fy_parse_document_destroy(parser, second);
	fy_parse_document_destroy(parser, document);
	fy_parser_destroy(parser);
	fy_diag_destroy(cfg.diag);
}

static int by_place(const void *a, const void *b)
{
	const struct hr_problem *p = a, *q = b;

	if (p->place.line != q->place.line)
		return p->place.line < q->place.line ? -1 : 1;
	if (p->place.column != q->place.column)
		return p->place.column < q->place.column ? -1 : 1;
	return p->order < q->order ? -1 : 1;
}

/* The absolute folder of a file that may not exist (a text in memory). */
static void folder_of(const char *path, char out[HR_CONFIG_TEXT])
{
	char folder[PATH_MAX], real[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (slash == NULL)
		strcpy(folder, ".");
	else
		(void)snprintf(folder, sizeof(folder), "%.*s",
			       slash == path ? 1 : (int)(slash - path), path);
	if (realpath(folder, real) == NULL || strlen(real) >= HR_CONFIG_TEXT)
		strcpy(real, "/");
	strcpy(out, real[1] == '\0' ? "" : real);
}

void hr_config_defaults(struct hr_config *out)
{
	memset(out, 0, sizeof(*out));
	for (uint32_t i = 0; i < hr_n_options; i++)
		hr_option_store_default(&hr_options[i], out);
	out->generation = 1;
}

uint32_t hr_config_check_text(struct hr_config *out, const char *path, const char *text,
			      hr_config_tell tell, void *ctx)
{
	struct hr_config_reading *r = calloc(1, sizeof(*r));
	uint32_t n;

	if (r == NULL)
		abort();
	r->config = out;
	r->path = path;
	folder_of(path, r->folder);
	hr_config_defaults(out);
	(void)snprintf(out->path, sizeof(out->path), "%s", path);
	if (is_utf8(r, text))
		parse(r, text);
	if (r->is_yaml)
		hr_config_rules(r);
	n = r->n_problems;
	if (n > 0)
		qsort(r->problems, n, sizeof(*r->problems), by_place);
	for (uint32_t i = 0; i < n; i++)
		tell(ctx, r->problems[i].text);
	free(r->problems);
	free(r);
	return n;
}

#define FILE_MAX (1u << 20)

static int read_file(const char *path, char **out, struct hr_err *err)
{
	FILE *f = fopen(path, "r");
	char *text;
	size_t n;
	int rc = 0;

	if (f == NULL)
		return hr_fail(err, -errno,
			       "%s: cannot be read: %s; name the file with --config",
			       path, strerror(errno));
	text = malloc(FILE_MAX + 1);
	if (text == NULL)
		abort();
	errno = 0;
	n = fread(text, 1, FILE_MAX + 1, f);
	if (ferror(f))
		rc = hr_fail(err, errno != 0 ? -errno : -EIO, "%s: cannot be read: %s",
			     path, strerror(errno));
	else if (n > FILE_MAX)
		rc = hr_fail(err, -EFBIG,
			     "%s: found more than %u bytes, expected a configuration",
			     path, FILE_MAX);
	else if (memchr(text, '\0', n) != NULL)
		rc = hr_fail(err, -EINVAL, "%s: found a NUL byte, expected text", path);
	fclose(f);
	if (rc < 0) {
		free(text);
		return rc;
	}
	text[n] = '\0';
	*out = text;
	return 0;
}

/* The file's text and its own absolute path, which other processes are told. */
static int open_config(const char *path, char real[HR_CONFIG_TEXT], char **text,
		       struct hr_err *err)
{
	char resolved[PATH_MAX];
	int rc = read_file(path, text, err);

	if (rc < 0)
		return rc;
	if (realpath(path, resolved) == NULL ||
	    snprintf(real, HR_CONFIG_TEXT, "%s", resolved) >= HR_CONFIG_TEXT) {
		free(*text);
		return hr_fail(err, -ENAMETOOLONG,
			       "%s: its absolute path has more than %d bytes", path,
			       HR_CONFIG_TEXT - 1);
	}
	return 0;
}

uint32_t hr_config_check(struct hr_config *out, const char *path, hr_config_tell tell,
			 void *ctx)
{
	char real[HR_CONFIG_TEXT], *text;
	struct hr_err err;
	uint32_t n;

	if (open_config(path, real, &text, &err) < 0) {
		tell(ctx, err.text);
		return 1;
	}
	n = hr_config_check_text(out, path, text, tell, ctx);
	strcpy(out->path, real);
	free(text);
	return n;
}

static void keep_first(void *ctx, const char *sentence)
{
	struct hr_err *err = ctx;

	if (err != NULL && err->text[0] == '\0')
		(void)hr_fail(err, 0, "%s", sentence);
}

int hr_config_read(struct hr_config *out, const char *path, struct hr_err *err)
{
	char real[HR_CONFIG_TEXT], *text;
	uint32_t n;
	int rc = open_config(path, real, &text, err);

	if (rc < 0)
		return rc;
	if (err != NULL)
		err->text[0] = '\0';
	n = hr_config_check_text(out, path, text, keep_first, err);
	strcpy(out->path, real);
	free(text);
	return n > 0 ? -EINVAL : 0;
}
