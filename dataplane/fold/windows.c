/* SPDX-License-Identifier: BSD-3-Clause */

/* The cold half of windows: memory. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/fold/windows.h"

#define CACHE_LINE 64u

/* Written to once: the first datagrams shall not wait for the kernel's pages. */
static void *take(size_t bytes, int fill)
{
	size_t whole = (bytes + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	void *memory = aligned_alloc(CACHE_LINE, whole);

	if (memory != NULL)
		memset(memory, fill, whole);
	return memory;
}

/* At least twice as many as streams: a probe is short, and one is always empty. */
static uint32_t slots_for(uint32_t max_streams)
{
	uint32_t n = 2;

	while (n / 2 < max_streams)
		n *= 2;
	return n;
}

int hr_windows_init(struct hr_windows *w, uint32_t max_streams, uint64_t seed)
{
	uint32_t n_slots;

	if (max_streams > HR_NO_STREAM / 4)
		return -ENOMEM;
	n_slots = slots_for(max_streams);
	*w = (struct hr_windows){
		.streams = take((size_t)(max_streams + 1) * sizeof(*w->streams), 0),
		.slots = take((size_t)n_slots * sizeof(*w->slots), 0xff),
		.keys = take((size_t)n_slots * sizeof(*w->keys), 0),
		.slot_mask = n_slots - 1,
		.max_streams = max_streams,
		.free = max_streams == 0 ? HR_NO_STREAM : 0,
		.seed = seed,
	};
	for (uint32_t i = 0; i < HR_STREAM_CLASSES; i++)
		w->lists[i] = (struct hr_stream_list){ HR_NO_STREAM, HR_NO_STREAM, 0 };
	if (w->streams == NULL || w->slots == NULL || w->keys == NULL) {
		hr_windows_fini(w);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < max_streams; i++)
		w->streams[i].newer = i + 1 == max_streams ? HR_NO_STREAM : i + 1;
	return 0;
}

void hr_windows_fini(struct hr_windows *w)
{
	free(w->streams);
	free(w->slots);
	free(w->keys);
	w->streams = NULL;
	w->slots = NULL;
	w->keys = NULL;
}
