/* SPDX-License-Identifier: BSD-3-Clause */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/log.h"
#include "common/mutant.h"
#include "dataplane/log/reader.h"
#include "dataplane/poison/poison.h"
#include "dataplane/snapshot/mirror.h"
#include "dataplane/view/feed.h"

#define ALL_EVENTS UINT32_MAX

void hr_mirror_init(struct hr_mirror *m, const struct hr_config *config,
		    const struct hr_data_set *set, struct hr_feed *feed, uint16_t shard,
		    struct hr_fold *fold, const struct hr_log_start *at)
{
	memset(m, 0, sizeof(*m));
	m->config = config;
	m->set = set;
	m->feed = feed;
	m->shard = shard;
	m->fold = fold;
	if (at != NULL)
		m->at = *at;
	else
		hr_chain_init(&m->at.chain, set, shard);
	m->at.chain.set = set;
}

void hr_mirror_fini(struct hr_mirror *m)
{
	hr_reader_close(m->reader);
	m->reader = NULL;
	hr_fold_free(m->fold);
	m->fold = NULL;
}

static uint64_t next_n(const struct hr_mirror *m)
{
	return m->at.chain.n + 1;
}

/* As large as the first link asks, or as the configuration does when that is more. */
static int fold_make(struct hr_mirror *m, const struct hr_link *link,
		     struct hr_err *err)
{
	uint64_t max_streams = m->config->stream_max;
	struct hr_chain_config *config;
	int r = 0;

	config = malloc(sizeof(*config));
	if (config == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a snapshot");
	if (link->body_kind == HR_BODY_CONFIG)
		r = hr_chain_config_decode(config, link->body, err);
	if (r == 0 && link->body_kind == HR_BODY_CONFIG &&
	    config->setting[HR_CHAIN_MAX_STREAMS] > max_streams)
		max_streams = config->setting[HR_CHAIN_MAX_STREAMS];
	free(config);
	if (r < 0)
		return r;
	if (max_streams > UINT32_MAX ||
	    hr_fold_new(&m->fold, m->set, m->shard, (uint32_t)max_streams) < 0) {
		m->fold = NULL;
		return hr_fail(err, -ENOMEM,
			       "no memory for a second copy of shard %u's state, from "
			       "which snapshots are written",
			       m->shard);
	}
	return 0;
}

/* fold stands behind link now. */
static void stand_at(struct hr_mirror *m, const struct hr_link *link)
{
	struct hr_chain *c = &m->at.chain;

	c->has_owner = true;
	c->owner = link->owner;
	c->incarnation = link->incarnation;
	memcpy(c->addresses, link->addresses, sizeof(c->addresses));
	c->n = link->n;
	c->hash = link->hash;
	c->clock_us = link->clock_us;
	m->at.offset = link->offset;
	m->at.config = *hr_fold_config(m->fold);
	m->log_bytes += link->record_bytes;
	m->n_events += link->n_events;
}

static int refused(const struct hr_mirror *m, const struct hr_link *link, int r,
		   struct hr_err *err)
{
	return hr_fail(err, r, "shard %u: link %llu cannot be followed (%d)", m->shard,
		       (unsigned long long)link->n, r);
}

/* A link that a worker has folded. */
static int follow_folded(struct hr_mirror *m, const struct hr_link *link,
			 struct hr_err *err)
{
	int r = 0;

	if (m->fold == NULL)
		r = fold_make(m, link, err);
	if (r < 0)
		return r;
	r = hr_fold_follow(m->fold, link);
	if (r < 0)
		return refused(m, link, r, err);
	stand_at(m, link);
	return 0;
}

/* ---- reading for itself ------------------------------------------------------------ */

static int fold_read(struct hr_mirror *m, struct hr_link *link, struct hr_err *err)
{
	struct hr_err why;
	int r = 0;

	if (hr_poison_bars_link(m->set, link->shard, link->n, &link->hash, &why))
		return hr_fail(err, -EPERM, "shard %u: %s", link->shard, why.text);
	if (m->fold == NULL)
		r = fold_make(m, link, err);
	if (r == 0)
		r = hr_out_new(link, err);
	if (r < 0)
		return r;
	r = hr_fold_begin(m->fold, link);
	if (r < 0)
		return refused(m, link, r, err);
	while (!hr_fold_step(m->fold, ALL_EVENTS))
		;
	stand_at(m, link);
	return 0;
}

static int read_open(struct hr_mirror *m, struct hr_err *err)
{
	hr_info("snapshot",
		"shard %u: link %llu has left memory: the log is folded again from "
		"there",
		m->shard, (unsigned long long)next_n(m));
	return hr_reader_open_at(&m->reader, m->config, m->set, m->shard,
				 m->at.chain.n == 0 ? NULL : &m->at, err);
}

static int read_some(struct hr_mirror *m, uint32_t at_most, uint32_t wait_ms,
		     struct hr_err *err)
{
	struct hr_link *link;
	uint32_t n = 0;
	int r = 0;

	if (m->reader == NULL)
		r = read_open(m, err);
	while (r == 0 && n < at_most) {
		r = hr_reader_next(m->reader, wait_ms, &link, err);
		if (r <= 0)
			break;
		r = fold_read(m, link, err);
		hr_link_put(link);
		n++;
	}
	if (r >= 0)
		return (int)n;
	hr_reader_close(m->reader);
	m->reader = NULL;
	return r;
}

/* ---- following ------------------------------------------------------------------- */

int hr_mirror_follow(struct hr_mirror *m, uint32_t at_most, uint32_t wait_ms,
		     struct hr_err *err)
{
	struct hr_link *link;
	uint32_t n = 0;

	while (n < at_most) {
		int r = hr_feed_get(m->feed, m->shard, next_n(m), &link);

		if (r == -ENODATA) {
			r = read_some(m, at_most - n, wait_ms, err);
			if (r <= 0)
				return r < 0 ? r : (int)n;
			n += (uint32_t)r;
			continue;
		}
		if (r == 0)
			break;
		hr_reader_close(m->reader); /* memory has what comes next again */
		m->reader = NULL;
		r = follow_folded(m, link, err);
		hr_link_put(link);
		if (r < 0)
			return r;
		n++;
	}
	return (int)n;
}

/* ---- the image ------------------------------------------------------------------- */

static struct hr_snapshot_head head_of(const struct hr_mirror *m, uint32_t config_bytes)
{
	const struct hr_chain *c = &m->at.chain;
	struct hr_snapshot_head head = {
		.format = HR_SNAPSHOT_FORMAT,
		.fold_version = m->at.config.fold_version,
		.data_set = m->set->id,
		.generation = m->set->generation,
		.shard = m->shard,
		.n = c->n,
		.hash = c->hash,
		.clock_us = c->clock_us,
		.offset = m->at.offset,
		.digest = *hr_fold_digest(m->fold),
		.config_bytes = config_bytes,
		.state_bytes = hr_fold_state_bytes(m->fold),
		.address_bytes = (uint16_t)strlen(c->addresses),
	};

	if (HR_MUTANT(snapshot_no_owner))
		return head;
	head.owner = c->owner;
	head.incarnation = c->incarnation;
	return head;
}

int hr_mirror_image(const struct hr_mirror *m, uint8_t **image, size_t *bytes,
		    struct hr_err *err)
{
	uint8_t *config;
	const uint8_t *addresses = (const uint8_t *)m->at.chain.addresses;
	struct hr_snapshot_head head;
	uint32_t config_bytes;

	if (m->fold == NULL || m->at.chain.n == 0)
		return hr_fail(err, -EAGAIN, "shard %u has no link yet", m->shard);
	assert(hr_fold_n(m->fold) == m->at.chain.n);
	config = malloc(HR_CHAIN_CONFIG_MAX);
	if (config == NULL)
		return hr_fail(err, -ENOMEM, "no memory for a snapshot");
	config_bytes = (uint32_t)hr_chain_config_encode(config, &m->at.config);
	head = head_of(m, config_bytes);
	*image = malloc(hr_snapshot_image_bytes(config_bytes, head.state_bytes,
						head.address_bytes));
	if (*image == NULL) {
		free(config);
		return hr_fail(err, -ENOMEM, "no memory for a snapshot of %llu bytes",
			       (unsigned long long)head.state_bytes);
	}
	(void)hr_fold_state_write(m->fold, *image + hr_snapshot_state_at(config_bytes));
	*bytes = hr_snapshot_image_write(
		*image, &head, (struct hr_str){ config, config_bytes },
		(struct hr_str){ addresses, head.address_bytes }, m->set->hash_key);
	free(config);
	return 0;
}
