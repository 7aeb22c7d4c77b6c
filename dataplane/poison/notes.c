/* SPDX-License-Identifier: BSD-3-Clause */

#include "dataplane/poison/notes.h"

_Thread_local struct hr_note hr_note;
