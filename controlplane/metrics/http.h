/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_HTTP_H
#define HR_HTTP_H

/*
 * http - a few read-only pages over HTTP/1.1, by libmicrohttpd, inside the caller's
 * poll loop: one descriptor to wait for, and never any waiting.
 *
 * GET and HEAD of a page in the table; another path is 404, another method 405, both
 * as application/problem+json (RFC 9457). Connections are bounded in number, memory
 * and time. One thread.
 */

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

#define HR_HTTP_CONNECTIONS_MAX 64u
#define HR_HTTP_IDLE_S 10u

struct hr_http_answer {
	unsigned int status;
	const char *type; /* static */
	char *body;       /* malloc'd, taken over; NULL: out of memory, 500 */
	size_t n;
};

struct hr_http_page {
	const char *path; /* NULL ends the table */
	void (*get)(void *ctx, struct hr_http_answer *out);
};

struct hr_http;

/*
 * listen: "address:port", IPv6 in brackets; port 0 lets the kernel choose. The table
 * and ctx are borrowed until hr_http_close(). Returns -EADDRINUSE, -EACCES, -EINVAL,
 * ... with the sentence.
 */
int hr_http_open(struct hr_http **out, const char *listen,
		 const struct hr_http_page *pages, void *ctx, struct hr_err *err);
void hr_http_close(struct hr_http *http); /* NULL is fine */

/* Readable (POLLIN) when hr_http_serve() has something to do. */
int hr_http_fd(const struct hr_http *http);
/* Returns the milliseconds after which it wants to be called again; -1: none. */
int hr_http_serve(struct hr_http *http);
/* "address:port" it really listens at. */
const char *hr_http_address(const struct hr_http *http);

/* An answer out of a JSON object; takes over the reference. */
void hr_http_answer_json(struct hr_http_answer *out, unsigned int status,
			 const char *type, json_t *object);

#endif
