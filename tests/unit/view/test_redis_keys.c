/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "common/murmur2.h"
#include "dataplane/view/redis_keys.h"
#include "tests/unit/hr_test.h"

static struct hr_str str(const char *text)
{
	return (struct hr_str){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

static void names_are_taken_apart_and_put_together(void)
{
	static const struct {
		const char *text;
		enum hr_redis_key_kind kind;
		const char *name;
	} rows[] = {
		{ "user:u:profile", HR_REDIS_KEY_USER, "u" },
		{ "user:a:b:recent_views", HR_REDIS_KEY_USER, "a:b" },
		{ "user:x:profile:recommendations", HR_REDIS_KEY_USER, "x:profile" },
		{ "headrace:user:u:state", HR_REDIS_KEY_USER, "u" },
		{ "headrace:user:u:categories", HR_REDIS_KEY_USER, "u" },
		{ "category:books:products", HR_REDIS_KEY_CATEGORY, "books" },
		{ "user:u:cart", HR_REDIS_KEY_OTHER, NULL },
		{ "user::profile", HR_REDIS_KEY_OTHER, NULL },
		{ "user:profile", HR_REDIS_KEY_OTHER, NULL },
		{ "headrace:user:u:what", HR_REDIS_KEY_ODD, NULL },
		{ "headrace:shard:3", HR_REDIS_KEY_OTHER, NULL },
		{ "product:p:similar", HR_REDIS_KEY_OTHER, NULL },
		{ "", HR_REDIS_KEY_OTHER, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct hr_redis_key k;
		char out[HR_REDIS_KEY_MAX];

		hr_redis_key_read(&k, str(rows[i].text));
		CU_ASSERT_EQUAL(k.kind, rows[i].kind);
		if (rows[i].name != NULL)
			CU_ASSERT_TRUE(hr_str_equals(k.name, str(rows[i].name)));
		if (rows[i].kind != HR_REDIS_KEY_USER)
			continue;
		hr_redis_key_print(out, k.name, k.key);
		CU_ASSERT_STRING_EQUAL(out, rows[i].text);
		CU_ASSERT_EQUAL(hr_redis_key_shard(str(rows[i].text), 5),
				(int)hr_kafka_partition(k.name.p, k.name.n, 5));
	}
	CU_ASSERT_EQUAL(hr_redis_key_shard(str("category:c:products"), 5), -1);
}

int main(void)
{
	CU_TestInfo tests[] = {
		{ "names are taken apart and put together",
		  names_are_taken_apart_and_put_together },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("redis keys", NULL, NULL, tests);
}
