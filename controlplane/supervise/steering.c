/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "controlplane/supervise/steering.h"

struct port {
	const struct hr_port_config *config;
	struct hr_xdp *xdp;
	bool is_set; /* it knows its UDP ports */
	struct hr_err trouble;
};

struct hr_steering {
	const struct hr_config *config;
	struct port ports[HR_PORTS_MAX];
	uint32_t n;
};

int hr_steering_new(struct hr_steering **out, const struct hr_config *config)
{
	struct hr_steering *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->config = config;
	for (uint32_t i = 0; i < config->n_ports; i++)
		if (config->ports[i].kind == HR_PORT_AF_XDP)
			s->ports[s->n++].config = &config->ports[i];
	*out = s;
	return 0;
}

static void let_go(struct port *p)
{
	hr_xdp_close(p->xdp);
	p->xdp = NULL;
	p->is_set = false;
}

void hr_steering_free(struct hr_steering *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->n; i++)
		let_go(&s->ports[i]);
	free(s);
}

static int clear_port(struct port *p, struct hr_err *err)
{
	int rc;

	let_go(p);
	rc = hr_xdp_clear(p->config->target, err);
	if (rc < 0)
		return rc;
	return hr_xdp_check_queues(p->config->target, p->config->n_queues, err);
}

int hr_steering_clear(struct hr_steering *s, struct hr_err *err)
{
	for (uint32_t i = 0; i < s->n; i++) {
		int rc = clear_port(&s->ports[i], err);

		if (rc < 0)
			return rc;
	}
	return 0;
}

int hr_steering_end(struct hr_steering *s, struct hr_err *err)
{
	int first = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		struct hr_err why;
		int rc;

		let_go(&s->ports[i]);
		rc = hr_xdp_clear(s->ports[i].config->target, &why);
		/* An interface that went took its program along. */
		if (rc == -ENODEV)
			rc = 0;
		if (rc < 0 && first == 0) {
			first = rc;
			(void)hr_fail(err, rc, "%s", why.text);
		}
	}
	return first;
}

static void set_trouble(struct port *p, const char *text)
{
	if (strcmp(p->trouble.text, text) == 0)
		return;
	(void)hr_fail(&p->trouble, -EIO, "%s", text);
	if (text[0] != '\0')
		hr_warn("supervise", "%s", text);
}

static void follow(const struct hr_steering *s, struct port *p)
{
	struct hr_err err = { "" };
	int rc;

	if (p->xdp != NULL && !hr_xdp_is_attached(p->xdp))
		let_go(p);
	if (p->xdp == NULL) {
		rc = hr_xdp_open(&p->xdp, p->config->target, &err);
		if (rc < 0) {
			p->xdp = NULL;
			/* Not attached yet is how every start begins. */
			set_trouble(p, rc == -ENOENT ? "" : err.text);
			return;
		}
	}
	if (p->is_set)
		return;
	rc = hr_xdp_set_ports(p->xdp, s->config->udp_ports, s->config->n_udp_ports,
			      &err);
	set_trouble(p, rc < 0 ? err.text : "");
	p->is_set = rc == 0;
	if (p->is_set)
		hr_info("supervise", "%s: XDP program %u steers %u UDP ports",
			p->config->device, hr_xdp_program_id(p->xdp),
			s->config->n_udp_ports);
}

void hr_steering_turn(struct hr_steering *s)
{
	for (uint32_t i = 0; i < s->n; i++)
		follow(s, &s->ports[i]);
}

uint32_t hr_steering_count(const struct hr_steering *s)
{
	return s->n;
}

void hr_steering_read(struct hr_steering *s, uint32_t i, struct hr_steering_port *out)
{
	struct port *p = &s->ports[i];

	memset(out, 0, sizeof(*out));
	out->device = p->config->device;
	out->interface = p->config->target;
	out->is_attached = p->is_set;
	out->trouble = p->trouble.text;
	out->has_counts =
		p->xdp != NULL && hr_xdp_read(p->xdp, &out->counts, NULL) == 0;
}

static json_t *frames_json(const struct hr_steering_port *port)
{
	json_t *frames = json_object();

	for (int v = 0; port->has_counts && v < HR_STEER_COUNT; v++)
		json_object_set_new(frames, hr_xdp_verdicts[v].label,
				    json_integer((json_int_t)port->counts.frames[v]));
	return frames;
}

json_t *hr_steering_json(struct hr_steering *s)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < s->n; i++) {
		struct hr_steering_port port;

		hr_steering_read(s, i, &port);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:b, s:s, s:o}", "device",
					port.device, "interface", port.interface,
					"attached", port.is_attached, "reason",
					port.trouble, "frames", frames_json(&port)));
	}
	return list;
}
