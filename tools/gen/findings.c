/* SPDX-License-Identifier: BSD-3-Clause */

#include <inttypes.h>

#include "tools/gen/findings.h"

static const char *const place_words[] = {
#define HR_PLACE(name, word) word,
	HR_PLACES(HR_PLACE)
#undef HR_PLACE
};

static const char *const fault_words[] = {
#define HR_FAULT(name, word) word,
	HR_FAULTS(HR_FAULT)
#undef HR_FAULT
};

const char *hr_place_word(enum hr_place place)
{
	return place_words[place];
}

const char *hr_fault_word(enum hr_fault fault)
{
	return fault_words[fault];
}

void hr_finding(struct hr_findings *f, enum hr_place place, enum hr_fault fault,
		const char *fmt, ...)
{
	const uint64_t n = ++f->counts[place][fault];
	va_list args;

	if (n > HR_FINDINGS_TOLD + 1)
		return;
	fprintf(f->to, "%s: %s: ", place_words[place], fault_words[fault]);
	if (n == HR_FINDINGS_TOLD + 1) {
		fputs("more of this kind, counted below\n", f->to);
		return;
	}
	va_start(args, fmt);
	vfprintf(f->to, fmt, args);
	va_end(args);
	putc('\n', f->to);
}

uint64_t hr_findings_sum(const struct hr_findings *f)
{
	uint64_t sum = 0;

	for (int place = 0; place < HR_PLACE_COUNT; place++)
		for (int fault = 0; fault < HR_FAULT_COUNT; fault++)
			sum += f->counts[place][fault];
	return sum;
}

const char *hr_readable(char *out, size_t max, struct hr_str bytes)
{
	static const char hex[] = "0123456789abcdef";
	size_t at = 0;

	for (uint32_t i = 0; i < bytes.n; i++) {
		const uint8_t c = bytes.p[i];

		if (at + 5 > max) {
			out[at > 2 ? at - 1 : at] = '~';
			break;
		}
		if (c >= 0x20 && c < 0x7f && c != '\\') {
			out[at++] = (char)c;
			continue;
		}
		out[at++] = '\\';
		out[at++] = 'x';
		out[at++] = hex[c >> 4];
		out[at++] = hex[c & 15];
	}
	out[at] = '\0';
	return out;
}
