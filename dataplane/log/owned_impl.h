/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_OWNED_IMPL_H
#define HR_OWNED_IMPL_H

/* Inside of one owned shard: what its chapters ask of each other. */

#include "dataplane/log/owned.h"

#define HR_WATCHDOG_MIN_MS 5000u
#define HR_WATCHDOG_MAX_MS 60000u
#define HR_BACKOFF_MIN_MS 50u
#define HR_BACKOFF_MAX_MS 5000u
#define HR_CONTEST_MS 2000u /* an author that shows no link within this is dead */

/* ---- owned.c ------------------------------------------------------------------ */

/* The phase is another one. */
void hr_owned_show(struct hr_owned *s);
void hr_owned_say(struct hr_owned *s, const char *text);
void hr_owned_log(const struct hr_owned *s, enum hr_log_level level, const char *fmt,
		  ...) __attribute__((format(printf, 3, 4)));
void hr_owned_add(_Atomic uint64_t *cell, uint64_t n);
/* Half of ms and a random part of the other half. */
uint32_t hr_owned_jitter(const struct hr_owned *s, uint32_t ms);
/* Twice ms, at most max. */
uint32_t hr_owned_grow(uint32_t ms, uint32_t max);
/* May what was accepted be acknowledged? */
void hr_owned_show_ack(struct hr_owned *s);
/* Step down: FENCED or STOPPED. */
void hr_owned_leave(struct hr_owned *s, enum hr_phase phase);
/* Whatever was under way has an unknown outcome: close the writer, and fence anew with
 * a fresh owner id once a new one is there and at least wait_ms went by. */
void hr_owned_recover(struct hr_owned *s, const struct hr_now *now, uint32_t wait_ms,
		      bool reads_anew, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* ---- owned_append.c ------------------------------------------------------------ */

void hr_owned_waiting_push(struct hr_owned *s, struct hr_epoch *epoch);
struct hr_epoch *hr_owned_waiting_pop(struct hr_owned *s);
/* The epoch in flight will never be accepted under its owner id: in front of the
 * waiting ones again. */
void hr_owned_flight_back(struct hr_owned *s);
/* Drop what a FENCE of ours has made void of this epoch; one that is empty then is
 * done. Returns false when nothing is left. */
bool hr_owned_filter(struct hr_owned *s, struct hr_epoch *epoch);
void hr_owned_drop_all(struct hr_owned *s);
/* Give back what is both done and no longer referred to by the writer. */
void hr_owned_reap(struct hr_owned *s);
/* The writer's news. */
void hr_owned_reports(struct hr_owned *s, const struct hr_now *now);
/* The owner's first link, so that it is visible. */
void hr_owned_send_first(struct hr_owned *s, const struct hr_now *now);
/* The next link that the log lost and memory holds. */
void hr_owned_send_again(struct hr_owned *s, const struct hr_now *now);
/* The next epoch, or an empty link where one is due. */
void hr_owned_send_next(struct hr_owned *s, const struct hr_now *now);
/* The link in flight is in the chain. */
void hr_owned_flight_accepted(struct hr_owned *s, const struct hr_now *now);
/* From now on something is to come back. */
void hr_owned_watch(struct hr_owned *s, const struct hr_now *now);
void hr_owned_sent(struct hr_owned *s, int result, const struct hr_err *err);

/* ---- owned_fence.c ------------------------------------------------------------- */

void hr_owned_fence(struct hr_owned *s, const struct hr_now *now);
bool hr_owned_is_own_id(const struct hr_owned *s, const struct hr_id128 *id);
/* A FENCE was accepted; one was not. */
void hr_owned_on_fence(struct hr_owned *s, const struct hr_fence *f,
		       const struct hr_log_message *m, const struct hr_now *now);
void hr_owned_on_stale_fence(struct hr_owned *s, const struct hr_fence *f,
			     const struct hr_now *now);
/* A link of another owner was accepted. */
void hr_owned_on_foreign_link(struct hr_owned *s);
/* Somebody appends under our own id. */
void hr_owned_on_clone(struct hr_owned *s, uint64_t n);

/* A FENCE was accepted: where its owner listens. */
void hr_owned_keep_addresses(struct hr_owned *s, const struct hr_fence *f);

/* ---- owned_follow.c ------------------------------------------------------------ */

/* FENCED: from here on its records are only looked at. */
void hr_owned_follow_begin(struct hr_owned *s);
unsigned int hr_owned_follow(struct hr_owned *s, const struct hr_now *now);
void hr_owned_step_followed(struct hr_owned *s, const struct hr_now *now);

/* Another appliance's: leave, and strike it from the list. */
void hr_owned_step_down(struct hr_owned *s);

/* ---- owned_restore.c ------------------------------------------------------------ */

/* Go on from a snapshot that is further than we are; if none is, stop with this
 * sentence; "": read on from where we are. */
void hr_owned_restore(struct hr_owned *s, const char *else_stop);
void hr_owned_step_restore(struct hr_owned *s, const struct hr_now *now);
/* What is known of the chain is what start says. */
void hr_owned_start_from(struct hr_owned *s, const struct hr_log_start *start);

/* ---- owned_read.c --------------------------------------------------------------- */

/* Tell the worker something that is no link. */
void hr_owned_told(struct hr_owned *s, enum hr_told kind);
/* These bytes as if the log had brought them. */
void hr_owned_read_bytes(struct hr_owned *s, const uint8_t *bytes, uint32_t n,
			 const struct hr_now *now);

/* Forget what was asked, and take a reference to the newest accepted link. */
void hr_owned_last(struct hr_owned *s, struct hr_link *link);

/* ---- owned_verify.c -------------------------------------------------------------- */

/* Trouble: nothing is acknowledged until the last accepted link was read again. */
void hr_owned_doubt(struct hr_owned *s);
void hr_owned_verify(struct hr_owned *s, const struct hr_now *now);
/* Was a connection lost, and not everything asked for since? Looked at before each record,
 * for what a new leader sends is read soon after. */
bool hr_owned_is_in_doubt(struct hr_owned *s);
/* Ask for it, and take the answer: HR_LOG_RECORD with is_same, HR_LOG_GONE, ... */
void hr_owned_ask(struct hr_owned *s, struct hr_link *link, const struct hr_now *now);
enum hr_log_read hr_owned_answer(struct hr_owned *s, bool *is_same);
/* This record was read and is no accepted link: it is asked for again, too. */
void hr_owned_keep_tail(struct hr_owned *s, const struct hr_log_message *m);

/* ---- owned_config.c -------------------------------------------------------------- */

bool hr_owned_config_lags(const struct hr_owned *s);

/* What the operator's `config commit` wants of the next link. */
enum hr_config_is {
	HR_CONFIG_NOTHING, /* it is not asked for, or said already, or has to wait */
	HR_CONFIG_HOLDS,   /* epochs wait for the views, and it for them */
	HR_CONFIG_DUE,     /* it is the next link */
};

enum hr_config_is hr_owned_config_is(struct hr_owned *s, const struct hr_now *now);
/* Once a second: what is not as it should be. */
void hr_owned_complain(struct hr_owned *s, const struct hr_now *now);

/* ---- owned_cut.c ------------------------------------------------------------------ */

/* What the log holds is not what was accepted. */
void hr_owned_cut(struct hr_owned *s, const struct hr_now *now, const char *why);
/* Nobody has looked for a while, and the log may have been cut and grown again: find the
 * newest link that is still where it was, and read on behind it. */
void hr_owned_look_again(struct hr_owned *s);
void hr_owned_step_cut(struct hr_owned *s, const struct hr_now *now);
/* The end of a log that was cut is reached: can it be mended? Returns false when it
 * stopped by name. */
bool hr_owned_may_mend(struct hr_owned *s);
/* This link was accepted: is it, or does it excuse, the one that a snapshot proves? */
void hr_owned_look_for_proved(struct hr_owned *s, const struct hr_link_head *link);
/* An accepted link that was handed out before: returns false, and has stopped, when it
 * is another one. */
bool hr_owned_is_known(struct hr_owned *s);

#endif
