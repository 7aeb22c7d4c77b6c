/* SPDX-License-Identifier: BSD-3-Clause */

/* A configuration as a commented file. */

#include <errno.h>
#include <string.h>

#include "common/config_impl.h"

#define WIDTH 88

/* Wrapped behind "# ". */
static void comment(FILE *to, int indent, const char *text)
{
	int at = 0;

	while (*text != '\0') {
		int n = (int)strcspn(text, " ");

		if (at > 0 && at + 1 + n > WIDTH) {
			fputc('\n', to);
			at = 0;
		}
		if (at == 0)
			at = fprintf(to, "%*s#", indent, "");
		at += fprintf(to, " %.*s", n, text);
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', to);
}

/* "number (queues), 1 to 16", "json | none", "size, 64KiB to 256MiB". */
static int print_type(const struct hr_option *o, char *out, size_t max)
{
	char low[32], high[32];
	int n = 0;

	hr_option_print_bound(o, o->min, low, sizeof(low));
	hr_option_print_bound(o, o->max, high, sizeof(high));
	if (o->refusal != NULL)
		return snprintf(out, max, "only %s", *o->def != '\0' ? o->def : "[]");
	switch (o->type) {
	case HR_OPT_TEXT:
		return snprintf(out, max, "text, %s to %s bytes", low, high);
	case HR_OPT_PATH:
		return snprintf(out, max, "path, %s to %s bytes", low, high);
	case HR_OPT_WORD:
	case HR_OPT_CHOICE:
		for (const char *p = o->unit; *p != '\0'; p++)
			n += snprintf(out + n, max - (size_t)n,
				      *p == '|' ? " %c " : "%c", *p);
		return n;
	case HR_OPT_BOOL:
		return snprintf(out, max, "true | false");
	case HR_OPT_NUMBER:
		if (*o->unit == '\0')
			return snprintf(out, max, "number, %s to %s", low, high);
		return snprintf(out, max, "number (%s), %s to %s", o->unit, low, high);
	case HR_OPT_SIZE:
		return snprintf(out, max, "size, %s to %s", low, high);
	case HR_OPT_DURATION:
		return snprintf(out, max, "duration, %s to %s", low, high);
	case HR_OPT_LIST:
		return snprintf(out, max, "list of up to %zu numbers (%s), %s to %s",
				o->bytes / o->item_bytes, o->unit, low, high);
	case HR_OPT_PROPERTIES:
		return snprintf(out, max, "mapping");
	case HR_OPT_DEVICE:
		return snprintf(out, max, "device");
	case HR_OPT_BROKERS:
		return snprintf(out, max, "addresses");
	case HR_OPT_LISTEN:
		return snprintf(out, max, "address:port");
	}
	return 0;
}

/* "size, 2700000B to 64GiB; default 128MiB; restart" */
static void comment_type(FILE *to, int indent, const struct hr_option *o)
{
	char line[512];
	size_t n = (size_t)print_type(o, line, sizeof(line));

	if (o->type == HR_OPT_DEVICE)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "; no default");
	else if (o->refusal == NULL)
		n += (size_t)snprintf(line + n, sizeof(line) - n,
				      o->type == HR_OPT_LIST         ? "; default [%s]"
				      : o->type == HR_OPT_PROPERTIES ? "; default {%s}"
				      : *o->def == '\0' ? "; default \"%s\""
							: "; default %s",
				      o->def);
	(void)snprintf(line + n, sizeof(line) - n, "; %s",
		       o->effect == HR_EFFECT_LIVE ? "live" : "restart");
	comment(to, indent, line);
}

static void write_option(FILE *to, int indent, const struct hr_option *o,
			 const void *base, bool is_first_of_item)
{
	char value[4096];

	comment(to, indent, o->help);
	comment_type(to, indent, o);
	(void)hr_option_print(o, base, value, sizeof(value));
	fprintf(to, "%*s%s%s: %s\n", indent - (is_first_of_item ? 2 : 0), "",
		is_first_of_item ? "- " : "",
		strrchr(o->path, '.') != NULL ? strrchr(o->path, '.') + 1 : o->path,
		value);
}

/* Options of one kind of device are written for that kind only. */
static bool is_of_other_kind(const struct hr_option *o, const struct hr_port_config *p)
{
	return (strcmp(o->path, "memif_id") == 0 && p->kind != HR_PORT_MEMIF) ||
	       (strcmp(o->path, "pace") == 0 && p->kind != HR_PORT_PCAP) ||
	       (strcmp(o->path, "xdp_program") == 0 && p->kind != HR_PORT_AF_XDP);
}

static void write_other_kind(FILE *to, const struct hr_option *o,
			     const struct hr_port_config *p)
{
	char value[HR_CONFIG_TEXT + 8];

	comment(to, 4, o->help);
	comment_type(to, 4, o);
	(void)hr_option_print(o, p, value, sizeof(value));
	fprintf(to, "    # %s: %s\n", o->path, value);
}

static void write_ports(FILE *to, const struct hr_config *c)
{
	for (uint32_t i = 0; i < c->n_ports; i++)
		for (uint32_t j = 0; j < hr_n_port_options; j++) {
			const struct hr_option *o = &hr_port_options[j];

			if (is_of_other_kind(o, &c->ports[i]))
				write_other_kind(to, o, &c->ports[i]);
			else
				write_option(to, 4, o, &c->ports[i], j == 0);
		}
}

/* Is this the section an option's path lies in, and not a deeper one's? */
static bool is_in(const char *section, const char *path)
{
	size_t n = strlen(section);

	return strncmp(path, section, n) == 0 && path[n] == '.' &&
	       strchr(path + n + 1, '.') == NULL;
}

static int depth_of(const char *path)
{
	int depth = 0;

	for (; *path != '\0'; path++)
		depth += *path == '.';
	return depth;
}

int hr_config_write(const struct hr_config *c, FILE *to)
{
	fputs("# Headrace's configuration. Every option stands here with its value; a "
	      "line taken\n"
	      "# out means the default. Durations have a unit: us, ms, s, min, h; "
	      "sizes have one\n"
	      "# too: B, KiB, MiB, GiB. Relative paths start at this file's folder. "
	      "The last word\n"
	      "# above an option says when a change takes effect: at a restart, or "
	      "live.\n"
	      "# `headracectl check FILE` tells everything that is wrong with a file "
	      "at once.\n",
	      to);
	for (uint32_t s = 0; s < hr_n_sections; s++) {
		const char *path = hr_sections[s].path;
		int indent = 2 * depth_of(path);

		fputc('\n', to);
		comment(to, indent, hr_sections[s].help);
		fprintf(to, "%*s%s:\n", indent, "",
			strrchr(path, '.') != NULL ? strrchr(path, '.') + 1 : path);
		if (strcmp(path, "ports") == 0)
			write_ports(to, c);
		for (uint32_t i = 0; i < hr_n_options; i++)
			if (is_in(path, hr_options[i].path))
				write_option(to, indent + 2, &hr_options[i], c, false);
	}
	return fflush(to) != 0 || ferror(to) ? -EIO : 0;
}

int hr_config_write_defaults(FILE *to)
{
	struct hr_config c;
	struct hr_err reason;

	hr_config_defaults(&c);
	strcpy(c.keys_file, "/etc/headrace/keys");
	strcpy(c.cluster_secret_file, "/etc/headrace/cluster_secret");
	for (uint32_t i = 0; i < hr_n_port_options; i++)
		hr_option_store_default(&hr_port_options[i], &c.ports[0]);
	/* What has no default gets an example. */
	(void)hr_option_store(&hr_port_options[0], &c.ports[0], "af_xdp:eth0", NULL,
			      &reason);
	c.n_ports = 1;
	return hr_config_write(&c, to);
}
