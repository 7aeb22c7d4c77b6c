# SPDX-License-Identifier: BSD-3-Clause
"""The three functions that the documents name: crc32c (RFC 3720, appendix B.4),
SipHash-2-4 with 128 bits of output, and murmur2 as Kafka's Java client computes it.

Two ways each for the first two: packages of tools/checker/requirements.txt where they
are, which is what a large log needs, and plain Python, which is what the tables of
test vectors need and what the packages are compared with in tools/checker/selftest.
"""
import struct

MASK = (1 << 64) - 1


def crc32c_rows():
    rows = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        rows.append(i)
    return rows


CRC32C_ROWS = crc32c_rows()


def plain_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC32C_ROWS[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def rotated(x, bits):
    return ((x << bits) | (x >> (64 - bits))) & MASK


def sip_rounds(v0, v1, v2, v3, times):
    for _ in range(times):
        v0 = (v0 + v1) & MASK
        v2 = (v2 + v3) & MASK
        v1 = rotated(v1, 13) ^ v0
        v3 = rotated(v3, 16) ^ v2
        v0 = rotated(v0, 32)
        v2 = (v2 + v1) & MASK
        v0 = (v0 + v3) & MASK
        v1 = rotated(v1, 17) ^ v2
        v3 = rotated(v3, 21) ^ v0
        v2 = rotated(v2, 32)
    return v0, v1, v2, v3


def plain_siphash128(data, key):
    k0, k1 = struct.unpack("<QQ", key)
    v = (k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573)
    whole = len(data) & ~7
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    for m in (*struct.unpack(f"<{whole // 8}Q", data[:whole]), last):
        v0, v1, v2, v3 = sip_rounds(v[0], v[1], v[2], v[3] ^ m, 2)
        v = (v0 ^ m, v1, v2, v3)
    v0, v1, v2, v3 = sip_rounds(v[0], v[1], v[2] ^ 0xEE, v[3], 4)
    low = v0 ^ v1 ^ v2 ^ v3
    v0, v1, v2, v3 = sip_rounds(v0, v1 ^ 0xDD, v2, v3, 4)
    return struct.pack("<QQ", low, v0 ^ v1 ^ v2 ^ v3)


def murmur2(data):
    """As an unsigned 32-bit number."""
    m, whole = 0x5BD1E995, len(data) & ~3
    h = (0x9747B28C ^ len(data)) & 0xFFFFFFFF
    for k in struct.unpack(f"<{whole // 4}I", data[:whole]):
        k = k * m & 0xFFFFFFFF
        k = (k ^ k >> 24) * m & 0xFFFFFFFF
        h = (h * m & 0xFFFFFFFF) ^ k
    if whole < len(data):
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & 0xFFFFFFFF
    h = (h ^ h >> 13) * m & 0xFFFFFFFF
    return h ^ h >> 15


def to_positive(h):
    return h & 0x7FFFFFFF


try:
    from google_crc32c import value as crc32c
except ImportError:
    crc32c = plain_crc32c
try:
    from nacl.bindings import crypto_shorthash_siphashx24 as siphash128
except ImportError:
    siphash128 = plain_siphash128
