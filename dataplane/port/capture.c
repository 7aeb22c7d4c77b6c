/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <pcap/pcap.h>

#include <rte_mbuf.h>

#include "common/log.h"
#include "dataplane/port/capture.h"

#define READ_AHEAD (256u << 10) /* the worker asks the kernel this seldom */
#define FRAME_MAX UINT16_MAX    /* loopback captures have frames of nearly 64 KiB */

struct hr_capture {
	pcap_t *pcap;
	struct rte_mempool *pool;
	bool as_fast_as_it_goes;
	uint64_t n_records;
	uint64_t n_handed_out;

	/* The record to be handed out next; data is libpcap's until the next read. */
	const uint8_t *data;
	uint32_t data_bytes;
	uint64_t due_us;

	uint64_t first_record_us; /* the file's clock */
	uint64_t first_burst_us;  /* ours; 0 = not begun */

	_Atomic bool is_done;
	_Atomic bool has_failed;
};

static uint64_t record_us(const struct pcap_pkthdr *header)
{
	return (uint64_t)header->ts.tv_sec * 1000000u + (uint64_t)header->ts.tv_usec;
}

/* Opened by us, because of libpcap's 4 KiB buffers and its opinion on "-". */
static int open_file(pcap_t **out, const char *path, struct hr_err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	struct stat st;
	FILE *file;
	pcap_t *pcap;

	if (stat(path, &st) < 0)
		return hr_fail(err, -errno,
			       "%s: found no such file to read (%s), expected a pcap",
			       path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return hr_fail(err, -EINVAL,
			       "%s: found something that is no regular file, expected "
			       "a pcap; write a pipe's contents to a file first",
			       path);
	file = fopen(path, "re");
	if (file == NULL)
		return hr_fail(err, -errno, "%s: cannot be opened: %s", path,
			       strerror(errno));
	setvbuf(file, NULL, _IOFBF, READ_AHEAD);
	pcap = pcap_fopen_offline(file, why);
	if (pcap == NULL) {
		fclose(file);
		return hr_fail(err, -EINVAL,
			       "%s: found no capture (%s), expected pcap or pcapng as "
			       "tcpdump and Wireshark write them",
			       path, why);
	}
	if (pcap_datalink(pcap) != DLT_EN10MB) {
		const char *name = pcap_datalink_val_to_name(pcap_datalink(pcap));

		hr_fail(err, -EINVAL,
			"%s: found link type %s, expected EN10MB (Ethernet); capture "
			"on "
			"an Ethernet interface, not on \"any\"",
			path, name != NULL ? name : "unknown");
		pcap_close(pcap);
		return -EINVAL;
	}
	*out = pcap;
	return 0;
}

/* What the first pass found. */
struct survey {
	uint64_t n_records;
	uint64_t n_cut; /* by the capture's snap length */
	uint64_t first_us, last_us;
	bool ends_inside_a_record;
};

static int survey(struct survey *out, const char *path, struct hr_err *err)
{
	struct pcap_pkthdr *header;
	const uint8_t *data;
	pcap_t *pcap;
	int r = open_file(&pcap, path, err);

	if (r < 0)
		return r;
	memset(out, 0, sizeof(*out));
	while ((r = pcap_next_ex(pcap, &header, &data)) == 1) {
		if (header->caplen > FRAME_MAX) {
			hr_fail(err, -EINVAL,
				"%s: record %" PRIu64 ": found a frame of %u bytes, "
				"expected at most %u",
				path, out->n_records + 1, header->caplen, FRAME_MAX);
			pcap_close(pcap);
			return -EINVAL;
		}
		if (out->n_records == 0)
			out->first_us = record_us(header);
		out->last_us = record_us(header);
		out->n_cut += header->caplen < header->len;
		out->n_records++;
	}
	out->ends_inside_a_record = r != PCAP_ERROR_BREAK;
	if (out->ends_inside_a_record && out->n_records == 0) {
		hr_fail(err, -EINVAL, "%s: the first record cannot be read: %s", path,
			pcap_geterr(pcap));
		pcap_close(pcap);
		return -EINVAL;
	}
	if (out->ends_inside_a_record)
		hr_warn("port",
			"%s: after %" PRIu64 " records: %s; what follows is not "
			"replayed",
			path, out->n_records, pcap_geterr(pcap));
	pcap_close(pcap);
	return 0;
}

static void end(struct hr_capture *r, bool as_expected)
{
	r->data = NULL;
	atomic_store_explicit(&r->has_failed, !as_expected, memory_order_relaxed);
	/* Pairs with the acquire in hr_capture_is_done(). */
	atomic_store_explicit(&r->is_done, true, memory_order_release);
}

/* Take the next record in hand, or end. */
static void advance(struct hr_capture *r)
{
	struct pcap_pkthdr *header;

	if (r->n_handed_out == r->n_records) {
		end(r, true);
		return;
	}
	if (pcap_next_ex(r->pcap, &header, &r->data) != 1 ||
	    header->caplen > FRAME_MAX) {
		end(r, false);
		return;
	}
	r->data_bytes = header->caplen;
	if (r->n_handed_out == 0)
		r->first_record_us = record_us(header);
	/* Kept as a distance from the first record; a step back is due at once. */
	r->due_us = record_us(header) > r->first_record_us
			    ? record_us(header) - r->first_record_us
			    : 0;
}

int hr_capture_open(struct hr_capture **out, const char *path, bool as_fast_as_it_goes,
		    struct rte_mempool *pool, struct hr_err *err)
{
	struct survey found;
	struct hr_capture *r;
	int status = survey(&found, path, err);

	if (status < 0)
		return status;
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return hr_fail(err, -ENOMEM, "%s: no memory to read it", path);
	status = open_file(&r->pcap, path, err);
	if (status < 0) {
		free(r);
		return status;
	}
	r->pool = pool;
	r->as_fast_as_it_goes = as_fast_as_it_goes;
	r->n_records = found.n_records;
	hr_info("port", "%s: %" PRIu64 " records of %.3f s", path, found.n_records,
		found.last_us > found.first_us
			? (double)(found.last_us - found.first_us) / 1e6
			: 0.0);
	if (found.n_cut > 0)
		hr_warn("port",
			"%s: %" PRIu64 " of %" PRIu64
			" records were cut when they were "
			"captured and will be refused as too short; capture with "
			"tcpdump -s 0",
			path, found.n_cut, found.n_records);
	advance(r);
	*out = r;
	return 0;
}

void hr_capture_close(struct hr_capture *r)
{
	if (r == NULL)
		return;
	pcap_close(r->pcap);
	free(r);
}

uint64_t hr_capture_n_records(const struct hr_capture *r)
{
	return r->n_records;
}

bool hr_capture_is_done(const struct hr_capture *r)
{
	/* Pairs with the release in end(). */
	return atomic_load_explicit(&r->is_done, memory_order_acquire);
}

bool hr_capture_is_news_of_failure(struct hr_capture *r)
{
	return atomic_exchange_explicit(&r->has_failed, false, memory_order_relaxed);
}

uint64_t hr_capture_due_us(const struct hr_capture *r)
{
	if (r->data == NULL)
		return UINT64_MAX;
	if (r->as_fast_as_it_goes || r->first_burst_us == 0)
		return 0;
	return r->first_burst_us + r->due_us;
}

/* Copy the record in hand into a buffer, or a chain of them when it is long.
 * NULL: the buffers are all in use. */
static struct rte_mbuf *copy(const struct hr_capture *r)
{
	struct rte_mbuf *head = rte_pktmbuf_alloc(r->pool), *tail = head;
	uint32_t at = 0;

	while (tail != NULL) {
		uint32_t n = r->data_bytes - at, room = rte_pktmbuf_tailroom(tail);

		if (n > room)
			n = room;
		memcpy(rte_pktmbuf_mtod(tail, void *), r->data + at, n);
		tail->data_len = (uint16_t)n;
		head->pkt_len += n;
		at += n;
		if (at == r->data_bytes)
			return head;
		tail->next = rte_pktmbuf_alloc(r->pool);
		tail = tail->next;
		head->nb_segs++;
	}
	if (head != NULL) {
		head->nb_segs--; /* the one that was not there */
		rte_pktmbuf_free(head);
	}
	return NULL;
}

uint32_t hr_capture_burst(struct hr_capture *r, struct rte_mbuf **out, uint32_t max,
			  uint64_t now_us)
{
	uint32_t n = 0;

	if (r->first_burst_us == 0)
		r->first_burst_us = now_us;
	while (n < max && r->data != NULL && hr_capture_due_us(r) <= now_us) {
		struct rte_mbuf *m = copy(r);

		if (m == NULL)
			break;
		out[n++] = m;
		r->n_handed_out++;
		advance(r);
	}
	return n;
}
