/* SPDX-License-Identifier: BSD-3-Clause */

/* The telling half of supervise: state, readiness and reasons. */

#include <stdarg.h>
#include <stdio.h>

#include "common/clock.h"
#include "controlplane/supervise/supervise_impl.h"

/* An answer older than this says nothing about now. */
#define ANSWER_STALE_US 3000000u

enum hr_dataplane_state hr_supervise_state(const struct hr_supervise *s)
{
	return s->state;
}

uint64_t hr_supervise_restarts(const struct hr_supervise *s)
{
	return s->restarts;
}

struct hr_steering *hr_supervise_steering(const struct hr_supervise *s)
{
	return s->steering;
}

__attribute__((format(printf, 2, 3))) static void because(json_t *reasons,
							  const char *fmt, ...)
{
	char text[768];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	json_array_append_new(reasons, json_string(text));
}

static double left_s(uint64_t due_us)
{
	uint64_t now_us = hr_mono_us();

	return due_us > now_us ? (double)(due_us - now_us) / 1e6 : 0;
}

static void dataplane_reasons(const json_t *answer, json_t *reasons)
{
	const json_t *theirs = json_object_get(answer, "reasons");

	if (json_is_true(json_object_get(answer, "ready")))
		return;
	if (json_array_size(theirs) == 0)
		because(reasons, "the dataplane says that it is not ready");
	else
		json_array_extend(reasons, (json_t *)theirs);
}

static void running_reasons(const struct hr_supervise *s, json_t *reasons)
{
	uint64_t at_us, now_us = hr_mono_us();
	const json_t *answer = hr_asker_answer(s->asker, &at_us);
	const char *trouble = hr_asker_trouble(s->asker);

	if (answer == NULL)
		because(reasons, "the dataplane is starting%s%s",
			trouble[0] != '\0' ? ": " : "", trouble);
	else if (now_us - at_us > ANSWER_STALE_US)
		because(reasons, "the dataplane has not answered for %.0f s: %s",
			(double)(now_us - at_us) / 1e6, trouble);
	else
		dataplane_reasons(answer, reasons);
	for (uint32_t i = 0; i < hr_steering_count(s->steering); i++) {
		struct hr_steering_port port;

		hr_steering_read(s->steering, i, &port);
		if (!port.is_attached)
			because(reasons, "%s: %s", port.device,
				port.trouble[0] != '\0'
					? port.trouble
					: "its XDP program is not attached yet");
	}
}

bool hr_supervise_is_ready(const struct hr_supervise *s, json_t **reasons)
{
	*reasons = json_array();
	switch (s->state) {
	case HR_DATAPLANE_HELD:
		because(*reasons, "the dataplane is not started: %s", s->hold.text);
		break;
	case HR_DATAPLANE_WAITING:
		if (s->last_end[0] != '\0')
			because(*reasons,
				"the dataplane %s; it is started again in %.1f s",
				s->last_end, left_s(s->due_us));
		else
			because(*reasons, "the dataplane is not started yet");
		break;
	case HR_DATAPLANE_RUNNING:
		running_reasons(s, *reasons);
		break;
	case HR_DATAPLANE_STOPPING:
		because(*reasons, "the dataplane is stopping");
		break;
	case HR_DATAPLANE_ENDED:
		because(*reasons, "the dataplane was stopped");
		break;
	}
	return json_array_size(*reasons) == 0;
}

static json_t *text_or_null(const char *text)
{
	return text[0] != '\0' ? json_string(text) : json_null();
}

static double uptime_s(const struct hr_supervise *s)
{
	uint64_t now_us = hr_wall_us();

	return now_us > s->child.started_us
		       ? (double)(now_us - s->child.started_us) / 1e6
		       : 0;
}

json_t *hr_supervise_json(const struct hr_supervise *s)
{
	static const char *const states[] = {
		[HR_DATAPLANE_HELD] = "held",
		[HR_DATAPLANE_WAITING] = "waiting",
		[HR_DATAPLANE_RUNNING] = "running",
		[HR_DATAPLANE_STOPPING] = "stopping",
		[HR_DATAPLANE_ENDED] = "ended",
	};
	bool is_up = s->child.pid != 0, will_start = s->state == HR_DATAPLANE_HELD ||
						     s->state == HR_DATAPLANE_WAITING;

	return json_pack("{s:s, s:o, s:o, s:b, s:I, s:o, s:o, s:o}", "state",
			 states[s->state], "pid",
			 is_up ? json_integer(s->child.pid) : json_null(), "uptime_s",
			 is_up ? json_real(uptime_s(s)) : json_null(), "adopted",
			 s->child.is_adopted, "restarts", (json_int_t)s->restarts,
			 "held_by", text_or_null(s->hold.text), "last_end",
			 text_or_null(s->last_end), "next_start_s",
			 will_start ? json_real(left_s(s->due_us)) : json_null());
}

json_t *hr_supervise_answer(const struct hr_supervise *s)
{
	uint64_t at_us;
	json_t *answer = (json_t *)hr_asker_answer(s->asker, &at_us);

	return answer == NULL ? json_null() : json_incref(answer);
}
