/* SPDX-License-Identifier: BSD-3-Clause */

/* Built with the rules of the log on files to be left out, one at a time: the model has
 * to notice each. */

#include <stdbool.h>
#include <stdio.h>

#include "common/mutant.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/log/file_model.h"

int hr_mutant = HR_MUTANTS;

static bool is_caught(int mutant, const char *name)
{
	struct file_model_sum sum;

	hr_mutant = mutant;
	file_model_run(&sum, 1);
	hr_mutant = HR_MUTANTS;
	printf("\n    %s: after %llu ends: %s\n", name, (unsigned long long)sum.ends,
	       sum.first);
	return sum.broken > 0;
}

static void each_rule_left_out_is_noticed(void)
{
	CU_ASSERT_TRUE(is_caught(HR_MUTANT_file_no_sync, "file_no_sync"));
	CU_ASSERT_TRUE(is_caught(HR_MUTANT_recovery_no_sync, "recovery_no_sync"));
	CU_ASSERT_TRUE(is_caught(HR_MUTANT_segment_no_mark, "segment_no_mark"));
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "each rule left out is noticed", each_rule_left_out_is_noticed },
		CU_TEST_INFO_NULL,
	};
	return hr_test_run("log on files: mutants", NULL, NULL, tests);
}
