/* SPDX-License-Identifier: BSD-3-Clause */

/* Into a pcap file: whole Ethernet frames, each at the time it is due. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <pcap/pcap.h>

#include "tools/gen/way.h"

struct hr_way {
	pcap_t *format;
	pcap_dumper_t *file;
	struct hr_headers headers;
	uint64_t datagrams, events;
};

static void file_close(struct hr_way *way)
{
	if (way == NULL)
		return;
	if (way->file != NULL)
		pcap_dump_close(way->file);
	if (way->format != NULL)
		pcap_close(way->format);
	free(way);
}

static int file_open(struct hr_way **out, const struct hr_way_conf *conf,
		     struct hr_err *err)
{
	struct hr_way *way = calloc(1, sizeof(*way));
	int r;

	if (way == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a pcap file");
	way->headers = conf->headers;
	way->format = pcap_open_dead(DLT_EN10MB, 65535);
	if (way->format == NULL) {
		r = hr_fail(err, -ENOMEM, "no memory for a pcap file");
	} else {
		way->file = pcap_dump_open(way->format, hr_way_target(conf));
		r = way->file != NULL
			    ? 0
			    : hr_fail(err, -EIO, "%s", pcap_geterr(way->format));
	}
	if (r < 0) {
		file_close(way);
		return r;
	}
	*out = way;
	return 0;
}

static int file_put(struct hr_way *way, const struct hr_batch *batch, uint64_t due_us,
		    struct hr_err *err)
{
	uint8_t frame[HR_HEADERS_MAX + HEADRACE_DATAGRAM_MAX];
	struct pcap_pkthdr head = {
		.ts = { (time_t)(due_us / 1000000), (suseconds_t)(due_us % 1000000) },
	};

	memcpy(frame + hr_headers_bytes(&way->headers), batch->bytes, batch->n_bytes);
	head.len = hr_headers_write(&way->headers, frame, batch->n_bytes);
	head.caplen = head.len;
	pcap_dump((u_char *)way->file, &head, frame);
	if (ferror(pcap_dump_file(way->file)))
		return hr_fail(err, -EIO, "pcap file: %s", strerror(errno));
	way->datagrams++;
	way->events += batch->n_events;
	return 0;
}

static int file_flush(struct hr_way *way, struct hr_err *err)
{
	(void)way;
	(void)err;
	return 0;
}

static int file_drain(struct hr_way *way, struct hr_err *err)
{
	if (pcap_dump_flush(way->file) < 0)
		return hr_fail(err, -EIO, "pcap file: %s", strerror(errno));
	return 0;
}

static void file_sent(const struct hr_way *way, uint64_t *datagrams, uint64_t *events)
{
	*datagrams = way->datagrams;
	*events = way->events;
}

const struct hr_way_ops hr_way_pcap = {
	.scheme = "pcap",
	.open = file_open,
	.put = file_put,
	.flush = file_flush,
	.drain = file_drain,
	.sent = file_sent,
	.close = file_close,
	.is_timeless = true,
};
