/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/redis.h"

#define WAIT_SECONDS 10
#define WINDOW 1000 /* commands of a writer without an answer */
#define WORDS_MAX 1024

struct hr_redis {
	redisContext *link;
	uint32_t n_open;
};

static int broken(const struct hr_redis *redis, struct hr_err *err)
{
	return hr_fail(err, -EIO, "Redis: %s",
		       redis->link->errstr[0] != '\0' ? redis->link->errstr
						      : "the connection broke");
}

static int parse(const char *address, char *host, size_t max, int *port,
		 struct hr_err *err)
{
	const char *colon = strrchr(address, ':');
	char *end;
	long v;

	if (colon == NULL || colon == address || (size_t)(colon - address) >= max)
		goto bad;
	v = strtol(colon + 1, &end, 10);
	if (colon[1] == '\0' || *end != '\0' || v < 1 || v > 65535)
		goto bad;
	memcpy(host, address, (size_t)(colon - address));
	host[colon - address] = '\0';
	*port = (int)v;
	return 0;
bad:
	return hr_fail(err, -EINVAL, "Redis address %s: expected HOST:PORT", address);
}

static int log_in(struct hr_redis *redis, const char *password, struct hr_err *err)
{
	const struct hr_str words[] = {
		HR_STR("AUTH"),
		{ (const uint8_t *)password, (uint32_t)strlen(password) },
	};
	int r = hr_redis_put(redis, words, 2, err);

	return r == 0 ? hr_redis_settle(redis, err) : r;
}

int hr_redis_open(struct hr_redis **out, const char *address, const char *password,
		  struct hr_err *err)
{
	const struct timeval wait = { WAIT_SECONDS, 0 };
	struct hr_redis *redis;
	char host[256];
	int port = 0, r = parse(address, host, sizeof(host), &port, err);

	if (r < 0)
		return r;
	redis = calloc(1, sizeof(*redis));
	if (redis == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a Redis connection");
	redis->link = redisConnectWithTimeout(host, port, wait);
	if (redis->link == NULL || redis->link->err != 0) {
		r = hr_fail(err, -EIO, "Redis at %s: %s", address,
			    redis->link == NULL ? "no memory" : redis->link->errstr);
	} else {
		(void)redisSetTimeout(redis->link, wait);
		if (password != NULL)
			r = log_in(redis, password, err);
	}
	if (r < 0) {
		hr_redis_close(redis);
		return r;
	}
	*out = redis;
	return 0;
}

void hr_redis_close(struct hr_redis *redis)
{
	if (redis == NULL)
		return;
	if (redis->link != NULL)
		redisFree(redis->link);
	free(redis);
}

int hr_redis_add(struct hr_redis *redis, const struct hr_str *words, uint32_t n,
		 struct hr_err *err)
{
	const char *texts[WORDS_MAX];
	size_t bytes[WORDS_MAX];

	if (n > WORDS_MAX)
		return hr_fail(err, -E2BIG, "Redis: a command of %u words", n);
	for (uint32_t i = 0; i < n; i++) {
		texts[i] = (const char *)words[i].p;
		bytes[i] = words[i].n;
	}
	if (redisAppendCommandArgv(redis->link, (int)n, texts, bytes) != REDIS_OK)
		return broken(redis, err);
	redis->n_open++;
	return 0;
}

int hr_redis_any_answer(struct hr_redis *redis, redisReply **out, struct hr_err *err)
{
	void *reply;

	if (redisGetReply(redis->link, &reply) != REDIS_OK)
		return broken(redis, err);
	redis->n_open--;
	*out = reply;
	return 0;
}

int hr_redis_answer(struct hr_redis *redis, redisReply **out, struct hr_err *err)
{
	int r = hr_redis_any_answer(redis, out, err);

	if (r < 0 || (*out)->type != REDIS_REPLY_ERROR)
		return r;
	r = hr_fail(err, -EIO, "Redis: %s", (*out)->str);
	freeReplyObject(*out);
	return r;
}

static int take_answers(struct hr_redis *redis, uint32_t down_to, struct hr_err *err)
{
	int r = 0;

	while (r == 0 && redis->n_open > down_to) {
		redisReply *reply;

		r = hr_redis_answer(redis, &reply, err);
		if (r == 0)
			freeReplyObject(reply);
	}
	return r;
}

int hr_redis_put(struct hr_redis *redis, const struct hr_str *words, uint32_t n,
		 struct hr_err *err)
{
	int r = hr_redis_add(redis, words, n, err);

	if (r == 0 && redis->n_open >= WINDOW)
		r = take_answers(redis, WINDOW / 2, err);
	return r;
}

int hr_redis_settle(struct hr_redis *redis, struct hr_err *err)
{
	return take_answers(redis, 0, err);
}
