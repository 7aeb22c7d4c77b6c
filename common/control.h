/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CONTROL_H
#define HR_CONTROL_H

/*
 * control - the command link: one JSON object a line over a Unix socket.
 *
 *     -> {"command":"status"}
 *     <- {"ok":true,"ready":true,...}
 *     <- {"ok":false,"error":"a sentence for people"}
 *
 * The server belongs to a poll loop: one descriptor becomes readable whenever there
 * is something to do, and hr_control_serve() does it without ever waiting. One
 * thread a server. A peer must be root or the server's own user (SO_PEERCRED);
 * anybody else gets a refusal and is hung up on. Lines are bounded
 * (HR_CONTROL_LINE_MAX); a client that sends half a line or does not read its
 * answers holds up nobody and is the first to go when others come.
 *
 * The client opens, asks, reads one answer and closes. It blocks up to a time-out.
 */

#include <stdint.h>

#include <jansson.h>

#include "common/error.h"

#define HR_CONTROL_LINE_MAX 65536u /* of a request */
#define HR_CONTROL_ANSWER_MAX (4u << 20)
#define HR_CONTROL_CLIENTS_MAX 32u

/* The sockets in appliance.run_dir. */
#define HR_CONTROL_DATAPLANE "dataplane.sock"
#define HR_CONTROL_HEADRACED "headraced.sock"
#define HR_CONTROL_STATS "stats"

struct hr_control;

/*
 * Answer a request, whose member "command" is a text. Returns a new object ("ok":true
 * is added when it has no "ok"), or NULL for a command that is not known; the peer
 * is then told so.
 */
typedef json_t *(*hr_control_handler)(void *ctx, const char *command,
				      const json_t *request);

/* {"ok":false,"error":text}, for handlers. */
json_t *hr_control_refusal(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Listen at path (mode 0600). A socket left by a process that is gone is replaced.
 * Returns 0; -EADDRINUSE when somebody serves there; another negated errno. err says
 * which and how to mend it.
 */
int hr_control_listen(struct hr_control **out, const char *path,
		      hr_control_handler handler, void *ctx, struct hr_err *err);
/* Readable (POLLIN) when hr_control_serve() has something to do. */
int hr_control_fd(const struct hr_control *control);
void hr_control_serve(struct hr_control *control);
/* Hangs up on everybody and removes the socket. NULL is fine. */
void hr_control_close(struct hr_control *control);

/*
 * Ask and wait for the answer. On 0 *answer is an object of the caller's. Returns
 * -ENOENT or -ECONNREFUSED (nobody serves there), -EACCES, -ETIMEDOUT, -EPROTO (no
 * JSON came back), or -EREMOTEIO (answered with "ok":false; err holds its "error").
 */
int hr_control_ask(const char *path, const char *command, uint32_t timeout_ms,
		   json_t **answer, struct hr_err *err);
/* The same with more members than the command. */
int hr_control_request(const char *path, const json_t *request, uint32_t timeout_ms,
		       json_t **answer, struct hr_err *err);
/* The process that serves there, or a negated errno. */
int hr_control_server_pid(const char *path);

#endif
