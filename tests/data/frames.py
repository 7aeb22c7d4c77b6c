# SPDX-License-Identifier: BSD-3-Clause
"""Ethernet frames byte by byte, right ones and wrong ones: every length and checksum
that a layer has may be said otherwise. Knows nothing of the C code.

    ether(IP4, ip4(udp(payload, ports), flags=0x2000))     a first fragment

A layer is a function of the next one's bytes. udp() leaves a place for its checksum,
which the IP layer around it fills in: the sum covers addresses that only it knows.
"""
import struct

IP4, IP6, ARP, VLAN, QINQ = 0x0800, 0x86DD, 0x0806, 0x8100, 0x88A8
UDP, TCP, ICMP = 17, 6, 1
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION = 0, 43, 44, 60
NEAR_MAC, FAR_MAC = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
NEAR4, FAR4 = bytes([10, 99, 0, 1]), bytes([10, 99, 0, 2])
NEAR6, FAR6 = (bytes.fromhex("fd99") + bytes(13) + bytes([n]) for n in (1, 2))
BEACONS, SENDER = 7400, 40000
RIGHT, WRONG = "right", "wrong"  # checksums; a number stands for itself


def ones_sum(data):
    """The checksum of RFC 1071 over these bytes."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(">%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def checksum(said, data):
    if said == RIGHT:
        return ones_sum(data)
    return ones_sum(data) ^ 0x0101 if said == WRONG else said


class Datagram:
    """UDP header and payload, the checksum still open."""

    def __init__(self, payload, port, source, length, said):
        self.head = struct.pack(">HHH", source, port,
                                8 + len(payload) if length is None else length)
        self.payload, self.said = payload, said

    def closed(self, addresses):
        whole = self.head + b"\0\0" + self.payload
        pseudo = addresses + struct.pack(">IHBB", len(whole), 0, 0, UDP)
        found = checksum(self.said, pseudo + whole)
        if found == 0 and self.said == RIGHT:
            found = 0xFFFF  # 0 would say "not computed"
        return self.head + struct.pack(">H", found) + self.payload


def udp(payload, port=BEACONS, source=SENDER, length=None, check=RIGHT):
    return Datagram(payload, port, source, length, check)


def closed(inner, addresses):
    return inner.closed(addresses) if isinstance(inner, Datagram) else inner


def ip4(inner, proto=UDP, version=4, words=None, total=None, flags=0x4000, options=b"",
        check=RIGHT, tail=b""):
    """flags: the whole field, don't-fragment by default; tail: behind the packet."""
    inner = closed(inner, FAR4 + NEAR4)
    words = 5 + len(options) // 4 if words is None else words
    total = 20 + len(options) + len(inner) if total is None else total
    head = struct.pack(">BBHHHBBH", version << 4 | words, 0, total, 7, flags, 64, proto,
                       0) + FAR4 + NEAR4 + options
    head = head[:10] + struct.pack(">H", checksum(check, head)) + head[12:]
    return head + inner + tail


def ip6(inner, proto=UDP, version=6, length=None, extensions=(), tail=b""):
    """extensions: (number, bytes behind its next-header byte), in their order."""
    inner = closed(inner, FAR6 + NEAR6)
    body, following = b"", proto
    for number, data in reversed(extensions):
        body = bytes([following]) + data + body
        following = number
    body += inner
    return struct.pack(">IHBB", version << 28, len(body) if length is None else length,
                       following, 64) + FAR6 + NEAR6 + body + tail


def padding(units=0):
    """An options header of 8 + 8 * units bytes, without its first: one PadN."""
    return bytes([units, 1, 4 + 8 * units]) + bytes(4 + 8 * units) if units < 31 else \
        bytes([units]) + bytes(6 + 8 * units)


def ether(kind, inner, tags=()):
    out = NEAR_MAC + FAR_MAC
    for tag in tags:
        out += struct.pack(">HH", tag, 5)
    return out + struct.pack(">H", kind) + inner


def fragments(packet, most):
    """The payload of one IPv4 packet (20 bytes of header) in pieces of most bytes, a
    multiple of 8."""
    body, out = packet[20:], []
    for at in range(0, len(body), most):
        more = 0x2000 if at + most < len(body) else 0
        out.append(ip4(body[at:at + most], flags=more | at // 8))
    return out
