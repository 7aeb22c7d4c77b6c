/* SPDX-License-Identifier: BSD-3-Clause */

/* Starting and ending DPDK's environment: one call each in the life of a process. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_launch.h>

#include "common/log.h"
#include "dataplane/port/dpdk_log.h"
#include "dataplane/port/eal_args.h"
#include "dataplane/port/host.h"
#include "dataplane/port/port.h"

static struct hr_eal_args args; /* EAL keeps pointers into it */
static char *argv[HR_EAL_ARGS_MAX + 1];

/* EAL puts its telemetry socket below it and gives up where it is missing; then
 * its second choice, /tmp, does as well. Root's is /var/run in any case. */
static void mend_runtime_dir(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (dir == NULL || (stat(dir, &st) == 0 && S_ISDIR(st.st_mode)))
		return;
	if (getuid() != 0)
		hr_warn("port",
			"XDG_RUNTIME_DIR: found %s, expected a folder that is there; "
			"/tmp/dpdk is used for DPDK's telemetry",
			dir);
	unsetenv("XDG_RUNTIME_DIR");
}

int hr_eal_start(const struct hr_config *config, const char *program,
		 struct hr_err *err)
{
	struct hr_host host;
	char said[200];
	int r = hr_host_look(&host, err);

	if (r == 0)
		r = hr_host_suits(&host, config, err);
	if (r < 0)
		return r;
	r = hr_dpdk_log_open();
	if (r < 0)
		return hr_fail(err, r, "no memory for DPDK's log stream");
	mend_runtime_dir();
	hr_eal_args(&args, config, program);
	for (int i = 0; i < args.n; i++)
		hr_debug("port", "EAL argument %d: %s", i, args.words[i]);
	/* EAL orders the pointers anew. */
	memcpy(argv, args.words, sizeof(argv));
	hr_dpdk_log_forget();
	if (rte_eal_init(args.n, argv) >= 0)
		return 0;
	r = rte_errno > 0 ? -rte_errno : -EINVAL;
	hr_dpdk_log_said(said, sizeof(said));
	return hr_fail(err, r,
		       "DPDK could not be started (%s)%s; with appliance.log_level: "
		       "debug it says more",
		       strerror(-r), said);
}

/*
 * Not rte_eal_cleanup(): it unmaps DPDK's memory while DPDK's interrupt thread, which
 * nothing ends, still looks at its sources there (22.11: 9 crashes in 40 ends of a
 * process with memif under load). What it would give back goes with the process:
 * --in-memory and --no-shconf leave no file, telemetry removes its sockets at exit.
 */
void hr_eal_stop(void)
{
	rte_eal_mp_wait_lcore();
}
