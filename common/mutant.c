/* SPDX-License-Identifier: BSD-3-Clause */

/* The programs' own switch of a build with -Dbroken=true. Whoever has a switch of his
 * own, as the simulator has, does not link with this. */

#ifdef HR_BROKEN

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mutant.h"

static const char *const names[] = {
#define HR_MUTANT_ROW(name, sentence) #name,
#include "common/breakages.def"
#include "common/mutants.def"
#undef HR_MUTANT_ROW
};

int hr_mutant = HR_MUTANTS;

__attribute__((constructor)) static void read_wish(void)
{
	const char *text = getenv("HEADRACE_BROKEN");

	if (text == NULL || text[0] == '\0')
		return;
	for (int i = 0; i < HR_MUTANTS; i++)
		if (strcmp(names[i], text) == 0)
			hr_mutant = i;
	if (hr_mutant != HR_MUTANTS)
		return;
	fprintf(stderr, "HEADRACE_BROKEN=%s: expected one of these names:\n", text);
	for (int i = 0; i < HR_MUTANTS; i++)
		fprintf(stderr, "  %s\n", names[i]);
	exit(1);
}

#endif
