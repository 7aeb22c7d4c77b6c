# SPDX-License-Identifier: BSD-3-Clause
"""Bad input of every kind, layer by layer, and what must become of each: the table
behind tests/integration/test_bad_input. Events are in bad_events.py.

Each row is a kind: its name, what it is, what a dataplane says that reads it from a
pcap (every frame reaches it; insecure: false), what is said where it comes by a wire
with our XDP program (insecure: true), and how its bytes are made. What is said is

    refused.X     a row of dataplane/drops.def
    rejected.X    a row of dataplane/beacon/rejects.def, after the log
    xdp.X         a verdict of docs/xdp.md: the kernel gets it, the dataplane does not
    counted       nothing: odd, and right all the same
    repeated      accepted, and known already

SAME: by the wire as by pcap. NEVER: cannot be sent that way.

    python3 tests/data/bad_input.py     the table for people
"""
import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import frames as f  # noqa: E402
import wire_vectors as wire  # noqa: E402
from wire_vectors import JSON, PROTOBUF, batch, field, varint  # noqa: E402

SAME, NEVER = "same", None
NEIGHBOURS = 2  # good events around each bad one
DATAGRAM_MAX = 1472


class Kind:
    """counted, repeated: logged events of one sending that nothing is wrong with.
    split: further pieces of a headerless datagram."""

    def __init__(self, name, what, pcap, by_wire, make, counted=0, split=0):
        self.name, self.what, self.make = name, what, make
        self.pcap, self.wire = pcap, pcap if by_wire == SAME else by_wire
        self.good = counted or (1 if pcap == "counted" else 0)
        self.split = split

    def said(self, way):
        return self.pcap if way == "pcap" else self.wire

    def logged(self, way):
        """Events in the log of one sending: good ones, and rejected or repeated."""
        where = (self.said(way) or "xdp").split(".")[0]
        if where in ("refused", "xdp") and (way == "pcap" or not self.split):
            return 0, 0
        return self.good, int(where in ("rejected", "repeated"))


def murmur2(data):
    """As Kafka's clients compute a key's partition (32 bits)."""
    m, mask = 0x5BD1E995, 0xFFFFFFFF
    h = 0x9747B28C ^ len(data)
    whole = len(data) & ~3
    for (k,) in struct.iter_unpack("<I", data[:whole]):
        k = k * m & mask
        k ^= k >> 24
        h = h * m & mask ^ k * m & mask
    tail = data[whole:]
    if tail:
        h = (h ^ int.from_bytes(tail, "little")) * m & mask
    h ^= h >> 13
    h = h * m & mask
    return h ^ h >> 15


def shard_of(user, shards):
    return (murmur2(user) & 0x7FFFFFFF) % shards


class Maker:
    """Makes the bytes of one run: knows its key and counts sequence numbers, so that
    no datagram is taken for one that was there before."""

    def __init__(self, key_id, key, birth, shards=5, generation=1):
        self.key_id, self.key, self.birth = key_id, key, birth
        self.shards, self.generation = shards, generation
        self.shard, self.sequence = 3, 0
        names = [b"neighbour_%d" % i for i in range(64)]
        self.user = next(n for n in names if shard_of(n, shards) == self.shard)
        self.stranger = next(n for n in names if shard_of(n, shards) != self.shard)
        self.letters = []  # (reason, key or None, bytes) of every event made bad

    def datagram(self, payload, **said):
        self.sequence += 1
        usual = {"key_id": self.key_id, "key": self.key, "birth": self.birth,
                 "rnd": 1, "sequence": self.sequence, "shard": self.shard,
                 "n_shards": self.shards, "generation": self.generation}
        return wire.datagram(payload, **{**usual, **said})

    def event(self, codec=PROTOBUF):
        encode = wire.pb_event if codec == PROTOBUF else wire.json_event
        return encode(user=self.user.decode(), etype="click")

    def good(self, **said):
        return self.datagram(batch(self.event()), **said)

    def changed(self, at, count=1):
        """A good datagram in which bytes were changed behind the tag's back."""
        data = bytearray(self.good())
        for i in range(count):
            data[at + i] ^= 0x01 if at + i >= 0 else 0x80
        return bytes(data)

    def letter(self, reason, codec, event):
        """The event will be in dead_letters: under its user's key if it has one that
        may be used, which then stands at its beginning here."""
        begin = wire.field(1, self.user) if codec == PROTOBUF else \
            b'{"user_id":"' + self.user + b'"'
        key = self.user if event.startswith(begin) else None
        self.letters.append((reason, key, event))
        return event

    def around(self, codec, event):
        """The event between two good ones, in one datagram."""
        good = self.event(codec)
        payload = batch(good, event, good) if codec == PROTOBUF else \
            b"\n".join((good, event, good)) + b"\n"
        return self.datagram(payload, codec=codec, events=1 + NEIGHBOURS)


KINDS = []


def kind(name, what, pcap, by_wire, make, **more):
    """make(m) gives a frame, or a list of them."""
    KINDS.append(Kind(name, what, pcap, by_wire, make, **more))


def beacon(name, what, said, make, by_wire=SAME, **more):
    """make(m) gives what is behind the UDP header of a sound IPv4 frame."""
    kind(name, what, said, by_wire,
         lambda m: f.ether(f.IP4, f.ip4(f.udp(make(m)))), **more)


# ---- Ethernet ----

def ethernet():
    def cut(to):
        return lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good())))[:to]

    kind("eth_empty", "a frame of no bytes", "refused.net_short", NEVER, cut(0))
    kind("eth_13", "a frame that ends inside its Ethernet header", "refused.net_short",
         NEVER, cut(13))
    kind("eth_14", "nothing behind the Ethernet header", "refused.net_short",
         "xdp.short", cut(14))
    kind("vlan_cut", "ends inside its VLAN tag", "refused.net_short", "xdp.short",
         lambda m: f.ether(f.IP4, b"", tags=[f.VLAN])[:16])
    kind("vlan_twice", "two 802.1Q tags", "refused.net_not_ip", "xdp.not_ip",
         lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good())), tags=[f.VLAN, f.VLAN]))
    kind("qinq", "an 802.1ad tag and an 802.1Q tag", "refused.net_not_ip",
         "xdp.not_ip",
         lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good())), tags=[f.QINQ, f.VLAN]))
    kind("arp", "an ARP answer", "refused.net_not_ip", "xdp.not_ip",
         lambda m: f.ether(f.ARP, bytes.fromhex("0001080006040002") + f.FAR_MAC
                           + f.FAR4 + f.NEAR_MAC + f.NEAR4))
    kind("lldp", "a neighbour's announcement", "refused.net_not_ip", "xdp.not_ip",
         lambda m: f.ether(0x88CC, bytes(46)))
    kind("mpls", "a beacon behind an MPLS label", "refused.net_not_ip", "xdp.not_ip",
         lambda m: f.ether(0x8847, b"\0\1\1\x40" + f.ip4(f.udp(m.good()))))
    kind("ieee_802_3", "a length where the type should be", "refused.net_not_ip",
         "xdp.not_ip", lambda m: f.ether(46, bytes(46)))
    kind("ether_type_0", "type 0", "refused.net_not_ip", "xdp.not_ip",
         lambda m: f.ether(0, f.ip4(f.udp(m.good()))))
    kind("ip6_as_ip4", "an IPv6 packet under IPv4's type", "refused.net_ip_header",
         "xdp.ip_header", lambda m: f.ether(f.IP4, f.ip6(f.udp(m.good()))))
    kind("ip4_as_ip6", "an IPv4 packet under IPv6's type", "refused.net_ip_header",
         "xdp.ip_header", lambda m: f.ether(f.IP6, f.ip4(f.udp(m.good()))))


# ---- IPv4 ----

def internet4():
    def ip(name, what, said, verdict, **packet):
        kind("ip4_" + name, what, "refused." + said, verdict,
             lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good()), **packet)))

    def cut(name, what, to):
        kind("ip4_" + name, what, "refused.net_short", "xdp.short",
             lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good()), options=bytes(8)))[:to])

    cut("1", "one byte of an IPv4 header", 15)
    cut("19", "ends one byte before the least IPv4 header", 33)
    cut("in_options", "ends inside its IP options", 38)
    cut("in_payload", "ends before its total length says so", 150)
    ip("version_0", "IP version 0", "net_ip_header", "xdp.ip_header", version=0)
    ip("version_5", "IP version 5", "net_ip_header", "xdp.ip_header", version=5)
    ip("header_0", "a header of no words", "net_ip_header", "xdp.ip_header", words=0)
    ip("header_16", "a header of 16 bytes", "net_ip_header", "xdp.ip_header", words=4)
    ip("header_60", "a header said to be longer than the packet", "net_ip_header",
       "xdp.ip_header", words=15, total=59)
    ip("total_0", "total length 0", "net_ip_header", "xdp.ip_header", total=0)
    ip("total_19", "total length below the header's", "net_ip_header",
       "xdp.ip_header", total=19)
    ip("total_65535", "total length 65,535 in a short frame", "net_short", "xdp.short",
       total=65535)
    ip("total_27", "total length ends inside the UDP header", "net_udp_length",
       "xdp.short", total=27)
    ip("checksum_wrong", "a wrong header checksum", "net_ip_checksum", SAME,
       check=f.WRONG)
    ip("checksum_0", "no header checksum", "net_ip_checksum", SAME, check=0)
    ip("fragment_first", "a first fragment", "net_fragment", "xdp.fragment",
       flags=0x2000)
    ip("fragment_middle", "a middle fragment", "net_fragment", "xdp.fragment",
       flags=0x2010)
    ip("fragment_last", "a last fragment", "net_fragment", "xdp.fragment",
       flags=0x0010)
    ip("fragment_tiny", "a fragment that begins inside the UDP header", "net_fragment",
       "xdp.fragment", flags=0x0001)
    ip("fragment_forbidden", "a fragment that says it must be none", "net_fragment",
       "xdp.fragment", flags=0x6000)
    ip("icmp", "ICMP", "net_not_udp", "xdp.protocol", proto=f.ICMP)
    ip("sctp", "SCTP", "net_not_udp", "xdp.protocol", proto=132)
    ip("udp_lite", "UDP-Lite", "net_not_udp", "xdp.protocol", proto=136)
    ip("ip_in_ip", "protocol 4", "net_not_udp", "xdp.protocol", proto=4)
    kind("tcp_syn", "a TCP connection to the beacon port", "refused.net_not_udp",
         "xdp.port", lambda m: f.ether(f.IP4, f.ip4(struct.pack(
             ">HHIIBBHHH", f.SENDER, f.BEACONS, 1, 0, 0x50, 2, 1024, 0, 0),
             proto=f.TCP)))
    kind("tcp_cut", "ends inside its TCP header", "refused.net_not_udp", "xdp.short",
         lambda m: f.ether(f.IP4, f.ip4(bytes(10), proto=f.TCP)))


# ---- IPv6 ----

def internet6():
    def ip(name, what, said, verdict, **packet):
        kind("ip6_" + name, what, "refused." + said, verdict,
             lambda m: f.ether(f.IP6, f.ip6(f.udp(m.good()), **packet)))

    def cut(name, what, to):
        kind("ip6_" + name, what, "refused.net_short", "xdp.short",
             lambda m: f.ether(f.IP6, f.ip6(f.udp(m.good())))[:to])

    option = (f.HOP_BY_HOP, f.padding())
    cut("39", "ends one byte before the end of its IPv6 header", 53)
    cut("in_payload", "ends before its payload length says so", 150)
    ip("version_4", "IP version 4", "net_ip_header", "xdp.ip_header", version=4)
    ip("version_15", "IP version 15", "net_ip_header", "xdp.ip_header", version=15)
    ip("length_0", "payload length 0, as a jumbogram has", "net_udp_length",
       "xdp.short", length=0)
    ip("length_65535", "payload length 65,535 in a short frame", "net_short",
       "xdp.short", length=65535)
    ip("fragment", "a fragment header", "net_fragment", "xdp.fragment",
       extensions=[(f.FRAGMENT, b"\0\0\1\0\0\0\7")])
    ip("fragment_atomic", "a fragment header around the whole", "net_fragment",
       "xdp.fragment", extensions=[(f.FRAGMENT, bytes(7))])
    ip("fragment_behind", "a fragment header behind options", "net_fragment",
       "xdp.fragment", extensions=[option, (f.FRAGMENT, bytes(7))])
    ip("routing", "a routing header", "net_not_udp", "xdp.protocol",
       extensions=[(f.ROUTING, bytes(7))])
    ip("icmp6", "ICMPv6", "net_not_udp", "xdp.protocol", proto=58)
    ip("nothing", "no next header", "net_not_udp", "xdp.protocol", proto=59)
    ip("esp", "encrypted", "net_not_udp", "xdp.protocol", proto=50)
    ip("five_extensions", "five headers of options", "net_not_udp", "xdp.protocol",
       extensions=[option] + [(f.DESTINATION, f.padding())] * 4)
    ip("long_extension", "options of 264 bytes", "net_not_udp", "xdp.protocol",
       extensions=[(f.DESTINATION, f.padding(32))])
    kind("ip6_extension_cut", "options that end behind the packet",
         "refused.net_short", "xdp.short", lambda m: f.ether(f.IP6, f.ip6(
             bytes(24), proto=f.DESTINATION, extensions=[])[:40] + b"\x11\x09"
             + bytes(22)))
    kind("ip6_extension_6", "ends inside an options header", "refused.net_short",
         "xdp.short", lambda m: f.ether(f.IP6, f.ip6(bytes(6), proto=f.DESTINATION)))


# ---- UDP ----

def transport():
    def udp(name, what, said, verdict, ip=f.ip4, **datagram):
        type_of = f.IP4 if ip is f.ip4 else f.IP6
        kind("udp_" + name, what, "refused." + said, verdict,
             lambda m: f.ether(type_of, ip(f.udp(m.good(), **datagram))))

    udp("length_0", "UDP length 0", "net_udp_length", "xdp.l4_length", length=0)
    udp("length_7", "UDP length below its header's", "net_udp_length",
        "xdp.l4_length", length=7)
    udp("length_shorter", "UDP length below what IP carries", "net_udp_length",
        "xdp.l4_length", length=104)
    udp("length_longer", "UDP length above what IP carries", "net_udp_length",
        "xdp.l4_length", length=1400)
    udp("length_65535", "UDP length 65,535", "net_udp_length", "xdp.l4_length",
        length=65535)
    udp("length_6", "the same over IPv6", "net_udp_length", "xdp.l4_length", ip=f.ip6,
        length=9)
    udp("checksum_wrong", "a wrong UDP checksum", "net_udp_checksum", SAME,
        check=f.WRONG)
    udp("checksum_wrong_6", "the same over IPv6", "net_udp_checksum", SAME, ip=f.ip6,
        check=f.WRONG)
    udp("checksum_0_6", "no UDP checksum over IPv6", "net_udp_checksum", SAME,
        ip=f.ip6, check=0)
    udp("port_0", "to port 0", "net_port", "xdp.port", port=0)
    udp("port_7401", "to the port beside ours", "net_port", "xdp.port", port=7401)
    udp("port_swapped", "to our port in the other byte order", "net_port", "xdp.port",
        port=0xE81C)
    udp("port_6", "to port 53 over IPv6", "net_port", "xdp.port", ip=f.ip6, port=53)

    def partial(m):
        """As a veth peer hands it over that left the sum to a card: only the pseudo
        header's is in it."""
        payload = m.good()
        pseudo = f.FAR4 + f.NEAR4 + struct.pack(">HH", f.UDP, 8 + len(payload))
        return f.ether(f.IP4, f.ip4(f.udp(payload, check=f.ones_sum(pseudo) ^ 0xFFFF)))

    def bit_flipped(m):
        frame = bytearray(f.ether(f.IP4, f.ip4(f.udp(m.good()))))
        frame[-1] ^= 0x10
        return bytes(frame)

    kind("udp_checksum_partial", "a checksum left to a card that is not there",
         "refused.net_udp_checksum", SAME, partial)
    kind("udp_bit_flipped", "one bit changed on the way", "refused.net_udp_checksum",
         SAME, bit_flipped)
    kind("udp_64k", "a 64 KB datagram in one frame", "refused.frame_long", NEVER,
         lambda m: f.ether(f.IP4, f.ip4(f.udp(m.datagram(bytes(65300))))))
    kind("udp_64k_fragments", "a 64 KB datagram in fragments", "refused.net_fragment",
         "xdp.fragment", lambda m: [f.ether(f.IP4, p) for p in f.fragments(
             f.ip4(f.udp(m.datagram(bytes(65300)))), 1480)])


# ---- the datagram's header ----

def headers():
    def text(name, what, said, data):
        beacon(name, what, "refused." + said, lambda m: data)

    def header(name, what, said, **fields):
        beacon(name, what, "refused." + said, lambda m: m.good(**fields))

    text("nothing", "a datagram of no bytes", "frame_short", b"")
    text("hello", "a line typed into nc -u", "frame_short", b"hello\n")
    text("blanks", "white space alone", "frame_short", b" \r\n\t" * 20)
    text("bom", "JSON behind a byte order mark", "frame_short", b'\xef\xbb\xbf{"a":1}')
    beacon("header_95", "one byte less than header and tag", "refused.frame_short",
           lambda m: m.datagram(b"")[:95])
    text("http", "an HTTP request", "frame_magic",
         b"GET /v1/users/1/profile HTTP/1.1\r\nHost: headrace\r\n" + b"X: y\r\n" * 9)
    text("tls", "a TLS greeting", "frame_magic", b"\x16\3\1\0\xfa" + bytes(245))
    text("dns", "a DNS question, padded", "frame_magic",
         b"\x12\x34\1\0\0\1" + bytes(6) + b"\7example\3com\0\0\1\0\1" + bytes(80))
    text("zeroes", "1,472 bytes of 0", "frame_magic", bytes(DATAGRAM_MAX))
    text("ones", "1,472 bytes of 255", "frame_magic", b"\xff" * DATAGRAM_MAX)
    text("utf16", "JSON in UTF-16", "frame_magic",
         ('{"user_id":"u","event_type":"t"}' * 3).encode("utf-16"))
    beacon("long_1473", "one byte more than a receiver takes", "refused.frame_long",
           lambda m: m.datagram(bytes(DATAGRAM_MAX + 1 - 96)))
    beacon("long_1476", "the longest that the wire carries", "refused.frame_long",
           lambda m: m.datagram(bytes(DATAGRAM_MAX + 4 - 96)))
    header("magic_hrl", "a record of the log", "frame_magic", magic=b"HRL")
    header("magic_lower", "magic in small letters", "frame_magic", magic=b"hrb")
    header("magic_swapped", "magic backwards", "frame_magic", magic=b"BRH")
    for v in (0, 2, 255):
        header("version_%d" % v, "version %d" % v, "frame_version", version=v)
    for v, who in ((0, "nobody"), (12, "nobody yet"), (255, "nobody"),
                   (wire.CHALLENGE, "an appliance"), (wire.ACK, "an appliance"),
                   (wire.PROBE_ANSWER, "an appliance"), (wire.WRONG_SHARD,
                                                         "an appliance")):
        header("kind_%d" % v, "a kind that %s sends" % who, "frame_kind", kind=v)
    for v in (1, 2, 255):
        header("direction_%d" % v, "direction %d" % v, "frame_direction", direction=v)
    for v in (0, 2, 255):
        header("suite_%d" % v, "suite %d" % v, "frame_suite", suite=v)
    for v in (0, 3, 255):
        header("codec_%d" % v, "codec %d" % v, "frame_codec", codec=v)
    beacon("codec_of_probe", "a codec where there are no events",
           "refused.frame_codec",
           lambda m: m.datagram(bytes(160), kind=wire.PROBE, events=0))
    for bit in (0, 7, 8, 15):
        header("flag_%d" % bit, "flag %d" % bit, "frame_flags", flags=1 << bit)
    for at in range(6):
        header("reserved_%d" % at, "reserved byte %d" % at, "frame_flags",
               reserved=bytes(at) + b"\x80" + bytes(5 - at))
    for v in (0, 1, 1376, 65535):
        header("length_%d" % v, "payload length %d" % v, "frame_length", length=v)
    beacon("tail", "four bytes behind the tag", "refused.frame_length",
           lambda m: m.good() + bytes(4))
    beacon("cut_in_tag", "ends inside its tag", "refused.frame_length",
           lambda m: m.good()[:-1])
    for v in (0, 513, 65535):
        header("count_%d" % v, "%d events" % v, "frame_count", events=v)
    beacon("count_of_probe", "events in a message that has none",
           "refused.frame_count",
           lambda m: m.datagram(bytes(160), kind=wire.PROBE, codec=0, events=1))
    header("birth_0", "no birth", "frame_stream", birth=0)
    header("birth_class", "no birth but its class bit", "frame_stream", birth=1 << 63)
    header("sequence_0", "sequence 0", "frame_stream", sequence=0)
    beacon("hello_with_sequence", "a HELLO that has a stream", "refused.frame_stream",
           lambda m: m.datagram(bytes(32), kind=wire.HELLO, codec=0, events=0))


# ---- key, tag, data set, handshake ----

def judged():
    def header(name, what, said, **fields):
        beacon(name, what, "refused." + said, lambda m: m.good(**fields))

    def changed(name, what, at, count=1):
        beacon("tag_" + name, what + " changed behind the tag's back", "refused.tag",
               lambda m: m.changed(at, count))

    def other_tag(name, what, tag):
        beacon("tag_" + name, what, "refused.tag",
               lambda m: (lambda d: d[:-16] + tag(m, d[:-16]))(m.good()))

    for v in (0, 2, 0xFFFFFFFF):
        header("key_%d" % v, "key id %d" % v, "key_unknown", key_id=v)
    beacon("key_swapped", "key id in the other byte order", "refused.key_unknown",
           lambda m: m.good(key_id=m.key_id << 24))
    for at, what in ((10, "shard"), (12, "S"), (16, "generation"), (24, "birth"),
                     (32, "random bits"), (40, "sequence"), (48, "attempt"),
                     (52, "drops"), (56, "send time"), (64, "address token"),
                     (80, "first byte of the payload"), (-17, "last byte of it"),
                     (-16, "first byte of the tag"), (-1, "last byte of the tag")):
        changed(what.replace(" ", "_"), what, at)
    other_tag("zero", "a tag of zeroes", lambda m, d: bytes(16))
    other_tag("copied", "the tag of the datagram before it",
              lambda m, d: m.good(sequence=m.sequence - 1)[-16:])
    other_tag("write_key", "made with the write key itself",
              lambda m, d: wire.siphash128(m.key, d))
    other_tag("half", "half a tag, twice", lambda m, d: wire.siphash128(
        wire.stream_key(m.key, m.birth, 1), d)[:8] * 2)
    header("tag_other_key", "made with another key", "tag", key=bytes(range(16)))
    for v in (0, 2, 0x01000000):
        header("generation_%d" % v, "generation %d" % v, "generation", generation=v)
    for v in (0, 1, 4, 25, 65535):
        header("s_%d" % v, "S = %d" % v, "wrong_s", n_shards=v)
    for v in (5, 255, 65535):
        header("shard_%d" % v, "shard %d" % v, "wrong_shard", shard=v)
    beacon("hello_handshake", "a greeting", "refused.handshake", lambda m: m.datagram(
        bytes(32), kind=wire.HELLO, codec=0, events=0, birth=0, sequence=0))
    beacon("probe", "a question", "refused.handshake", lambda m: m.datagram(
        bytes(160), kind=wire.PROBE, codec=0, events=0))
    beacon("skip", "sequences given up", "refused.handshake", lambda m: m.datagram(
        bytes(32), kind=wire.SKIP, codec=0, events=0))


# ---- events in their frame ----

def framing():
    def framed(name, what, payload, events=1, codec=PROTOBUF):
        beacon("framing_" + name, what, "refused.framing", lambda m: m.datagram(
            payload(m.event(codec)), events=events, codec=codec))

    framed("none", "no event where one is said", lambda e: b"")
    framed("fewer", "two events of three", lambda e: batch(e, e), 3)
    framed("more", "three events of two", lambda e: batch(e, e, e), 2)
    framed("cut", "the last event cut", lambda e: batch(e)[:-1])
    framed("length_0", "a length that says the event is empty",
           lambda e: b"\x0a\0" + e)
    framed("length_2_63", "a length of 2^63", lambda e: b"\x0a" + varint(1 << 63) + e)
    framed("length_65_bits", "a length of more than 64 bits",
           lambda e: b"\x0a" + b"\xff" * 9 + b"\x7f" + e)
    framed("length_endless", "a length that does not end", lambda e: b"\x0a"
           + b"\x80" * 200)
    framed("field_2", "an unknown field beside the events",
           lambda e: batch(e) + field(2, b"x"))
    framed("field_0", "field number 0", lambda e: b"\2" + varint(len(e)) + e)
    framed("integer", "an integer where the event should be", lambda e: field(1, 5))
    framed("fixed", "eight bytes where the event should be",
           lambda e: b"\x09" + bytes(8))
    framed("group", "a group", lambda e: b"\x0b" + e + b"\x0c")
    framed("bare_event", "an event without its frame", lambda e: e)
    framed("zeroes", "bytes of 0", lambda e: bytes(100))
    framed("json_fewer", "one line of two", lambda e: e + b"\n", 2, JSON)
    framed("json_more", "two lines of one", lambda e: e + b"\n" + e, 1, JSON)
    framed("json_empty_line", "an empty line between two", lambda e: e + b"\n\n" + e, 3,
           JSON)
    framed("json_first_newline", "a newline first", lambda e: b"\n" + e, 1, JSON)
    framed("json_last_newlines", "two newlines last", lambda e: e + b"\n\n", 1, JSON)
    framed("json_indented", "one event over several lines",
           lambda e: e.replace(b",", b",\n"), 1, JSON)
    framed("json_newline_in_text", "a raw newline inside a text",
           lambda e: e.replace(b"click", b"cl\nick"), 1, JSON)
    framed("json_nothing", "no line", lambda e: b"", 1, JSON)


# ---- JSON without a header ----

def headerless():
    """By pcap all of it is refused at once, since nothing allows it there."""
    def bare(name, what, by_wire, make, **more):
        beacon("bare_" + name, what, "refused.unkeyed", make, by_wire, **more)

    def json(name, what, data):
        bare(name, what, "refused.unkeyed_json", lambda m: data)

    def nobody(name, what, data):
        bare(name, what, "refused.unkeyed_user", lambda m: data)

    def rejected(name, what, reason, make):
        bare(name, what, "rejected." + reason,
             lambda m: m.letter(reason, JSON, make(m)))

    def named(m):
        return b'{"user_id":"' + m.user + b'"}'

    good = b'{"user_id":"u","event_type":"t"}'
    json("not_closed", "an object that does not end", good[:-1])
    json("text_not_closed", "a text that does not end", b'{"user_id":"u}')
    json("two_on_a_line", "two objects on one line", good + good)
    json("comma_between", "a comma between two lines", good + b",\n" + good)
    json("tail", "something behind the object", good + b" x")
    json("list_not_closed", "a list that does not end", b"[" + good)
    json("list_of_numbers", "a list of numbers", b"[1,2]")
    json("list_of_lists", "a list of lists", b"[[" + good + b"]]")
    json("list_comma_last", "a comma behind the last", b"[" + good + b",]")
    json("list_no_comma", "no comma between two", b"[" + good + good + b"]")
    json("list_tail", "something behind the list", b"[" + good + b"]x")
    json("brackets_crossed", "brackets that close each other's", b'{"a":[}]')
    json("newline_in_text", "a raw newline in a text", b'{"user_id":"a\nb"}')
    json("deep", "65 objects in each other", b'{"a":' * 65 + b"1" + b"}" * 65)
    json("deep_lists", "1,400 lists in each other", b"[" * 700 + b"]" * 700)
    bare("nothing_in_list", "an empty list", "refused.frame_count", lambda m: b"[]")
    bare("long", "longer than a receiver takes", "refused.frame_long",
         lambda m: b'{"user_id":"u","event_type":"t","x":"' + b"x" * 1436 + b'"}')
    nobody("empty", "an object without anything", b"{}")
    nobody("no_user", "no user_id", b'{"event_type":"click"}')
    nobody("user_number", "a number for user_id", b'{"user_id":5,"event_type":"t"}')
    nobody("user_null", "null for user_id", b'{"user_id":null,"event_type":"t"}')
    nobody("user_empty", "an empty user_id", b'{"user_id":"","event_type":"t"}')
    nobody("user_129", "a user_id of 129 bytes",
           b'{"user_id":"' + b"u" * 129 + b'","event_type":"t"}')
    nobody("user_nul", "NUL in user_id", b'{"user_id":"a\\u0000","event_type":"t"}')
    nobody("user_utf8", "a user_id that is not UTF-8",
           b'{"user_id":"a\xff","event_type":"t"}')
    nobody("user_behind_bad", "a user_id behind what is no JSON",
           b'{"a":nan,"user_id":"u","event_type":"t"}')
    bare("mixed", "one of two events without a user", "refused.unkeyed_user",
         lambda m: good + b'\n{"event_type":"t"}', counted=1, split=1)
    rejected("type_missing", "no event_type", "type", named)
    rejected("duplicate", "user_id twice", "duplicate_key",
             lambda m: named(m)[:-1] + b',"user_id":"u"}')
    rejected("nested", "metadata in metadata", "nested",
             lambda m: named(m)[:-1] + b',"event_type":"t","metadata":{"a":{}}}')
    bare("good", "an event", "counted", lambda m: good, counted=1)
    bare("good_lines", "an object over several lines", "counted",
         lambda m: b' \n{"user_id" :\n"u",\n"event_type":"t"}\n', counted=1)
    bare("good_list", "two events of one user in a list", "counted",
         lambda m: b"[" + good + b" ,\n" + good + b"]\n", counted=2)


# ---- odd, and right ----

def odd():
    def packet(name, what, make):
        kind("odd_" + name, what, "counted", SAME, make)

    def header(name, what, **fields):
        beacon("odd_" + name, what, "counted", lambda m: m.good(**fields))

    def tagged(*tags):
        return lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good())), tags=tags)

    def over4(**said):
        return lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good()), **said))

    def over6(*extensions):
        return lambda m: f.ether(f.IP6, f.ip6(f.udp(m.good()), extensions=extensions))

    packet("vlan", "behind one 802.1Q tag", tagged(f.VLAN))
    packet("provider_vlan", "behind one 802.1ad tag", tagged(f.QINQ))
    packet("ip4_options", "40 bytes of IP options", over4(options=b"\1" * 40))
    packet("ip4_evil", "the reserved bit of RFC 3514", over4(flags=0x8000))
    packet("ip4_padding", "bytes behind the IP packet", over4(tail=b"\xff" * 18))
    packet("ip4_no_checksum", "no UDP checksum over IPv4",
           lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good(), check=0))))
    packet("ip6", "over IPv6", over6())
    packet("ip6_options", "hop-by-hop options", over6((f.HOP_BY_HOP, f.padding())))
    packet("ip6_four", "four headers of options", over6(
        (f.HOP_BY_HOP, f.padding()), *[(f.DESTINATION, f.padding(6))] * 3))
    packet("ip6_256", "256 bytes of options", over6((f.DESTINATION, f.padding(31))))
    packet("port_0", "from port 0",
           lambda m: f.ether(f.IP4, f.ip4(f.udp(m.good(), source=0))))
    header("attempt", "the last attempt of all", attempt=0xFFFFFFFF)
    header("sent_0", "sent in 1970", sent=0)
    header("sent_never", "sent in 584,554 years", sent=(1 << 64) - 1)
    header("token", "an address token", token=(1 << 64) - 1)
    beacon("odd_longest", "1,472 bytes", "counted", lambda m: m.datagram(batch(
        (lambda e: e + b"\x7a" + varint(1370 - len(e)) + bytes(1370 - len(e)))(
            m.event()))))
    beacon("odd_json_crlf", "lines that end in CR LF", "counted", lambda m: m.datagram(
        (m.event(JSON) + b"\r\n") * 2, codec=JSON, events=2), counted=2)
    beacon("odd_json_last", "a last line without its newline", "counted",
           lambda m: m.datagram(m.event(JSON), codec=JSON))

    def again(m):
        frame = f.ether(f.IP4, f.ip4(f.udp(m.good())))
        return [frame, frame]

    kind("repeated", "a datagram that comes twice", "repeated", SAME, again, counted=1)
    kind("repeated_later", "the same beacon in a second attempt", "repeated", SAME,
         lambda m: [f.ether(f.IP4, f.ip4(f.udp(d))) for d in (
             m.good(), m.good(sequence=m.sequence, attempt=1, sent=9, token=8))],
         counted=1)


def table():
    """All kinds; made once."""
    import bad_events
    if not KINDS:
        for part in (ethernet, internet4, internet6, transport, headers, judged,
                     framing, headerless, odd):
            part()
        bad_events.add(kind)
    return KINDS


def main():
    kinds = table()
    for k in kinds:
        print("%-26s %-24s %-24s %s" % (k.name, k.pcap, k.wire or "-", k.what))
    print("%d kinds" % len(kinds))


if __name__ == "__main__":
    main()
