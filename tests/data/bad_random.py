# SPDX-License-Identifier: BSD-3-Clause
"""Bad input without a plan: frames of random bytes, random bytes in a sound frame to
the beacon port, and a good datagram in which one bit changed. None of them may be
taken for a beacon. What a seed gives is always the same."""
import frames as f

PAYLOAD_AT = 42  # Ethernet, IPv4, UDP
MOST = 1472


class Frames:
    def __init__(self, dice, good):
        """good: a frame with a good datagram, without VLAN tag and IP options."""
        self.dice, self.good = dice, good[PAYLOAD_AT:]
        self.heads = {}
        self.to_port = self.others = 0

    def head(self, n):
        """Headers of a payload of n bytes, whose UDP checksum is "not computed"."""
        if n not in self.heads:
            self.heads[n] = f.ether(f.IP4, f.ip4(f.udp(bytes(n), check=0)))[:PAYLOAD_AT]
        return self.heads[n]

    def next(self):
        way = self.dice.random()
        if way < 0.1:
            self.others += 1
            return self.dice.randbytes(14 + int(self.dice.random() * 1486))
        self.to_port += 1
        if way < 0.3:
            data = bytearray(self.good)
            bit = int(self.dice.random() * 8 * len(data))
            data[bit >> 3] ^= 1 << (bit & 7)
            return self.head(len(data)) + bytes(data)
        n = int(self.dice.random() * (MOST + 1))
        data = self.dice.randbytes(n)
        if way < 0.5 and n > 4:
            data = b"HRB\1" + data[4:]
        return self.head(n) + data
