/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_ERROR_H
#define HR_ERROR_H

/*
 * error - a text for people beside the errno for programs.
 *
 * Cold code returns 0 or a negated errno. Whatever a person may have caused
 * also leaves a sentence here: what was found, what was expected and how to
 * mend it. The struct belongs to the caller, is written by one thread, and
 * holds one complete sentence or an empty string, never half of one.
 */

struct hr_err {
	char text[480];
};

/*
 * Write the sentence and hand the code back, so that a failing function ends in
 * `return hr_fail(err, -EINVAL, "...")`. err may be NULL. An overlong text is
 * cut and ends in "...".
 */
int hr_fail(struct hr_err *err, int negative_errno, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * Put "<what>: " in front of the sentence already there, for the caller that
 * knows which file or device the inner function was busy with. Returns code.
 */
int hr_fail_in(struct hr_err *err, int code, const char *what);

#endif
