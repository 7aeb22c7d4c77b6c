/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A record that should not be there, for test_gen: what stands on standard input, into
 * one partition, as no publisher of ours would do it.
 *
 *     kafka_append BOOTSTRAP TOPIC PARTITION KEY
 */

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char value[65536], text[256];
	rd_kafka_resp_err_t err;
	rd_kafka_t *kafka;
	size_t n;

	if (argc != 5)
		return 2;
	n = fread(value, 1, sizeof(value), stdin);
	if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], text, sizeof(text)) !=
	    RD_KAFKA_CONF_OK)
		return 1;
	kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (kafka == NULL)
		return 1;
	err = rd_kafka_producev(kafka, RD_KAFKA_V_TOPIC(argv[2]),
				RD_KAFKA_V_PARTITION(atoi(argv[3])),
				RD_KAFKA_V_KEY(argv[4], strlen(argv[4])),
				RD_KAFKA_V_VALUE(value, n), RD_KAFKA_V_END);
	if (err == RD_KAFKA_RESP_ERR_NO_ERROR)
		err = rd_kafka_flush(kafka, 20000);
	rd_kafka_destroy(kafka);
	if (err != RD_KAFKA_RESP_ERR_NO_ERROR)
		fprintf(stderr, "kafka_append: %s\n", rd_kafka_err2str(err));
	return err != RD_KAFKA_RESP_ERR_NO_ERROR;
}
