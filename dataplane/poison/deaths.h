/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_DEATHS_H
#define HR_DEATHS_H

/*
 * deaths - the list of what killed the process, across restarts, in a file:
 *
 *   head (64)   "HRDEATH1" │ build id of the program (20) │ forgotten u32 │ 0 │ crc u32
 *   rows (64)   HR_DEATHS_MAX links, as many datagrams: what is known
 *   slots (64)  HR_DEATH_SLOTS: empty when a process begins; a thread that dies fills one
 *
 *   row  kind u16 │ shard u16 │ deaths u32 │ link's n or fingerprint u64 │ hash (16) │
 *        bytes u32 │ signal u32 │ wall clock us u64 │ 0 (12) │ crc u32
 *
 * Little-endian; crc is CRC-32C over what stands before it. A row whose crc does not fit
 * (half written when the power went) is none. The file is written whole under another
 * name and renamed; it is not synced: it has to outlive the process, not the machine.
 *
 * Deaths are of the program that died: a list of another one (another build id) is begun
 * anew, because that one may be mended.
 *
 * One process dies once of a record, however many of its threads do.
 *
 * When a kind has no room, the oldest that killed once gives way. Where all killed twice,
 * a new one is not remembered, and that is counted (forgotten).
 *
 * One thread, but for hr_death_write().
 */

#include <stdbool.h>
#include <stdint.h>

#include "common/error.h"
#include "dataplane/log/record.h"

#define HR_DEATHS_MAX 64u /* of a kind */
#define HR_DEATH_SLOTS 16u
#define HR_DEATH_BYTES 64u
#define HR_DEATHS_FILE_BYTES (HR_DEATH_BYTES * (1 + 2 * HR_DEATHS_MAX + HR_DEATH_SLOTS))
#define HR_BUILD_ID_BYTES 20u

/* So often and it is not tried again. */
#define HR_DEATHS_BORNE 2u

enum hr_death_kind {
	HR_DEATH_NONE,
	HR_DEATH_LINK,
	HR_DEATH_DATAGRAM,
	HR_DEATH_KINDS
};

struct hr_death {
	uint16_t kind;
	uint16_t shard;  /* of a link */
	uint32_t deaths; /* how many */
	uint64_t number; /* of a link: n; of a datagram: its fingerprint */
	struct hr_id128 hash;
	uint32_t bytes;   /* of a datagram */
	uint32_t signal;  /* of the newest */
	uint64_t wall_us; /* the same */
	bool is_fresh;    /* it came from a slot: the last process died of it */
};

struct hr_deaths {
	uint8_t build[HR_BUILD_ID_BYTES];
	uint32_t n[HR_DEATH_KINDS];
	struct hr_death rows[HR_DEATH_KINDS][HR_DEATHS_MAX];
	uint32_t forgotten;   /* had no room, ever */
	uint32_t n_forgotten; /* of them, by the last process */
	uint32_t
		n_of_others; /* rows that another program left, and that are not taken */
	bool is_unchanged;   /* the file says just this, and all its slots are empty */
};

/* Read the list. build: of this program. Returns 0, also where there is none yet or what
 * is there is no list (err says so then, else it is ""), or a negated errno with err. */
int hr_deaths_read(struct hr_deaths *list, const uint8_t build[HR_BUILD_ID_BYTES],
		   const char *path, struct hr_err *err);

/* Write it, with empty slots. Returns 0 or a negated errno with err. */
int hr_deaths_write(const struct hr_deaths *list, const char *path, struct hr_err *err);

/* One more; known ones are added up. */
void hr_deaths_add(struct hr_deaths *list, const struct hr_death *death);

/* NULL: none is known. */
const struct hr_death *hr_deaths_find(const struct hr_deaths *list,
				      const struct hr_death *like);

bool hr_death_is_barred(const struct hr_death *death);

/* Where the slots begin, and one of them: fills it. Safe in a signal handler. */
#define HR_DEATH_SLOTS_AT ((1 + 2 * HR_DEATHS_MAX) * HR_DEATH_BYTES)
void hr_death_write(int fd, uint32_t slot, const struct hr_death *death);

#endif
