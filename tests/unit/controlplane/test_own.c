/* SPDX-License-Identifier: BSD-3-Clause */

/* own.def and the second table of docs/metrics.md (argument 1) say the same. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/metrics/own.h"
#include "dataplane/stats/names.h"
#include "tests/unit/hr_test.h"

static char *document;

static void read_document(const char *path)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (f == NULL)
		return;
	document = calloc(1, 1 << 20);
	n = document == NULL ? 0 : fread(document, 1, (1 << 20) - 1, f);
	(void)n;
	fclose(f);
}

static void every_row_stands_in_the_document(void)
{
	static const char *const kinds[] = { "counter", "gauge", "histogram" };

	CU_ASSERT_PTR_NOT_NULL_FATAL(document);
	for (int i = 0; i < HR_OWN_COUNT; i++) {
		const struct hr_own_row *m = &hr_own_rows[i];
		char line[512];

		(void)snprintf(line, sizeof(line), "\n| `%s` | %s | %s | %s |\n",
			       m->name, kinds[m->kind], m->label_keys, m->help);
		if (strstr(document, line) == NULL) {
			fprintf(stderr, "missing line:%s", line);
			CU_FAIL("the document lacks a row of own.def");
		}
	}
}

static void the_document_has_no_row_of_its_own(void)
{
	const char *at, *end;
	int n = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(document);
	at = strstr(document, "<!-- own.def -->");
	end = strstr(document, "<!-- end of own.def -->");
	CU_ASSERT_FATAL(at != NULL && end != NULL && at < end);
	while ((at = strstr(at, "\n| `")) != NULL && at < end) {
		n++;
		at++;
	}
	CU_ASSERT_EQUAL(n, HR_OWN_COUNT);
}

/* Twice the same name would be two heads on the page. */
static void no_name_is_the_dataplanes_too(void)
{
	for (int i = 0; i < HR_OWN_COUNT; i++)
		for (int j = 0; j < HR_METRIC_COUNT; j++)
			CU_ASSERT_STRING_NOT_EQUAL(hr_own_rows[i].name,
						   hr_metric_rows[j].name);
}

int main(int argc, char **argv)
{
	static CU_TestInfo tests[] = {
		{ "every row stands in the document",
		  every_row_stands_in_the_document },
		{ "the document has no row of its own",
		  the_document_has_no_row_of_its_own },
		{ "no name is the dataplane's too", no_name_is_the_dataplanes_too },
		CU_TEST_INFO_NULL,
	};

	if (argc == 2)
		read_document(argv[1]);
	return hr_test_run("own metrics", NULL, NULL, tests);
}
