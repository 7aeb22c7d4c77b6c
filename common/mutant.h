/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_MUTANT_H
#define HR_MUTANT_H

/*
 * mutant - the rules of the protocol that the simulator can switch off in the shipped
 * code, to prove that it would notice. In every other build HR_MUTANT() is the constant
 * false, and nothing of it is left in the program.
 *
 *     if (HR_MUTANT(no_owner_check) || hr_id128_equals(&chain->owner, &link->owner))
 */

enum hr_mutant {
#define HR_MUTANT_ROW(name, sentence) HR_MUTANT_##name,
#include "common/mutants.def"
#undef HR_MUTANT_ROW
	HR_MUTANTS
};

#ifdef HR_WITH_MUTANTS
/* The one that is switched on, HR_MUTANTS for none; the simulator's. One thread. */
extern int hr_mutant;
#define HR_MUTANT(name) (hr_mutant == HR_MUTANT_##name)
#else
#define HR_MUTANT(name) 0
#endif

#endif
