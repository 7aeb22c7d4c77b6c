/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>

#include "dataplane/beacon/beacon.h"
#include "tests/unit/hr_test.h"

static struct hr_write_key keys[HR_KEYS_MAX];

/* Ids far apart, close together, and around the ends of their range. */
static void make_keys(uint32_t step)
{
	for (uint32_t i = 0; i < HR_KEYS_MAX; i++) {
		keys[i].id = i * step - 3;
		memset(keys[i].key, 0, sizeof(keys[i].key));
		memcpy(keys[i].key, &keys[i].id, sizeof(keys[i].id));
	}
}

static void every_key_is_found_and_no_other(void)
{
	static const uint32_t steps[] = { 1, 2, 1024, 65536, 2654435769u, 4000037 };

	for (size_t s = 0; s < HR_COUNT(steps); s++) {
		make_keys(steps[s]);
		for (uint32_t n = 1; n <= HR_KEYS_MAX; n = n < 9 ? n + 1 : n * 2 - 5) {
			struct hr_keyring *ring;

			CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&ring, keys, n, NULL), 0);
			for (uint32_t i = 0; i < HR_KEYS_MAX; i++) {
				const uint8_t *key = hr_keyring_find(ring, keys[i].id);

				CU_ASSERT_EQUAL_FATAL(key != NULL, i < n);
				if (key != NULL)
					CU_ASSERT_EQUAL(memcmp(key, keys[i].key, 16),
							0);
			}
			hr_keyring_free(ring);
		}
	}
}

static void an_empty_ring_and_none_find_nothing(void)
{
	struct hr_keyring *ring;

	CU_ASSERT_EQUAL_FATAL(hr_keyring_new(&ring, NULL, 0, NULL), 0);
	CU_ASSERT_PTR_NULL(hr_keyring_find(ring, 0));
	CU_ASSERT_PTR_NULL(hr_keyring_find(ring, UINT32_MAX));
	CU_ASSERT_PTR_NULL(hr_keyring_find(NULL, 0));
	hr_keyring_free(ring);
	hr_keyring_free(NULL);
}

static void an_id_that_is_there_twice_is_refused_by_name(void)
{
	struct hr_keyring *ring;
	struct hr_err err;

	make_keys(5);
	keys[7].id = keys[2].id = 4711;
	CU_ASSERT_EQUAL(hr_keyring_new(&ring, keys, 10, &err), -EEXIST);
	CU_ASSERT_PTR_NULL(ring);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "4711"));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "every key is found and no other", every_key_is_found_and_no_other },
		{ "an empty ring and none at all find nothing",
		  an_empty_ring_and_none_find_nothing },
		{ "an id that is there twice is refused by name",
		  an_id_that_is_there_twice_is_refused_by_name },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("keyring", NULL, NULL, tests);
}
