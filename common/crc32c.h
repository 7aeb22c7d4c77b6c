/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef HR_CRC32C_H
#define HR_CRC32C_H

/*
 * crc32c - the Castagnoli CRC (RFC 3720 appendix B.4; reflected, initial and
 * final value all ones) that closes every record of the log. Any thread.
 */

#include <stddef.h>
#include <stdint.h>

uint32_t hr_crc32c(const void *bytes, size_t n);

#endif
