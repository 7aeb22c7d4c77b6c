/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The project's own Kafka client against a broker, for test_servers.
 *
 *   kafka_put_get make   BOOTSTRAP TOPIC COPIES    make a topic of one partition
 *   kafka_put_get put    BOOTSTRAP TOPIC COUNT     COUNT records, one transaction
 *   kafka_put_get fill   BOOTSTRAP TOPIC COUNT     COUNT records of 64 KiB, each in
 *                                                  a transaction; prints how many
 *   kafka_put_get get    BOOTSTRAP TOPIC           prints how many are committed
 *   kafka_put_get exists BOOTSTRAP TOPIC           prints yes or no
 *
 * Exit code 0 when it was done, 1 with a line on stderr when not.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	PATIENCE_MS = 20000,
	FILL_BYTES = 65536
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "kafka_put_get: %s: %s\n", what, why);
	exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) !=
	    RD_KAFKA_CONF_OK)
		die(name, text);
}

static rd_kafka_t *client(rd_kafka_type_t type, const char *bootstrap)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *kafka;
	char text[256];

	set(conf, "bootstrap.servers", bootstrap);
	set(conf, "reconnect.backoff.ms", "20");
	set(conf, "reconnect.backoff.max.ms", "250");
	set(conf, "log_level", "2");
	if (type == RD_KAFKA_PRODUCER) {
		set(conf, "transactional.id", "kafka_put_get");
		set(conf, "transaction.timeout.ms", "10000");
		set(conf, "linger.ms", "0");
	} else {
		set(conf, "group.id", "kafka_put_get");
		set(conf, "enable.auto.commit", "false");
		set(conf, "enable.partition.eof", "true");
		set(conf, "isolation.level", "read_committed");
	}
	kafka = rd_kafka_new(type, conf, text, sizeof(text));
	if (!kafka)
		die("rd_kafka_new", text);
	return kafka;
}

static void must(rd_kafka_error_t *error, const char *what)
{
	if (error)
		die(what, rd_kafka_error_string(error));
}

static void make(const char *bootstrap, const char *name, int copies)
{
	rd_kafka_t *kafka = client(RD_KAFKA_PRODUCER, bootstrap);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka);
	char text[256] = "";
	rd_kafka_NewTopic_t *topic =
		rd_kafka_NewTopic_new(name, 1, copies, text, sizeof(text));
	const rd_kafka_topic_result_t **results;
	rd_kafka_event_t *event;
	size_t n = 0;

	if (!topic)
		die(name, text);
	rd_kafka_CreateTopics(kafka, &topic, 1, NULL, queue);
	event = rd_kafka_queue_poll(queue, PATIENCE_MS);
	if (!event || rd_kafka_event_error(event))
		die(name, event ? rd_kafka_event_error_string(event) : "no answer");
	results = rd_kafka_CreateTopics_result_topics(
		rd_kafka_event_CreateTopics_result(event), &n);
	if (n != 1 || rd_kafka_topic_result_error(results[0]))
		die(name, n ? rd_kafka_topic_result_error_string(results[0]) : "none");
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(topic);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(kafka);
}

static rd_kafka_error_t *put_once(rd_kafka_t *kafka, const char *topic, int count,
				  const char *bytes, size_t size)
{
	rd_kafka_error_t *error = rd_kafka_begin_transaction(kafka);
	rd_kafka_resp_err_t code;

	for (int i = 0; !error && i < count; i++) {
		code = rd_kafka_producev(
			kafka, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
			RD_KAFKA_V_VALUE((void *)(uintptr_t)bytes, size),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
		if (code)
			die("produce", rd_kafka_err2str(code));
	}
	return error ? error : rd_kafka_commit_transaction(kafka, PATIENCE_MS);
}

static void put(const char *bootstrap, const char *topic, int count)
{
	rd_kafka_t *kafka = client(RD_KAFKA_PRODUCER, bootstrap);

	must(rd_kafka_init_transactions(kafka, PATIENCE_MS), "init_transactions");
	must(put_once(kafka, topic, count, "record", 6), "commit");
	rd_kafka_destroy(kafka);
}

/* Until COUNT or until the broker no longer takes any: its disk is full by then. */
static void fill(const char *bootstrap, const char *topic, int count)
{
	rd_kafka_t *kafka = client(RD_KAFKA_PRODUCER, bootstrap);
	char *bytes = calloc(1, FILL_BYTES);
	int done = 0;

	must(rd_kafka_init_transactions(kafka, PATIENCE_MS), "init_transactions");
	while (done < count && !put_once(kafka, topic, 1, bytes, FILL_BYTES))
		done++;
	printf("%d\n", done);
	fflush(stdout);
	_Exit(0); /* A graceful end would wait for a broker that is gone. */
}

static void get(const char *bootstrap, const char *topic)
{
	rd_kafka_t *kafka = client(RD_KAFKA_CONSUMER, bootstrap);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_message_t *message;
	rd_kafka_resp_err_t code;
	int seen = 0, end = 0;

	rd_kafka_poll_set_consumer(kafka);
	rd_kafka_topic_partition_list_add(list, topic, 0)->offset =
		RD_KAFKA_OFFSET_BEGINNING;
	code = rd_kafka_assign(kafka, list);
	if (code)
		die("assign", rd_kafka_err2str(code));
	while (!end) {
		message = rd_kafka_consumer_poll(kafka, PATIENCE_MS);
		if (!message)
			die("consume", "no end of the partition in 20 s");
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			end = 1;
		else if (!message->err)
			seen++;
		rd_kafka_message_destroy(message);
	}
	printf("%d\n", seen);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_destroy(kafka);
}

static void exists(const char *bootstrap, const char *name)
{
	rd_kafka_t *kafka = client(RD_KAFKA_PRODUCER, bootstrap);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka, name, NULL);
	const struct rd_kafka_metadata *found;
	rd_kafka_resp_err_t code =
		rd_kafka_metadata(kafka, 0, topic, &found, PATIENCE_MS);

	if (code)
		die("metadata", rd_kafka_err2str(code));
	puts(found->topic_cnt == 1 && !found->topics[0].err ? "yes" : "no");
	rd_kafka_metadata_destroy(found);
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(kafka);
}

int main(int argc, char **argv)
{
	int number = argc > 4 ? atoi(argv[4]) : 1;

	if (argc < 4)
		die("usage", "COMMAND BOOTSTRAP TOPIC [NUMBER]");
	else if (!strcmp(argv[1], "make"))
		make(argv[2], argv[3], number);
	else if (!strcmp(argv[1], "put"))
		put(argv[2], argv[3], number);
	else if (!strcmp(argv[1], "fill"))
		fill(argv[2], argv[3], number);
	else if (!strcmp(argv[1], "get"))
		get(argv[2], argv[3]);
	else if (!strcmp(argv[1], "exists"))
		exists(argv[2], argv[3]);
	else
		die(argv[1], "unknown command");
	return 0;
}
