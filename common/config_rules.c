/* SPDX-License-Identifier: BSD-3-Clause */

/* What single options cannot know: rules over several of them. */

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/config_impl.h"

/* Of docs/epoch-log.md: one record of the log, with everything. */
#define EPOCH_BUFFER_BYTES 900000u
#define EPOCH_BUFFERS_A_SHARD 4u
#define AF_XDP_DESCRIPTORS_MIN 2048u
#define SOCKET_PATH_MAX 108u
#define SOCKET_NAME_LONGEST "/headraced.sock"

/* Where a section begins; the file's beginning when it has none. */
static struct hr_place section_place(const struct hr_config_reading *r,
				     const char *path)
{
	for (uint32_t i = 0; i < hr_n_sections; i++)
		if (strncmp(path, hr_sections[i].path, strlen(hr_sections[i].path)) ==
			    0 &&
		    r->section_at[i].line > 0)
			return r->section_at[i];
	return (struct hr_place){ 1, 1 };
}

static struct hr_place option_place(const struct hr_config_reading *r, const char *path)
{
	for (uint32_t i = 0; i < hr_n_options; i++)
		if (strcmp(hr_options[i].path, path) == 0)
			return r->option_at[i];
	return (struct hr_place){ 0, 0 };
}

/* Where an option stands, or would. */
static struct hr_place place(const struct hr_config_reading *r, const char *path)
{
	struct hr_place at = option_place(r, path);

	return at.line > 0 ? at : section_place(r, path);
}

static struct hr_place port_place(const struct hr_config_reading *r, uint32_t port,
				  const char *path)
{
	for (uint32_t i = 0; i < hr_n_port_options; i++)
		if (strcmp(hr_port_options[i].path, path) == 0)
			return r->port_at[port][i];
	return (struct hr_place){ 0, 0 };
}

/* Of two options: where the later one stands that stands at all. */
static struct hr_place either(const struct hr_config_reading *r, const char *one,
			      const char *other)
{
	struct hr_place a = option_place(r, one), b = option_place(r, other);

	if (a.line == 0 && b.line == 0)
		return section_place(r, one);
	return a.line > b.line || (a.line == b.line && a.column > b.column) ? a : b;
}

static uint32_t nearest_multiple(uint32_t n, uint32_t of)
{
	return n < of ? of : (n + of / 2) / of * of;
}

static void shards_divide_partitions(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;
	const struct {
		const char *path;
		uint32_t partitions;
	} topics[] = {
		{ "topics.partitions.user_events", c->user_events_partitions },
		{ "topics.partitions.product_views", c->product_views_partitions },
		{ "topics.partitions.purchases", c->purchases_partitions },
		{ "topics.partitions.dead_letters", c->dead_letters_partitions },
	};
	uint32_t s = c->n_shards;

	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		if (s != 0 && topics[i].partitions % s != 0)
			hr_config_problem(
				r, either(r, topics[i].path, "data_set.shards"),
				"%s: found %u partitions with data_set.shards %u, "
				"expected a multiple of %u; write %u partitions or "
				"another number of shards",
				topics[i].path, topics[i].partitions, s, s,
				nearest_multiple(topics[i].partitions, s));
}

static void budget_holds_its_buffers(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;
	uint64_t least =
		(uint64_t)EPOCH_BUFFERS_A_SHARD * EPOCH_BUFFER_BYTES * c->n_shards;

	if (c->epoch_budget_bytes < least)
		hr_config_problem(
			r, either(r, "epoch.budget", "data_set.shards"),
			"epoch.budget: found %" PRIu64
			" bytes with data_set.shards %u, expected at least %" PRIu64
			" (%u buffers of %u bytes a shard); write %" PRIu64 "MiB",
			c->epoch_budget_bytes, c->n_shards, least,
			EPOCH_BUFFERS_A_SHARD, EPOCH_BUFFER_BYTES,
			(least + (1u << 20) - 1) >> 20);
}

static void intervals_are_in_order(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	if (c->epoch_min_interval_us > c->epoch_max_interval_us)
		hr_config_problem(
			r, either(r, "epoch.min_interval", "epoch.max_interval"),
			"epoch.min_interval: found %uus, expected no more than "
			"epoch.max_interval, which is %uus; make one of them fit",
			c->epoch_min_interval_us, c->epoch_max_interval_us);
}

static void something_is_listened_to(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	if (c->n_udp_ports == 0)
		hr_config_problem(r, place(r, "listen.udp_ports"),
				  "listen.udp_ports: found no port, expected at least "
				  "one; write [7400]");
	if (c->n_main_cpus == 0)
		hr_config_problem(r, place(r, "dataplane.main_cpus"),
				  "dataplane.main_cpus: found no CPU, expected at "
				  "least one; write [0]");
	if (c->n_workers == 0)
		hr_config_problem(r, place(r, "dataplane.worker_cpus"),
				  "dataplane.worker_cpus: found no CPU, expected at "
				  "least one; write [1]");
	if (c->n_ports == 0)
		hr_config_problem(r, section_place(r, "ports"),
				  "ports: found no port, expected at least one; add "
				  "ports: with an item - device: af_xdp:<interface>");
}

static void senders_are_known_or_anybody(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	if (c->keys_file[0] == '\0' && !c->insecure)
		hr_config_problem(
			r, either(r, "listen.keys_file", "listen.insecure"),
			"listen.keys_file: found nothing, expected the file of "
			"write keys; name one, or write listen.insecure: true "
			"where anybody may write");
}

static void whoever_is_acknowledged_has_a_token(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	if (c->handshake && c->keys_file[0] != '\0' &&
	    c->cluster_secret_file[0] == '\0')
		hr_config_problem(
			r, either(r, "listen.cluster_secret_file", "listen.handshake"),
			"listen.cluster_secret_file: found nothing with "
			"listen.handshake on, expected the file of the cluster secret, "
			"the same on all appliances (openssl rand -hex 16 makes one); "
			"name it, or write listen.handshake: off");
}

static void replay_answers_nobody(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	for (uint32_t i = 0; i < c->n_ports && c->handshake; i++)
		if (c->ports[i].kind == HR_PORT_PCAP) {
			hr_config_problem(
				r, port_place(r, i, "device"),
				"ports[%u].device: found %s with listen.handshake on, "
				"expected it off: a replay cannot be answered; write "
				"listen.handshake: off",
				i, c->ports[i].device);
			return;
		}
}

static void sockets_fit_into_run_dir(struct hr_config_reading *r)
{
	size_t n = strlen(r->config->run_dir) + strlen(SOCKET_NAME_LONGEST);

	if (n >= SOCKET_PATH_MAX)
		hr_config_problem(
			r, place(r, "appliance.run_dir"),
			"appliance.run_dir: found a path of %zu bytes, expected "
			"at most %zu: the sockets in it could not be opened",
			strlen(r->config->run_dir),
			SOCKET_PATH_MAX - 1 - strlen(SOCKET_NAME_LONGEST));
}

static void own_shards_exist(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;

	for (uint32_t i = 0; i < c->n_own_shards; i++)
		if (c->own_shards[i] >= c->n_shards) {
			hr_config_problem(
				r, either(r, "appliance.shards", "data_set.shards"),
				"appliance.shards: found shard %" PRIu32
				", expected shards below data_set.shards (%" PRIu32
				"): they are counted from 0",
				c->own_shards[i], c->n_shards);
			return;
		}
}

/* Options that belong to one kind of device only. */
static void port_options_fit_its_device(struct hr_config_reading *r, uint32_t i)
{
	static const struct {
		const char *option;
		enum hr_port_kind kind;
		const char *of;
	} owned[] = {
		{ "memif_id", HR_PORT_MEMIF, "a memif" },
		{ "pace", HR_PORT_PCAP, "a pcap" },
		{ "xdp_program", HR_PORT_AF_XDP, "an af_xdp" },
	};
	const struct hr_port_config *p = &r->config->ports[i];

	if (p->target[0] == '\0')
		return; /* no device, no kind: told already */
	for (size_t o = 0; o < sizeof(owned) / sizeof(owned[0]); o++) {
		struct hr_place at = port_place(r, i, owned[o].option);

		if (at.line > 0 && p->kind != owned[o].kind)
			hr_config_problem(r, at,
					  "ports[%u].%s: found on %s, expected on %s "
					  "port only; take it out",
					  i, owned[o].option, p->device, owned[o].of);
	}
	if (p->kind == HR_PORT_PCAP && p->n_queues != 1)
		hr_config_problem(r, port_place(r, i, "queues"),
				  "ports[%u].queues: found %u on a pcap, expected 1: a "
				  "file has one queue; write one port a file",
				  i, p->n_queues);
	if (p->kind == HR_PORT_AF_XDP && p->rx_descriptors < AF_XDP_DESCRIPTORS_MIN)
		hr_config_problem(
			r, port_place(r, i, "rx_descriptors"),
			"ports[%u].rx_descriptors: found %u on an af_xdp port, "
			"expected at least %u: below it what the ring misses is "
			"not counted",
			i, p->rx_descriptors, AF_XDP_DESCRIPTORS_MIN);
}

static bool is_same_device(const struct hr_port_config *a,
			   const struct hr_port_config *b)
{
	return a->kind == b->kind && strcmp(a->target, b->target) == 0 &&
	       a->memif_id == b->memif_id;
}

static void a_device_stands_once(struct hr_config_reading *r, uint32_t i)
{
	const struct hr_port_config *ports = r->config->ports;

	for (uint32_t j = 0; j < i; j++)
		if (ports[i].target[0] != '\0' &&
		    is_same_device(&ports[i], &ports[j])) {
			hr_config_problem(
				r, port_place(r, i, "device"),
				"ports[%u].device: found %s, which is ports[%u] "
				"already, expected each device once%s",
				i, ports[i].device, j,
				ports[i].kind == HR_PORT_MEMIF
					? "; give one another memif_id"
					: "");
			return;
		}
}

/* A replay ends and is held back when the log is; a live port is neither. */
static void replay_stands_alone(struct hr_config_reading *r)
{
	const struct hr_config *c = r->config;
	uint32_t n_pcap = 0, last = 0;

	for (uint32_t i = 0; i < c->n_ports; i++)
		if (c->ports[i].kind == HR_PORT_PCAP) {
			n_pcap++;
			last = i;
		}
	if (n_pcap > 0 && n_pcap < c->n_ports)
		hr_config_problem(
			r, port_place(r, last, "device"),
			"ports[%u].device: found the replay %s beside live "
			"ports, expected replays alone; run it as an appliance "
			"of its own",
			last, c->ports[last].device);
}

/*
 * The default of kafka.brokers is for those who use Kafka: with the log on files only
 * brokers that somebody wrote down are meant. A topics view that was asked for without
 * them is told; one that is merely on by default is off.
 */
static void topics_have_brokers(struct hr_config_reading *r)
{
	struct hr_config *c = r->config;
	struct hr_place at = option_place(r, "topics.enabled");

	if (c->log_kind != HR_LOG_KIND_FILE || !c->topics_enabled ||
	    option_place(r, "kafka.brokers").line > 0)
		return;
	if (at.line > 0)
		hr_config_problem(
			r, at,
			"topics.enabled: found true with log.kind file and no "
			"kafka.brokers, expected brokers to write the topics "
			"to; write kafka.brokers, or topics.enabled: false");
	c->topics_enabled = false;
}

void hr_config_rules(struct hr_config_reading *r)
{
	topics_have_brokers(r);
	shards_divide_partitions(r);
	budget_holds_its_buffers(r);
	intervals_are_in_order(r);
	something_is_listened_to(r);
	senders_are_known_or_anybody(r);
	whoever_is_acknowledged_has_a_token(r);
	sockets_fit_into_run_dir(r);
	own_shards_exist(r);
	for (uint32_t i = 0; i < r->config->n_ports; i++) {
		port_options_fit_its_device(r, i);
		a_device_stands_once(r, i);
	}
	replay_stands_alone(r);
	replay_answers_nobody(r);
}
