/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/beacon/beacon.h"
#include "dataplane/beacon/keyring_impl.h"

const uint8_t *hr_keyring_find(const struct hr_keyring *ring, uint32_t key_id)
{
	if (ring == NULL)
		return NULL;
	for (uint32_t i = keyring_home(ring, key_id); ring->slots[i].is_used;
	     i = keyring_next(ring, i))
		if (ring->slots[i].id == key_id)
			return ring->slots[i].key;
	return NULL;
}
