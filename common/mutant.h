/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MUTANT_H
#define HR_MUTANT_H

/*
 * mutant - the rules of the protocol that the simulator can switch off in the shipped
 * code, to prove that it would notice. In every other build HR_MUTANT() is the constant
 * false, and nothing of it is left in the program.
 *
 * A build with -Dbroken=true has them in its programs, where HEADRACE_BROKEN=<name> in
 * the environment switches one on at the start: so that tools/checker can be shown a
 * running appliance that is broken. An unknown name ends the program with the list.
 *
 *     if (HR_MUTANT(no_owner_check) || hr_id128_equals(&chain->owner, &link->owner))
 */

enum hr_mutant {
#define HR_MUTANT_ROW(name, sentence) HR_MUTANT_##name,
#include "common/breakages.def"
#include "common/mutants.def"
#undef HR_MUTANT_ROW
	HR_MUTANTS
};

#ifdef HR_WITH_MUTANTS
/* The one that is switched on, HR_MUTANTS for none: by the simulator in its one thread,
 * or before main(). */
extern int hr_mutant;
#define HR_MUTANT(name) (hr_mutant == HR_MUTANT_##name)
#else
#define HR_MUTANT(name) 0
#endif

#endif
