/* SPDX-License-Identifier: BSD-3-Clause */

#include <stdlib.h>
#include <string.h>

#include "tests/sim/network.h"
#include "tests/sim/world.h"

#define DATAGRAM_MAX 1472u
#define HISTORY 256u /* the first ones: they are old the soonest */

struct sim_network {
	struct sim *sim;
	sim_arrive arrive;
	void *arg;
	uint64_t cut_until_us;
	struct packet *free, *all;
	/* What went to appliances, for those who send it again much later. */
	struct old {
		uint8_t *bytes;
		uint32_t sender, n;
	} history[HISTORY];
	uint32_t n_history;
};

struct packet {
	struct packet *next, *next_of_all;
	struct sim_network *network;
	bool to_appliance;
	uint32_t appliance, sender, n;
	uint8_t bytes[DATAGRAM_MAX];
};

static struct packet *packet_take(struct sim_network *w)
{
	struct packet *p = w->free;

	if (p != NULL) {
		w->free = p->next;
		return p;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL)
		abort();
	p->network = w;
	p->next_of_all = w->all;
	w->all = p;
	return p;
}

static void arrive(struct sim *sim, void *arg, uint64_t number)
{
	struct packet *p = arg;
	struct sim_network *w = p->network;

	(void)number;
	if (sim->now_us >= w->cut_until_us)
		w->arrive(w->arg, p->to_appliance, p->appliance, p->sender, p->bytes,
			  p->n);
	p->next = w->free;
	w->free = p;
}

static void remember(struct sim_network *w, uint32_t sender, const uint8_t *bytes,
		     uint32_t n)
{
	struct old *o = &w->history[w->n_history];

	if (w->n_history == HISTORY)
		return;
	o->bytes = malloc(n);
	if (o->bytes == NULL)
		abort();
	memcpy(o->bytes, bytes, n);
	o->sender = sender;
	o->n = n;
	w->n_history++;
}

void sim_network_replay(struct sim_network *w, uint32_t n_appliances)
{
	uint32_t at = w->n_history == 0
			      ? 0
			      : (uint32_t)sim_delay(&w->sim->random, 0, w->n_history);

	for (uint32_t i = at; i < at + 16 && i < w->n_history; i++)
		for (uint32_t a = 0; a < n_appliances; a++)
			sim_network_send(w, true, a, w->history[i].sender,
					 w->history[i].bytes, w->history[i].n);
}

void sim_network_send(struct sim_network *w, bool to_appliance, uint32_t appliance,
		      uint32_t sender, const uint8_t *bytes, uint32_t n)
{
	struct sim *sim = w->sim;
	const struct sim_faults *f = &sim->faults;
	uint32_t copies = sim_strikes(sim, f->datagram_doubled) ? 2 : 1;

	if (n > DATAGRAM_MAX)
		abort();
	if (to_appliance)
		remember(w, sender, bytes, n);
	for (; copies > 0; copies--) {
		uint64_t us = sim_delay(&sim->random, 50, f->network_us);
		struct packet *p;

		if (sim_strikes(sim, f->datagram_lost) || sim->now_us < w->cut_until_us)
			continue;
		if (sim_strikes(sim, f->datagram_late))
			us = sim_delay(&sim->random, us, f->network_late_us);
		p = packet_take(w);
		p->to_appliance = to_appliance;
		p->appliance = appliance;
		p->sender = sender;
		p->n = n;
		memcpy(p->bytes, bytes, n);
		sim_after(sim, us, arrive, p, 0);
	}
}

void sim_network_cut(struct sim_network *w, uint64_t us)
{
	w->cut_until_us = w->sim->now_us + us;
}

struct sim_network *sim_network_new(struct sim *sim, sim_arrive fn, void *arg)
{
	struct sim_network *w = calloc(1, sizeof(*w));

	if (w == NULL)
		abort();
	w->sim = sim;
	w->arrive = fn;
	w->arg = arg;
	return w;
}

void sim_network_free(struct sim_network *w)
{
	for (uint32_t i = 0; i < w->n_history; i++)
		free(w->history[i].bytes);
	while (w->all != NULL) {
		struct packet *p = w->all;

		w->all = p->next_of_all;
		free(p);
	}
	free(w);
}
