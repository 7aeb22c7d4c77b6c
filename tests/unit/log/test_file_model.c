/* SPDX-License-Identifier: BSD-3-Clause */

/* The log on files, killed everywhere. */

#include <stdio.h>

#include "tests/unit/hr_test.h"
#include "tests/unit/log/file_model.h"

static void nothing_promised_is_lost_wherever_it_dies(void)
{
	struct file_model_sum sum;

	file_model_run(&sum, 0);
	if (sum.broken > 0)
		fprintf(stderr, "\n%llu of %llu: %s\n", (unsigned long long)sum.broken,
			(unsigned long long)sum.ends, sum.first);
	else
		printf("(%llu ends) ", (unsigned long long)sum.ends);
	CU_ASSERT_EQUAL(sum.broken, 0);
	CU_ASSERT(sum.ends > 10000);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "nothing promised is lost wherever it dies",
		  nothing_promised_is_lost_wherever_it_dies },
		CU_TEST_INFO_NULL,
	};
	return hr_test_run("log on files: model", NULL, NULL, tests);
}
