/* SPDX-License-Identifier: BSD-3-Clause */

/* NICs: DPDK found them at its start (-a); here is what makes them unfit before. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "dataplane/port/port_impl.h"

/* Kernel drivers that hand a device to user space; Mellanox's share it. */
static const char *const user_space_drivers[] = {
	"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core",
};

static bool is_for_user_space(const char *driver)
{
	for (size_t i = 0; i < RTE_DIM(user_space_drivers); i++)
		if (strcmp(driver, user_space_drivers[i]) == 0)
			return true;
	return false;
}

static int check(const struct hr_port_config *config, struct hr_err *err)
{
	/* The domain may be left out. */
	const char *domain =
		strlen(config->target) < sizeof("0000:00:00.0") - 1 ? "0000:" : "";
	char path[HR_CONFIG_TEXT + 64], driver[PATH_MAX];
	const char *name;
	ssize_t n;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s%s", domain,
		 config->target);
	if (access(path, F_OK) < 0)
		return hr_fail(err, -ENODEV,
			       "found no PCI device of this address; `lspci -D` lists "
			       "them");
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s%s/driver", domain,
		 config->target);
	n = readlink(path, driver, sizeof(driver) - 1);
	driver[n > 0 ? n : 0] = '\0';
	name = strrchr(driver, '/') != NULL ? strrchr(driver, '/') + 1 : "no driver";
	if (is_for_user_space(name))
		return 0;
	return hr_fail(
		err, -EBUSY,
		"found it bound to %s, expected vfio-pci; bind it with `modprobe "
		"vfio-pci && dpdk-devbind.py --bind=vfio-pci %s%s` (the kernel "
		"loses the interface)",
		name, domain, config->target);
}

static void read_counts(const struct hr_port *port, struct hr_port_counts *out)
{
	struct rte_eth_stats stats;
	struct rte_eth_link link;

	if (rte_eth_stats_get(port->port_id, &stats) == 0) {
		out->missed = stats.imissed;
		out->send_failed += stats.oerrors;
	}
	if (rte_eth_link_get_nowait(port->port_id, &link) == 0)
		out->is_up = link.link_status == RTE_ETH_LINK_UP;
}

const struct hr_port_kind_ops hr_port_pci = {
	.check = check,
	.read = read_counts,
};
