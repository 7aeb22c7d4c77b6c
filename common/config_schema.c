/* SPDX-License-Identifier: BSD-3-Clause */

/* The schema table and the values of single options: from text, to text. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config_impl.h"

#define MEMBER(type, member)                                                           \
	offsetof(struct type, member), sizeof(((struct type *)0)->member)
#define ITEM(type, member) sizeof(((struct type *)0)->member[0])

const struct hr_option hr_options[] = {
#define HR_SECTION(path, help)
#define HR_OPTION(path, member, type, unit, min, max, def, effect, help)               \
	{ path,                                                                        \
	  HR_OPT_##type,                                                               \
	  HR_EFFECT_##effect,                                                          \
	  MEMBER(hr_config, member),                                                   \
	  0,                                                                           \
	  0,                                                                           \
	  unit,                                                                        \
	  min,                                                                         \
	  max,                                                                         \
	  def,                                                                         \
	  help,                                                                        \
	  NULL },
#define HR_LIST(path, member, n_member, type, unit, min, max, def, effect, help)       \
	{ path,                                                                        \
	  HR_OPT_##type,                                                               \
	  HR_EFFECT_##effect,                                                          \
	  MEMBER(hr_config, member),                                                   \
	  ITEM(hr_config, member),                                                     \
	  offsetof(struct hr_config, n_member),                                        \
	  unit,                                                                        \
	  min,                                                                         \
	  max,                                                                         \
	  def,                                                                         \
	  help,                                                                        \
	  NULL },
#define HR_FIXED(path, type, unit, def, help, refusal)                                 \
	{ path, HR_OPT_##type, HR_EFFECT_RESTART, 0, 0, 0, 0, unit, 0, 0, def,         \
	  help, refusal },
#define HR_PORT_OPTION(path, member, type, unit, min, max, def, effect, help)
#include "common/config.def"
#undef HR_PORT_OPTION
#undef HR_FIXED
#undef HR_LIST
#undef HR_OPTION
#undef HR_SECTION
};

const struct hr_option hr_port_options[] = {
#define HR_SECTION(path, help)
#define HR_OPTION(path, member, type, unit, min, max, def, effect, help)
#define HR_LIST(path, member, n_member, type, unit, min, max, def, effect, help)
#define HR_FIXED(path, type, unit, def, help, refusal)
#define HR_PORT_OPTION(path, member, type, unit, min, max, def, effect, help)          \
	{ path,                                                                        \
	  HR_OPT_##type,                                                               \
	  HR_EFFECT_##effect,                                                          \
	  MEMBER(hr_port_config, member),                                              \
	  0,                                                                           \
	  0,                                                                           \
	  unit,                                                                        \
	  min,                                                                         \
	  max,                                                                         \
	  def,                                                                         \
	  help,                                                                        \
	  NULL },
#include "common/config.def"
#undef HR_PORT_OPTION
#undef HR_FIXED
#undef HR_LIST
#undef HR_OPTION
#undef HR_SECTION
};

const struct hr_section hr_sections[] = {
#define HR_SECTION(path, help) { path, help },
#define HR_OPTION(path, member, type, unit, min, max, def, effect, help)
#define HR_LIST(path, member, n_member, type, unit, min, max, def, effect, help)
#define HR_FIXED(path, type, unit, def, help, refusal)
#define HR_PORT_OPTION(path, member, type, unit, min, max, def, effect, help)
#include "common/config.def"
#undef HR_PORT_OPTION
#undef HR_FIXED
#undef HR_LIST
#undef HR_OPTION
#undef HR_SECTION
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
const uint32_t hr_n_options = COUNT(hr_options);
const uint32_t hr_n_port_options = COUNT(hr_port_options);
const uint32_t hr_n_sections = COUNT(hr_sections);

_Static_assert(COUNT(hr_options) <= HR_OPTIONS_MAX, "places fit");
_Static_assert(COUNT(hr_sections) <= HR_SECTIONS_MAX, "places fit");
_Static_assert(COUNT(hr_port_options) <= HR_OPTIONS_MAX, "places fit");

struct unit {
	const char *name;
	uint64_t in_base; /* microseconds, bytes */
};

static const struct unit durations[] = {
	{ "h", 3600000000u }, { "min", 60000000u }, { "s", 1000000u },
	{ "ms", 1000u },      { "us", 1u },         { NULL, 0 },
};

static const struct unit sizes[] = {
	{ "GiB", 1u << 30 }, { "MiB", 1u << 20 }, { "KiB", 1u << 10 },
	{ "B", 1u },         { NULL, 0 },
};

static const struct unit *units_of(const struct hr_option *o)
{
	return o->type == HR_OPT_DURATION ? durations : sizes;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
	for (; units->name != NULL; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

static void store_number(void *member, size_t bytes, uint64_t v)
{
	switch (bytes) {
	case 1:
		*(uint8_t *)member = (uint8_t)v;
		break;
	case 2:
		*(uint16_t *)member = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)member = (uint32_t)v;
		break;
	default:
		*(uint64_t *)member = v;
	}
}

static uint64_t load_number(const void *member, size_t bytes)
{
	switch (bytes) {
	case 1:
		return *(const uint8_t *)member;
	case 2:
		return *(const uint16_t *)member;
	case 4:
		return *(const uint32_t *)member;
	default:
		return *(const uint64_t *)member;
	}
}

/* Digits only: no sign, no leading zero, no fraction. Leaves *end behind them. */
static int parse_digits(const char *text, const char **end, uint64_t *out)
{
	uint64_t v = 0;
	const char *p = text;

	while (*p >= '0' && *p <= '9')
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p++ - '0'), &v))
			return -ERANGE;
	if (p == text || (text[0] == '0' && p - text > 1))
		return -EINVAL;
	*end = p;
	*out = v;
	return 0;
}

/* "20ms" and "128MiB": digits and a unit, nothing between and nothing after. */
static int parse_quantity(const struct hr_option *o, const char *text, uint64_t *out,
			  struct hr_err *reason)
{
	const struct unit *unit, *own = find_unit(units_of(o), o->unit);
	const char *end;
	uint64_t v;

	if (parse_digits(text, &end, &v) < 0)
		return -EINVAL;
	if (*end == '\0')
		return hr_fail(reason, -EINVAL, "put the unit behind the number");
	unit = find_unit(units_of(o), end);
	if (unit == NULL)
		return hr_fail(reason, -EINVAL, "\"%s\" is not one of the units %s",
			       end,
			       o->type == HR_OPT_DURATION ? "us, ms, s, min, h"
							  : "B, KiB, MiB, GiB");
	if (__builtin_mul_overflow(v, unit->in_base, &v))
		return -ERANGE;
	if (v % own->in_base != 0)
		return hr_fail(reason, -EINVAL, "it must be a whole number of %s",
			       o->unit);
	*out = v / own->in_base;
	return 0;
}

/* The largest unit that leaves a whole number. */
static int print_quantity(const struct hr_option *o, uint64_t v, char *out, size_t max)
{
	const struct unit *u = units_of(o);

	v *= find_unit(u, o->unit)->in_base;
	while (u[1].name != NULL && (v == 0 || v % u->in_base != 0))
		u++;
	if (v == 0)
		return snprintf(out, max, "0%s", o->unit);
	return snprintf(out, max, "%" PRIu64 "%s", v / u->in_base, u->name);
}

/* The place of a word in "first|second|third", or -1. */
static int find_choice(const char *choices, const char *word)
{
	size_t n = strlen(word);

	for (int i = 0;; i++) {
		size_t here = strcspn(choices, "|");

		if (here == n && memcmp(choices, word, n) == 0)
			return i;
		if (choices[here] == '\0')
			return -1;
		choices += here + 1;
	}
}

static int print_choice(const char *choices, uint64_t place, char *out, size_t max)
{
	while (place-- > 0)
		choices = strchr(choices, '|') + 1;
	return snprintf(out, max, "%.*s", (int)strcspn(choices, "|"), choices);
}

int hr_option_print_bound(const struct hr_option *o, uint64_t v, char *out, size_t max)
{
	if (o->type == HR_OPT_SIZE || o->type == HR_OPT_DURATION)
		return print_quantity(o, v, out, max);
	return snprintf(out, max, "%" PRIu64, v);
}

void hr_option_expected(const struct hr_option *o, char out[HR_EXPECTED_TEXT])
{
	char low[32], high[32], choices[128];
	size_t n;

	(void)hr_option_print_bound(o, o->min, low, sizeof(low));
	(void)hr_option_print_bound(o, o->max, high, sizeof(high));
	switch (o->type) {
	case HR_OPT_TEXT:
	case HR_OPT_PATH:
		(void)snprintf(out, HR_EXPECTED_TEXT, "a %s of %s to %s bytes",
			       o->type == HR_OPT_PATH ? "path" : "text", low, high);
		break;
	case HR_OPT_WORD:
	case HR_OPT_CHOICE:
		n = 0;
		for (const char *p = o->unit; *p != '\0' && n < sizeof(choices) - 5;
		     p++)
			if (*p == '|') {
				memcpy(choices + n, " or ", 4);
				n += 4;
			} else {
				choices[n++] = *p;
			}
		choices[n] = '\0';
		(void)snprintf(out, HR_EXPECTED_TEXT, "%s", choices);
		break;
	case HR_OPT_BOOL:
		(void)snprintf(out, HR_EXPECTED_TEXT, "true or false");
		break;
	case HR_OPT_NUMBER:
		(void)snprintf(out, HR_EXPECTED_TEXT,
			       "a whole number from %s to %s%s%s%s", low, high,
			       *o->unit != '\0' ? " (" : "", o->unit,
			       *o->unit != '\0' ? ")" : "");
		break;
	case HR_OPT_SIZE:
	case HR_OPT_DURATION:
		(void)snprintf(out, HR_EXPECTED_TEXT, "a %s from %s to %s, such as %s",
			       o->type == HR_OPT_SIZE ? "size" : "duration", low, high,
			       o->def);
		break;
	case HR_OPT_LIST:
		if (o->refusal != NULL)
			(void)snprintf(out, HR_EXPECTED_TEXT, "the empty list []");
		else
			(void)snprintf(out, HR_EXPECTED_TEXT,
				       "a list of up to %zu %ss from %s to %s, such as "
				       "[%s]",
				       o->bytes / o->item_bytes, o->unit, low, high,
				       o->def);
		break;
	case HR_OPT_PROPERTIES:
		(void)snprintf(out, HR_EXPECTED_TEXT, "a mapping of names to values");
		break;
	case HR_OPT_DEVICE:
		(void)snprintf(
			out, HR_EXPECTED_TEXT,
			"a PCI address such as 0000:03:00.0, af_xdp:<interface>, "
			"memif:server:<socket>, memif:client:<socket> or "
			"pcap:<file>");
		break;
	case HR_OPT_BROKERS:
		(void)snprintf(out, HR_EXPECTED_TEXT,
			       "host:port, several separated by commas");
		break;
	case HR_OPT_LISTEN:
		(void)snprintf(out, HR_EXPECTED_TEXT,
			       "address:port, such as %s or [::1]:9464", o->def);
		break;
	}
}

static int store_text(const struct hr_option *o, char *member, const char *text,
		      struct hr_err *reason)
{
	size_t n = strlen(text);

	if (n < o->min || n > o->max || n >= o->bytes)
		return hr_fail(reason, -EINVAL, "it has %zu bytes", n);
	for (const char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return hr_fail(reason, -EINVAL, "it holds a control character");
	memcpy(member, text, n + 1);
	return 0;
}

static int store_path(const struct hr_option *o, char *member, const char *text,
		      const char *folder, struct hr_err *reason)
{
	char whole[2 * HR_CONFIG_TEXT];

	if (*text == '/' || *text == '\0' || folder == NULL)
		return store_text(o, member, text, reason);
	if (snprintf(whole, sizeof(whole), "%s/%s", folder, text) >= (int)sizeof(whole))
		return hr_fail(reason, -EINVAL, "the path is too long");
	if (store_text(o, member, whole, reason) < 0)
		return hr_fail(reason, -EINVAL,
			       "from the file's folder it is %s: %zu bytes", whole,
			       strlen(whole));
	return 0;
}

static bool is_pci_address(const char *text)
{
	static const char shape[] = "xxxx:xx:xx.x";
	size_t i;

	for (i = 0; shape[i] != '\0'; i++)
		if (shape[i] == 'x'
			    ? strchr("0123456789abcdefABCDEF", text[i]) == NULL ||
				      text[i] == '\0'
			    : text[i] != shape[i])
			return false;
	return text[i] == '\0';
}

/* A device's file or socket, made absolute. */
static int store_target(struct hr_port_config *port, const char *text,
			const char *folder, size_t max, struct hr_err *reason)
{
	int n = *text == '/' || folder == NULL
			? snprintf(port->target, sizeof(port->target), "%s", text)
			: snprintf(port->target, sizeof(port->target), "%s/%s", folder,
				   text);

	if (*text == '\0')
		return hr_fail(reason, -EINVAL, "there is no path behind the colon");
	if (n >= (int)max)
		return hr_fail(reason, -EINVAL,
			       "its path has %d bytes, %zu are too many", n, max);
	return 0;
}

#define SOCKET_PATH_MAX 108u /* sun_path */
#define INTERFACE_MAX 16u    /* IFNAMSIZ */

static int store_device(struct hr_port_config *port, const char *text,
			const char *folder, struct hr_err *reason)
{
	/* DPDK takes devices as comma separated arguments. */
	if (strpbrk(text, ", \t") != NULL)
		return hr_fail(reason, -EINVAL, "no commas and spaces can be in it");
	if (strlen(text) >= sizeof(port->device))
		return hr_fail(reason, -EINVAL, "it is too long");
	strcpy(port->device, text);
	if (strncmp(text, "af_xdp:", 7) == 0) {
		port->kind = HR_PORT_AF_XDP;
		text += 7;
		if (*text == '\0' || strlen(text) >= INTERFACE_MAX ||
		    strchr(text, '/') != NULL)
			return hr_fail(
				reason, -EINVAL,
				"behind af_xdp: stands the name of an interface, "
				"1 to 15 bytes");
		strcpy(port->target, text);
		return 0;
	}
	if (strncmp(text, "memif:server:", 13) == 0 ||
	    strncmp(text, "memif:client:", 13) == 0) {
		port->kind = HR_PORT_MEMIF;
		port->memif_is_server = text[6] == 's';
		return store_target(port, text + 13, folder, SOCKET_PATH_MAX, reason);
	}
	if (strncmp(text, "pcap:", 5) == 0) {
		port->kind = HR_PORT_PCAP;
		return store_target(port, text + 5, folder, sizeof(port->target),
				    reason);
	}
	if (!is_pci_address(text))
		return -EINVAL;
	port->kind = HR_PORT_PCI;
	strcpy(port->target, text);
	return 0;
}

/* "host:port" or "[v6]:port", n bytes long. */
static bool is_host_port(const char *text, size_t n, bool may_be_zero)
{
	const char *colon = memrchr(text, ':', n), *end;
	uint64_t port;
	size_t host;

	if (colon == NULL || colon == text)
		return false;
	host = (size_t)(colon - text);
	if (memchr(text, ' ', n) != NULL)
		return false;
	if (text[0] == '[' ? text[host - 1] != ']' : memchr(text, ':', host) != NULL)
		return false;
	return parse_digits(colon + 1, &end, &port) == 0 && end == text + n &&
	       port <= 65535 && (port > 0 || may_be_zero);
}

static int store_brokers(const struct hr_option *o, char *member, const char *text,
			 struct hr_err *reason)
{
	for (const char *p = text;; p++) {
		size_t n = strcspn(p, ",");

		if (!is_host_port(p, n, false))
			return hr_fail(reason, -EINVAL, "\"%.*s\" is not host:port",
				       (int)n, p);
		p += n;
		if (*p == '\0')
			break;
	}
	return store_text(o, member, text, reason);
}

/* Words of the schema have few letters: what else stands there is no number. */
static int store_in_range(const struct hr_option *o, void *member, uint64_t v)
{
	if (v < o->min || v > o->max)
		return -ERANGE;
	store_number(member, o->item_bytes != 0 ? o->item_bytes : o->bytes, v);
	return 0;
}

static int store_word(const struct hr_option *o, char *member, const char *text)
{
	if (find_choice(o->unit, text) < 0)
		return -EINVAL;
	if (o->bytes != 0)
		(void)snprintf(member, o->bytes, "%s", text);
	return 0;
}

int hr_option_store(const struct hr_option *o, void *base, const char *text,
		    const char *folder, struct hr_err *reason)
{
	char *member = (char *)base + o->at;
	const char *end = "";
	uint64_t v = 0;
	int rc = 0;

	reason->text[0] = '\0';
	switch (o->type) {
	case HR_OPT_TEXT:
		return store_text(o, member, text, reason);
	case HR_OPT_PATH:
		return store_path(o, member, text, folder, reason);
	case HR_OPT_WORD:
		return store_word(o, member, text);
	case HR_OPT_CHOICE:
		rc = find_choice(o->unit, text);
		if (rc >= 0)
			store_number(member, o->bytes, (uint64_t)rc);
		return rc < 0 ? -EINVAL : 0;
	case HR_OPT_BOOL:
		rc = find_choice("false|true", text);
		if (rc >= 0)
			*(bool *)member = rc == 1;
		return rc < 0 ? -EINVAL : 0;
	case HR_OPT_NUMBER:
		rc = parse_digits(text, &end, &v);
		if (rc < 0 || *end != '\0')
			return -EINVAL;
		return store_in_range(o, member, v);
	case HR_OPT_SIZE:
	case HR_OPT_DURATION:
		rc = parse_quantity(o, text, &v, reason);
		return rc < 0 ? rc : store_in_range(o, member, v);
	case HR_OPT_DEVICE:
		return store_device(base, text, folder, reason);
	case HR_OPT_BROKERS:
		return store_brokers(o, member, text, reason);
	case HR_OPT_LISTEN:
		if (!is_host_port(text, strlen(text), true))
			return -EINVAL;
		return store_text(o, member, text, reason);
	case HR_OPT_LIST:
	case HR_OPT_PROPERTIES:
		break;
	}
	return -EINVAL;
}

static int append_one(const struct hr_option *o, void *base, uint64_t v,
		      struct hr_err *reason)
{
	uint32_t *n = (uint32_t *)((char *)base + o->count_at);
	char *items = (char *)base + o->at;

	for (uint32_t i = 0; i < *n; i++)
		if (load_number(items + i * o->item_bytes, o->item_bytes) == v)
			return hr_fail(reason, -EINVAL,
				       "%s %" PRIu64 " stands in the list already",
				       o->unit, v);
	if (*n == o->bytes / o->item_bytes)
		return hr_fail(reason, -E2BIG, "the list is full");
	if (store_in_range(o, items + *n * o->item_bytes, v) < 0)
		return -ERANGE;
	++*n;
	return 0;
}

int hr_option_append(const struct hr_option *o, void *base, const char *text,
		     struct hr_err *reason)
{
	const char *end;
	uint64_t from, to;

	reason->text[0] = '\0';
	if (o->refusal != NULL || parse_digits(text, &end, &from) < 0)
		return -EINVAL;
	to = from;
	if (*end == '-' && parse_digits(end + 1, &end, &to) < 0)
		return -EINVAL;
	if (*end != '\0')
		return -EINVAL;
	if (to < from)
		return hr_fail(reason, -EINVAL, "the range runs backwards");
	for (uint64_t v = from; v <= to; v++) {
		int rc = append_one(o, base, v, reason);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int hr_option_append_property(const struct hr_option *o, void *base, const char *name,
			      const char *value, struct hr_err *reason)
{
	/* What exactly-once stands on is not for the file to change. */
	static const char *const ours[] = {
		"acks",
		"bootstrap.servers",
		"enable.auto.commit",
		"enable.idempotence",
		"enable.partition.eof",
		"group.id",
		"isolation.level",
		"max.in.flight",
		"max.in.flight.requests.per.connection",
		"message.send.max.retries",
		"message.timeout.ms",
		"metadata.broker.list",
		"request.required.acks",
		"retries",
		"transactional.id",
	};
	char *member = (char *)base + o->at;
	size_t n = strlen(member);

	for (size_t i = 0; i < COUNT(ours); i++)
		if (strcmp(name, ours[i]) == 0)
			return hr_fail(reason, -EINVAL,
				       "it is set by Headrace itself; take it out");
	if (strpbrk(name, "=\n") != NULL || strchr(value, '\n') != NULL ||
	    *name == '\0')
		return hr_fail(reason, -EINVAL, "name or value cannot be handed on");
	if (n + strlen(name) + strlen(value) + 3 > o->bytes)
		return hr_fail(reason, -E2BIG,
			       "all properties together have more than %zu bytes",
			       o->bytes - 1);
	(void)snprintf(member + n, o->bytes - n, "%s=%s\n", name, value);
	return 0;
}

/* The defaults of the table are proved by a test to be taken. */
void hr_option_store_default(const struct hr_option *o, void *base)
{
	struct hr_err reason;

	if (o->bytes == 0 || (*o->def == '\0' && o->type == HR_OPT_DEVICE))
		return;
	if (o->type == HR_OPT_PROPERTIES) {
		((char *)base)[o->at] = '\0';
	} else if (o->type == HR_OPT_LIST) {
		*(uint32_t *)((char *)base + o->count_at) = 0;
		if (*o->def != '\0' && hr_option_append(o, base, o->def, &reason) < 0)
			abort();
	} else if (hr_option_store(o, base, o->def, NULL, &reason) < 0) {
		abort();
	}
}

static int print_list(const struct hr_option *o, const void *base, char *out,
		      size_t max)
{
	const char *items = (const char *)base + o->at;
	uint32_t count =
		o->bytes == 0 ? 0
			      : *(const uint32_t *)((const char *)base + o->count_at);
	int n = snprintf(out, max, "[");

	for (uint32_t i = 0; i < count && n < (int)max; i++)
		n += snprintf(out + n, max - (size_t)n, "%s%" PRIu64, i > 0 ? ", " : "",
			      load_number(items + i * o->item_bytes, o->item_bytes));
	if (n < (int)max)
		n += snprintf(out + n, max - (size_t)n, "]");
	return n;
}

/* Plain where YAML reads it back as the same text, else in double quotes. */
static int print_text(const char *text, char *out, size_t max)
{
	static const char plain[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789_./:,-";
	size_t n = 0;

	if (*text != '\0' && strspn(text, plain) == strlen(text) &&
	    strchr("-:,", *text) == NULL && text[strlen(text) - 1] != ':' &&
	    strcasecmp(text, "null") != 0)
		return snprintf(out, max, "%s", text);
	out[n++] = '"';
	for (; *text != '\0' && n + 4 < max; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		out[n++] = *text;
	}
	out[n++] = '"';
	out[n] = '\0';
	return (int)n;
}

/* On one line: {name: "value", name: "value"} */
static int print_properties(const char *member, char *out, size_t max)
{
	int n = snprintf(out, max, "{");

	while (*member != '\0' && n < (int)max - 8) {
		char name[1024], value[1024];
		size_t a = strcspn(member, "="), b = strcspn(member, "\n");

		(void)snprintf(name, sizeof(name), "%.*s", (int)a, member);
		(void)snprintf(value, sizeof(value), "%.*s", (int)(b - a - 1),
			       member + a + 1);
		n += snprintf(out + n, max - (size_t)n, "%s", n > 1 ? ", " : "");
		n += print_text(name, out + n, max - (size_t)n);
		n += snprintf(out + n, max - (size_t)n, ": \"");
		for (const char *p = value; *p != '\0' && n < (int)max - 4; p++) {
			if (*p == '"' || *p == '\\')
				out[n++] = '\\';
			out[n++] = *p;
		}
		n += snprintf(out + n, max - (size_t)n, "\"");
		member += b + 1;
	}
	return n + snprintf(out + n, max - (size_t)n, "}");
}

int hr_option_print(const struct hr_option *o, const void *base, char *out, size_t max)
{
	const char *member = (const char *)base + o->at;
	uint64_t v = 0;

	if (o->type == HR_OPT_LIST)
		return print_list(o, base, out, max);
	if (o->bytes == 0)
		return snprintf(out, max, "%s", o->def);
	if (o->bytes <= sizeof(v))
		v = load_number(member, o->bytes);
	switch (o->type) {
	case HR_OPT_CHOICE:
		return print_choice(o->unit, v, out, max);
	case HR_OPT_BOOL:
		return print_choice("false|true", v, out, max);
	case HR_OPT_NUMBER:
		return snprintf(out, max, "%" PRIu64, v);
	case HR_OPT_SIZE:
	case HR_OPT_DURATION:
		return print_quantity(o, v, out, max);
	case HR_OPT_PROPERTIES:
		return print_properties(member, out, max);
	default:
		return print_text(member, out, max);
	}
}
