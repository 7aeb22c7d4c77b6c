/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * headrace-gen relay: a bad network between SDKs and an appliance. Each sender gets a
 * socket of its own towards the appliance, as behind a NAT; datagrams and answers meet
 * the fates that fate.h draws.
 *
 *     sender ──▶ --listen ──▶ fate ──▶ [ heap by time ] ──▶ its socket ──▶ --to
 *            ◀──          ◀──      ◀──                  ◀──
 *
 * in + doubled = out + lost + holed + failed + waiting, per way.
 */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/wire.h"
#include "tools/gen/commands.h"
#include "tools/gen/fate.h"

#define SENDERS_MAX 1024
#define DATAGRAM_MAX 2048
#define AT_ONCE 64
#define SOCKET_BYTES (4 << 20)
#define KINDS 12 /* docs/wire-format.md, §Acknowledgement */
#define AT_KIND 4
#define AT_ATTEMPT 48

static const char help[] =
	"usage: headrace-gen relay --listen HOST:PORT --to HOST:PORT [options]\n"
	"  --phases TEXT   phases with ; between, each NAME=VALUE with commas "
	"between:\n"
	"                  s, hole-s, rebind, loss, burst, twice, delay-ms, "
	"jitter-ms,\n"
	"                  late, late-ms (percent, or as the name says); a value for "
	"both\n"
	"                  ways, or UP/DOWN; the last one lasts to the end\n"
	"  --repeat        begin again after the last\n"
	"  --seed N        1\n"
	"Writes a line of JSON for each phase, and one for all at the end (SIGTERM).\n";

struct counts {
	uint64_t in, out, lost, holed, doubled, reordered, failed;
	uint64_t bytes;       /* in */
	uint64_t data, again; /* DATA of the first attempt, of others; in */
	uint64_t kinds[KINDS];
};

struct sender {
	struct sockaddr_storage address;
	socklen_t address_bytes;
	int fd;                                             /* towards the appliance */
	uint64_t arrived[HR_FATE_WAYS], left[HR_FATE_WAYS]; /* numbers */
};

struct held {
	uint64_t due_us, number; /* of arrival, all together: equal times keep order */
	uint64_t own_number;     /* of its sender and way */
	uint32_t sender, n;
	enum hr_fate_way way;
	bool is_copy;
	uint8_t bytes[];
};

struct relay {
	struct hr_phase phases[HR_PHASES_MAX];
	int n_phases, phase;
	bool repeats;
	uint64_t seed, phase_us, phase_wall_us;
	struct hr_dice dice[HR_FATE_WAYS];
	struct counts counts[HR_FATE_WAYS], all[HR_FATE_WAYS];
	struct sockaddr_storage to;
	socklen_t to_bytes;
	int listen_fd;
	struct sender senders[SENDERS_MAX];
	uint32_t n_senders;
	struct held **heap;
	size_t n_heap, max_heap;
	uint64_t n_arrived;
	struct pollfd polls[1 + SENDERS_MAX];
};

static volatile sig_atomic_t was_told_to_stop;

static void on_signal(int number)
{
	(void)number;
	was_told_to_stop = 1;
}

/* ---- what waits for its time ---- */

static bool is_before(const struct held *a, const struct held *b)
{
	return a->due_us != b->due_us ? a->due_us < b->due_us : a->number < b->number;
}

static void heap_swap(struct relay *r, size_t a, size_t b)
{
	struct held *h = r->heap[a];

	r->heap[a] = r->heap[b];
	r->heap[b] = h;
}

static int heap_put(struct relay *r, struct held *h)
{
	if (r->n_heap == r->max_heap) {
		const size_t max = r->max_heap * 2 + 1024;
		struct held **fresh = realloc(r->heap, max * sizeof(struct held *));

		if (fresh == NULL)
			return -ENOMEM;
		r->heap = fresh;
		r->max_heap = max;
	}
	r->heap[r->n_heap] = h;
	for (size_t at = r->n_heap++;
	     at > 0 && is_before(r->heap[at], r->heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap_swap(r, at, (at - 1) / 2);
	return 0;
}

static struct held *heap_take(struct relay *r)
{
	struct held *h = r->heap[0];

	r->heap[0] = r->heap[--r->n_heap];
	for (size_t at = 0, child; (child = 2 * at + 1) < r->n_heap; at = child) {
		if (child + 1 < r->n_heap &&
		    is_before(r->heap[child + 1], r->heap[child]))
			child++;
		if (!is_before(r->heap[child], r->heap[at]))
			break;
		heap_swap(r, at, child);
	}
	return h;
}

/* ---- datagrams ---- */

static void leave(struct relay *r, const struct held *h)
{
	struct sender *s = &r->senders[h->sender];
	struct counts *c = &r->counts[h->way];
	const ssize_t n = h->way == HR_WAY_UP ? send(s->fd, h->bytes, h->n, 0)
					      : sendto(r->listen_fd, h->bytes, h->n, 0,
						       (struct sockaddr *)&s->address,
						       s->address_bytes);

	if (n != (ssize_t)h->n) {
		c->failed++;
		return;
	}
	c->out++;
	if (h->is_copy)
		return;
	c->reordered += h->own_number < s->left[h->way];
	if (h->own_number > s->left[h->way])
		s->left[h->way] = h->own_number;
}

static int hold(struct relay *r, uint32_t sender, enum hr_fate_way way,
		const uint8_t *bytes, uint32_t n, uint64_t due_us, bool is_copy)
{
	struct held *h = malloc(sizeof(*h) + n);

	if (h == NULL)
		return -ENOMEM;
	*h = (struct held){ .due_us = due_us,
			    .number = r->n_arrived,
			    .own_number = r->senders[sender].arrived[way],
			    .sender = sender,
			    .n = n,
			    .way = way,
			    .is_copy = is_copy };
	memcpy(h->bytes, bytes, n);
	return heap_put(r, h);
}

static void count_in(struct counts *c, const uint8_t *p, uint32_t n)
{
	const bool is_ours = n >= HR_WIRE_HEADER_BYTES && p[AT_KIND] < KINDS;

	c->in++;
	c->bytes += n;
	c->kinds[is_ours ? p[AT_KIND] : 0]++;
	if (!is_ours || p[AT_KIND] != HR_KIND_DATA)
		return;
	if (hr_load32(p + AT_ATTEMPT) == 0)
		c->data++;
	else
		c->again++;
}

static int arrive(struct relay *r, uint32_t sender, enum hr_fate_way way,
		  const uint8_t *p, uint32_t n, uint64_t now_us)
{
	const struct hr_phase *phase = &r->phases[r->phase];
	struct counts *c = &r->counts[way];
	struct hr_fate fate = hr_fate_draw(&r->dice[way], &phase->ways[way]);
	int err = 0;

	count_in(c, p, n);
	r->n_arrived++;
	r->senders[sender].arrived[way]++;
	if (now_us - r->phase_us < phase->hole_us) {
		c->holed++;
		return 0;
	}
	c->lost += fate.n == 0;
	c->doubled += fate.n == 2;
	for (uint32_t i = 0; i < fate.n && err == 0; i++)
		err = hold(r, sender, way, p, n, now_us + fate.after_us[i], i > 0);
	return err;
}

/* ---- sockets ---- */

static int resolve(const char *option, const char *text, struct sockaddr_storage *out,
		   socklen_t *bytes, struct hr_err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC,
					.ai_socktype = SOCK_DGRAM };
	const char *colon = text == NULL ? NULL : strrchr(text, ':');
	struct addrinfo *found;
	char host[256];
	int r;

	if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
		return hr_fail(err, -EINVAL, "--%s: expected HOST:PORT", option);
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	r = getaddrinfo(host, colon + 1, &hints, &found);
	if (r != 0)
		return hr_fail(err, -EINVAL, "--%s %s: %s", option, text,
			       gai_strerror(r));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*bytes = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

static int open_socket(int family)
{
	const int bytes = SOCKET_BYTES;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Beyond the system's limit where we may: the relay loses what it says alone. */
	if (fd >= 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
	return fd;
}

static int sender_connect(struct relay *r, struct sender *s)
{
	s->fd = open_socket(r->to.ss_family);
	if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&r->to, r->to_bytes) < 0)
		return -errno;
	return 0;
}

/* Which sender this address is; a new one gets a socket. Or -errno. */
static int sender_of(struct relay *r, const struct sockaddr_storage *address,
		     socklen_t bytes)
{
	struct sender *s;
	int err;

	for (uint32_t i = 0; i < r->n_senders; i++)
		if (r->senders[i].address_bytes == bytes &&
		    memcmp(&r->senders[i].address, address, bytes) == 0)
			return (int)i;
	if (r->n_senders == SENDERS_MAX)
		return -ENOSPC;
	s = &r->senders[r->n_senders];
	*s = (struct sender){ .address = *address, .address_bytes = bytes };
	err = sender_connect(r, s);
	if (err < 0)
		return err;
	r->polls[1 + r->n_senders] = (struct pollfd){ s->fd, POLLIN, 0 };
	return (int)r->n_senders++;
}

/* Everybody's source port changes, as when a NAT forgets. */
static int rebind(struct relay *r)
{
	for (uint32_t i = 0; i < r->n_senders; i++) {
		const int old = r->senders[i].fd;
		int err = sender_connect(r, &r->senders[i]); /* first: not the same */

		close(old);
		if (err < 0)
			return err;
		r->polls[1 + i].fd = r->senders[i].fd;
	}
	return 0;
}

static int receive_up(struct relay *r, uint64_t now_us)
{
	uint8_t p[DATAGRAM_MAX];
	int err = 0;

	for (int i = 0; i < AT_ONCE && err == 0; i++) {
		struct sockaddr_storage from;
		socklen_t bytes = sizeof(from);
		ssize_t n;
		int sender;

		memset(&from, 0, sizeof(from));
		n = recvfrom(r->listen_fd, p, sizeof(p), 0, (struct sockaddr *)&from,
			     &bytes);
		if (n < 0)
			break;
		sender = sender_of(r, &from, bytes);
		err = sender < 0 ? sender
				 : arrive(r, (uint32_t)sender, HR_WAY_UP, p,
					  (uint32_t)n, now_us);
	}
	return err;
}

static int receive_down(struct relay *r, uint32_t sender, uint64_t now_us)
{
	uint8_t p[DATAGRAM_MAX];
	int err = 0;

	for (int i = 0; i < AT_ONCE && err == 0; i++) {
		const ssize_t n = recv(r->senders[sender].fd, p, sizeof(p), 0);

		if (n < 0) /* also: nobody listens there now, which is no news */
			break;
		err = arrive(r, sender, HR_WAY_DOWN, p, (uint32_t)n, now_us);
	}
	return err;
}

/* ---- reports ---- */

static json_t *counts_json(const struct counts *c)
{
	static const char *const kinds[KINDS] = {
		"other",     "data",  "hello",        "challenge",
		"ack",       "probe", "probe_answer", "skip",
		"not_owner", "busy",  "expired",      "wrong_shard",
	};
	json_t *by_kind = json_object();

	for (unsigned int k = 0; k < KINDS; k++)
		if (c->kinds[k] > 0)
			json_object_set_new(by_kind, kinds[k],
					    json_integer((json_int_t)c->kinds[k]));
	return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "in",
			 (json_int_t)c->in, "out", (json_int_t)c->out, "lost",
			 (json_int_t)c->lost, "holed", (json_int_t)c->holed, "doubled",
			 (json_int_t)c->doubled, "reordered", (json_int_t)c->reordered,
			 "failed", (json_int_t)c->failed, "bytes", (json_int_t)c->bytes,
			 "data", (json_int_t)c->data, "again", (json_int_t)c->again,
			 "kinds", by_kind);
}

static void print_line(json_t *line, const struct counts ways[HR_FATE_WAYS])
{
	json_object_set_new(line, "up", counts_json(&ways[HR_WAY_UP]));
	json_object_set_new(line, "down", counts_json(&ways[HR_WAY_DOWN]));
	json_dumpf(line, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(line);
}

static void add_counts(struct counts *all, const struct counts *c)
{
	uint64_t *to = (uint64_t *)all;
	const uint64_t *from = (const uint64_t *)c;

	for (size_t i = 0; i < sizeof(*c) / sizeof(*to); i++)
		to[i] += from[i];
}

static void end_phase(struct relay *r)
{
	for (int w = 0; w < HR_FATE_WAYS; w++)
		add_counts(&r->all[w], &r->counts[w]);
	print_line(json_pack("{s:i,s:I,s:I}", "phase", r->phase, "from_us",
			     (json_int_t)r->phase_wall_us, "to_us",
			     (json_int_t)hr_wall_us()),
		   r->counts);
	memset(r->counts, 0, sizeof(r->counts));
}

static int begin_phase(struct relay *r, int phase, uint64_t now_us)
{
	r->phase = phase;
	r->phase_us = now_us;
	r->phase_wall_us = hr_wall_us();
	return r->phases[phase].rebind ? rebind(r) : 0;
}

/* ---- the loop ---- */

static int step_phase(struct relay *r, uint64_t now_us)
{
	int next = r->phase + 1;

	if (now_us - r->phase_us < r->phases[r->phase].us ||
	    (next == r->n_phases && !r->repeats))
		return 0;
	end_phase(r);
	return begin_phase(r, next < r->n_phases ? next : 0, now_us);
}

static void send_due(struct relay *r, uint64_t now_us)
{
	while (r->n_heap > 0 && r->heap[0]->due_us <= now_us) {
		struct held *h = heap_take(r);

		leave(r, h);
		free(h);
	}
}

static int wait_for_more(struct relay *r, uint64_t now_us)
{
	const uint64_t due_us = r->n_heap > 0 ? r->heap[0]->due_us : UINT64_MAX;
	const uint64_t us = due_us <= now_us ? 0 : due_us - now_us;
	const uint64_t capped_us = us < 50000 ? us : 50000;
	const struct timespec t = { 0, (long)capped_us * 1000 };

	if (ppoll(r->polls, 1 + r->n_senders, &t, NULL) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

static int run(struct relay *r)
{
	int err = begin_phase(r, 0, hr_mono_us());

	while (err == 0 && !was_told_to_stop) {
		const uint64_t now_us = hr_mono_us();

		err = step_phase(r, now_us);
		if (err == 0)
			err = receive_up(r, now_us);
		for (uint32_t i = 0; i < r->n_senders && err == 0; i++)
			err = receive_down(r, i, now_us);
		send_due(r, now_us);
		if (err == 0)
			err = wait_for_more(r, now_us);
	}
	end_phase(r);
	print_line(json_pack("{s:b,s:i,s:I}", "all", 1, "senders", r->n_senders,
			     "waiting", (json_int_t)r->n_heap),
		   r->all);
	return err;
}

/* ---- the command ---- */

enum option_no {
	LISTEN = 256,
	TO,
	PHASES,
	REPEAT,
	SEED,
	HELP
};

struct request {
	const char *listen, *to, *phases;
	bool wants_help;
};

static int read_options(struct relay *r, struct request *rq, int argc, char **argv,
			struct hr_err *err)
{
	static const struct option words[] = {
		{ "listen", required_argument, NULL, LISTEN },
		{ "to", required_argument, NULL, TO },
		{ "phases", required_argument, NULL, PHASES },
		{ "repeat", no_argument, NULL, REPEAT },
		{ "seed", required_argument, NULL, SEED },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int option, code = 0;

	optind = 1;
	while (code == 0 && (option = getopt_long(argc, argv, "", words, NULL)) >= 0) {
		if (option == LISTEN)
			rq->listen = optarg;
		else if (option == TO)
			rq->to = optarg;
		else if (option == PHASES)
			rq->phases = optarg;
		else if (option == REPEAT)
			r->repeats = true;
		else if (option == SEED)
			code = hr_gen_number("seed", optarg, 0, INT64_MAX, &r->seed,
					     err);
		else if (option == HELP)
			rq->wants_help = true;
		else
			code = hr_fail(err, -EINVAL, "see --help");
	}
	if (code == 0 && optind < argc)
		code = hr_fail(err, -EINVAL, "%s: expected an option", argv[optind]);
	return code;
}

static int open_all(struct relay *r, const struct request *rq, struct hr_err *err)
{
	struct sockaddr_storage at;
	socklen_t bytes = 0;
	int code = resolve("to", rq->to, &r->to, &r->to_bytes, err);

	if (code == 0)
		code = resolve("listen", rq->listen, &at, &bytes, err);
	if (code < 0)
		return code;
	code = hr_phases_read(rq->phases, r->phases, err);
	if (code < 0)
		return code;
	r->n_phases = code;
	r->listen_fd = open_socket(at.ss_family);
	if (r->listen_fd < 0 || bind(r->listen_fd, (struct sockaddr *)&at, bytes) < 0)
		return hr_fail(err, -errno, "--listen %s: %s", rq->listen,
			       strerror(errno));
	r->polls[0] = (struct pollfd){ r->listen_fd, POLLIN, 0 };
	for (int w = 0; w < HR_FATE_WAYS; w++)
		r->dice[w] = hr_dice_new(r->seed, (enum hr_fate_way)w);
	return 0;
}

int hr_gen_relay(int argc, char **argv)
{
	const struct sigaction stop = { .sa_handler = on_signal };
	struct request rq = { .phases = "s=1" };
	static struct relay r = { .seed = 1 };
	struct hr_err err = { "" };
	int code = read_options(&r, &rq, argc, argv, &err);

	if (code == 0 && rq.wants_help) {
		fputs(help, stdout);
		return 0;
	}
	if (code == 0)
		code = open_all(&r, &rq, &err);
	if (code < 0)
		return hr_gen_complain("relay", HR_GEN_USAGE, &err);
	(void)sigaction(SIGINT, &stop, NULL);
	(void)sigaction(SIGTERM, &stop, NULL);
	code = run(&r);
	while (r.n_heap > 0)
		free(heap_take(&r));
	free(r.heap);
	if (code == 0)
		return 0;
	hr_fail(&err, code, "%s", strerror(-code));
	return hr_gen_complain("relay", HR_GEN_WRONG, &err);
}
