/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_RECORD_IMPL_H
#define HR_RECORD_IMPL_H

/* Inside of record, shared by its cold and its hot half only: where fields lie. */

#include "dataplane/log/record.h"

#define HR_ITEM_HEAD_BYTES 8u
#define HR_ITEM_FACT_BYTES 16u
#define HR_ITEM_NOTE_BYTES 16u

_Static_assert(HR_RECORD_MAX % 8 == 0 && HR_BODY_MAX % 8 == 0,
	       "a full body needs no padding beyond the record's end");

#endif
