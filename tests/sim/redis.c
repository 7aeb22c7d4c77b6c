/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/redis_impl.h"

struct sim_redis *sim_redis_current;

/* ---- data ---- */

static void *grow(void *p, uint32_t *max, size_t size)
{
	*max = *max != 0 ? 2 * *max : 8;
	p = realloc(p, *max * size);
	if (p == NULL)
		abort();
	return p;
}

static struct hr_str copy(struct hr_str s)
{
	uint8_t *p = malloc(s.n + 1);

	if (p == NULL)
		abort();
	memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return (struct hr_str){ p, s.n };
}

static void drop(struct hr_str s)
{
	free((void *)(uintptr_t)s.p);
}

static uint32_t hash_of(struct hr_str s)
{
	uint32_t h = 2166136261u; /* FNV-1a */

	for (uint32_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return h;
}

static struct sim_value *value_find(const struct sim_redis *redis, struct hr_str name)
{
	uint32_t hash = hash_of(name);

	for (uint32_t i = 0; i < redis->n_values; i++)
		if (redis->values[i].hash == hash &&
		    hr_str_equals(redis->values[i].name, name))
			return &redis->values[i];
	return NULL;
}

static struct sim_value *value_get(struct sim_redis *redis, struct hr_str name,
				   enum sim_redis_type type)
{
	struct sim_value *v = value_find(redis, name);

	if (v == NULL) {
		if (redis->n_values == redis->max_values)
			redis->values = grow(redis->values, &redis->max_values,
					     sizeof(*redis->values));
		v = &redis->values[redis->n_values++];
		*v = (struct sim_value){ .name = copy(name), .hash = hash_of(name) };
	}
	if (v->n == 0)
		v->type = type;
	v->version = ++redis->version;
	return v;
}

static int field_find(const struct sim_value *v, struct hr_str field)
{
	for (uint32_t i = 0; v != NULL && i < v->n; i++)
		if (hr_str_equals(v->fields[i].field, field))
			return (int)i;
	return -1;
}

static void field_insert(struct sim_value *v, uint32_t at, struct hr_str field,
			 struct hr_str value)
{
	if (v->n == v->max)
		v->fields = grow(v->fields, &v->max, sizeof(*v->fields));
	memmove(&v->fields[at + 1], &v->fields[at], (v->n - at) * sizeof(*v->fields));
	v->n++;
	v->fields[at] = (struct sim_redis_field){ copy(field), copy(value) };
}

static void field_remove(struct sim_value *v, uint32_t at)
{
	drop(v->fields[at].field);
	drop(v->fields[at].value);
	v->n--;
	memmove(&v->fields[at], &v->fields[at + 1], (v->n - at) * sizeof(*v->fields));
}

/* Returns whether the field is new. */
static bool field_set(struct sim_value *v, struct hr_str field, struct hr_str value)
{
	int at = field_find(v, field);

	if (at < 0) {
		field_insert(v, v->n, field, value);
		return true;
	}
	drop(v->fields[at].value);
	v->fields[at].value = copy(value);
	return false;
}

static void clear(struct sim_redis *redis)
{
	for (uint32_t i = 0; i < redis->n_values; i++) {
		while (redis->values[i].n > 0)
			field_remove(&redis->values[i], redis->values[i].n - 1);
		free(redis->values[i].fields);
		drop(redis->values[i].name);
	}
	redis->n_values = 0;
}

uint64_t sim_redis_version(const struct sim_redis *redis, struct hr_str key)
{
	const struct sim_value *v = value_find(redis, key);

	return v != NULL ? v->version : 0;
}

/* ---- answers ---- */

void sim_reply_text(struct sim_reply *reply, const char *fmt, ...)
{
	va_list args;
	int n;

	if (reply->max - reply->n < 1024) {
		reply->max = reply->max != 0 ? 2 * reply->max : 4096;
		reply->p = realloc(reply->p, reply->max);
		if (reply->p == NULL)
			abort();
	}
	va_start(args, fmt);
	n = vsnprintf(reply->p + reply->n, reply->max - reply->n, fmt, args);
	va_end(args);
	if (n < 0 || (size_t)n >= reply->max - reply->n)
		abort();
	reply->n += (size_t)n;
}

static void reply_bulk(struct sim_reply *reply, const struct hr_str *s)
{
	if (s == NULL)
		sim_reply_text(reply, "$-1\r\n");
	else
		sim_reply_text(reply, "$%u\r\n%.*s\r\n", s->n, (int)s->n,
			       (const char *)s->p);
}

/* ---- commands ---- */

bool sim_command_read(const char *bytes, size_t n, size_t *at, struct sim_command *out)
{
	const char *p = bytes + *at, *end = bytes + n, *line;
	char *stop;

	line = memchr(p, '\n', (size_t)(end - p));
	if (line == NULL || *p != '*')
		return false;
	out->n = (uint32_t)strtoul(p + 1, &stop, 10);
	if (out->n > SIM_ARGS_MAX)
		abort(); /* a run is not that large */
	p = line + 1;
	for (uint32_t i = 0; i < out->n; i++) {
		uint32_t length;

		line = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
		if (line == NULL)
			return false;
		length = (uint32_t)strtoul(p + 1, &stop, 10);
		p = line + 1;
		if ((size_t)(end - p) < length + 2u)
			return false;
		out->args[i] = (struct hr_str){ (const uint8_t *)p, length };
		p += length + 2;
	}
	*at = (size_t)(p - bytes);
	return true;
}

static bool is(const struct sim_command *c, const char *name)
{
	return c->args[0].n == strlen(name) &&
	       memcmp(c->args[0].p, name, c->args[0].n) == 0;
}

static long number(struct hr_str s)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%.*s", (int)s.n, (const char *)s.p);
	return strtol(text, NULL, 10);
}

static double score(struct hr_str s)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%.*s", (int)s.n, (const char *)s.p);
	return strtod(text, NULL);
}

static bool is_less(const struct sim_redis_field *a, const struct sim_redis_field *b)
{
	double x = score(a->value), y = score(b->value);
	int r;

	if (x != y)
		return x < y;
	r = memcmp(a->field.p, b->field.p,
		   a->field.n < b->field.n ? a->field.n : b->field.n);
	return r < 0 || (r == 0 && a->field.n < b->field.n);
}

static void zset_sort(struct sim_value *v)
{
	for (uint32_t i = 1; i < v->n; i++)
		for (uint32_t j = i; j > 0 && is_less(&v->fields[j], &v->fields[j - 1]);
		     j--) {
			struct sim_redis_field t = v->fields[j];

			v->fields[j] = v->fields[j - 1];
			v->fields[j - 1] = t;
		}
}

/* Redis' counting from behind: -1 is the last. */
static long place(long at, uint32_t n)
{
	return at < 0 ? at + (long)n : at;
}

static const struct hr_str empty = { (const uint8_t *)"", 0 };

static void run_get(struct sim_redis *redis, struct hr_str key, struct sim_reply *reply)
{
	const struct sim_value *v = value_find(redis, key);

	reply_bulk(reply, v != NULL && v->n > 0 ? &v->fields[0].value : NULL);
}

static void run_fields(const struct sim_value *v, const struct sim_command *c,
		       struct sim_reply *reply)
{
	sim_reply_text(reply, "*%u\r\n", c->n - 2);
	for (uint32_t i = 2; i < c->n; i++) {
		int at = field_find(v, c->args[i]);

		reply_bulk(reply, at < 0 ? NULL : &v->fields[at].value);
	}
}

static void run_range(const struct sim_value *v, const struct sim_command *c,
		      struct sim_reply *reply)
{
	uint32_t n = v != NULL ? v->n : 0, many = 0;
	long from = place(number(c->args[2]), n), to = place(number(c->args[3]), n);

	for (long i = from < 0 ? 0 : from; i <= to && i < (long)n; i++)
		many++;
	sim_reply_text(reply, "*%u\r\n", many);
	for (long i = from < 0 ? 0 : from; i <= to && i < (long)n; i++)
		reply_bulk(reply, &v->fields[i].field);
}

static void remove_range(struct sim_value *v, long from, long to)
{
	for (long i = to < (long)v->n ? to : (long)v->n - 1; i >= 0 && i >= from; i--)
		field_remove(v, (uint32_t)i);
}

/* Commands that only read. Returns false where it is none of them. */
static bool run_read(struct sim_redis *redis, const struct sim_command *c,
		     struct sim_reply *reply)
{
	static const struct hr_str info = {
		(const uint8_t *)"redis_version:7.0.15\r\nloading:0\r\ncluster_enabled:"
				 "0\r\nmaxmemory_policy:noeviction\r\nrole:master\r\n"
				 "run_id:simulated\r\nmaster_replid:simulated\r\n",
		141
	};

	if (is(c, "INFO")) {
		struct hr_str text = { info.p, (uint32_t)strlen((const char *)info.p) };

		reply_bulk(reply, &text);
	} else if (is(c, "GET")) {
		run_get(redis, c->args[1], reply);
	} else if (is(c, "MGET")) {
		sim_reply_text(reply, "*%u\r\n", c->n - 1);
		for (uint32_t i = 1; i < c->n; i++)
			run_get(redis, c->args[i], reply);
	} else if (is(c, "HMGET") || is(c, "ZMSCORE")) {
		run_fields(value_find(redis, c->args[1]), c, reply);
	} else if (is(c, "ZRANGE") || is(c, "LRANGE")) {
		run_range(value_find(redis, c->args[1]), c, reply);
	} else if (is(c, "SMEMBERS")) {
		const struct sim_value *v = value_find(redis, c->args[1]);

		sim_reply_text(reply, "*%u\r\n", v != NULL ? v->n : 0);
		for (uint32_t i = 0; v != NULL && i < v->n; i++)
			reply_bulk(reply, &v->fields[i].field);
	} else {
		return false;
	}
	return true;
}

static void run_pairs(struct sim_redis *redis, const struct sim_command *c,
		      enum sim_redis_type type, struct sim_reply *reply)
{
	struct sim_value *v = value_get(redis, c->args[1], type);
	const uint32_t field = type == SIM_REDIS_ZSET ? 1 : 0;
	uint32_t fresh = 0;

	for (uint32_t i = 2; i + 1 < c->n; i += 2)
		fresh += field_set(v, c->args[i + field], c->args[i + 1 - field]);
	if (type == SIM_REDIS_ZSET)
		zset_sort(v);
	sim_reply_text(reply, ":%u\r\n", fresh);
}

bool sim_command_run(struct sim_redis *redis, const struct sim_command *c,
		     struct sim_reply *reply)
{
	struct sim_value *v;

	if (run_read(redis, c, reply))
		return false;
	if (is(c, "SET")) {
		v = value_get(redis, c->args[1], SIM_REDIS_STRING);
		field_set(v, empty, c->args[2]);
		sim_reply_text(reply, "+OK\r\n");
	} else if (is(c, "HSET")) {
		run_pairs(redis, c, SIM_REDIS_HASH, reply);
	} else if (is(c, "HSETNX")) {
		v = value_get(redis, c->args[1], SIM_REDIS_HASH);
		if (field_find(v, c->args[2]) >= 0)
			sim_reply_text(reply, ":0\r\n");
		else
			run_pairs(redis, c, SIM_REDIS_HASH, reply);
	} else if (is(c, "ZADD")) {
		run_pairs(redis, c, SIM_REDIS_ZSET, reply);
	} else if (is(c, "SADD")) {
		v = value_get(redis, c->args[1], SIM_REDIS_SET);
		for (uint32_t i = 2; i < c->n; i++)
			field_set(v, c->args[i], empty);
		sim_reply_text(reply, ":%u\r\n", c->n - 2);
	} else if (is(c, "LPUSH")) {
		v = value_get(redis, c->args[1], SIM_REDIS_LIST);
		for (uint32_t i = 2; i < c->n; i++)
			field_insert(v, 0, c->args[i], empty);
		sim_reply_text(reply, ":%u\r\n", v->n);
	} else if (is(c, "LTRIM")) {
		v = value_get(redis, c->args[1], SIM_REDIS_LIST);
		remove_range(v, number(c->args[3]) + 1, (long)v->n - 1);
		sim_reply_text(reply, "+OK\r\n");
	} else if (is(c, "ZREMRANGEBYRANK")) {
		v = value_get(redis, c->args[1], SIM_REDIS_ZSET);
		remove_range(v, place(number(c->args[2]), v->n),
			     place(number(c->args[3]), v->n));
		sim_reply_text(reply, ":0\r\n");
	} else {
		fprintf(stderr, "simulated Redis: no command %.*s\n", (int)c->args[0].n,
			(const char *)c->args[0].p);
		abort();
	}
	return true;
}

/* ---- what was written, for going back ---- */

void sim_redis_remember(struct sim_redis *redis, const char *bytes, size_t n)
{
	char *copied = malloc(n);

	if (copied == NULL)
		abort();
	memcpy(copied, bytes, n);
	if (redis->n_writes == redis->max_writes)
		redis->writes =
			grow(redis->writes, &redis->max_writes, sizeof(*redis->writes));
	redis->writes[redis->n_writes++] = (struct sim_write){ copied, n };
}

static void run_all(struct sim_redis *redis, const struct sim_write *w)
{
	struct sim_reply reply = { 0 };
	struct sim_command c;
	size_t at = 0;

	while (at < w->n && sim_command_read(w->bytes, w->n, &at, &c))
		(void)sim_command_run(redis, &c, &reply);
	free(reply.p);
}

void sim_redis_back(struct sim_redis *redis, uint32_t n)
{
	sim_clients_break(redis);
	redis->version++;
	for (; n > 0 && redis->n_writes > redis->n_kept; n--)
		free(redis->writes[--redis->n_writes].bytes);
	clear(redis);
	for (uint32_t i = 0; i < redis->n_writes; i++)
		run_all(redis, &redis->writes[i]);
}

void sim_redis_keep(struct sim_redis *redis)
{
	redis->n_kept = redis->n_writes;
}

uint64_t sim_redis_changes(const struct sim_redis *redis)
{
	return redis->version;
}

uint32_t sim_redis_writes(const struct sim_redis *redis)
{
	return redis->n_writes;
}

void sim_redis_cut_next(struct sim_redis *redis)
{
	redis->cuts_next = true;
}

void sim_redis_do(struct sim_redis *redis, const char *command)
{
	struct sim_reply resp = { 0 };
	struct sim_write w;
	uint32_t n = 1;

	for (const char *p = command; *p != '\0'; p++)
		n += *p == ' ';
	sim_reply_text(&resp, "*%u\r\n", n);
	for (const char *p = command; n > 0; n--) {
		size_t length = strcspn(p, " ");

		sim_reply_text(&resp, "$%zu\r\n%.*s\r\n", length, (int)length, p);
		p += length + 1;
	}
	w = (struct sim_write){ resp.p, resp.n };
	run_all(redis, &w);
	sim_redis_remember(redis, resp.p, resp.n);
	free(resp.p);
}

/* ---- the run's side ---- */

struct sim_redis *sim_redis_new(struct sim *sim)
{
	struct sim_redis *redis = calloc(1, sizeof(*redis));

	if (redis != NULL)
		redis->sim = sim;
	return redis;
}

void sim_redis_free(struct sim_redis *redis)
{
	if (redis == NULL)
		return;
	sim_clients_forget(redis);
	clear(redis);
	free(redis->values);
	for (uint32_t i = 0; i < redis->n_writes; i++)
		free(redis->writes[i].bytes);
	free(redis->writes);
	free(redis);
}

void sim_redis_use(struct sim_redis *redis)
{
	sim_redis_current = redis;
}

static void show(const struct sim_value *v, struct sim_redis_key *out)
{
	*out = (struct sim_redis_key){
		.name = v->name,
		.type = v->n > 0 ? v->type : SIM_REDIS_NONE,
		.fields = v->fields,
		.n_fields = v->n,
	};
}

bool sim_redis_key_at(const struct sim_redis *redis, uint32_t i,
		      struct sim_redis_key *out)
{
	if (i >= redis->n_values)
		return false;
	show(&redis->values[i], out);
	return true;
}

bool sim_redis_key_find(const struct sim_redis *redis, const char *name,
			struct sim_redis_key *out)
{
	const struct sim_value *v =
		value_find(redis, (struct hr_str){ (const uint8_t *)name,
						   (uint32_t)strlen(name) });

	if (v == NULL || v->n == 0)
		return false;
	show(v, out);
	return true;
}

const struct hr_str *sim_redis_field_find(const struct sim_redis_key *key,
					  const char *field)
{
	const struct hr_str name = { (const uint8_t *)field, (uint32_t)strlen(field) };

	for (uint32_t i = 0; i < key->n_fields; i++)
		if (hr_str_equals(key->fields[i].field, name))
			return &key->fields[i].value;
	return NULL;
}
