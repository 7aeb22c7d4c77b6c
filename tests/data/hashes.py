# SPDX-License-Identifier: BSD-3-Clause
"""CRC-32C (RFC 3720, appendix B.4) and SipHash-2-4 with 128 bits (Aumasson and
Bernstein), for the vectors: slow, and by another hand than the C code's."""
import struct

MASK = (1 << 64) - 1


def crc32c(data):
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
    return c ^ 0xFFFFFFFF


def rotl(x, b):
    return ((x << b) | (x >> (64 - b))) & MASK


def sip_round(v):
    v[0] = (v[0] + v[1]) & MASK
    v[1] = rotl(v[1], 13) ^ v[0]
    v[0] = rotl(v[0], 32)
    v[2] = (v[2] + v[3]) & MASK
    v[3] = rotl(v[3], 16) ^ v[2]
    v[0] = (v[0] + v[3]) & MASK
    v[3] = rotl(v[3], 21) ^ v[0]
    v[2] = (v[2] + v[1]) & MASK
    v[1] = rotl(v[1], 17) ^ v[2]
    v[2] = rotl(v[2], 32)


def siphash128(key, data):
    k0, k1 = struct.unpack("<QQ", key)
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D ^ 0xEE,
         k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]
    tail = data[len(data) & ~7:]
    words = [data[i:i + 8] for i in range(0, len(data) & ~7, 8)]
    words.append(tail + bytes(7 - len(tail)) + bytes([len(data) & 0xFF]))
    for word in words:
        m = int.from_bytes(word, "little")
        v[3] ^= m
        sip_round(v)
        sip_round(v)
        v[0] ^= m
    out = b""
    for flip_at, flip in ((2, 0xEE), (1, 0xDD)):
        v[flip_at] ^= flip
        for _ in range(4):
            sip_round(v)
        out += struct.pack("<Q", v[0] ^ v[1] ^ v[2] ^ v[3])
    return out
