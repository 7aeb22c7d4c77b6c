/* SPDX-License-Identifier: BSD-3-Clause */

/* Texts that are not plain ASCII, character by character. */

#include "dataplane/beacon/text_impl.h"

enum hr_reject hr_text_judge(struct hr_str s)
{
	enum hr_reject found = HR_REJECT_NONE;

	for (uint32_t i = 0, n; i < s.n; i += n) {
		n = hr_utf8_bytes(s.p + i, s.n - i);
		if (n == 0)
			return HR_REJECT_UTF8;
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			found = HR_REJECT_CONTROL;
	}
	return found;
}
