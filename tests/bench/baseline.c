/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * What the appliance is measured against: a plain program as people write it. One
 * thread takes datagrams from a UDP socket, reads events with the appliance's own
 * parser, produces a record an event with librdkafka (idempotent, acks=all, snappy, the
 * same records to the same topics) and updates Redis by pipeline, command after
 * command. It is neither atomic nor exact: whatever is on its way when it dies is lost
 * or done twice, and the favourite category is not kept at all.
 *
 *   --transactions what is done when each event must be there once: all datagrams that
 *                  wait, up to 4,096, are one cycle: begin, produce, flush, commit, then
 *                  the pipeline to Redis
 *   --append-log   instead: each event as it came, a record each, to one log topic
 *   --batches      with it: the events of a burst of datagrams as one record a shard
 *
 * Prints "ready", and at the end one line of JSON: events, seconds from the first
 * datagram to the last acknowledgement, CPU seconds; of transactions the time a cycle
 * took, and from the kernel's receipt of each datagram (SO_TIMESTAMPNS) until its
 * transaction was committed and until Redis had answered.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <hiredis/hiredis.h>
#include <librdkafka/rdkafka.h>

#include "common/clock.h"
#include "common/config.h"
#include "common/murmur2.h"
#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/event.h"

#define BURST 64
#define SHARDS 5
#define RECORD_MAX 900000
#define SOCKET_BYTES (32 << 20)
#define RECENT_VIEWS "99"
#define CYCLE_DATAGRAMS 4096u
#define TRANSACTION_MS 60000

enum topic {
	USER_EVENTS,
	PRODUCT_VIEWS,
	PURCHASES,
	LOG,
	TOPICS
};

static const struct {
	const char *name;
	int partitions;
} topics[TOPICS] = {
	{ "user_events", 100 },
	{ "product_views", 50 },
	{ "purchases", 50 },
	{ "baseline.log", SHARDS },
};

/* Microseconds, all of them, sorted at the end. */
struct samples {
	const char *name;
	uint32_t *us;
	size_t n, max;
};

static struct samples cycles = { .name = "cycle" }, committed = { .name = "committed" },
		      in_redis = { .name = "redis" };

static struct {
	const char *brokers, *prefix, *redis_address, *key_file;
	char host[64];
	int port, fd;
	uint64_t wanted, idle_us;
	bool no_topics, no_redis, append_log, batches, transactions;
	int replication;

	rd_kafka_t *kafka;
	rd_kafka_topic_t *rkt[TOPICS];
	redisContext *redis;
	uint32_t unanswered;
	struct hsearch_data similar;
	struct hr_beacon_rules rules;
	uint8_t *record[SHARDS]; /* --batches */
	size_t record_bytes[SHARDS];
	uint64_t n_events, n_failed;
} my = {
	.brokers = "127.0.0.1:9092", .prefix = "", .idle_us = 3000000, .replication = 1
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "baseline: %s: %s\n", what, why);
	exit(1);
}

/* ---- Kafka ---- */

static void on_delivery(rd_kafka_t *kafka, const rd_kafka_message_t *m, void *opaque)
{
	(void)kafka;
	(void)opaque;
	my.n_failed += m->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char text[256];

	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) !=
	    RD_KAFKA_CONF_OK)
		die(name, text);
}

static void make_topic(enum topic t)
{
	char name[128], text[256];
	rd_kafka_queue_t *queue = rd_kafka_queue_new(my.kafka);
	rd_kafka_NewTopic_t *fresh;

	snprintf(name, sizeof(name), "%s%s", my.prefix, topics[t].name);
	fresh = rd_kafka_NewTopic_new(name, topics[t].partitions, my.replication, text,
				      sizeof(text));
	rd_kafka_CreateTopics(my.kafka, &fresh, 1, NULL, queue);
	rd_kafka_event_destroy(rd_kafka_queue_poll(queue, 30000));
	rd_kafka_NewTopic_destroy(fresh);
	rd_kafka_queue_destroy(queue);
	my.rkt[t] = rd_kafka_topic_new(my.kafka, name, NULL);
}

static void warm(enum topic t)
{
	const struct rd_kafka_metadata *metadata;
	bool is_ready = false;

	for (int i = 0; i < 100 && !is_ready; i++) {
		if (rd_kafka_metadata(my.kafka, 0, my.rkt[t], &metadata, 5000) !=
		    RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		is_ready = metadata->topics[0].partition_cnt == topics[t].partitions;
		rd_kafka_metadata_destroy(metadata);
		poll(NULL, 0, is_ready ? 0 : 50);
	}
	if (!is_ready)
		die(topics[t].name, "could not be made");
}

static void must(const char *what, rd_kafka_error_t *error)
{
	if (error != NULL)
		die(what, rd_kafka_error_string(error));
}

static void open_kafka(void)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[256];

	set(conf, "bootstrap.servers", my.brokers);
	set(conf, "enable.idempotence", "true");
	set(conf, "acks", "all");
	set(conf, "compression.type", "snappy");
	set(conf, "linger.ms", "10");
	set(conf, "batch.size", "65536");
	set(conf, "queue.buffering.max.messages", "1000000");
	set(conf, "delivery.report.only.error", "true");
	if (my.transactions) {
		snprintf(text, sizeof(text), "%sbaseline", my.prefix);
		set(conf, "transactional.id", text);
		set(conf, "linger.ms", "0"); /* nothing more comes before the flush */
	}
	rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
	my.kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	if (my.kafka == NULL)
		die("librdkafka", text);
	for (int t = 0; t < TOPICS; t++) {
		if ((t == LOG) != my.append_log)
			continue;
		make_topic((enum topic)t);
		warm((enum topic)t);
	}
	if (my.transactions)
		must("init_transactions",
		     rd_kafka_init_transactions(my.kafka, TRANSACTION_MS));
}

static void produce(enum topic t, struct hr_str key, const void *value, size_t n,
		    int32_t partition)
{
	while (rd_kafka_produce(my.rkt[t], partition, RD_KAFKA_MSG_F_COPY,
				(void *)(uintptr_t)value, n, key.p, key.n, NULL) < 0) {
		if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			die("produce", rd_kafka_err2str(rd_kafka_last_error()));
		rd_kafka_poll(my.kafka, 10);
	}
}

static void to_topics(const struct hr_event *ev, uint32_t n)
{
	static uint8_t record[HR_RENDER_BYTES(HR_WIRE_DATAGRAM_MAX)];
	const uint32_t bytes = hr_event_render(ev, record, HR_RENDER_BYTES(n));

	for (int t = USER_EVENTS; t <= PURCHASES; t++) {
		if ((t == PRODUCT_VIEWS && ev->type_no != HR_EVENT_PRODUCT_VIEW) ||
		    (t == PURCHASES && ev->type_no != HR_EVENT_PURCHASE))
			continue;
		produce((enum topic)t, ev->user, record, bytes,
			(int32_t)hr_kafka_partition(ev->user.p, ev->user.n,
						    (uint32_t)topics[t].partitions));
	}
}

/* ---- Redis ---- */

static void take_answers(void)
{
	void *reply;

	for (; my.unanswered > 0; my.unanswered--) {
		if (redisGetReply(my.redis, &reply) != REDIS_OK)
			die("Redis", my.redis->errstr);
		freeReplyObject(reply);
	}
}

/* "%b" of a text. */
#define B(s) (s).p, (size_t)(s).n
#define REDIS(...)                                                                     \
	do {                                                                           \
		redisAppendCommand(my.redis, __VA_ARGS__);                             \
		my.unanswered++;                                                       \
	} while (0)

/* The shop's set, asked for once: a plain program would not notice changes. */
static redisReply *similar_to(struct hr_str product)
{
	char name[HR_PRODUCT_MAX + 1];
	ENTRY entry = { name, NULL }, *found;

	memcpy(name, product.p, product.n);
	name[product.n] = '\0';
	if (hsearch_r(entry, FIND, &found, &my.similar) != 0)
		return found->data;
	take_answers();
	entry.data = redisCommand(my.redis, "SMEMBERS product:%b:similar", B(product));
	entry.key = strdup(name);
	if (entry.data == NULL || hsearch_r(entry, ENTER, &found, &my.similar) == 0)
		die("similar products", "no memory, or Redis is gone");
	return entry.data;
}

static void viewed(const struct hr_event *ev)
{
	const redisReply *similar;

	REDIS("HINCRBY user:%b:profile total_views 1", B(ev->user));
	if (ev->product.n == 0)
		return;
	REDIS("LPUSH user:%b:recent_views %b", B(ev->user), B(ev->product));
	REDIS("LTRIM user:%b:recent_views 0 " RECENT_VIEWS, B(ev->user));
	REDIS("ZINCRBY user:%b:recommendations 1 %b", B(ev->user), B(ev->product));
	similar = similar_to(ev->product);
	for (size_t i = 0; i < similar->elements; i++)
		REDIS("ZINCRBY user:%b:recommendations 0.5 %b", B(ev->user),
		      similar->element[i]->str, similar->element[i]->len);
}

static void to_redis(const struct hr_event *ev)
{
	char iso[HR_TIME_ISO_BYTES];

	hr_time_iso(ev->time_ms, iso);
	REDIS("HSET user:%b:profile last_active %b", B(ev->user), iso, sizeof(iso));
	if (ev->category.n > 0)
		REDIS("HINCRBY headrace:user:%b:categories %b 1", B(ev->user),
		      B(ev->category));
	if (ev->category.n > 0 && ev->product.n > 0)
		REDIS("SADD category:%b:products %b", B(ev->category), B(ev->product));
	if (ev->type_no == HR_EVENT_PRODUCT_VIEW)
		viewed(ev);
	else if (ev->type_no == HR_EVENT_PURCHASE)
		REDIS("HINCRBY user:%b:profile total_purchases 1", B(ev->user));
}

static void open_redis(void)
{
	const char *colon = strrchr(my.redis_address, ':');
	char host[256];

	if (colon == NULL)
		die("--redis", "expected HOST:PORT");
	snprintf(host, sizeof(host), "%.*s", (int)(colon - my.redis_address),
		 my.redis_address);
	my.redis = redisConnect(host, atoi(colon + 1));
	if (my.redis == NULL || my.redis->err != 0)
		die("Redis", my.redis == NULL ? "no memory" : my.redis->errstr);
	if (hcreate_r(100000, &my.similar) == 0)
		die("similar products", "no memory");
}

/* ---- the log, written plainly ---- */

static void send_batch(uint32_t shard)
{
	if (my.record_bytes[shard] > 0)
		produce(LOG, (struct hr_str){ NULL, 0 }, my.record[shard],
			my.record_bytes[shard], (int32_t)shard);
	my.record_bytes[shard] = 0;
}

static void to_log(const struct hr_event *ev, struct hr_str raw, uint32_t shard)
{
	if (!my.batches) {
		produce(LOG, ev->user, raw.p, raw.n, (int32_t)shard);
		return;
	}
	if (my.record_bytes[shard] + raw.n + 4 > RECORD_MAX)
		send_batch(shard);
	hr_store32(my.record[shard] + my.record_bytes[shard], raw.n);
	memcpy(my.record[shard] + my.record_bytes[shard] + 4, raw.p, raw.n);
	my.record_bytes[shard] += raw.n + 4;
}

/* ---- how long it took ---- */

static void sample(struct samples *s, uint64_t us)
{
	if (s->n == s->max) {
		s->max = s->max == 0 ? 65536 : 2 * s->max;
		s->us = realloc(s->us, s->max * sizeof(*s->us));
		if (s->us == NULL)
			die(s->name, "no memory");
	}
	s->us[s->n++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

static int by_size(const void *a, const void *b)
{
	const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static uint32_t quantile(const struct samples *s, unsigned int permille)
{
	return s->n == 0 ? 0 : s->us[(s->n - 1) * permille / 1000];
}

static void print_samples(struct samples *s)
{
	if (s->n == 0)
		return;
	qsort(s->us, s->n, sizeof(*s->us), by_size);
	printf(",\"%s\":{\"n\":%zu,\"p50_us\":%u,\"p99_us\":%u,\"p999_us\":%u}",
	       s->name, s->n, quantile(s, 500), quantile(s, 990), quantile(s, 999));
}

/* ---- datagrams ---- */

/* What is done with an event now: in a cycle first the one, then the other. */
enum parts {
	TO_KAFKA = 1,
	TO_REDIS = 2,
};

static void take_event(const struct hr_wire *w, struct hr_str raw, int64_t now_ms,
		       unsigned int parts)
{
	static uint8_t decoded[2 * HR_WIRE_DATAGRAM_MAX];
	struct hr_arena arena = { decoded, decoded + sizeof(decoded) };
	struct hr_event ev;
	const enum hr_reject r =
		w->codec == HR_CODEC_JSON
			? hr_event_parse_json(&ev, &arena, raw.p, raw.n, now_ms)
			: hr_event_parse_protobuf(&ev, &arena, raw.p, raw.n, now_ms);

	if (r != HR_REJECT_NONE)
		return;
	if ((parts & TO_KAFKA) != 0) {
		my.n_events++;
		if (my.append_log)
			to_log(&ev, raw, w->shard);
		else if (!my.no_topics)
			to_topics(&ev, raw.n);
	}
	if ((parts & TO_REDIS) != 0 && !my.append_log && !my.no_redis)
		to_redis(&ev);
}

static void take_datagram(const uint8_t *bytes, uint32_t n, int64_t now_ms,
			  unsigned int parts)
{
	struct hr_frames frames;
	struct hr_str event;
	struct hr_wire w;

	if (hr_beacon_read(&my.rules, bytes, n, &w) != HR_DROP_NONE)
		return;
	hr_frames_init(&frames, w.codec, w.payload, false);
	while (hr_frames_next(&frames, &event) > 0)
		take_event(&w, event, now_ms, parts);
}

static int take_burst(void)
{
	static uint8_t bytes[BURST][2048];
	struct mmsghdr messages[BURST];
	struct iovec pieces[BURST];
	int64_t now_ms;
	int n;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BURST; i++) {
		pieces[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	n = recvmmsg(my.fd, messages, BURST, MSG_DONTWAIT, NULL);
	now_ms = (int64_t)(hr_wall_us() / 1000);
	for (int i = 0; i < n; i++)
		take_datagram(bytes[i], messages[i].msg_len, now_ms,
			      TO_KAFKA | TO_REDIS);
	for (uint32_t s = 0; my.batches && s < SHARDS; s++)
		send_batch(s);
	take_answers();
	if (my.kafka != NULL)
		rd_kafka_poll(my.kafka, 0);
	return n;
}

/* ---- transactions ---- */

struct datagram {
	uint32_t n;
	uint64_t received_us;
	uint8_t bytes[2048];
};

static uint64_t kernel_stamp(struct msghdr *m)
{
	struct timespec t;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			return (uint64_t)t.tv_sec * 1000000 +
			       (uint64_t)t.tv_nsec / 1000;
		}
	return hr_wall_us();
}

static uint32_t receive_some(struct datagram *into)
{
	static uint8_t control[BURST][CMSG_SPACE(sizeof(struct timespec))];
	struct mmsghdr messages[BURST];
	struct iovec pieces[BURST];
	int n;

	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BURST; i++) {
		pieces[i] = (struct iovec){ into[i].bytes, sizeof(into[i].bytes) };
		messages[i].msg_hdr.msg_iov = &pieces[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		messages[i].msg_hdr.msg_control = control[i];
		messages[i].msg_hdr.msg_controllen = sizeof(control[i]);
	}
	n = recvmmsg(my.fd, messages, BURST, MSG_DONTWAIT, NULL);
	for (int i = 0; i < n; i++) {
		into[i].n = messages[i].msg_len;
		into[i].received_us = kernel_stamp(&messages[i].msg_hdr);
	}
	return n > 0 ? (uint32_t)n : 0;
}

static void take_all(const struct datagram *d, uint32_t n, unsigned int part)
{
	const int64_t now_ms = (int64_t)(hr_wall_us() / 1000);

	for (uint32_t i = 0; i < n; i++)
		take_datagram(d[i].bytes, d[i].n, now_ms, part);
}

/* Everything that waits; returns how many datagrams. */
static int cycle(void)
{
	static struct datagram d[CYCLE_DATAGRAMS + BURST];
	uint32_t n = 0, more;
	uint64_t from_us;

	do {
		more = receive_some(&d[n]);
		n += more;
	} while (more > 0 && n < CYCLE_DATAGRAMS);
	if (n == 0)
		return 0;
	from_us = hr_wall_us();
	must("begin", rd_kafka_begin_transaction(my.kafka));
	take_all(d, n, TO_KAFKA);
	if (rd_kafka_flush(my.kafka, TRANSACTION_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("flush", "the broker does not take it");
	must("commit", rd_kafka_commit_transaction(my.kafka, TRANSACTION_MS));
	for (uint32_t i = 0; i < n; i++)
		sample(&committed, hr_wall_us() - d[i].received_us);
	take_all(d, n, TO_REDIS);
	take_answers();
	for (uint32_t i = 0; i < n; i++)
		sample(&in_redis, hr_wall_us() - d[i].received_us);
	sample(&cycles, hr_wall_us() - from_us);
	return (int)n;
}

static void listen_udp(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)my.port) };
	const int bytes = SOCKET_BYTES, yes = 1;

	my.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (inet_pton(AF_INET, my.host, &address.sin_addr) != 1)
		die("--listen", "expected ADDRESS:PORT");
	/* As much as there may be; root is not bound by rmem_max. */
	if (setsockopt(my.fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(my.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	(void)setsockopt(my.fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof(yes));
	if (bind(my.fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("--listen", strerror(errno));
}

/* Until all wanted events came, or none for a while. Returns the microseconds from the
 * first datagram to the last. */
static uint64_t serve(void)
{
	uint64_t first_us = 0, last_us = 0;
	struct pollfd wait = { my.fd, POLLIN, 0 };

	while (my.wanted == 0 || my.n_events < my.wanted) {
		if ((my.transactions ? cycle() : take_burst()) > 0) {
			last_us = hr_mono_us();
			first_us = first_us == 0 ? last_us : first_us;
			continue;
		}
		if (first_us != 0 && hr_mono_us() - last_us > my.idle_us)
			break;
		poll(&wait, 1, 10);
	}
	return last_us - first_us;
}

/* ---- */

static void read_options(int argc, char **argv)
{
	static const struct option options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "brokers", required_argument, NULL, 'b' },
		{ "topic-prefix", required_argument, NULL, 'p' },
		{ "redis", required_argument, NULL, 'r' },
		{ "key-file", required_argument, NULL, 'k' },
		{ "events", required_argument, NULL, 'e' },
		{ "idle-seconds", required_argument, NULL, 'i' },
		{ "no-topics", no_argument, NULL, 't' },
		{ "no-redis", no_argument, NULL, 'n' },
		{ "append-log", no_argument, NULL, 'a' },
		{ "batches", no_argument, NULL, 'B' },
		{ "transactions", no_argument, NULL, 'T' },
		{ "replication", required_argument, NULL, 'R' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (c) {
		case 'l':
			if (sscanf(optarg, "%63[^:]:%d", my.host, &my.port) != 2)
				die("--listen", "expected ADDRESS:PORT");
			break;
		case 'b':
			my.brokers = optarg;
			break;
		case 'p':
			my.prefix = optarg;
			break;
		case 'r':
			my.redis_address = optarg;
			break;
		case 'k':
			my.key_file = optarg;
			break;
		case 'e':
			my.wanted = strtoull(optarg, NULL, 10);
			break;
		case 'i':
			my.idle_us = strtoull(optarg, NULL, 10) * 1000000;
			break;
		case 't':
			my.no_topics = true;
			break;
		case 'n':
			my.no_redis = true;
			break;
		case 'a':
			my.append_log = true;
			break;
		case 'B':
			my.batches = true;
			break;
		case 'T':
			my.transactions = true;
			break;
		case 'R':
			my.replication = atoi(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (my.key_file == NULL || my.port == 0 ||
	    (my.redis_address == NULL && !my.no_redis && !my.append_log) ||
	    (my.batches && !my.append_log) ||
	    (my.transactions && (my.append_log || my.no_topics)))
		die("options",
		    "--listen and --key-file are needed, --redis unless "
		    "--no-redis, --append-log for --batches; transactions are of "
		    "the topics");
}

static void open_all(void)
{
	static struct hr_write_key keys[HR_KEYS_MAX];
	struct hr_keyring *ring = NULL;
	struct hr_err err;
	int n = hr_keys_read(keys, HR_KEYS_MAX, my.key_file, &err);

	if (n < 0 || hr_keyring_new(&ring, keys, (uint32_t)n, &err) < 0)
		die("--key-file", err.text);
	my.rules = (struct hr_beacon_rules){ .keys = ring,
					     .generation = 1,
					     .n_shards = SHARDS };
	for (uint32_t s = 0; my.batches && s < SHARDS; s++)
		if ((my.record[s] = malloc(RECORD_MAX)) == NULL)
			die("--batches", "no memory");
	if (my.append_log || !my.no_topics)
		open_kafka();
	if (!my.append_log && !my.no_redis)
		open_redis();
	listen_udp();
}

int main(int argc, char **argv)
{
	struct rusage usage;
	uint64_t us, flushing_us;

	read_options(argc, argv);
	open_all();
	puts("ready");
	fflush(stdout);
	us = serve();
	flushing_us = hr_mono_us();
	if (my.kafka != NULL &&
	    rd_kafka_flush(my.kafka, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
		die("flush", "the broker does not take what is left");
	us += hr_mono_us() - flushing_us;
	getrusage(RUSAGE_SELF, &usage);
	printf("{\"events\":%" PRIu64 ",\"failed\":%" PRIu64
	       ",\"seconds\":%.6f,\"user_s\":%.6f,\"sys_s\":%.6f",
	       my.n_events, my.n_failed, (double)us / 1e6,
	       (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
	       (double)usage.ru_stime.tv_sec + (double)usage.ru_stime.tv_usec / 1e6);
	print_samples(&cycles);
	print_samples(&committed);
	print_samples(&in_redis);
	puts("}");
	return my.n_failed > 0;
}
