/* SPDX-License-Identifier: BSD-3-Clause */

/* Argument 1: config/headrace.yaml as committed. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config_impl.h"
#include "tests/unit/hr_test.h"

static const char *committed;
static struct hr_config config;

/* What was told, one sentence a line. */
static char told[32768];

static void tell(void *ctx, const char *sentence)
{
	size_t n = strlen(told);

	(void)ctx;
	(void)snprintf(told + n, sizeof(told) - n, "%s\n", sentence);
}

static uint32_t check(const char *text)
{
	told[0] = '\0';
	return hr_config_check_text(&config, "/tmp/t.yaml", text, tell, NULL);
}

/* The least file that is right; tests add to it. */
#define LEAST                                                                          \
	"listen: {insecure: true}\n"                                                   \
	"ports: [{device: \"pcap:/tmp/x.pcap\"}]\n"

static void the_least_file_is_right_and_gives_the_defaults(void)
{
	static struct hr_config defaults;

	hr_config_defaults(&defaults);
	CU_ASSERT_EQUAL(check(LEAST), 0);
	CU_ASSERT_STRING_EQUAL(told, "");
	CU_ASSERT_EQUAL(config.n_ports, 1);
	CU_ASSERT_TRUE(config.insecure);
	config.insecure = false;
	config.n_ports = 0;
	memset(config.ports, 0, sizeof(config.ports));
	memset(config.path, 0, sizeof(config.path));
	CU_ASSERT_EQUAL(memcmp(&config, &defaults, sizeof(config)), 0);
}

static void defaults_are_the_documented_ones(void)
{
	struct hr_config *c = &config;

	hr_config_defaults(c);
	CU_ASSERT_STRING_EQUAL(c->run_dir, "/run/headrace");
	CU_ASSERT_EQUAL(c->log_level, HR_LOG_INFO);
	CU_ASSERT_EQUAL(c->n_shards, 5);
	CU_ASSERT_EQUAL(c->generation, 1);
	CU_ASSERT_EQUAL(c->n_udp_ports, 1);
	CU_ASSERT_EQUAL(c->udp_ports[0], 7400);
	CU_ASSERT_FALSE(c->insecure);
	CU_ASSERT_EQUAL(c->n_workers, 1);
	CU_ASSERT_FALSE(c->poll_busy);
	CU_ASSERT_TRUE(c->huge_pages);
	CU_ASSERT_EQUAL(c->epoch_budget_bytes, 128u << 20);
	CU_ASSERT_EQUAL(c->epoch_min_interval_us, 2000);
	CU_ASSERT_EQUAL(c->epoch_max_interval_us, 20000);
	CU_ASSERT_EQUAL(c->epoch_max_events, 65536);
	CU_ASSERT_EQUAL(c->stream_max, 65536);
	CU_ASSERT_EQUAL(c->stream_max_age_us, 3600000000u);
	CU_ASSERT_EQUAL(c->log_kind, HR_LOG_KIND_KAFKA);
	CU_ASSERT_STRING_EQUAL(c->log_folder, "/var/lib/headrace/log");
	CU_ASSERT_EQUAL(c->log_segment_bytes, 256u << 20);
	CU_ASSERT_EQUAL(c->log_keep_memory_bytes, 128u << 20);
	CU_ASSERT_TRUE(c->topics_enabled);
	CU_ASSERT_EQUAL(c->topics_encoding, HR_ENCODING_JSON);
	CU_ASSERT_STRING_EQUAL(c->topics_compression, "snappy");
	CU_ASSERT_EQUAL(c->topics_interval_us, 20000);
	CU_ASSERT_EQUAL(c->topics_batch_bytes, 8u << 20);
	CU_ASSERT_EQUAL(c->user_events_partitions, 100);
	CU_ASSERT_EQUAL(c->product_views_partitions, 50);
	CU_ASSERT_EQUAL(c->purchases_partitions, 50);
	CU_ASSERT_EQUAL(c->dead_letters_partitions, 25);
	CU_ASSERT_TRUE(c->redis_enabled);
	CU_ASSERT_EQUAL(c->redis_port, 6379);
	CU_ASSERT_EQUAL(c->redis_tick_us, 5000);
	CU_ASSERT_EQUAL(c->redis_tick_bytes, 1u << 20);
	CU_ASSERT_EQUAL(c->recent_views_max, 100);
	CU_ASSERT_EQUAL(c->recommendations_max, 1000);
	CU_ASSERT_EQUAL(c->similar_cache_entries, 65536);
	CU_ASSERT_EQUAL(c->similar_cache_ms, 1000);
	CU_ASSERT_STRING_EQUAL(c->metrics_listen, "127.0.0.1:9464");
	CU_ASSERT_EQUAL(c->restart_delay_ms, 1000);
	CU_ASSERT_EQUAL(c->stop_drain_ms, 10000);
}

static void every_value_lands_in_its_member(void)
{
	CU_ASSERT_EQUAL(
		check("appliance: {name: a1, run_dir: run, log_level: debug}\n"
		      "data_set: {shards: 25}\n"
		      "listen: {udp_ports: [7400-7403, 9000], keys_file: k/keys}\n"
		      "ports:\n"
		      "  - {device: 'af_xdp:veth-a', rx_descriptors: 4096, queues: 2,"
		      " xdp_program: /x.o}\n"
		      "  - {device: 'memif:server:m.sock', memif_id: 3}\n"
		      "  - {device: 'memif:client:/m.sock', memif_id: 4}\n"
		      "  - {device: '0000:3b:00.1'}\n"
		      "dataplane: {main_cpus: [0, 2], worker_cpus: [3, 5-6], poll: "
		      "busy,"
		      " huge_pages: false, memory: 1GiB, buffers: 4096, program: "
		      "/bin/x}\n"
		      "epoch: {budget: 1GiB, min_interval: 500us, max_interval: 1s,"
		      " max_events: 1000}\n"
		      "streams: {max: 100, max_age: 90min}\n"
		      "log: {kind: file, folder: l, segment: 1MiB, keep_memory: 3MiB}\n"
		      "kafka: {brokers: 'a:1,[::1]:2', replication: 3, topic_prefix: "
		      "t-,"
		      " properties: {security.protocol: ssl, ssl.ca.location: '/a "
		      "b'}}\n"
		      "topics: {enabled: false, encoding: none, compression: zstd,"
		      " interval: 1s, batch: 64KiB, partitions: {user_events: 200}}\n"
		      "redis: {enabled: false, host: r, port: 1, password_file: p,"
		      " tick: 1ms, tick_bytes: 4KiB, recent_views: 7, recommendations: "
		      "16,"
		      " similar_cache: 99, similar_cache_time: 2min}\n"
		      "control: {metrics_listen: '[::1]:0', restart_delay: 10ms,"
		      " stop_drain: 0ms}\n"),
		0);
	CU_ASSERT_STRING_EQUAL(told, "");
	CU_ASSERT_STRING_EQUAL(config.name, "a1");
	CU_ASSERT_STRING_EQUAL(config.run_dir, "/tmp/run");
	CU_ASSERT_EQUAL(config.log_level, HR_LOG_DEBUG);
	CU_ASSERT_EQUAL(config.n_shards, 25);
	CU_ASSERT_EQUAL(config.n_udp_ports, 5);
	CU_ASSERT_EQUAL(config.udp_ports[0], 7400);
	CU_ASSERT_EQUAL(config.udp_ports[3], 7403);
	CU_ASSERT_EQUAL(config.udp_ports[4], 9000);
	CU_ASSERT_STRING_EQUAL(config.keys_file, "/tmp/k/keys");
	CU_ASSERT_EQUAL(config.n_ports, 4);
	CU_ASSERT_EQUAL(config.ports[0].kind, HR_PORT_AF_XDP);
	CU_ASSERT_STRING_EQUAL(config.ports[0].target, "veth-a");
	CU_ASSERT_STRING_EQUAL(config.ports[0].device, "af_xdp:veth-a");
	CU_ASSERT_STRING_EQUAL(config.ports[0].xdp_program, "/x.o");
	CU_ASSERT_EQUAL(config.ports[0].n_queues, 2);
	CU_ASSERT_EQUAL(config.ports[0].rx_descriptors, 4096);
	CU_ASSERT_EQUAL(config.ports[1].kind, HR_PORT_MEMIF);
	CU_ASSERT_TRUE(config.ports[1].memif_is_server);
	CU_ASSERT_EQUAL(config.ports[1].memif_id, 3);
	CU_ASSERT_STRING_EQUAL(config.ports[1].target, "/tmp/m.sock");
	CU_ASSERT_EQUAL(config.ports[1].n_queues, 1);
	CU_ASSERT_FALSE(config.ports[2].memif_is_server);
	CU_ASSERT_STRING_EQUAL(config.ports[2].target, "/m.sock");
	CU_ASSERT_EQUAL(config.ports[3].kind, HR_PORT_PCI);
	CU_ASSERT_STRING_EQUAL(config.ports[3].target, "0000:3b:00.1");
	CU_ASSERT_EQUAL(config.n_main_cpus, 2);
	CU_ASSERT_EQUAL(config.main_cpus[1], 2);
	CU_ASSERT_EQUAL(config.n_workers, 3);
	CU_ASSERT_EQUAL(config.worker_cpus[2], 6);
	CU_ASSERT_TRUE(config.poll_busy);
	CU_ASSERT_FALSE(config.huge_pages);
	CU_ASSERT_EQUAL(config.memory_mb, 1024);
	CU_ASSERT_EQUAL(config.n_mbufs, 4096);
	CU_ASSERT_EQUAL(config.epoch_budget_bytes, 1u << 30);
	CU_ASSERT_EQUAL(config.epoch_min_interval_us, 500);
	CU_ASSERT_EQUAL(config.epoch_max_interval_us, 1000000);
	CU_ASSERT_EQUAL(config.stream_max_age_us, 5400000000u);
	CU_ASSERT_EQUAL(config.log_kind, HR_LOG_KIND_FILE);
	CU_ASSERT_STRING_EQUAL(config.log_folder, "/tmp/l");
	CU_ASSERT_EQUAL(config.log_segment_bytes, 1u << 20);
	CU_ASSERT_STRING_EQUAL(config.kafka_brokers, "a:1,[::1]:2");
	CU_ASSERT_STRING_EQUAL(config.kafka_properties,
			       "security.protocol=ssl\nssl.ca.location=/a b\n");
	CU_ASSERT_EQUAL(config.kafka_replication, 3);
	CU_ASSERT_STRING_EQUAL(config.topic_prefix, "t-");
	CU_ASSERT_FALSE(config.topics_enabled);
	CU_ASSERT_EQUAL(config.topics_encoding, HR_ENCODING_NONE);
	CU_ASSERT_STRING_EQUAL(config.topics_compression, "zstd");
	CU_ASSERT_EQUAL(config.topics_batch_bytes, 65536);
	CU_ASSERT_EQUAL(config.user_events_partitions, 200);
	CU_ASSERT_FALSE(config.redis_enabled);
	CU_ASSERT_STRING_EQUAL(config.redis_password_file, "/tmp/p");
	CU_ASSERT_EQUAL(config.similar_cache_ms, 120000);
	CU_ASSERT_STRING_EQUAL(config.metrics_listen, "[::1]:0");
	CU_ASSERT_EQUAL(config.stop_drain_ms, 0);
}

static void replays_take_a_pace(void)
{
	CU_ASSERT_EQUAL(check("listen: {insecure: true}\n"
			      "ports:\n- {device: 'pcap:a', pace: fast}\n"
			      "- device: pcap:/b\n"),
			0);
	CU_ASSERT_TRUE(config.ports[0].pcap_as_fast_as_it_goes);
	CU_ASSERT_FALSE(config.ports[1].pcap_as_fast_as_it_goes);
	CU_ASSERT_STRING_EQUAL(config.ports[0].target, "/tmp/a");
	CU_ASSERT_STRING_EQUAL(config.ports[1].target, "/b");
}

static void a_section_with_nothing_in_it_means_its_defaults(void)
{
	CU_ASSERT_EQUAL(
		check(LEAST "epoch:\nlog: {}\nredis: ~\ntopics:\n  partitions:\n"), 0);
	CU_ASSERT_EQUAL(config.epoch_min_interval_us, 2000);
}

/* A wrong file and what is told: exactly this one problem, at this place. */
static const struct {
	const char *text;
	const char *at; /* "line:column: option: " */
	const char *found, *expected, *mend;
} wrong[] = {
	/* keys */
	{ "epoch: {budgte: 1GiB}", "3:9: epoch.budgte: ", "an unknown option", "budget",
	  "write budget" },
	{ "budget: 1GiB", "3:1: budget: ", "an unknown option", "epoch.budget",
	  "move it there" },
	{ "colour: red", "3:1: colour: ", "an unknown option", "one of appliance", "" },
	{ "epoch: {\n  colour: red}", "4:3: epoch.colour: ", "an unknown option",
	  "one of budget, min_interval, max_interval, max_events", "" },
	{ "topics: {partitions: {late: 1}}", "3:23: topics.partitions.late: ",
	  "an unknown option", "one of user_events", "" },
	{ "epoch:\n  budget: 1GiB\n  budget: 2GiB",
	  "5:3: epoch.budget: ", "it a second time", "once", "the first is in line 4" },
	{ "listen: {}", "3:1: listen: ", "it a second time", "once", "line 1" },
	{ "? [a, b]\n: 1", "3:4: ", "a key that is no text", "", "" },
	{ "log: 7", "3:6: log: ", "7", "options, one a line", "indent" },
	{ "log: [1]", "3:7: log: ", "a list", "options", "" },
	/* types */
	{ "data_set: {shards: five}", "3:20: data_set.shards: ", "five", "whole number",
	  "" },
	{ "data_set: {shards: \"5\"}", "3:20: data_set.shards: ", "the text \"5\"",
	  "whole number", "take the quotes off" },
	{ "data_set: {shards: 5.0}", "3:20: data_set.shards: ", "5.0", "whole number",
	  "" },
	{ "data_set: {shards: -5}", "3:20: data_set.shards: ", "-5", "from 1 to 100",
	  "" },
	{ "data_set: {shards: 05}", "3:20: data_set.shards: ", "05", "whole number",
	  "" },
	{ "data_set: {shards: 5 shards}", "3:20: data_set.shards: ", "5 shards",
	  "(shards)", "" },
	{ "data_set: {shards: [5]}", "3:21: data_set.shards: ", "a list",
	  "whole number", "" },
	{ "data_set: {shards: {a: 5}}", "3:21: data_set.shards: ", "a mapping",
	  "whole number", "" },
	{ "data_set: {shards: }", "3:12: data_set.shards: ", "nothing", "whole number",
	  "take the line out" },
	{ "data_set: {shards: 99999999999999999999999}",
	  "3:20: data_set.shards: ", "99999999999999999999999", "from 1 to 100", "" },
	{ "redis: {enabled: yes}", "3:18: redis.enabled: ", "yes", "true or false",
	  "" },
	{ "redis: {enabled: 1}", "3:18: redis.enabled: ", "1", "true or false", "" },
	{ "redis: {host: }", "3:9: redis.host: ", "nothing", "a text", "" },
	{ "redis: {host: \"\"}", "3:15: redis.host: ", "the text \"\"", "a text of 1",
	  "0 bytes" },
	{ "redis: {host: [a]}", "3:16: redis.host: ", "a list", "a text", "" },
	{ "appliance: {log_level: loud}", "3:24: appliance.log_level: ", "loud",
	  "error or warn or info or debug", "" },
	{ "topics: {encoding: protobuf}", "3:20: topics.encoding: ", "protobuf",
	  "json or none", "" },
	{ "topics: {compression: gzip}", "3:23: topics.compression: ", "gzip", "snappy",
	  "" },
	{ "dataplane: {worker_cpus: 1}", "3:26: dataplane.worker_cpus: ", "1", "a list",
	  "put it into [ ]" },
	{ "dataplane: {worker_cpus: [a]}", "3:27: dataplane.worker_cpus: ", "a",
	  "a list", "" },
	{ "dataplane: {worker_cpus: [1-]}", "3:27: dataplane.worker_cpus: ", "1-",
	  "a list", "" },
	{ "dataplane: {worker_cpus: [3-2]}", "3:27: dataplane.worker_cpus: ", "3-2",
	  "a list", "backwards" },
	{ "dataplane: {worker_cpus: [0-16]}", "3:27: dataplane.worker_cpus: ", "0-16",
	  "up to 16", "full" },
	{ "dataplane: {worker_cpus: [1, \"2\"]}",
	  "3:30: dataplane.worker_cpus: ", "the text \"2\"", "a list", "" },
	{ "kafka: {properties: [a]}", "3:22: kafka.properties: ", "a list", "a mapping",
	  "" },
	{ "kafka: {properties: {a: [b]}}", "3:22: kafka.properties: ", "a list",
	  "name: value", "" },
	{ "kafka: {properties: {acks: 1}}", "3:22: kafka.properties.acks: ",
	  "a property that is not taken", "", "set by Headrace itself" },
	{ "kafka: {brokers: localhost}", "3:18: kafka.brokers: ", "localhost",
	  "host:port", "\"localhost\" is not host:port" },
	{ "kafka: {brokers: 'a:1,b'}", "3:18: kafka.brokers: ", "a:1,b", "host:port",
	  "\"b\"" },
	{ "kafka: {brokers: 'a:70000'}", "3:18: kafka.brokers: ", "a:70000",
	  "host:port", "" },
	{ "control: {metrics_listen: 9464}", "3:27: control.metrics_listen: ", "9464",
	  "address:port", "" },
	{ "control: {metrics_listen: '::1:9464'}",
	  "3:27: control.metrics_listen: ", "::1:9464", "[::1]:9464", "" },
	{ "log: {keep_memory: !!str 1GiB}", "3:26: log.keep_memory: ", "a tag",
	  "a plain value", "" },
	{ "log: {keep_memory: &a 1GiB}", "3:23: log.keep_memory: ", "an anchor",
	  "a plain value", "" },
	/* units */
	{ "epoch: {min_interval: 2}", "3:23: epoch.min_interval: ", "2",
	  "a duration from 100us to 1s, such as 2ms", "put the unit behind" },
	{ "epoch: {min_interval: 2 ms}", "3:23: epoch.min_interval: ", "2 ms",
	  "a duration", "\" ms\" is not one of the units" },
	{ "epoch: {min_interval: 2msec}", "3:23: epoch.min_interval: ", "2msec",
	  "a duration", "\"msec\" is not one of the units us, ms, s, min, h" },
	{ "epoch: {min_interval: 2MiB}", "3:23: epoch.min_interval: ", "2MiB",
	  "a duration", "\"MiB\" is not one" },
	{ "epoch: {min_interval: 1.5ms}", "3:23: epoch.min_interval: ", "1.5ms",
	  "a duration", "" },
	{ "epoch: {min_interval: 2s}", "3:23: epoch.min_interval: ", "2s", "to 1s",
	  "" },
	{ "epoch: {min_interval: 18446744073709551615h}",
	  "3:23: epoch.min_interval: ", "18446744073709551615h", "to 1s", "" },
	{ "control: {stop_drain: 1500us}", "3:23: control.stop_drain: ", "1500us",
	  "a duration", "whole number of ms" },
	{ "epoch: {budget: 128MB}", "3:17: epoch.budget: ", "128MB",
	  "a size from 3600000B to 64GiB, such as 128MiB",
	  "\"MB\" is not one of the units B, KiB, MiB, GiB" },
	{ "epoch: {budget: 134217728}", "3:17: epoch.budget: ", "134217728", "a size",
	  "put the unit" },
	{ "epoch: {budget: 100ms}", "3:17: epoch.budget: ", "100ms", "a size",
	  "\"ms\" is not one" },
	{ "epoch: {budget: 65GiB}", "3:17: epoch.budget: ", "65GiB", "to 64GiB", "" },
	{ "dataplane: {memory: 100000KiB}", "3:21: dataplane.memory: ", "100000KiB",
	  "a size", "whole number of MiB" },
	/* rules */
	{ "data_set: {shards: 20}", "3:20: topics.partitions.product_views: ",
	  "50 partitions with data_set.shards 20", "a multiple of 20", NULL },
	{ "topics: {partitions: {purchases: 52}}",
	  "3:34: topics.partitions.purchases: ", "52 partitions with data_set.shards 5",
	  "a multiple of 5", "write 50 partitions" },
	{ "epoch: {budget: 10MiB}", "3:17: epoch.budget: ",
	  "10485760 bytes with data_set.shards 5", "at least 18000000", "write 18MiB" },
	{ "epoch: {min_interval: 30ms}", "3:23: epoch.min_interval: ", "30000us",
	  "no more than epoch.max_interval, which is 20000us", "" },
	{ "log: {kind: file}\ntopics: {enabled: true}", "4:19: topics.enabled: ",
	  "true with log.kind file", "brokers to write the topics to",
	  "write kafka.brokers, or topics.enabled: false" },
	{ "log: {segment: 512KiB}", "3:16: log.segment: ", "512KiB", "from 1MiB to",
	  "" },
	{ "log: {kind: files}", "3:13: log.kind: ", "files", "kafka or file", "" },
	{ "epoch: {max_interval: 1ms}", "3:23: epoch.min_interval: ", "2000us",
	  "no more than", "" },
	{ "dataplane: {worker_cpus: [1, 2, 1]}", "3:33: dataplane.worker_cpus: ", "1",
	  "a list", "cpu 1 stands in the list already" },
	{ "dataplane: {worker_cpus: []}", "3:13: dataplane.worker_cpus: ", "no CPU",
	  "at least one", "" },
	{ "appliance: {run_dir: "
	  "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}",
	  "3:22: appliance.run_dir: ", "/aaaa", "a path of 1 to 80 bytes", "bytes" },
};

static void every_wrong_file_is_told_at_its_place_with_the_mend(void)
{
	for (size_t i = 0; i < HR_COUNT(wrong); i++) {
		char text[1024], at[128];
		uint32_t n;

		(void)snprintf(text, sizeof(text), LEAST "%s\n", wrong[i].text);
		(void)snprintf(at, sizeof(at), "/tmp/t.yaml:%s", wrong[i].at);
		n = check(text);
		/* A mend of NULL: several problems, this the first. */
		if ((wrong[i].mend != NULL ? n != 1 : n < 2) ||
		    strncmp(told, at, strlen(at)) != 0 ||
		    strstr(told, wrong[i].found) == NULL ||
		    strstr(told, wrong[i].expected) == NULL ||
		    strstr(told, "found ") == NULL ||
		    (wrong[i].mend != NULL && strstr(told, wrong[i].mend) == NULL)) {
			fprintf(stderr, "\nfor %s\nwanted %s%s, %s, %s\ntold %s",
				wrong[i].text, at, wrong[i].found, wrong[i].expected,
				wrong[i].mend, told);
			CU_FAIL("told something else");
		}
	}
}

static void a_log_on_files_needs_no_kafka(void)
{
	CU_ASSERT_EQUAL(check(LEAST "log: {kind: file}\n"), 0);
	CU_ASSERT_FALSE(config.topics_enabled);
	CU_ASSERT_EQUAL(check(LEAST "log: {kind: file}\ntopics: {enabled: false}\n"),
			0);
	CU_ASSERT_FALSE(config.topics_enabled);
	CU_ASSERT_EQUAL(check(LEAST "log: {kind: file}\nkafka: {brokers: 'a:1'}\n"), 0);
	CU_ASSERT_TRUE(config.topics_enabled);
	CU_ASSERT_EQUAL(check(LEAST "log: {kind: kafka}\n"), 0);
	CU_ASSERT_TRUE(config.topics_enabled);
}

/* The same for whole files. */
static const struct {
	const char *text;
	const char *told;
} wrong_files[] = {
	{ "ports: [{device: pcap:x}]",
	  "1:1: listen.keys_file: found nothing, expected the file of write keys" },
	{ "log: {}\nlisten: {insecure: false}\nports: [{device: pcap:x}]",
	  "2:20: listen.keys_file: found nothing" },
	{ "listen: {insecure: true}",
	  "1:1: ports: found no port, expected at least one" },
	{ "listen: {insecure: true}\nports: []", "2:1: ports: found no port" },
	{ "listen: {insecure: true}\nports: 3",
	  "2:8: ports: found 3, expected a list" },
	{ "listen: {insecure: true}\nports: [7]",
	  "2:9: ports: found 7, expected an item" },
	{ "listen: {insecure: true, tcp_ports: [80]}\nports: [{device: pcap:x}]",
	  "1:38: listen.tcp_ports: found 80, expected the empty list []; beacons over "
	  "TCP "
	  "come with a later version" },
	{ "listen: {insecure: true, handshake: on}\nports: [{device: pcap:x}]",
	  "2:18: ports[0].device: found pcap:x with listen.handshake on, expected it "
	  "off: a replay cannot be answered" },
	{ "listen: {keys_file: k, handshake: on}\nports: [{device: memif:client:/x}]",
	  "1:35: listen.cluster_secret_file: found nothing with listen.handshake on" },
	{ "listen: {insecure: true, udp_ports: []}\nports: [{device: pcap:x}]",
	  "1:26: listen.udp_ports: found no port" },
	{ "listen: {insecure: true, udp_ports: [0]}\nports: [{device: pcap:x}]",
	  "1:38: listen.udp_ports: found 0, expected a list" },
	{ "listen: {insecure: true, udp_ports: [65536]}\nports: [{device: pcap:x}]",
	  "1:38: listen.udp_ports: found 65536" },
	{ "listen: {insecure: true, udp_ports: [1-200]}\nports: [{device: pcap:x}]",
	  "1:38: listen.udp_ports: found 1-200, expected a list of up to 128" },
	{ "- 1", "1:3: the file: found a list, expected sections" },
	{ "a: b\n  c: [", ":4: found what is no YAML" },
	{ "log: {", "found what is no YAML" },
	{ "a: b\n%\x99", ":2:2: found the byte 0x99" },
	{ LEAST "---\nlog: {}", "found a second document behind ---" },
};

static void every_wrong_whole_file_is_told(void)
{
	for (size_t i = 0; i < HR_COUNT(wrong_files); i++) {
		uint32_t n = check(wrong_files[i].text);

		if (n == 0 || strstr(told, wrong_files[i].told) == NULL) {
			fprintf(stderr, "\nfor %s\nwanted %s\ntold %s",
				wrong_files[i].text, wrong_files[i].told, told);
			CU_FAIL("told something else");
		}
	}
}

/* One port and what is told of it. */
static const struct {
	const char *ports;
	const char *told;
} wrong_ports[] = {
	{ "{queues: 2}", "2:10: ports[0].device: found nothing, expected the port's" },
	{ "{device: eth0}", "ports[0].device: found eth0, expected a PCI address" },
	{ "{device: '03:00.0'}", "ports[0].device: found the text \"03:00.0\"" },
	{ "{device: '0000:03:00.0.1'}", "expected a PCI address" },
	{ "{device: '0000:03:0g.0'}", "expected a PCI address" },
	{ "{device: 'af_xdp:'}", "the name of an interface" },
	{ "{device: 'af_xdp:abcdefghijklmnop'}", "1 to 15 bytes" },
	{ "{device: 'af_xdp:a/b'}", "the name of an interface" },
	{ "{device: 'pcap:'}", "no path behind the colon" },
	{ "{device: 'memif:server:'}", "no path behind the colon" },
	{ "{device: 'memif:/m'}", "expected a PCI address" },
	{ "{device: 'pcap:/a,b'}", "no commas" },
	{ "{device: 'af_xdp:e', rx_descriptors: 1024}",
	  "found 1024 on an af_xdp port, expected at least 2048" },
	{ "{device: 'pcap:x', queues: 2}", "found 2 on a pcap, expected 1" },
	{ "{device: 'pcap:x', memif_id: 2}", "expected on a memif port only" },
	{ "{device: 'af_xdp:e', pace: fast}", "expected on a pcap port only" },
	{ "{device: 'pcap:x', xdp_program: /x}", "expected on an af_xdp port only" },
	{ "{device: 'af_xdp:e', tempo: 1}", "ports[0].tempo: found an unknown option" },
	{ "{device: 'af_xdp:e'}, {device: 'af_xdp:e'}",
	  "ports[1].device: found af_xdp:e, which is ports[0] already" },
	{ "{device: 'memif:server:/m'}, {device: 'memif:client:/m'}",
	  "give one another memif_id" },
	{ "{device: 'pcap:x'}, {device: 'af_xdp:e'}",
	  "ports[0].device: found the replay pcap:x beside live ports" },
	{ "{device: 'af_xdp:a', pace: slow}", "expected file or fast" },
	{ "{device: pcap:1}, {device: pcap:2}, {device: pcap:3}, {device: pcap:4},"
	  "{device: pcap:5}, {device: pcap:6}, {device: pcap:7}, {device: pcap:8},"
	  "{device: pcap:9}",
	  "ports: found more than 8 items" },
};

static void every_wrong_port_is_told(void)
{
	for (size_t i = 0; i < HR_COUNT(wrong_ports); i++) {
		char text[1024];

		(void)snprintf(text, sizeof(text),
			       "listen: {insecure: true}\nports: [%s]\n",
			       wrong_ports[i].ports);
		if (check(text) == 0 || strstr(told, wrong_ports[i].told) == NULL ||
		    strncmp(told, "/tmp/t.yaml:2:", 14) != 0) {
			fprintf(stderr, "\nfor %s\nwanted %s\ntold %s",
				wrong_ports[i].ports, wrong_ports[i].told, told);
			CU_FAIL("told something else");
		}
	}
}

static void all_problems_are_told_at_once_in_the_order_of_the_file(void)
{
	int last = 0, n = 0;

	CU_ASSERT_EQUAL(check("epoch: {budget: 5}\n"
			      "log: {keep: 5}\n"
			      "data_set: {shards: 0}\n"
			      "redis: {tick: 1h}\n"
			      "colour: 1\n"
			      "listen: {insecure: true}\n"
			      "ports: [{device: pcap:x, queues: 3}]\n"),
			6);
	for (char *line = strtok(told, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		int at = atoi(line + strlen("/tmp/t.yaml:"));

		CU_ASSERT_TRUE(at > last);
		last = at;
		n++;
	}
	CU_ASSERT_EQUAL(n, 6);
}

static void a_file_is_read_and_its_first_problem_is_the_error(void)
{
	char path[] = "/tmp/hr_config_XXXXXX";
	struct hr_err err = { "old" };
	int fd = mkstemp(path);

	CU_ASSERT_EQUAL(dprintf(fd, LEAST "epoch: {budget: 5}\nlog: 5\n") > 0, 1);
	CU_ASSERT_EQUAL(hr_config_read(&config, path, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ":3:17: epoch.budget: found 5"));
	CU_ASSERT_EQUAL(ftruncate(fd, (off_t)strlen(LEAST)), 0);
	CU_ASSERT_EQUAL(hr_config_read(&config, path, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
	CU_ASSERT_STRING_EQUAL(config.path, path);
	CU_ASSERT_EQUAL(pwrite(fd, "\0", 1, 3), 1);
	CU_ASSERT_EQUAL(hr_config_read(&config, path, &err), -EINVAL);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "NUL byte"));
	close(fd);
	unlink(path);
	CU_ASSERT_EQUAL(hr_config_read(&config, path, &err), -ENOENT);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "--config"));
	CU_ASSERT_EQUAL(hr_config_read(&config, "/tmp", &err), -EISDIR);
}

/* Whole, and cut at every byte: never a crash, and cut off never silence unless the
 * rest was a comment or whole lines. */
static void a_file_cut_anywhere_harms_nothing(void)
{
	char *whole = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&whole, &n);

	CU_ASSERT_EQUAL_FATAL(hr_config_write_defaults(f), 0);
	fclose(f);
	CU_ASSERT_EQUAL(check(whole), 0);
	for (size_t cut = 0; cut < n; cut += 7) {
		char *part = strndup(whole, cut);

		(void)check(part);
		free(part);
	}
	free(whole);
}

static void what_is_written_reads_back_the_same(void)
{
	static struct hr_config first;
	char *text = NULL;
	size_t n = 0;
	FILE *f;

	every_value_lands_in_its_member();
	first = config;
	f = open_memstream(&text, &n);
	CU_ASSERT_EQUAL_FATAL(hr_config_write(&first, f), 0);
	fclose(f);
	CU_ASSERT_EQUAL(check(text), 0);
	CU_ASSERT_STRING_EQUAL(told, "");
	CU_ASSERT_EQUAL(memcmp(&config, &first, sizeof(config)), 0);
	free(text);
}

static void the_committed_file_is_the_schema(void)
{
	char *want = NULL, have[65536];
	size_t n = 0;
	FILE *f = open_memstream(&want, &n);

	CU_ASSERT_EQUAL_FATAL(hr_config_write_defaults(f), 0);
	fclose(f);
	f = fopen(committed, "r");
	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	have[fread(have, 1, sizeof(have) - 1, f)] = '\0';
	fclose(f);
	if (strcmp(have, want) != 0)
		fprintf(stderr, "%s: run test_config --write FILE\n", committed);
	CU_ASSERT_EQUAL(strcmp(have, want), 0);
	free(want);
}

/* For whoever changed the schema: test_config --write config/headrace.yaml */
static int write_committed(const char *path)
{
	FILE *f = fopen(path, "w");
	int r;

	if (f == NULL)
		return 1;
	r = hr_config_write_defaults(f);
	return fclose(f) != 0 || r < 0;
}

/* A default outside its own bounds would abort hr_config_defaults(); bounds outside
 * the member would wrap silently. */
static void bounds_fit_into_members(void)
{
	for (uint32_t i = 0; i < hr_n_options; i++) {
		const struct hr_option *o = &hr_options[i];
		size_t bytes = o->item_bytes != 0 ? o->item_bytes : o->bytes;

		if (o->type == HR_OPT_TEXT || o->type == HR_OPT_PATH ||
		    o->type == HR_OPT_BROKERS || o->type == HR_OPT_LISTEN)
			CU_ASSERT_TRUE(o->max < o->bytes);
		if ((o->type == HR_OPT_NUMBER || o->type == HR_OPT_SIZE ||
		     o->type == HR_OPT_DURATION || o->type == HR_OPT_LIST) &&
		    bytes > 0 && bytes < 8)
			CU_ASSERT_TRUE(o->max < 1ull << (8 * bytes));
		CU_ASSERT_TRUE(o->min <= o->max);
		CU_ASSERT_TRUE(strlen(o->help) > 3);
	}
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "the least file is right and gives the defaults",
		  the_least_file_is_right_and_gives_the_defaults },
		{ "defaults are the documented ones",
		  defaults_are_the_documented_ones },
		{ "every value lands in its member", every_value_lands_in_its_member },
		{ "replays take a pace", replays_take_a_pace },
		{ "a section with nothing in it means its defaults",
		  a_section_with_nothing_in_it_means_its_defaults },
		{ "every wrong file is told at its place with the mend",
		  every_wrong_file_is_told_at_its_place_with_the_mend },
		{ "a log on files needs no Kafka", a_log_on_files_needs_no_kafka },
		{ "every wrong whole file is told", every_wrong_whole_file_is_told },
		{ "every wrong port is told", every_wrong_port_is_told },
		{ "all problems are told at once in the order of the file",
		  all_problems_are_told_at_once_in_the_order_of_the_file },
		{ "a file is read and its first problem is the error",
		  a_file_is_read_and_its_first_problem_is_the_error },
		{ "a file cut anywhere harms nothing",
		  a_file_cut_anywhere_harms_nothing },
		{ "what is written reads back the same",
		  what_is_written_reads_back_the_same },
		{ "the committed file is the schema",
		  the_committed_file_is_the_schema },
		{ "bounds fit into members", bounds_fit_into_members },
		CU_TEST_INFO_NULL,
	};

	if (argc == 3 && strcmp(argv[1], "--write") == 0)
		return write_committed(argv[2]);
	committed = argc > 1 ? argv[1] : "";
	return hr_test_run("config", NULL, NULL, tests);
}
