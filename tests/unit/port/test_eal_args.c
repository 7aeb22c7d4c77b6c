/* SPDX-License-Identifier: BSD-3-Clause */

#include <string.h>

#include "dataplane/port/eal_args.h"
#include "tests/unit/hr_test.h"
#include "tests/unit/port/eal_config.h"

/* The arguments of a configuration as one line. */
static const char *line(const struct hr_config *config, const char *program)
{
	static struct hr_eal_args args;
	static char text[sizeof(args.text)];

	hr_eal_args(&args, config, program);
	text[0] = '\0';
	for (int i = 0; i < args.n; i++) {
		strcat(text, i > 0 ? " " : "");
		strcat(text, args.words[i]);
	}
	CU_ASSERT_PTR_NULL(args.words[args.n]);
	return text;
}

static struct hr_config config_of(uint32_t main_cpu, uint32_t n_workers,
				  const uint32_t *worker_cpus)
{
	static struct hr_config c;

	hr_config_defaults(&c);
	c.n_ports = 0;
	c.memory_mb = 512;
	c.main_cpus[0] = main_cpu;
	c.n_workers = n_workers;
	memcpy(c.worker_cpus, worker_cpus, n_workers * sizeof(*worker_cpus));
	return c;
}

static void a_kernel_interface_needs_no_pci_and_no_physical_address(void)
{
	struct hr_config c = config_of(0, 1, (uint32_t[]){ 1 });

	add_port(&c, HR_PORT_AF_XDP, "veth0");
	CU_ASSERT_STRING_EQUAL(
		line(&c, "/usr/sbin/headrace-dataplane"),
		"headrace-dataplane --lcores 0@(0),1@1 -m 512 --in-memory "
		"--no-pci --iova-mode=va --log-level=warning "
		"--log-level=lib.telemetry:error");
}

static void each_worker_is_an_lcore_on_its_cpu(void)
{
	struct hr_config c = config_of(3, 3, (uint32_t[]){ 0, 7, 1023 });

	CU_ASSERT_PTR_NOT_NULL(
		strstr(line(&c, "x"), " --lcores 0@(3),1@0,2@7,3@1023 "));
}

static void main_thread_and_worker_may_share_a_cpu(void)
{
	struct hr_config c = config_of(0, 1, (uint32_t[]){ 1 });

	c.main_cpus[1] = 1;
	c.n_main_cpus = 2;
	CU_ASSERT_PTR_NOT_NULL(strstr(line(&c, "x"), " --lcores 0@(0,1),1@1 "));
}

static void ordinary_memory_does_without_in_memory(void)
{
	struct hr_config c = config_of(0, 1, (uint32_t[]){ 1 });

	c.huge_pages = false;
	c.memory_mb = 64;
	CU_ASSERT_PTR_NOT_NULL(strstr(line(&c, "x"), " -m 64 --no-huge --no-shconf "));
	CU_ASSERT_PTR_NULL(strstr(line(&c, "x"), "--in-memory"));
}

static void only_the_named_pci_devices_are_allowed(void)
{
	struct hr_config c = config_of(0, 1, (uint32_t[]){ 1 });

	add_port(&c, HR_PORT_PCI, "0000:03:00.0");
	add_port(&c, HR_PORT_MEMIF, "/run/m.sock");
	add_port(&c, HR_PORT_PCI, "0000:04:00.1");
	CU_ASSERT_PTR_NOT_NULL(
		strstr(line(&c, "x"), " -a 0000:03:00.0 -a 0000:04:00.1 "));
	CU_ASSERT_PTR_NULL(strstr(line(&c, "x"), "--no-pci"));
	CU_ASSERT_PTR_NULL(strstr(line(&c, "x"), "--iova-mode"));
}

static void dpdk_speaks_only_when_it_is_to_be_debugged(void)
{
	struct hr_config c = config_of(0, 1, (uint32_t[]){ 1 });

	c.log_level = HR_LOG_DEBUG;
	CU_ASSERT_PTR_NOT_NULL(strstr(line(&c, "x"), "--log-level=debug"));
	c.log_level = HR_LOG_INFO;
	CU_ASSERT_PTR_NOT_NULL(strstr(line(&c, "x"), "--log-level=warning"));
	CU_ASSERT_PTR_NULL(strstr(line(&c, "x"), "--no-telemetry"));
}

/* The function asserts that nothing was cut. */
static void the_largest_configuration_has_room(void)
{
	uint32_t cpus[HR_CPUS_MAX];
	char longest[HR_CONFIG_TEXT];
	struct hr_config c;

	for (uint32_t i = 0; i < HR_CPUS_MAX; i++)
		cpus[i] = 1023;
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	c = config_of(1023, HR_CPUS_MAX, cpus);
	c.memory_mb = 65536;
	c.log_level = HR_LOG_DEBUG;
	for (uint32_t i = 0; i < HR_PORTS_MAX; i++)
		add_port(&c, HR_PORT_PCI, longest);
	CU_ASSERT_TRUE(strlen(line(&c, longest)) > HR_PORTS_MAX * 255);
}

int main(void)
{
	static CU_TestInfo tests[] = {
		{ "a kernel interface needs no PCI and no physical address",
		  a_kernel_interface_needs_no_pci_and_no_physical_address },
		{ "each worker is an lcore on its CPU",
		  each_worker_is_an_lcore_on_its_cpu },
		{ "main thread and worker may share a CPU",
		  main_thread_and_worker_may_share_a_cpu },
		{ "ordinary memory does without --in-memory",
		  ordinary_memory_does_without_in_memory },
		{ "only the named PCI devices are allowed",
		  only_the_named_pci_devices_are_allowed },
		{ "DPDK speaks only when it is to be debugged",
		  dpdk_speaks_only_when_it_is_to_be_debugged },
		{ "the largest configuration has room",
		  the_largest_configuration_has_room },
		CU_TEST_INFO_NULL,
	};

	return hr_test_run("eal_args", NULL, NULL, tests);
}
