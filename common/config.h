/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CONFIG_H
#define HR_CONFIG_H

/*
 * config - what config/headrace.yaml says, checked and with defaults filled in.
 * Read once before threads start, immutable from then on. The schema table
 * (common/config.def) is the one source of names, units, ranges, defaults and help.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "common/log.h"

#define HR_CONFIG_TEXT 256
#define HR_PORTS_MAX 8
#define HR_CPUS_MAX 16
#define HR_UDP_PORTS_MAX 128
#define HR_OWN_SHARDS_MAX 100

enum hr_port_kind {
	HR_PORT_PCI,
	HR_PORT_AF_XDP,
	HR_PORT_MEMIF,
	HR_PORT_PCAP,
};

/* One of `ports:`. `device:` chooses the kind: "0000:03:00.0", "af_xdp:<interface>",
 * "memif:server:<socket path>", "memif:client:<socket path>", "pcap:<file>". */
struct hr_port_config {
	enum hr_port_kind kind;
	char device[HR_CONFIG_TEXT]; /* as written */
	char target[HR_CONFIG_TEXT]; /* PCI address, interface, socket path or file */
	bool memif_is_server;
	uint32_t memif_id;
	bool pcap_as_fast_as_it_goes; /* pace: file | fast */
	uint32_t n_queues;
	uint32_t rx_descriptors;
	char xdp_program[HR_CONFIG_TEXT]; /* "" = the one that came with this build */
};

enum hr_encoding {
	HR_ENCODING_JSON,
	HR_ENCODING_NONE,
};

enum hr_log_kind {
	HR_LOG_KIND_KAFKA,
	HR_LOG_KIND_FILE,
};

struct hr_config {
	char path[HR_CONFIG_TEXT]; /* of the file that was read */

	char name[64];                /* of the appliance, in logs and metrics */
	char run_dir[HR_CONFIG_TEXT]; /* statistics, sockets, pid files */
	uint32_t own_shards[HR_OWN_SHARDS_MAX]; /* at first; none: all */
	uint32_t n_own_shards;
	char state_dir[HR_CONFIG_TEXT]; /* what outlives a restart */
	enum hr_log_level log_level;

	/* listen */
	uint16_t udp_ports[HR_UDP_PORTS_MAX];
	uint32_t n_udp_ports;
	bool handshake;                 /* SDKs are acknowledged */
	char advertise[HR_CONFIG_TEXT]; /* to FENCE and NOT_OWNER */
	char cluster_secret_file[HR_CONFIG_TEXT];
	bool insecure; /* headerless JSON is taken */
	char keys_file[HR_CONFIG_TEXT];

	/* dataplane */
	struct hr_port_config ports[HR_PORTS_MAX];
	uint32_t n_ports;
	uint32_t main_cpus[HR_CPUS_MAX]; /* shared by all that is no worker */
	uint32_t n_main_cpus;
	uint32_t worker_cpus[HR_CPUS_MAX]; /* one worker each */
	uint32_t n_workers;
	bool poll_busy;     /* poll: busy | adaptive */
	uint32_t memory_mb; /* huge pages for packet buffers */
	bool huge_pages;
	uint32_t n_mbufs;
	char dataplane_program[HR_CONFIG_TEXT]; /* "" = beside headraced */

	/* epoch */
	uint64_t epoch_budget_bytes;
	uint32_t epoch_min_interval_us;
	uint32_t committer_cpu_percent; /* of a core */
	uint32_t epoch_max_interval_us;
	uint32_t epoch_max_events; /* initial chain setting */

	/* streams */
	uint32_t stream_max; /* per shard; initial chain setting */
	uint64_t stream_max_age_us;
	uint32_t stream_max_per_key; /* 0: stream_max */
	uint64_t stream_ttl_memory_us, stream_ttl_disk_us;

	/* de-duplication; initial chain settings */
	uint64_t dedup_window_us;
	uint32_t dedup_max;

	/* data set */
	uint32_t n_shards;
	uint32_t generation; /* 1 in this version, no option */

	/* log */
	enum hr_log_kind log_kind;
	char log_folder[HR_CONFIG_TEXT]; /* of kind file */
	uint64_t log_segment_bytes;
	uint64_t log_keep_memory_bytes;
	uint64_t log_min_age_us;
	uint64_t snapshot_interval_us;
	uint64_t snapshot_log_bytes;

	/* kafka */
	/* every topic's name is topic_prefix and its own */
	char topic_prefix[32];
	char kafka_brokers[HR_CONFIG_TEXT];
	/* librdkafka properties passed through, "name=value\n" each (security etc.) */
	char kafka_properties[1024];
	uint32_t kafka_replication; /* 0: 3 where there are three brokers, else 1 */

	/* topics view */
	bool topics_enabled; /* false, too, where there is no Kafka */
	enum hr_encoding topics_encoding;
	char topics_compression[16];
	uint32_t topics_interval_us;
	uint32_t topics_batch_bytes;
	uint32_t user_events_partitions;
	uint32_t product_views_partitions;
	uint32_t purchases_partitions;
	uint32_t dead_letters_partitions;

	/* redis view */
	bool redis_enabled;
	char redis_host[HR_CONFIG_TEXT];
	uint16_t redis_port;
	char redis_password_file[HR_CONFIG_TEXT];
	uint32_t redis_tick_us;
	uint32_t redis_tick_bytes;
	uint32_t recent_views_max;
	uint32_t recommendations_max;
	uint32_t similar_cache_entries;
	uint32_t similar_cache_ms; /* changes by the shop are noticed within this */

	/* checkpoints of Redis */
	char checkpoint_folder[HR_CONFIG_TEXT]; /* "": none are made */
	uint64_t checkpoint_interval_us;
	uint32_t checkpoint_keep;

	/* control plane */
	char metrics_listen[64]; /* address:port */
	uint32_t restart_delay_ms;
	uint32_t stop_drain_ms;
};

/*
 * Read and check a file. Returns 0, -EINVAL or what opening it gave; err holds the
 * first problem as "file:line:column: option: found ..., expected ..." with its mend.
 * Relative paths in the file are taken from the file's folder. The key file is not
 * opened here: hr_keys_read(). *out is complete on success, else unusable.
 */
int hr_config_read(struct hr_config *out, const char *path, struct hr_err *err);

/*
 * The same, but every problem is told, in the order of the file. Returns how many;
 * 0 means that *out is complete.
 */
typedef void (*hr_config_tell)(void *ctx, const char *sentence);
uint32_t hr_config_check(struct hr_config *out, const char *path, hr_config_tell tell,
			 void *ctx);
/* The same for a text in memory; `path` is what problems are told of. */
uint32_t hr_config_check_text(struct hr_config *out, const char *path, const char *text,
			      hr_config_tell tell, void *ctx);

/* Defaults only, as an empty file would give. Tests start from here. */
void hr_config_defaults(struct hr_config *out);

/*
 * Write out what a configuration says, every option with its help, type, range and
 * default above it: config/headrace.yaml is this of the defaults with an example for
 * what has none. Returns 0 or -EIO.
 */
int hr_config_write(const struct hr_config *config, FILE *to);
int hr_config_write_defaults(FILE *to);

#define HR_KEYS_MAX 1024

/* A write key of the key file: lines "<id> <32 hex digits> [comment]"; empty lines
 * and lines that start with # are skipped. Ids are 0 to 4294967295, each once. */
struct hr_write_key {
	uint32_t id;
	uint8_t key[16];
};

#define HR_SECRET_FILE_BYTES 16

/* The cluster secret: a file of 32 hex digits and nothing else. Returns 0 or a negated
 * errno with err. A file that others may read is refused. */
int hr_secret_read(uint8_t out[HR_SECRET_FILE_BYTES], const char *path,
		   struct hr_err *err);

/* Returns the number of keys (max at most, at least one) or a negated errno with err
 * as "file:line: found ..., expected ...". A file that others may read is refused. */
int hr_keys_read(struct hr_write_key *out, uint32_t max, const char *path,
		 struct hr_err *err);

#endif
