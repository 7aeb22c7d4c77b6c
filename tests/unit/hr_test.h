/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_TEST_H
#define HR_TEST_H

/*
 * The frame every unit test program shares: a table of promises, one suite.
 *
 *     int main(void)
 *     {
 *             static CU_TestInfo tests[] = {
 *                     { "a promise in words", a_promise_in_words },
 *                     CU_TEST_INFO_NULL,
 *             };
 *             return hr_test_run("siphash", NULL, NULL, tests);
 *     }
 */

#include <CUnit/Basic.h>

#define HR_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline int hr_test_run(const char *name, void (*setup)(void),
			      void (*teardown)(void), CU_TestInfo *tests)
{
	CU_SuiteInfo suites[] = {
		{ name, NULL, NULL, setup, teardown, tests },
		CU_SUITE_INFO_NULL,
	};
	unsigned int failures;

	if (CU_initialize_registry() != CUE_SUCCESS ||
	    CU_register_suites(suites) != CUE_SUCCESS)
		return 2;
	CU_basic_set_mode(CU_BRM_VERBOSE);
	CU_basic_run_tests();
	failures = CU_get_number_of_failures();
	CU_cleanup_registry();
	return failures != 0;
}

#endif
