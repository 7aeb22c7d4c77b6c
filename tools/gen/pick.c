/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "tools/gen/pick.h"

static double weigh(double *weight, uint32_t n, uint32_t zipf_milli)
{
	const double x = zipf_milli / 1000.0;
	double sum = 0;

	for (uint32_t k = 0; k < n; k++) {
		weight[k] = pow((double)k + 1, -x);
		sum += weight[k];
	}
	return sum;
}

static uint32_t share_of(double part)
{
	return part >= 1 ? UINT32_MAX : (uint32_t)(part * 4294967296.0);
}

/*
 * Every row gets weight 1 of n in all: a light one keeps its own and takes the rest
 * from a heavy one, which may become light by that. `todo` holds the light ones from
 * the left and the heavy ones from the right.
 */
static void fill(struct hr_pick *pick, double *weight, uint32_t *todo, double sum)
{
	uint32_t light = 0, heavy = pick->n;

	for (uint32_t k = 0; k < pick->n; k++) {
		weight[k] *= pick->n / sum;
		pick->rows[k] = (struct hr_pick_row){ UINT32_MAX, k };
		if (weight[k] < 1)
			todo[light++] = k;
		else
			todo[--heavy] = k;
	}
	while (light > 0 && heavy < pick->n) {
		const uint32_t small = todo[--light], large = todo[heavy];

		pick->rows[small] =
			(struct hr_pick_row){ share_of(weight[small]), large };
		weight[large] -= 1 - weight[small];
		if (weight[large] < 1) {
			heavy++;
			todo[light++] = large;
		}
	}
}

int hr_pick_init(struct hr_pick *pick, uint32_t n, uint32_t zipf_milli,
		 struct hr_err *err)
{
	double *weight = NULL;
	uint32_t *todo = NULL;
	int r = 0;

	*pick = (struct hr_pick){ .n = n };
	if (zipf_milli == 0)
		return 0;
	pick->rows = malloc(n * sizeof(*pick->rows));
	weight = malloc(n * sizeof(*weight));
	todo = malloc(n * sizeof(*todo));
	if (pick->rows == NULL || weight == NULL || todo == NULL) {
		hr_pick_fini(pick);
		r = hr_fail(err, -ENOMEM, "no memory for a distribution of %u", n);
	} else {
		fill(pick, weight, todo, weigh(weight, n, zipf_milli));
	}
	free(weight);
	free(todo);
	return r;
}

void hr_pick_fini(struct hr_pick *pick)
{
	free(pick->rows);
	pick->rows = NULL;
}
