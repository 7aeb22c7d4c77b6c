/* SPDX-License-Identifier: BSD-3-Clause */

/* The view's connection, to the Redis of the run: redis_conn.h without a network. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/view/redis_conn.h"
#include "tests/sim/redis_impl.h"

#define WATCHES_MAX 128u

/* context comes first: the view's connection points to it. */
struct sim_client {
	redisContext context;
	struct sim_client *next;
	struct sim_redis *redis;
	bool is_broken, is_multi;
	struct {
		struct hr_str key;
		uint64_t version;
	} watches[WATCHES_MAX];
	uint32_t n_watches;
	char *queued; /* commands of a MULTI, as bytes */
	size_t n_queued, max_queued;
	uint32_t n_commands;
};

static struct sim_client *client_of(struct hr_redis_conn *c)
{
	return (struct sim_client *)c->context;
}

static void unwatch(struct sim_client *client)
{
	for (uint32_t i = 0; i < client->n_watches; i++)
		free((void *)(uintptr_t)client->watches[i].key.p);
	client->n_watches = 0;
}

static void client_free(struct sim_client *client)
{
	struct sim_client **at = client->redis != NULL ? &client->redis->clients : NULL;

	while (at != NULL && *at != client)
		at = &(*at)->next;
	if (at != NULL)
		*at = client->next;
	unwatch(client);
	redisReaderFree(client->context.reader);
	free(client->queued);
	free(client);
}

void sim_clients_break(struct sim_redis *redis)
{
	for (struct sim_client *c = redis->clients; c != NULL; c = c->next)
		c->is_broken = true;
}

void sim_clients_forget(struct sim_redis *redis)
{
	for (struct sim_client *c = redis->clients; c != NULL; c = c->next)
		c->redis = NULL;
	redis->clients = NULL;
}

/* ---- commands as they come ---- */

static bool is(const struct sim_command *c, const char *name)
{
	return c->args[0].n == strlen(name) &&
	       memcmp(c->args[0].p, name, c->args[0].n) == 0;
}

static void watch(struct sim_client *client, const struct sim_command *c)
{
	for (uint32_t i = 1; i < c->n; i++) {
		uint8_t *key = malloc(c->args[i].n);

		if (key == NULL || client->n_watches == WATCHES_MAX)
			abort();
		memcpy(key, c->args[i].p, c->args[i].n);
		client->watches[client->n_watches].key =
			(struct hr_str){ key, c->args[i].n };
		client->watches[client->n_watches++].version =
			sim_redis_version(client->redis, c->args[i]);
	}
}

static bool is_dirty(const struct sim_client *client)
{
	for (uint32_t i = 0; i < client->n_watches; i++)
		if (sim_redis_version(client->redis, client->watches[i].key) !=
		    client->watches[i].version)
			return true;
	return false;
}

static void queue(struct sim_client *client, const char *bytes, size_t n)
{
	if (client->n_queued + n > client->max_queued) {
		client->max_queued = 2 * (client->n_queued + n);
		client->queued = realloc(client->queued, client->max_queued);
		if (client->queued == NULL)
			abort();
	}
	memcpy(client->queued + client->n_queued, bytes, n);
	client->n_queued += n;
	client->n_commands++;
}

static void exec(struct sim_client *client, struct sim_reply *reply)
{
	struct sim_command c;
	size_t at = 0;

	client->is_multi = false;
	if (is_dirty(client)) {
		unwatch(client);
		sim_reply_text(reply, "*-1\r\n");
		return;
	}
	unwatch(client);
	sim_reply_text(reply, "*%u\r\n", client->n_commands);
	while (at < client->n_queued &&
	       sim_command_read(client->queued, client->n_queued, &at, &c))
		(void)sim_command_run(client->redis, &c, reply);
	sim_redis_remember(client->redis, client->queued, client->n_queued);
}

static void take(struct sim_client *client, const struct sim_command *c,
		 const char *bytes, size_t n, struct sim_reply *reply)
{
	if (is(c, "MULTI")) {
		client->is_multi = true;
		client->n_queued = client->n_commands = 0;
		sim_reply_text(reply, "+OK\r\n");
	} else if (is(c, "EXEC")) {
		exec(client, reply);
	} else if (client->is_multi) {
		queue(client, bytes, n);
		sim_reply_text(reply, "+QUEUED\r\n");
	} else if (is(c, "WATCH")) {
		watch(client, c);
		sim_reply_text(reply, "+OK\r\n");
	} else if (is(c, "UNWATCH")) {
		unwatch(client);
		sim_reply_text(reply, "+OK\r\n");
	} else if (sim_command_run(client->redis, c, reply)) {
		sim_redis_remember(client->redis, bytes, n);
	}
}

/* ---- redis_conn.h ---- */

int hr_redis_conn_init(struct hr_redis_conn *c, uint32_t timeout_ms)
{
	*c = (struct hr_redis_conn){ .timeout_ms = timeout_ms, .wake_fd = -1 };
	atomic_init(&c->end_mono_us, UINT64_MAX);
	return 0;
}

void hr_redis_conn_fini(struct hr_redis_conn *c)
{
	hr_redis_conn_close(c);
}

void hr_redis_conn_close(struct hr_redis_conn *c)
{
	if (c->context != NULL)
		client_free(client_of(c));
	c->context = NULL;
}

void hr_redis_conn_end(struct hr_redis_conn *c, uint64_t end_mono_us)
{
	atomic_store(&c->end_mono_us, end_mono_us);
}

void hr_redis_conn_sleep(struct hr_redis_conn *c, uint64_t until_mono_us)
{
	/* A run sleeps between two turns of the view, not inside of one. */
	(void)c;
	(void)until_mono_us;
}

int hr_redis_conn_open(struct hr_redis_conn *c, const char *host, uint16_t port,
		       struct hr_err *err)
{
	struct sim_client *client;

	(void)host;
	(void)port;
	hr_redis_conn_close(c);
	if (sim_redis_current == NULL)
		return hr_fail(err, -ECONNREFUSED, "simulated: nobody listens");
	client = calloc(1, sizeof(*client));
	if (client == NULL)
		abort();
	client->redis = sim_redis_current;
	client->next = client->redis->clients;
	client->redis->clients = client;
	client->context.reader = redisReaderCreate();
	c->context = &client->context;
	return 0;
}

static int broken(struct hr_redis_conn *c, struct hr_err *err)
{
	hr_redis_conn_close(c);
	return hr_fail(err, -EPIPE, "simulated: the connection broke");
}

static bool is_cut(struct sim_redis *redis)
{
	bool cuts = redis->cuts_next ||
		    sim_strikes(redis->sim, redis->sim->faults.redis_cut);

	redis->cuts_next = false;
	return cuts;
}

int hr_redis_conn_send(struct hr_redis_conn *c, struct hr_resp *commands,
		       struct hr_err *err)
{
	struct sim_client *client = client_of(c);
	size_t at = commands->n_sent, end;
	struct sim_reply reply = { 0 };
	struct sim_command command;
	bool cuts;

	if (commands->failed || client->is_broken || client->redis == NULL)
		return broken(c, err);
	cuts = is_cut(client->redis);
	end = commands->n;
	if (cuts) /* all may arrive, and no answer */
		end = at + sim_below(&client->redis->sim->random, end - at + 1);
	commands->n_sent = commands->n;
	for (size_t from = at;
	     at < end && sim_command_read(commands->p, end, &at, &command); from = at)
		take(client, &command, commands->p + from, at - from, &reply);
	if (!cuts && reply.n > 0)
		(void)redisReaderFeed(client->context.reader, reply.p, reply.n);
	free(reply.p);
	return cuts ? broken(c, err) : 0;
}

int hr_redis_conn_reply(struct hr_redis_conn *c, redisReply **out, struct hr_err *err)
{
	void *reply = NULL;

	if (c->context == NULL || client_of(c)->is_broken ||
	    redisReaderGetReply(c->context->reader, &reply) != REDIS_OK ||
	    reply == NULL)
		return broken(c, err);
	*out = reply;
	return 0;
}
