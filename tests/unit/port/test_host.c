/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <linux/capability.h>
#include <string.h>

#include "dataplane/port/host.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/port/eal_config.h"

#define ALL_RIGHTS ((UINT64_C(1) << 41) - 1)

/* Four CPUs of which two are ours, 1 GiB of free huge pages, all rights. */
static struct hr_host good_host(void)
{
	struct hr_host h = {
		.huge = { { .page_kb = 2048, .n_pages = 600, .n_free = 512 } },
		.n_huge = 1,
		.default_huge_kb = 2048,
		.available_mb = 4096,
		.capabilities = ALL_RIGHTS,
	};

	hr_cpu_list_parse(&h.online, "0-3");
	hr_cpu_list_parse(&h.allowed, "0-1");
	return h;
}

static struct hr_config good_config(void)
{
	static struct hr_config c;

	hr_config_defaults(&c);
	c.n_ports = 0;
	c.main_cpus[0] = 0;
	c.n_workers = 1;
	c.worker_cpus[0] = 1;
	c.memory_mb = 512;
	c.n_mbufs = 16384;
	c.huge_pages = true;
	add_port(&c, HR_PORT_AF_XDP, "veth0");
	return c;
}

/* One thing is wrong; the sentence names all of `says`. */
#define REFUSED(host, config, want, ...)                                               \
	refused(&(host), &(config), want, (const char *[]){ __VA_ARGS__, NULL })

static void refused(const struct hr_host *host, const struct hr_config *config,
		    int want, const char *const *says)
{
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_host_suits(host, config, &err), want);
	for (; *says != NULL; says++)
		if (strstr(err.text, *says) == NULL) {
			printf("\n      \"%s\" says nothing of \"%s\"\n", err.text,
			       *says);
			CU_FAIL("a sentence is incomplete");
		}
}

static void lists_of_cpus_are_read_as_the_kernel_writes_them(void)
{
	static const struct {
		const char *list;
		int want, n;
	} cases[] = {
		{ "0\n", 0, 1 },        { "0-3", 0, 4 },       { "0-1,4,6-7\n", 0, 5 },
		{ "", 0, 0 },           { "\n", 0, 0 },        { "1023", 0, 1 },
		{ "1024", -EINVAL, 0 }, { "3-1", -EINVAL, 0 }, { "a", -EINVAL, 0 },
		{ "0-", -EINVAL, 0 },   { "0;1", -EINVAL, 0 }, { "1,x", -EINVAL, 0 },
	};

	for (size_t i = 0; i < HR_COUNT(cases); i++) {
		cpu_set_t set;

		CU_ASSERT_EQUAL(hr_cpu_list_parse(&set, cases[i].list), cases[i].want);
		if (cases[i].want == 0)
			CU_ASSERT_EQUAL(CPU_COUNT(&set), cases[i].n);
	}
}

static void a_sound_machine_suits(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, &err), 0);
	CU_ASSERT_STRING_EQUAL(err.text, "");
}

static void a_cpu_that_is_not_there_is_named(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	c.worker_cpus[0] = 7;
	REFUSED(h, c, -ENODEV, "dataplane.worker_cpus", "CPU 7", "0-3");
}

static void a_cpu_we_may_not_use_is_named(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	c.main_cpus[1] = 2;
	c.n_main_cpus = 2;
	REFUSED(h, c, -EPERM, "dataplane.main_cpus", "CPU 2", "0-1", "taskset");
}

static void a_busy_worker_on_the_main_cpu_is_named(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	c.worker_cpus[0] = c.main_cpus[0];
	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, NULL), 0);
	c.poll_busy = true;
	REFUSED(h, c, -EINVAL, "dataplane.worker_cpus", "CPU 0", "dataplane.main_cpus",
		"poll: adaptive");
}

static void missing_huge_pages_come_with_the_command_that_makes_them(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	/* 200 MiB free of 576 pages: 312 MiB are missing, 156 pages. */
	h.huge[0].n_pages = 576;
	h.huge[0].n_free = 100;
	REFUSED(h, c, -ENOMEM, "200 MiB of free huge pages", "512 MiB",
		"sysctl vm.nr_hugepages=732", "dataplane.huge_pages: false");
	h.n_huge = 0;
	REFUSED(h, c, -ENOMEM, "found 0 MiB", "sysctl vm.nr_hugepages=256");
}

static void large_huge_pages_count_too(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();
	struct hr_err err = { "" };

	h.huge[0].n_free = 0;
	h.huge[1].page_kb = 1048576;
	h.huge[1].n_free = 1;
	h.n_huge = 2;
	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, &err), 0);
}

static void ordinary_memory_must_be_there(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();
	struct hr_err err = { "" };

	c.huge_pages = false;
	h.n_huge = 0;
	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, &err), 0);
	h.available_mb = 500;
	REFUSED(h, c, -ENOMEM, "500 MiB", "512 MiB", "dataplane.memory");
}

static void each_missing_right_is_named_for_af_xdp_only(void)
{
	static const struct {
		int bit;
		const char *name;
	} rights[] = {
		{ CAP_NET_ADMIN, "no CAP_NET_ADMIN" },
		{ CAP_NET_RAW, "no CAP_NET_RAW" },
		{ CAP_IPC_LOCK, "no CAP_IPC_LOCK" },
	};
	struct hr_config c = good_config();
	struct hr_host h = good_host();
	struct hr_err err = { "" };

	for (size_t i = 0; i < HR_COUNT(rights); i++) {
		h.capabilities = ALL_RIGHTS & ~(UINT64_C(1) << rights[i].bit);
		REFUSED(h, c, -EPERM, rights[i].name, "port test:veth0", "run as root");
	}
	h.capabilities = ALL_RIGHTS & ~(UINT64_C(1) << CAP_BPF);
	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, &err), 0); /* CAP_SYS_ADMIN does it */
	h.capabilities &= ~(UINT64_C(1) << CAP_SYS_ADMIN);
	REFUSED(h, c, -EPERM, "no CAP_BPF");

	h.capabilities = 0;
	c.ports[0].kind = HR_PORT_MEMIF;
	CU_ASSERT_EQUAL(hr_host_suits(&h, &c, &err), 0);
}

static void buffers_must_fill_the_rings(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	c.n_mbufs = 2048; /* the ring alone; two caches of 384 are missing */
	REFUSED(h, c, -ENOMEM, "dataplane.buffers", "found 2048", "3328", "1 workers");
	c.ports[0].kind = HR_PORT_PCI;
	c.ports[0].n_queues = 4;
	c.ports[0].rx_descriptors = 1024;
	c.n_mbufs = 4096;
	REFUSED(h, c, -ENOMEM, "dataplane.buffers", "found 4096", "6912");
}

static void memory_must_hold_the_buffers(void)
{
	struct hr_host h = good_host();
	struct hr_config c = good_config();

	c.memory_mb = 64;
	c.n_mbufs = 65536;
	REFUSED(h, c, -ENOMEM, "dataplane.memory", "found 64 MiB", "165 MiB", "65536");
}

static void this_machine_can_be_looked_at(void)
{
	struct hr_host h;
	struct hr_err err = { "" };

	CU_ASSERT_EQUAL(hr_host_look(&h, &err), 0);
	CU_ASSERT_TRUE(CPU_COUNT(&h.allowed) >= 1);
	CU_ASSERT_TRUE(CPU_COUNT(&h.online) >= 1);
	CU_ASSERT_TRUE(h.available_mb > 0);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "lists of CPUs are read as the kernel writes them",
		  lists_of_cpus_are_read_as_the_kernel_writes_them },
		{ "a sound machine suits", a_sound_machine_suits },
		{ "a CPU that is not there is named",
		  a_cpu_that_is_not_there_is_named },
		{ "a CPU we may not use is named", a_cpu_we_may_not_use_is_named },
		{ "a busy worker on the main CPU is named",
		  a_busy_worker_on_the_main_cpu_is_named },
		{ "missing huge pages come with the command that makes them",
		  missing_huge_pages_come_with_the_command_that_makes_them },
		{ "large huge pages count too", large_huge_pages_count_too },
		{ "ordinary memory must be there", ordinary_memory_must_be_there },
		{ "each missing right is named, for af_xdp only",
		  each_missing_right_is_named_for_af_xdp_only },
		{ "buffers must fill the rings", buffers_must_fill_the_rings },
		{ "memory must hold the buffers", memory_must_hold_the_buffers },
		{ "this machine can be looked at", this_machine_can_be_looked_at },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("host", NULL, NULL, tests);
}
