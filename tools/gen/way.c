/* SPDX-License-Identifier: BSD-3-Clause */

#include <errno.h>
#include <string.h>

#include "tools/gen/way.h"

static const struct hr_way_ops *const ways[] = {
	&hr_way_udp,
	&hr_way_memif,
	&hr_way_pcap,
};

const struct hr_way_ops *hr_way_find(const char *to, struct hr_err *err)
{
	const size_t scheme_bytes = strcspn(to, ":");

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (to[scheme_bytes] == ':' &&
		    strlen(ways[i]->scheme) == scheme_bytes &&
		    strncmp(ways[i]->scheme, to, scheme_bytes) == 0)
			return ways[i];
	(void)hr_fail(err, -EINVAL,
		      "--to %s: expected udp:HOST:PORT[-LAST], memif:client:SOCKET, "
		      "memif:server:SOCKET or pcap:FILE",
		      to);
	return NULL;
}

const char *hr_way_target(const struct hr_way_conf *conf)
{
	return conf->to + strcspn(conf->to, ":") + 1;
}
