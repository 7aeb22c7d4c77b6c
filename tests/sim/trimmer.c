/* SPDX-License-Identifier: BSD-3-Clause */

/* The shipped trimmer of headraced, its thread a coroutine. */

#include "tests/sim/trimmer.h"

static struct sim *world;
static const struct hr_data_set *the_set;

#define SIM_THREAD_WORLD world
#include "tests/sim/thread.h"

#include "controlplane/trim/trim.c"
#include "tests/sim/env.h"
#include "tests/sim/store.h"

struct sim_trimmer {
	struct sim_env env;
	struct hr_trimmer *trimmer;
};

int hr_data_set_find(struct hr_data_set *out, const struct hr_config *config, bool make,
		     uint32_t wait_ms, struct hr_err *err)
{
	(void)config;
	(void)make;
	(void)wait_ms;
	(void)err;
	*out = *the_set;
	return 0;
}

static json_t *status_of(const struct hr_snapshot_said *said, const bool *is_ready)
{
	json_t *shards = json_array(), *snapshots = json_array();
	char id[33];

	for (size_t i = 0; i < sizeof(the_set->id.b); i++)
		(void)snprintf(id + 2 * i, 3, "%02x", the_set->id.b[i]);
	for (int s = 0; s < (int)the_set->n_shards; s++) {
		json_array_append_new(shards,
				      json_pack("{s:i,s:s}", "shard", s, "state",
						is_ready[s] ? "ready" : "recovering"));
		json_array_append_new(snapshots,
				      json_pack("{s:i,s:I}", "shard", s, "trim_before",
						(json_int_t)said[s].trim_before));
	}
	return json_pack("{s:s,s:o,s:o}", "data_set", id, "shards", shards, "snapshots",
			 snapshots);
}

void sim_trimmer_tell(struct sim_trimmer *t, const struct hr_snapshot_said *said,
		      const bool *is_ready)
{
	json_t *status = status_of(said, is_ready);

	hr_trimmer_tell(t->trimmer, status);
	json_decref(status);
}

struct sim_trimmer *sim_trimmer_new(struct sim *sim, const struct hr_config *config,
				    const struct hr_data_set *set)
{
	struct sim_trimmer *t = calloc(1, sizeof(*t));
	struct sim_env *before;
	struct hr_err err;

	if (t == NULL)
		abort();
	world = sim;
	the_set = set;
	t->env = (struct sim_env){ .sim = sim };
	before = sim_env_enter(&t->env);
	if (hr_trimmer_new(&t->trimmer, config, &err) < 0)
		abort();
	sim_env_enter(before);
	return t;
}

void sim_trimmer_free(struct sim_trimmer *t)
{
	struct sim_env *before = sim_env_enter(&t->env);

	hr_trimmer_free(t->trimmer);
	sim_env_enter(before);
	free(t);
}
