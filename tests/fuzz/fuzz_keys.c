/* SPDX-License-Identifier: BSD-3-Clause */

/* Key files. They are read by their path: this one lies in memory. */

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/config.h"
#include "tests/fuzz/fuzz.h"

static int file_of(const uint8_t *data, size_t n)
{
	const int fd = memfd_create("keys", MFD_CLOEXEC);

	HOLDS(fd >= 0 && fchmod(fd, 0600) == 0);
	HOLDS(write(fd, data, n) == (ssize_t)n);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct hr_write_key keys[HR_KEYS_MAX];
	struct hr_err err = { "" };
	char path[32];
	int fd, r;

	if (n > 65536)
		return 0;
	fd = file_of(data, n);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = hr_keys_read(keys, HR_KEYS_MAX, path, &err);
	HOLDS(r != 0 && r <= HR_KEYS_MAX);
	HOLDS(r > 0 || err.text[0] != '\0');
	for (int i = 0; i < r; i++)
		for (int k = 0; k < i; k++)
			HOLDS(keys[i].id != keys[k].id);
	close(fd);
	return 0;
}
