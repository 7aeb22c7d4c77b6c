/* SPDX-License-Identifier: BSD-3-Clause */

/* Clients of the run's brokers: hr_kafka, and what of the library all of them use. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/coro.h"
#include "tests/sim/kafka_impl.h"

static struct sim_kafka *current;
static void *current_owner;

void sim_kafka_use(struct sim_kafka *kafka, void *owner)
{
	current = kafka;
	current_owner = owner;
}

int hr_kafka_open(struct hr_kafka **out, const struct hr_kafka_conf *conf,
		  struct hr_err *err)
{
	rd_kafka_t *rk = calloc(1, sizeof(*rk));
	struct hr_kafka *k;

	(void)err;
	if (rk == NULL)
		abort();
	k = &rk->kafka;
	k->kafka = current;
	k->owner = current_owner;
	k->on_delivery = conf->on_delivery;
	k->on_close = conf->on_close;
	k->arg = conf->arg;
	for (uint32_t i = 0; i < conf->n_settings; i++) {
		const struct hr_kafka_setting *s = &conf->settings[i];

		if (strcmp(s->name, "transactional.id") == 0)
			(void)snprintf(k->transactional_id, sizeof(k->transactional_id),
				       "%s", s->value);
		if (strcmp(s->name, "isolation.level") == 0)
			k->is_committed_reader =
				strcmp(s->value, "read_committed") == 0;
	}
	k->next = current->clients;
	current->clients = k;
	*out = k;
	return 0;
}

struct hr_kafka *hr_kafka_get(struct hr_kafka *kafka)
{
	return kafka;
}

void sim_kafka_queue_drop(struct hr_kafka *k)
{
	for (uint32_t i = 0; i < k->n_queue; i++) {
		free((void *)(uintptr_t)k->queue[i].key.p);
		free((void *)(uintptr_t)k->queue[i].value.p);
	}
	k->n_queue = 0;
}

void hr_kafka_put(struct hr_kafka *k)
{
	struct hr_kafka **at;

	if (k == NULL)
		return;
	at = &k->kafka->clients;
	while (*at != k)
		at = &(*at)->next;
	*at = k->next;
	sim_kafka_queue_drop(k);
	free(k->queue);
	free(k);
}

void sim_kafka_forget(struct sim_kafka *kafka, void *owner)
{
	struct hr_kafka *k = kafka->clients;

	while (k != NULL) {
		struct hr_kafka *next = k->next;

		if (k->owner == owner)
			hr_kafka_put(k);
		k = next;
	}
}

rd_kafka_t *hr_kafka_handle(const struct hr_kafka *kafka)
{
	return (rd_kafka_t *)(uintptr_t)kafka;
}

uint64_t hr_kafka_errors(const struct hr_kafka *kafka)
{
	(void)kafka;
	return 0;
}

void hr_kafka_last_error(struct hr_kafka *kafka, char *out, size_t max)
{
	(void)snprintf(out, max, "%s", kafka->is_fatal ? "fenced" : "");
}

bool hr_kafka_is_fatal(const struct hr_kafka *kafka)
{
	return kafka->is_fatal;
}

void hr_kafka_topic_name(char out[HR_KAFKA_TOPIC_NAME], const struct hr_config *config,
			 const char *name)
{
	(void)config;
	(void)snprintf(out, HR_KAFKA_TOPIC_NAME, "%s", name);
}

bool hr_kafka_warm(struct hr_kafka *kafka, rd_kafka_topic_t *topic, uint32_t wait_ms,
		   bool *is_gone)
{
	(void)kafka;
	(void)topic;
	(void)wait_ms;
	if (is_gone != NULL)
		*is_gone = false;
	return true;
}

const char *rd_kafka_err2str(rd_kafka_resp_err_t err)
{
	return err == RD_KAFKA_RESP_ERR_NO_ERROR ? "no error" : "simulated trouble";
}

rd_kafka_resp_err_t rd_kafka_last_error(void)
{
	return RD_KAFKA_RESP_ERR__FAIL;
}

rd_kafka_resp_err_t rd_kafka_fatal_error(rd_kafka_t *rk, char *errstr, size_t size)
{
	(void)errstr;
	(void)size;
	return rk->kafka.is_fatal ? RD_KAFKA_RESP_ERR__FENCED
				  : RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_topic_t *rd_kafka_topic_new(rd_kafka_t *rk, const char *topic,
				     rd_kafka_topic_conf_t *conf)
{
	rd_kafka_topic_t *t = calloc(1, sizeof(*t));

	(void)conf;
	if (t == NULL)
		abort();
	t->rk = rk;
	(void)snprintf(t->name, sizeof(t->name), "%s", topic);
	return t;
}

void rd_kafka_topic_destroy(rd_kafka_topic_t *rkt)
{
	free(rkt);
}

const char *rd_kafka_topic_name(const rd_kafka_topic_t *rkt)
{
	return rkt->name;
}

rd_kafka_headers_t *rd_kafka_headers_new(size_t n)
{
	(void)n;
	return (rd_kafka_headers_t *)(uintptr_t)8;
}

void rd_kafka_headers_destroy(rd_kafka_headers_t *headers)
{
	(void)headers;
}

rd_kafka_resp_err_t rd_kafka_header_add(rd_kafka_headers_t *headers, const char *name,
					ssize_t name_size, const void *value,
					ssize_t value_size)
{
	(void)headers;
	(void)name;
	(void)name_size;
	(void)value;
	(void)value_size;
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

int rd_kafka_poll(rd_kafka_t *rk, int timeout_ms)
{
	(void)rk;
	(void)timeout_ms;
	return 0;
}

void sim_kafka_request(struct hr_kafka *k)
{
	sim_coro_sleep(
		sim_delay(&k->kafka->sim->random, 200, k->kafka->faults.request_us));
	if (k->on_close != NULL &&
	    sim_strikes(k->kafka->sim, k->kafka->faults.connection_closed))
		k->on_close(k->arg);
}
