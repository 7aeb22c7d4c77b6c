/* SPDX-License-Identifier: BSD-3-Clause */

/* The XDP room without a program and without root; docs/xdp.md is argument 1. With
 * both: tests/bpf and tests/integration/test_xdp. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/xdp/xdp.h"
#include "tests/unit/hr_test.h"

#define KERNEL_NAME_MAX 15 /* BPF_OBJ_NAME_LEN less its NUL */

static char document[1 << 16];

static void read_document(const char *path)
{
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return;
	document[fread(document, 1, sizeof(document) - 1, f)] = '\0';
	fclose(f);
}

static void every_verdict_has_a_label_of_its_own(void)
{
	for (int v = 0; v < HR_STEER_COUNT; v++) {
		const char *label = hr_xdp_verdicts[v].label;

		CU_ASSERT_TRUE(strlen(label) > 0);
		CU_ASSERT_EQUAL(strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789_"),
				strlen(label));
		for (int w = 0; w < v; w++)
			CU_ASSERT_STRING_NOT_EQUAL(label, hr_xdp_verdicts[w].label);
	}
}

/* Each row is there, in order, and between the marks is no other. */
static void the_document_has_these_verdicts_and_no_others(void)
{
	const char *at = strstr(document, "<!-- steer_abi.h -->");
	const char *end = strstr(document, "<!-- end of steer_abi.h -->");

	CU_ASSERT_FATAL(at != NULL && end != NULL && at < end);
	for (int v = 0; v < HR_STEER_COUNT; v++) {
		char line[256];

		snprintf(line, sizeof(line), "\n| `%s` | %s | %s |\n",
			 hr_xdp_verdicts[v].label,
			 v == HR_STEER_REDIRECTED ? "dataplane" : "kernel",
			 hr_xdp_verdicts[v].sentence);
		at = strstr(at, "\n| `");
		CU_ASSERT_PTR_NOT_NULL_FATAL(at);
		if (strncmp(at, line, strlen(line)) != 0) {
			fprintf(stderr, "expected here:%s", line);
			CU_FAIL("the document lacks a verdict of steer_abi.h");
		}
		at++;
	}
	at = strstr(at, "\n| `");
	CU_ASSERT_TRUE(at == NULL || at > end);
}

/* The kernel cuts longer ones, and they would not be found again. */
static void names_are_short_enough_for_the_kernel(void)
{
	static const char *const names[] = {
		HR_STEER_PROGRAM,       HR_STEER_XSKS_MAP,   HR_STEER_UDP_PORTS_MAP,
		HR_STEER_TCP_PORTS_MAP, HR_STEER_COUNTS_MAP,
	};

	for (size_t i = 0; i < HR_COUNT(names); i++)
		CU_ASSERT_TRUE(strlen(names[i]) <= KERNEL_NAME_MAX);
}

static void an_interface_that_is_not_there_is_named(void)
{
	struct hr_xdp *x = NULL;
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_xdp_open(&x, "nosuch0", &err), -ENODEV);
	CU_ASSERT_PTR_NULL(x);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nosuch0: found no such interface"));
	CU_ASSERT_EQUAL(hr_xdp_clear("nosuch0", &err), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "ip -br link"));
	CU_ASSERT_EQUAL(hr_xdp_rx_queues("nosuch0", &err), -ENODEV);
	CU_ASSERT_EQUAL(hr_xdp_check_queues("nosuch0", 1, &err), -ENODEV);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "nosuch0"));
	hr_xdp_close(NULL);
}

/* It has no ethtool channels: the count comes from /sys. */
static void loopback_has_one_queue(void)
{
	struct hr_err err;

	CU_ASSERT_EQUAL(hr_xdp_rx_queues("lo", &err), 1);
	CU_ASSERT_EQUAL(hr_xdp_check_queues("lo", 1, &err), 0);
	CU_ASSERT_EQUAL(hr_xdp_check_queues("lo", 0, &err), -ERANGE);
	CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "lo: found 1 receive queues"));
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "every verdict has a label of its own",
		  every_verdict_has_a_label_of_its_own },
		{ "the document has these verdicts and no others",
		  the_document_has_these_verdicts_and_no_others },
		{ "names are short enough for the kernel",
		  names_are_short_enough_for_the_kernel },
		{ "an interface that is not there is named",
		  an_interface_that_is_not_there_is_named },
		{ "loopback has one queue", loopback_has_one_queue },
		CU_TEST_INFO_NULL,
	};

	if (argc > 1)
		read_document(argv[1]);
	return hr_test_run("xdp", NULL, NULL, tests);
}
