/* SPDX-License-Identifier: BSD-3-Clause */

/* pcap ports through the whole border: EAL, open, burst, wait, read, close. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pcap/pcap.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>

#include "common/clock.h"
#include "dataplane/port/port.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/port/eal_config.h"

static char folder[] = "/tmp/headrace-replay.XXXXXX";
static char file[64];

struct record {
	uint64_t us; /* of the file's clock */
	uint32_t bytes;
};

/* Content that names its record, so that order and truth are seen. */
static uint8_t byte_of(uint32_t record, uint32_t at)
{
	return (uint8_t)(record * 131 + at * 7 + (at >> 8));
}

static void write_pcap(int link_type, int precision, const struct record *records,
		       uint32_t n)
{
	static uint8_t data[70000];
	pcap_t *pcap = pcap_open_dead_with_tstamp_precision(link_type, 262144,
							    (unsigned int)precision);
	pcap_dumper_t *dump = pcap_dump_open(pcap, file);

	CU_ASSERT_PTR_NOT_NULL_FATAL(dump);
	for (uint32_t i = 0; i < n; i++) {
		bool is_nano = precision == PCAP_TSTAMP_PRECISION_NANO;
		struct pcap_pkthdr header = {
			.ts = { .tv_sec = (time_t)(records[i].us / 1000000),
				.tv_usec = (suseconds_t)(records[i].us % 1000000 *
							 (is_nano ? 1000 : 1)) },
			.caplen = records[i].bytes,
			.len = records[i].bytes,
		};

		for (uint32_t at = 0; at < records[i].bytes; at++)
			data[at] = byte_of(i, at);
		pcap_dump((u_char *)dump, &header, data);
	}
	pcap_dump_close(dump);
	pcap_close(pcap);
}

static struct hr_config config;
static struct hr_ports *ports;
static struct hr_rxq *queue;

static void open_capture(bool as_fast_as_it_goes)
{
	struct hr_err err = { "" };

	config.n_ports = 0;
	add_port(&config, HR_PORT_PCAP, file)->pcap_as_fast_as_it_goes =
		as_fast_as_it_goes;
	CU_ASSERT_EQUAL_FATAL(hr_ports_open(&ports, &config, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_ports_start(ports, &err), 0);
	CU_ASSERT_EQUAL_FATAL(hr_ports_queues(ports, 0, &queue, 1), 1);
	CU_ASSERT_TRUE(hr_rxq_is_lossless(queue));
	CU_ASSERT_EQUAL(hr_rxq_port(queue), 0);
	CU_ASSERT_PTR_NULL(hr_rxq_answers(queue)); /* nobody is there */
}

static bool is_record(struct rte_mbuf *m, uint32_t record, uint32_t bytes)
{
	uint8_t copy[70000];
	const uint8_t *data = rte_pktmbuf_read(m, 0, bytes, copy);

	if (data == NULL || rte_pktmbuf_pkt_len(m) != bytes)
		return false;
	for (uint32_t at = 0; at < bytes; at++)
		if (data[at] != byte_of(record, at))
			return false;
	return true;
}

static struct hr_port_counts counts(void)
{
	struct hr_port_counts c;

	hr_ports_read(ports, 0, &c);
	return c;
}

static void every_record_comes_once_in_order_byte_for_byte(void)
{
	static const struct record records[] = {
		{ 5, 60 }, { 6, 1 },      { 7, 2048 },  { 8, 2049 },
		{ 9, 0 },  { 10, 65535 }, { 11, 1514 }, { 12, 4096 },
	};
	uint32_t n = 0, got;
	struct rte_mbuf *m[3];

	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, HR_COUNT(records));
	open_capture(true);
	CU_ASSERT_FALSE(counts().is_done);
	while ((got = hr_rxq_burst(queue, m, 3, 1)) > 0)
		for (uint32_t i = 0; i < got; i++, n++) {
			CU_ASSERT_TRUE(n < HR_COUNT(records) &&
				       is_record(m[i], n, records[n].bytes));
			rte_pktmbuf_free(m[i]);
		}
	CU_ASSERT_EQUAL(n, HR_COUNT(records));
	CU_ASSERT_EQUAL(counts().packets, HR_COUNT(records));
	CU_ASSERT_TRUE(counts().is_done);
	CU_ASSERT_EQUAL(counts().missed, 0);
	CU_ASSERT_EQUAL(hr_rxq_burst(queue, m, 3, 1000000000), 0);
	hr_ports_close(ports); /* asserts that every buffer is back */
}

static void records_are_due_as_far_apart_as_they_were_captured(void)
{
	/* The third is behind its time: due with the second. */
	static const struct record records[] = {
		{ 1000000, 60 },
		{ 1000250, 60 },
		{ 1000100, 60 },
		{ 3000000, 60 },
	};
	static const int precisions[] = { PCAP_TSTAMP_PRECISION_MICRO,
					  PCAP_TSTAMP_PRECISION_NANO };
	static const struct {
		uint64_t now_us;
		uint32_t want;
	} steps[] = {
		{ 777, 1 },     { 777, 0 },     { 1026, 0 },    { 1027, 2 },
		{ 2000776, 0 }, { 2000777, 1 }, { 9000000, 0 },
	};
	struct rte_mbuf *m[8];

	for (size_t p = 0; p < HR_COUNT(precisions); p++) {
		write_pcap(DLT_EN10MB, precisions[p], records, HR_COUNT(records));
		open_capture(false);
		for (size_t i = 0; i < HR_COUNT(steps); i++) {
			uint32_t n = hr_rxq_burst(queue, m, 8, steps[i].now_us);

			CU_ASSERT_EQUAL(n, steps[i].want);
			rte_pktmbuf_free_bulk(m, n);
		}
		CU_ASSERT_TRUE(counts().is_done);
		hr_ports_close(ports);
	}
}

static void waiting_ends_when_the_next_record_is_due(void)
{
	static const struct record records[] = { { 0, 60 }, { 30000, 60 } };
	struct rte_mbuf *m[8];
	uint64_t start_us, waited_us;

	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, HR_COUNT(records));
	open_capture(false);
	start_us = hr_mono_us();
	hr_rxq_wait(&queue, 1, 10000000); /* the first is due: returns at once */
	CU_ASSERT_EQUAL(hr_rxq_burst(queue, m, 8, start_us), 1);
	hr_rxq_wait(&queue, 1, 10000000);
	waited_us = hr_mono_us() - start_us;
	CU_ASSERT_TRUE(waited_us >= 30000 && waited_us < 5000000);
	CU_ASSERT_EQUAL(hr_rxq_burst(queue, m + 1, 7, hr_mono_us()), 1);

	start_us = hr_mono_us(); /* done: the time given, no longer and no shorter */
	hr_rxq_wait(&queue, 1, 20000);
	waited_us = hr_mono_us() - start_us;
	CU_ASSERT_TRUE(waited_us >= 20000 && waited_us < 5000000);
	rte_pktmbuf_free_bulk(m, 2);
	hr_ports_close(ports);
}

static void a_pool_that_is_empty_holds_back_and_loses_nothing(void)
{
	static struct record records[3000];
	static struct rte_mbuf *m[3000];
	uint32_t n = 0;

	for (uint32_t i = 0; i < HR_COUNT(records); i++)
		records[i] = (struct record){ i, i % 7 == 0 ? 5000 : 100 };
	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, HR_COUNT(records));
	config.n_mbufs = 1024;
	open_capture(true);
	for (uint32_t first = 0; first < HR_COUNT(records);) {
		uint32_t got = hr_rxq_burst(queue, m + n, HR_COUNT(m) - n, 1);

		n += got;
		if (got > 0)
			continue;
		/* All buffers are out: give some back, oldest first. */
		CU_ASSERT_TRUE_FATAL(first < n);
		for (uint32_t i = 0; i < 97 && first < n; i++, first++) {
			CU_ASSERT_TRUE(
				is_record(m[first], first, records[first].bytes));
			rte_pktmbuf_free(m[first]);
		}
	}
	CU_ASSERT_EQUAL(n, HR_COUNT(records));
	CU_ASSERT_TRUE(counts().is_done);
	hr_ports_close(ports);
	config.n_mbufs = 4096;
}

static void several_files_are_several_queues(void)
{
	static const struct record records[] = { { 0, 60 }, { 1, 61 } };
	struct hr_err err = { "" };
	struct hr_rxq *queues[3];
	struct hr_port_counts c;
	struct rte_mbuf *m[4];

	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, HR_COUNT(records));
	config.n_ports = 0;
	config.n_workers = 2;
	for (uint32_t i = 0; i < 3; i++)
		add_port(&config, HR_PORT_PCAP, file)->pcap_as_fast_as_it_goes = true;
	CU_ASSERT_EQUAL_FATAL(hr_ports_open(&ports, &config, &err), 0);
	CU_ASSERT_EQUAL(hr_ports_queues(ports, 0, queues, 3), 2);
	CU_ASSERT_EQUAL(hr_rxq_port(queues[1]), 2);
	CU_ASSERT_EQUAL(hr_rxq_burst(queues[1], m, 4, 1), 2);
	rte_pktmbuf_free_bulk(m, 2);
	CU_ASSERT_EQUAL(hr_ports_queues(ports, 0, queues, 1), 1);
	CU_ASSERT_EQUAL(hr_ports_queues(ports, 1, queues, 3), 1);
	CU_ASSERT_EQUAL(hr_rxq_port(queues[0]), 1);
	hr_ports_read(ports, 2, &c);
	CU_ASSERT_TRUE(c.packets == 2 && c.is_done);
	hr_ports_read(ports, 1, &c);
	CU_ASSERT_TRUE(c.packets == 0 && !c.is_done && c.is_up);
	hr_ports_close(ports);
	config.n_workers = 1;
}

static void overwrite(const void *bytes, size_t n)
{
	FILE *f = fopen(file, "w");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	CU_ASSERT_EQUAL(fwrite(bytes, 1, n, f), n);
	fclose(f);
}

static void refused(int want, const char *says)
{
	struct hr_err err = { "" };

	config.n_ports = 0;
	add_port(&config, HR_PORT_PCAP, file);
	CU_ASSERT_EQUAL(hr_ports_open(&ports, &config, &err), want);
	if (strstr(err.text, says) == NULL || strstr(err.text, "port test:") == NULL) {
		printf("\n      \"%s\" says nothing of \"%s\"\n", err.text, says);
		CU_FAIL("a sentence is incomplete");
	}
}

static void what_is_no_capture_of_ethernet_is_refused_by_name(void)
{
	static const struct record records[] = { { 0, 60 }, { 1, 60 } };
	static const struct record too_long[] = { { 0, 60 }, { 1, 65536 } };

	unlink(file);
	refused(-ENOENT, "no such file");
	overwrite("", 0);
	refused(-EINVAL, "found no capture");
	overwrite("not a capture at all, just text", 31);
	refused(-EINVAL, "found no capture");
	unlink(file);
	CU_ASSERT_EQUAL(mkdir(file, 0700), 0);
	refused(-EINVAL, "no regular file");
	rmdir(file);
	write_pcap(DLT_LINUX_SLL, PCAP_TSTAMP_PRECISION_MICRO, records, 2);
	refused(-EINVAL, "LINUX_SLL");
	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, too_long, 2);
	refused(-EINVAL, "record 2: found a frame of 65536 bytes");
	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, 1);
	CU_ASSERT_EQUAL(truncate(file, 24 + 16 + 59), 0);
	refused(-EINVAL, "first record");
}

static void a_capture_that_ends_inside_a_record_is_replayed_up_to_it(void)
{
	static const struct record records[] = { { 0, 60 }, { 1, 60 }, { 2, 60 } };
	struct rte_mbuf *m[4];

	/* At every byte of the last record, its header included. */
	for (int cut = 1; cut < 16 + 60; cut++) {
		write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, 3);
		CU_ASSERT_EQUAL(truncate(file, 24 + 3 * 76 - cut), 0);
		open_capture(true);
		CU_ASSERT_EQUAL(hr_rxq_burst(queue, m, 4, 1), 2);
		rte_pktmbuf_free_bulk(m, 2);
		CU_ASSERT_TRUE(counts().is_done);
		hr_ports_close(ports);
	}
}

/* The reader has 256 KiB in hand by then; the file is longer. */
static void a_capture_that_shrinks_meanwhile_ends_the_replay(void)
{
	static struct record records[500];
	struct rte_mbuf *m[32];
	uint32_t n = 0, got;

	for (uint32_t i = 0; i < HR_COUNT(records); i++)
		records[i] = (struct record){ i, 1500 };
	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, records, HR_COUNT(records));
	open_capture(true);
	CU_ASSERT_EQUAL(truncate(file, 600000), 0);
	while ((got = hr_rxq_burst(queue, m, 32, 1)) > 0) {
		rte_pktmbuf_free_bulk(m, got);
		n += got;
	}
	CU_ASSERT_TRUE(n > 0 && n < HR_COUNT(records));
	CU_ASSERT_TRUE(counts().is_done); /* with an error line */
	hr_ports_close(ports);
}

static void an_empty_capture_is_done_at_once(void)
{
	struct rte_mbuf *m[4];

	write_pcap(DLT_EN10MB, PCAP_TSTAMP_PRECISION_MICRO, NULL, 0);
	open_capture(false);
	CU_ASSERT_TRUE(counts().is_done);
	CU_ASSERT_EQUAL(hr_rxq_burst(queue, m, 4, 1), 0);
	hr_ports_close(ports);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "every record comes once, in order, byte for byte",
		  every_record_comes_once_in_order_byte_for_byte },
		{ "records are due as far apart as they were captured",
		  records_are_due_as_far_apart_as_they_were_captured },
		{ "waiting ends when the next record is due",
		  waiting_ends_when_the_next_record_is_due },
		{ "a pool that is empty holds back and loses nothing",
		  a_pool_that_is_empty_holds_back_and_loses_nothing },
		{ "several files are several queues",
		  several_files_are_several_queues },
		{ "what is no capture of Ethernet is refused by name",
		  what_is_no_capture_of_ethernet_is_refused_by_name },
		{ "a capture that ends inside a record is replayed up to it",
		  a_capture_that_ends_inside_a_record_is_replayed_up_to_it },
		{ "a capture that shrinks meanwhile ends the replay",
		  a_capture_that_shrinks_meanwhile_ends_the_replay },
		{ "an empty capture is done at once",
		  an_empty_capture_is_done_at_once },
		CU_TEST_INFO_NULL,
	};
	struct hr_err err = { "" };
	int failed;

	(void)argc;
	if (mkdtemp(folder) == NULL)
		return 2;
	snprintf(file, sizeof(file), "%s/capture.pcap", folder);
	hr_log_set_level(HR_LOG_ERROR);
	eal_config(&config, 2);
	if (hr_eal_start(&config, argv[0], &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		return 2;
	}
	config.n_workers = 1;
	failed = hr_test_run("replay", NULL, NULL, tests);
	hr_eal_stop();
	unlink(file);
	rmdir(folder);
	return failed;
}
