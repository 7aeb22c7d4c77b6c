/* SPDX-License-Identifier: BSD-3-Clause */

/* Making and unmaking a keyring; keyring_fast.c searches it. */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/keyring_impl.h"

/* 2 slots at least: a shift by 32 would be undefined. */
static uint32_t shift_for(uint32_t n_keys)
{
	uint32_t shift = 31;

	while (shift > 0 && (UINT32_MAX >> shift) + UINT64_C(1) < (uint64_t)n_keys * 2)
		shift--;
	return shift;
}

static void insert(struct hr_keyring *ring, const struct hr_write_key *key)
{
	uint32_t i = keyring_home(ring, key->id);

	while (ring->slots[i].is_used)
		i = keyring_next(ring, i);
	ring->slots[i].id = key->id;
	ring->slots[i].is_used = true;
	memcpy(ring->slots[i].key, key->key, sizeof(key->key));
}

int hr_keyring_new(struct hr_keyring **out, const struct hr_write_key *keys,
		   uint32_t n_keys, struct hr_err *err)
{
	const uint32_t shift = shift_for(n_keys);
	const size_t n_slots = (size_t)(UINT32_MAX >> shift) + 1;
	struct hr_keyring *ring;

	*out = NULL;
	ring = calloc(1, sizeof(*ring) + n_slots * sizeof(ring->slots[0]));
	if (ring == NULL)
		return hr_fail(err, -ENOMEM, "no memory for %u write keys", n_keys);
	ring->shift = shift;
	for (uint32_t i = 0; i < n_keys; i++) {
		if (hr_keyring_find(ring, keys[i].id) != NULL) {
			hr_keyring_free(ring);
			return hr_fail(err, -EEXIST,
				       "write key id %u is there twice: each id may "
				       "name one key",
				       keys[i].id);
		}
		insert(ring, &keys[i]);
	}
	*out = ring;
	return 0;
}

void hr_keyring_free(struct hr_keyring *ring)
{
	free(ring);
}
