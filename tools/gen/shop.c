/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * headrace-gen shop: what a shop writes into Redis and Headrace only reads. Product
 * hashes, and for each product a set of products similar to it; the same numbers give
 * the same shop.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/gen/commands.h"
#include "tools/gen/planned.h"
#include "tools/gen/redis.h"

static const char help[] = "usage: headrace-gen shop --redis HOST:PORT [options]\n"
			   "  --products N    1000: product_0 ...\n"
			   "  --categories N  20; as the plans that are sent say\n"
			   "  --similar K     3 products in each product's set (fewer "
			   "where two choices fall\n"
			   "                  on the same one)\n";

struct request {
	const char *redis;
	uint64_t products, categories, similar;
	bool wants_help;
};

static int read_options(struct request *rq, int argc, char **argv, struct hr_err *err)
{
	static const struct option options[] = {
		{ "redis", required_argument, NULL, 'r' },
		{ "products", required_argument, NULL, 'p' },
		{ "categories", required_argument, NULL, 'c' },
		{ "similar", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int r = 0, option;

	*rq = (struct request){ .products = 1000, .categories = 20, .similar = 3 };
	optind = 1;
	while (r == 0 && (option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		switch (option) {
		case 'r':
			rq->redis = optarg;
			break;
		case 'p':
			r = hr_gen_number("products", optarg, 1, HR_PLAN_PRODUCTS_MAX,
					  &rq->products, err);
			break;
		case 'c':
			r = hr_gen_number("categories", optarg, 1,
					  HR_PLAN_CATEGORIES_MAX, &rq->categories, err);
			break;
		case 's':
			r = hr_gen_number("similar", optarg, 0, HR_SIMILAR_MAX,
					  &rq->similar, err);
			break;
		case 'h':
			rq->wants_help = true;
			return 0;
		default:
			return hr_fail(err, -EINVAL, "see --help");
		}
	}
	if (r == 0 && optind < argc)
		r = hr_fail(err, -EINVAL, "%s: expected an option", argv[optind]);
	if (r == 0 && rq->redis == NULL)
		r = hr_fail(err, -EINVAL, "--redis is missing");
	return r;
}

static int put_product(struct hr_redis *redis, const struct request *rq, uint32_t p,
		       struct hr_err *err)
{
	char name[HR_PRODUCT_NAME], category[HR_CATEGORY_NAME], key[64], title[64],
		price[32];
	const uint32_t cents =
		hr_below((uint32_t)hr_mix(p ^ 0x9121ce0000000000u), 100000);
	const struct hr_str words[] = {
		HR_STR("HSET"),
		{ (const uint8_t *)key,
		  (uint32_t)snprintf(key, sizeof(key), "product:%.*s",
				     (int)hr_product_name(p, name), name) },
		HR_STR("name"),
		{ (const uint8_t *)title,
		  (uint32_t)snprintf(title, sizeof(title), "Product no. %" PRIu32, p) },
		HR_STR("category"),
		{ (const uint8_t *)category,
		  hr_category_name(hr_category_of(p, (uint32_t)rq->categories),
				   category) },
		HR_STR("price"),
		{ (const uint8_t *)price,
		  (uint32_t)snprintf(price, sizeof(price), "%u.%02u", cents / 100,
				     cents % 100) },
	};

	return hr_redis_put(redis, words, sizeof(words) / sizeof(words[0]), err);
}

/* DEL and SADD: a shop with fewer similar products leaves none of the old ones. */
static int put_similar(struct hr_redis *redis, const struct request *rq, uint32_t p,
		       struct hr_err *err)
{
	char name[HR_PRODUCT_NAME], key[64], members[HR_SIMILAR_MAX][HR_PRODUCT_NAME];
	struct hr_str words[2 + HR_SIMILAR_MAX];
	uint32_t others[HR_SIMILAR_MAX], n_others, n = 2;
	int r;

	words[1] = (struct hr_str){ (const uint8_t *)key,
				    (uint32_t)snprintf(
					    key, sizeof(key), "product:%.*s:similar",
					    (int)hr_product_name(p, name), name) };
	words[0] = HR_STR("DEL");
	r = hr_redis_put(redis, words, 2, err);
	n_others =
		hr_similar_to(p, (uint32_t)rq->products, (uint32_t)rq->similar, others);
	for (uint32_t k = 0; k < n_others; k++) {
		words[n].n = hr_product_name(others[k], members[k]);
		words[n++].p = (const uint8_t *)members[k];
	}
	words[0] = HR_STR("SADD");
	return r == 0 && n > 2 ? hr_redis_put(redis, words, n, err) : r;
}

static int write_shop(struct hr_redis *redis, const struct request *rq,
		      struct hr_err *err)
{
	int r = 0;

	for (uint32_t p = 0; p < rq->products && r == 0; p++) {
		r = put_product(redis, rq, p, err);
		if (r == 0)
			r = put_similar(redis, rq, p, err);
	}
	return r == 0 ? hr_redis_settle(redis, err) : r;
}

int hr_gen_shop(int argc, char **argv)
{
	struct hr_redis *redis;
	struct request rq;
	struct hr_err err = { "" };
	int r = read_options(&rq, argc, argv, &err);

	if (r < 0)
		return hr_gen_complain("shop", HR_GEN_USAGE, &err);
	if (rq.wants_help) {
		fputs(help, stdout);
		return 0;
	}
	r = hr_redis_open(&redis, rq.redis, NULL, &err);
	if (r == 0) {
		r = write_shop(redis, &rq, &err);
		hr_redis_close(redis);
	}
	if (r < 0)
		return hr_gen_complain("shop", HR_GEN_WRONG, &err);
	printf("shop: %" PRIu64 " products in %" PRIu64 " categories, up to %" PRIu64
	       " similar to each\n",
	       rq.products, rq.categories, rq.similar);
	return 0;
}
