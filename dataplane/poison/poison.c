/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/config.h"
#include "common/log.h"
#include "dataplane/fold/poison.h"
#include "dataplane/poison/handler.h"
#include "dataplane/poison/poison.h"

#define STACK_BYTES (64u << 10)

static struct {
	struct hr_deaths deaths;
	struct hr_barred barred;
	int fd; /* of the list; 0: there is none */
} poison;

/* ---- which program this is --------------------------------------------------------- */

/* A note section: namesz u32, descsz u32, type u32, name, desc, each padded to 4. */
static bool find_build_id(const uint8_t *p, size_t n, uint8_t out[HR_BUILD_ID_BYTES])
{
	while (n >= 12) {
		const size_t name = (hr_load32(p) + 3u) & ~3u;
		const size_t bytes = hr_load32(p + 4);
		const size_t all = 12 + name + ((bytes + 3) & ~(size_t)3);

		if (all > n)
			return false;
		if (hr_load32(p + 8) == NT_GNU_BUILD_ID && name == 4 &&
		    memcmp(p + 12, "GNU", 4) == 0) {
			memcpy(out, p + 12 + name,
			       bytes < HR_BUILD_ID_BYTES ? bytes : HR_BUILD_ID_BYTES);
			return true;
		}
		p += all;
		n -= all;
	}
	return false;
}

/* The first one called for is the program itself. */
static int look_at_program(struct dl_phdr_info *info, size_t size, void *out)
{
	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *h = &info->dlpi_phdr[i];
		const uintptr_t at = info->dlpi_addr + h->p_vaddr;

		if (h->p_type == PT_NOTE &&
		    find_build_id((const uint8_t *)at, h->p_memsz, out))
			break;
	}
	return 1;
}

/* ---- words ------------------------------------------------------------------------- */

static void time_print(char out[32], uint64_t wall_us)
{
	const time_t s = (time_t)(wall_us / 1000000u);
	struct tm tm;

	gmtime_r(&s, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static const char *signal_name(const struct hr_death *d)
{
	const char *name = sigabbrev_np((int)d->signal);

	return name != NULL ? name : "?";
}

static void tell_fresh(const struct hr_death *d)
{
	const char *so = hr_death_is_barred(d) ? "it is not tried again"
					       : "it is tried once more";
	char hash[HR_ID128_TEXT];

	hr_id128_print(hash, &d->hash);
	if (d->kind == HR_DEATH_LINK)
		hr_error("poison",
			 "the last process died (SIG%s) while link %" PRIu64
			 " of shard %u (hash %s) was folded, death %u of it: %s",
			 signal_name(d), d->number, d->shard, hash, d->deaths, so);
	else
		hr_error("poison",
			 "the last process died (SIG%s) of a datagram of %u bytes with "
			 "fingerprint %016" PRIx64 ", death %u of it: %s",
			 signal_name(d), d->bytes, d->number, d->deaths, so);
}

static void tell(const struct hr_deaths *list)
{
	for (uint32_t kind = HR_DEATH_LINK; kind < HR_DEATH_KINDS; kind++)
		for (uint32_t i = 0; i < list->n[kind]; i++)
			if (list->rows[kind][i].is_fresh)
				tell_fresh(&list->rows[kind][i]);
	if (list->n_of_others > 0)
		hr_warn("poison",
			"%u records killed another build of this program: this one "
			"tries them again",
			list->n_of_others);
	if (list->n_forgotten > 0)
		hr_error("poison",
			 "the list of what killed the dataplane is full (%u links, %u "
			 "datagrams that killed it twice): what killed it last is not "
			 "remembered and may kill it again",
			 list->n[HR_DEATH_LINK], list->n[HR_DEATH_DATAGRAM]);
}

/* ---- the list ---------------------------------------------------------------------- */

static void bar_datagrams(void)
{
	const struct hr_deaths *list = &poison.deaths;

	for (uint32_t i = 0; i < list->n[HR_DEATH_DATAGRAM]; i++) {
		const struct hr_death *d = &list->rows[HR_DEATH_DATAGRAM][i];

		if (hr_death_is_barred(d))
			hr_barred_add(&poison.barred, d->number, d->bytes);
	}
}

_Static_assert(HR_DEATHS_MAX <= HR_BARRED_MAX, "all of the list can be barred");

static int open_list(const char *path, struct hr_err *err)
{
	int r = 0;

	if (!poison.deaths.is_unchanged)
		r = hr_deaths_write(&poison.deaths, path, err);
	if (r < 0)
		return r;
	r = open(path, O_WRONLY | O_CLOEXEC);
	return r >= 0 ? r : hr_fail(err, -errno, "%s: %m", path);
}

int hr_poison_begin(const char *state_dir, struct hr_err *err)
{
	uint8_t build[HR_BUILD_ID_BYTES] = { 0 };
	char path[HR_CONFIG_TEXT + 16];
	int r;

	dl_iterate_phdr(look_at_program, build);
	snprintf(path, sizeof(path), "%s/deaths", state_dir);
	if (mkdir(state_dir, 0755) < 0 && errno != EEXIST)
		return hr_fail(err, -errno, "%s cannot be made: %m", state_dir);
	r = hr_deaths_read(&poison.deaths, build, path, err);
	if (r < 0)
		return r;
	if (err->text[0] != '\0')
		hr_warn("poison", "%s", err->text);
	tell(&poison.deaths);
	bar_datagrams();
	r = open_list(path, err);
	if (r < 0)
		return r;
	poison.fd = r;
	hr_poison_handler_take(r);
	hr_poison_arm_thread();
	return 0;
}

void hr_poison_end(void)
{
	if (poison.fd == 0)
		return;
	hr_poison_handler_give_back();
	close(poison.fd);
	memset(&poison, 0, sizeof(poison));
}

/* ---- threads ----------------------------------------------------------------------- */

/* It stays until the process ends. A sanitizer that has one already keeps its own. */
void hr_poison_arm_thread(void)
{
	stack_t stack = { .ss_size = STACK_BYTES }, now;

	if (poison.fd == 0 || sigaltstack(NULL, &now) < 0 ||
	    (now.ss_flags & SS_DISABLE) == 0)
		return;
	stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack.ss_sp != MAP_FAILED)
		sigaltstack(&stack, NULL);
}

/* ---- questions --------------------------------------------------------------------- */

const struct hr_barred *hr_poison_datagrams(void)
{
	return poison.barred.n > 0 ? &poison.barred : NULL;
}

const struct hr_deaths *hr_poison_deaths(void)
{
	return &poison.deaths;
}

bool hr_poison_bars_link(const struct hr_data_set *set, uint16_t shard, uint64_t n,
			 const struct hr_id128 *hash, struct hr_err *err)
{
	const struct hr_death like = {
		.kind = HR_DEATH_LINK, .shard = shard, .number = n, .hash = *hash
	};
	const struct hr_death *d;
	char hex[HR_ID128_TEXT], when[32];

	if (poison.deaths.n[HR_DEATH_LINK] == 0)
		return false;
	d = hr_deaths_find(&poison.deaths, &like);
	if (d == NULL || !hr_death_is_barred(d) ||
	    hr_fold_is_poison(set, shard, n, hash))
		return false;
	hr_id128_print(hex, hash);
	time_print(when, d->wall_us);
	hr_fail(err, 0,
		"link %" PRIu64 " (hash %s) has killed the dataplane %u times while it "
		"was folded (SIG%s, last %s): it is not folded again; a program that "
		"rejects it, or does not die of it, goes on",
		n, hex, d->deaths, signal_name(d), when);
	return true;
}
