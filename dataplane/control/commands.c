/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/control.h"
#include "dataplane/control/commands.h"
#include "dataplane/poison/poison.h"

static const char *const state_names[] = {
	[HR_STATE_STARTING] = "starting",
	[HR_STATE_RUNNING] = "running",
	[HR_STATE_STOPPING] = "stopping",
};

static const char *const shard_names[] = {
	[HR_SHARD_STARTING] = "starting",     [HR_SHARD_READY] = "ready",
	[HR_SHARD_RECOVERING] = "recovering", [HR_SHARD_FENCED] = "fenced",
	[HR_SHARD_STOPPED] = "stopped",
};

static const char *const view_names[] = {
	[HR_VIEW_CONNECTING] = "connecting",
	[HR_VIEW_CATCHING_UP] = "catching up",
	[HR_VIEW_LIVE] = "live",
	[HR_VIEW_STOPPED] = "stopped",
};

static void add_reason(void *list, const char *sentence)
{
	json_array_append_new(list, json_string(sentence));
}

/* "" where nobody is. */
static void owner_print(char out[HR_ID128_TEXT], const struct hr_id128 *id)
{
	static const struct hr_id128 none;

	out[0] = '\0';
	if (!hr_id128_equals(id, &none))
		hr_id128_print(out, id);
}

static json_t *shards(const struct hr_dataplane *d)
{
	json_t *list = json_array();

	for (uint16_t s = 0; d->owner != NULL && s < d->set.n_shards; s++) {
		const struct hr_shard_view *view = hr_owner_shard(d->owner, s);
		const unsigned int state = atomic_load(&view->state);
		const bool is_ours = atomic_load(&view->is_ours);
		char reason[320], addresses[HR_ADDRESSES_MAX + 1], owner[HR_ID128_TEXT];
		struct hr_owner_seen seen;

		hr_owner_reason(d->owner, s, reason, sizeof(reason));
		hr_owner_addresses(d->owner, s, addresses);
		hr_owner_see(d->owner, s, &seen);
		owner_print(owner, &seen.owner);
		json_array_append_new(
			list,
			json_pack(
				"{s:i,s:s,s:I,s:I,s:s,s:b,s:s,s:s,s:I,s:i}", "shard",
				(int)s, "state", shard_names[state], "link",
				(json_int_t)(state == HR_SHARD_FENCED
						     ? seen.n
						     : atomic_load(&view->accepted_n)),
				"incarnation",
				(json_int_t)atomic_load(&view->incarnation), "reason",
				reason, "ours", (int)is_ours, "owner", owner,
				"addresses", addresses, "offset",
				(json_int_t)seen.offset, "fold_version",
				(int)seen.fold_version));
	}
	return list;
}

/* Of the shards that were asked to be mended: how that goes, or went. */
static json_t *repairs(const struct hr_dataplane *d, const struct hr_running_view *v)
{
	json_t *list = json_array();

	for (uint16_t s = 0; v->ops->repaired != NULL && s < d->set.n_shards; s++) {
		char text[400];

		v->ops->repaired(v->view, s, text, sizeof(text));
		if (text[0] != '\0')
			json_array_append_new(list, json_pack("{s:i,s:s}", "shard",
							      (int)s, "said", text));
	}
	return list;
}

static json_t *views(const struct hr_dataplane *d)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < d->n_views; i++) {
		const struct hr_running_view *v = &d->views[i];
		char reason[320] = "";

		v->ops->reason(v->view, reason, sizeof(reason));
		json_array_append_new(
			list, json_pack("{s:s,s:s,s:s,s:o}", "name", v->ops->name,
					"state", view_names[v->ops->state(v->view)],
					"reason", reason, "repairs", repairs(d, v)));
	}
	return list;
}

static json_t *ports(const struct hr_dataplane *d)
{
	json_t *list = json_array();

	for (uint32_t i = 0; d->ports != NULL && i < d->config.n_ports; i++) {
		struct hr_port_counts counts;

		hr_ports_read(d->ports, i, &counts);
		json_array_append_new(
			list, json_pack("{s:s,s:b,s:b,s:I,s:I}", "device",
					d->config.ports[i].device, "up",
					(int)counts.is_up, "done", (int)counts.is_done,
					"packets", (json_int_t)counts.packets, "missed",
					(json_int_t)counts.missed));
	}
	return list;
}

/* What one may want to know of a shard's snapshots, and what headraced obeys: the
 * offset before which its log may be trimmed. */
static json_t *snapshots(const struct hr_dataplane *d)
{
	json_t *list = json_array();

	for (uint16_t s = 0; d->snapshotter != NULL && s < d->set.n_shards; s++) {
		struct hr_snapshot_said said;

		hr_snapshotter_said(d->snapshotter, s, &said);
		json_array_append_new(
			list, json_pack("{s:i,s:I,s:I,s:i,s:I,s:s,s:s}", "shard",
					(int)s, "link", (json_int_t)said.n, "bytes",
					(json_int_t)said.bytes, "kept",
					(int)said.n_kept, "trim_before",
					(json_int_t)said.trim_before, "not_trimmed",
					said.why_not, "trouble", said.trouble));
	}
	return list;
}

/* Bytes that the log's disk has left for us. A broker tells no client of this kind. */
static json_t *disk_free(const struct hr_dataplane *d, const char **why)
{
	struct statvfs fs;

	*why = "";
	if (d->config.log_kind != HR_LOG_KIND_FILE) {
		*why = "the brokers do not say what their disks have left";
		return json_null();
	}
	if (statvfs(d->config.log_folder, &fs) < 0) {
		*why = "the file system of log.folder does not say what it has left";
		return json_null();
	}
	return json_integer((json_int_t)fs.f_bavail * (json_int_t)fs.f_frsize);
}

static json_t *hours_left(const json_t *left, double bytes_per_hour)
{
	if (!json_is_integer(left) || bytes_per_hour < 1)
		return json_null();
	return json_real((double)json_integer_value(left) / bytes_per_hour);
}

/* How the log grows, of all shards since this process began to follow them. */
static json_t *growth(const struct hr_dataplane *d)
{
	uint64_t bytes = 0, events = 0, us = 1;
	double per_hour;
	json_t *left;
	const char *why;

	for (uint16_t s = 0; d->snapshotter != NULL && s < d->set.n_shards; s++) {
		struct hr_snapshot_said said;

		hr_snapshotter_said(d->snapshotter, s, &said);
		bytes += said.log_bytes;
		events += said.n_events;
		us = hr_mono_us() - said.since_mono_us + 1;
	}
	per_hour = (double)bytes / ((double)us / 3600e6);
	left = disk_free(d, &why);
	return json_pack(
		"{s:I,s:I,s:o,s:f,s:o,s:o,s:s}", "bytes", (json_int_t)bytes, "events",
		(json_int_t)events, "bytes_per_event",
		events > 0 ? json_real((double)bytes / (double)events) : json_null(),
		"bytes_per_hour", per_hour, "hours_left", hours_left(left, per_hour),
		"disk_free", left, "why_unknown", why);
}

/* What killed the dataplane, as this start found it. */
static json_t *poison_rows(enum hr_death_kind kind)
{
	const struct hr_deaths *list = hr_poison_deaths();
	json_t *rows = json_array();

	for (uint32_t i = 0; i < list->n[kind]; i++) {
		const struct hr_death *death = &list->rows[kind][i];
		char id[HR_ID128_TEXT];
		json_t *row = json_pack(
			"{s:i,s:b,s:i,s:I}", "deaths", (int)death->deaths, "barred",
			(int)hr_death_is_barred(death), "signal", (int)death->signal,
			"last_us", (json_int_t)death->wall_us);

		if (kind == HR_DEATH_LINK) {
			hr_id128_print(id, &death->hash);
			json_object_set_new(row, "shard", json_integer(death->shard));
			json_object_set_new(row, "link",
					    json_integer((json_int_t)death->number));
			json_object_set_new(row, "hash", json_string(id));
		} else {
			snprintf(id, sizeof(id), "%016llx",
				 (unsigned long long)death->number);
			json_object_set_new(row, "fingerprint", json_string(id));
			json_object_set_new(row, "bytes", json_integer(death->bytes));
		}
		json_array_append_new(rows, row);
	}
	return rows;
}

static json_t *poison(void)
{
	return json_pack("{s:o,s:o,s:i}", "links", poison_rows(HR_DEATH_LINK),
			 "datagrams", poison_rows(HR_DEATH_DATAGRAM), "forgotten",
			 (int)hr_poison_deaths()->forgotten);
}

static json_t *status(const struct hr_dataplane *d)
{
	json_t *reasons = json_array();
	bool ready = hr_dataplane_is_ready(d, add_reason, reasons);
	char data_set[HR_ID128_TEXT] = "";

	if (d->state == HR_STATE_RUNNING)
		hr_id128_print(data_set, &d->set.id);
	return json_pack("{s:s,s:s,s:i,s:i,s:s,s:b,s:o,s:s,s:s,s:i,s:i,s:i,s:o,s:o,s:o,"
			 "s:o,s:o,s:o}",
			 "program", "headrace-dataplane", "version", HR_VERSION,
			 "fold_version", HR_FOLD_VERSION, "pid", (int)getpid(), "state",
			 state_names[d->state], "ready", (int)ready, "reasons", reasons,
			 "name", d->config.name, "data_set", data_set, "generation",
			 (int)d->config.generation, "n_shards", (int)d->config.n_shards,
			 "workers", (int)d->config.n_workers, "shards", shards(d),
			 "views", views(d), "ports", ports(d), "snapshots",
			 snapshots(d), "log", growth(d), "poison", poison());
}

/* Of the member "shard"; -1: there is none that can be one. */
static int shard_of(const json_t *request)
{
	const json_t *shard = json_object_get(request, "shard");

	if (!json_is_integer(shard) || json_integer_value(shard) < 0 ||
	    json_integer_value(shard) >= HR_SHARDS_MAX)
		return -1;
	return (int)json_integer_value(shard);
}

/* What the owner of the log is told; NULL: no such command. */
static json_t *of_owner(struct hr_dataplane *d, const char *command,
			const json_t *request)
{
	bool is_take = strcmp(command, "shards take") == 0;
	bool is_loss = strcmp(command, "log accept-loss") == 0;
	bool is_config = strcmp(command, "config commit") == 0;
	int shard = shard_of(request);
	struct hr_err err;
	int r;

	if (!is_take && !is_loss && !is_config && strcmp(command, "clock accept") != 0)
		return NULL;
	if (d->state != HR_STATE_RUNNING)
		return hr_control_refusal("the dataplane is not running yet");
	if ((is_take || is_loss) && shard < 0)
		return hr_control_refusal("%s: found no shard, expected a number",
					  command);
	if (is_take)
		r = hr_owner_take(d->owner, (uint16_t)shard, &err);
	else if (is_loss)
		r = hr_owner_accept_loss(d->owner, (uint16_t)shard, &err);
	else if (is_config)
		r = hr_owner_config_commit(d->owner, &err);
	else
		r = hr_owner_clock_accept(d->owner, &err);
	return r < 0 ? hr_control_refusal("%s", err.text) : json_object();
}

/* A view is told; NULL: no such command. */
static json_t *of_view(struct hr_dataplane *d, const char *command,
		       const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "view"));
	const int shard =
		json_object_get(request, "shard") == NULL ? -1 : shard_of(request);
	struct hr_err err;

	if (strcmp(command, "view repair") != 0)
		return NULL;
	if (d->state != HR_STATE_RUNNING)
		return hr_control_refusal("the dataplane is not running yet");
	for (uint32_t i = 0; name != NULL && i < d->n_views; i++) {
		const struct hr_running_view *v = &d->views[i];

		if (strcmp(v->ops->name, name) != 0 || v->ops->repair == NULL)
			continue;
		return v->ops->repair(v->view, shard, &err) < 0
			       ? hr_control_refusal("%s", err.text)
			       : json_pack("{s:o}", "repairs", repairs(d, v));
	}
	return hr_control_refusal(
		"no view of that name is running that can be repaired");
}

json_t *hr_commands_answer(void *ctx, const char *command, const json_t *request)
{
	struct hr_commands *c = ctx;

	if (strcmp(command, "status") == 0)
		return status(c->dataplane);
	if (strcmp(command, "stop") == 0) {
		c->must_stop = true;
		return json_pack("{s:s}", "state", "stopping");
	}
	if (strcmp(command, "view repair") == 0)
		return of_view(c->dataplane, command, request);
	return of_owner(c->dataplane, command, request);
}
