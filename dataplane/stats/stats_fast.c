/* SPDX-License-Identifier: BSD-3-Clause */

/* The part of stats that runs in a worker's loop: calls nothing outside. */

#include "dataplane/stats/stats.h"

/* floor(10 * 2^(i/2)); a test computes them again. */
const uint64_t hr_hist_bound_us[HR_HIST_BUCKETS] = {
	10,       14,       20,       28,       40,       56,         80,
	113,      160,      226,      320,      452,      640,        905,
	1280,     1810,     2560,     3620,     5120,     7240,       10240,
	14481,    20480,    28963,    40960,    57926,    81920,      115852,
	163840,   231704,   327680,   463409,   655360,   926819,     1310720,
	1853638,  2621440,  3707276,  5242880,  7414552,  10485760,   14829104,
	20971520, 29658208, 41943040, 59316416, 83886080, UINT64_MAX,
};

void hr_stat_observe_many_us(hr_cell *histogram, uint64_t us, uint64_t n)
{
	unsigned int low = 0, high = HR_HIST_BUCKETS - 1;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (us <= hr_hist_bound_us[middle])
			high = middle;
		else
			low = middle + 1;
	}
	hr_stat_add(&histogram[low], n);
	hr_stat_add(&histogram[HR_HIST_BUCKETS], us * n);
}

void hr_stat_observe_us(hr_cell *histogram, uint64_t us)
{
	hr_stat_observe_many_us(histogram, us, 1);
}
