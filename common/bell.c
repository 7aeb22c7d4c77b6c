/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "common/bell.h"

int hr_bell_init(struct hr_bell *bell)
{
	atomic_init(&bell->is_awaited, false);
	bell->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	bell->is_made = bell->fd >= 0;
	return bell->is_made ? 0 : -errno;
}

void hr_bell_fini(struct hr_bell *bell)
{
	if (bell->is_made)
		close(bell->fd);
	bell->is_made = false;
}

void hr_bell_ring(struct hr_bell *bell)
{
	static const uint64_t one = 1;

	if (!atomic_load_explicit(&bell->is_awaited, memory_order_seq_cst) ||
	    !atomic_exchange_explicit(&bell->is_awaited, false, memory_order_seq_cst))
		return;
	/* Full means that it rings already. */
	if (write(bell->fd, &one, sizeof(one)) < 0)
		return;
}

bool hr_bell_awoke(struct hr_bell *bell)
{
	uint64_t n;

	/* Nobody has taken the word back: nothing can have been written. */
	if (atomic_exchange_explicit(&bell->is_awaited, false, memory_order_seq_cst))
		return false;
	return read(bell->fd, &n, sizeof(n)) == sizeof(n);
}

void hr_bell_wait(struct hr_bell *bell, uint32_t timeout_us)
{
	struct pollfd fd = { .fd = bell->fd, .events = POLLIN };
	const struct timespec timeout = { .tv_sec = timeout_us / 1000000,
					  .tv_nsec = timeout_us % 1000000 * 1000l };

	hr_bell_await(bell);
	(void)ppoll(&fd, 1, &timeout, NULL);
	(void)hr_bell_awoke(bell);
}
