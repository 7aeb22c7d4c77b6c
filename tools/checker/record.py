# SPDX-License-Identifier: BSD-3-Clause
"""The epoch log as docs/epoch-log.md lays it out: records, the accept rule, bodies.

Written from that page alone, so that a mistake of the C reader is not repeated here.
"""
import os
import struct

from hashes import crc32c, siphash128

MOST = 900_000
META, FENCE, LINK = 1, 2, 3
CONFIG, EPOCH, LOSS = 1, 2, 3
DATAGRAM, EVENT, SKIP, FACT, NOTE = 1, 2, 3, 4, 5
ORDERED = 0x8000  # item flag: taken in order by an appliance that acknowledges

# Settings of CONFIG that fold knows, by number.
MAX_EVENTS, MAX_STREAMS, STREAM_MAX_AGE = 1, 2, 3
KEY_STREAMS, TTL_MEMORY, TTL_DISK, DEDUP_WINDOW, DEDUP_MAX = 4, 5, 6, 7, 8
# Those that docs/fold.md knows. The build of its tests that has one more, and the rule in
# which that differs, are known where this is set.
FOLD_VERSIONS = (1, 2) if os.environ.get("HEADRACE_NEXT_FOLD") else (1,)
PIPELINE_MOST = 4096

FRAME = struct.Struct("<3sBHHII16s")
META_HEAD = struct.Struct("<II16s")
FENCE_HEAD = struct.Struct("<Q16sII")
LINK_HEAD = struct.Struct("<16sQ16sQHHI")
ITEM_HEAD = struct.Struct("<HBBI")
DATAGRAM_HEAD = struct.Struct("<QQQII16sHHHHQQ")
SKIP_HEAD = struct.Struct("<QQQII")


def padded(n):
    return n + 7 & ~7


class Record:
    """A sound frame. kind is META, FENCE or LINK, or 0: of a later program."""
    __slots__ = ("kind", "shard", "generation", "data_set", "shards", "hash_key",
                 "topic", "incarnation", "owner", "addresses", "n", "prev_hash",
                 "clock", "body_kind", "body")


def decode(data):
    """A Record, or None where these bytes are no record."""
    size = len(data)
    if size < 40 or size > MOST or size & 7:
        return None
    magic, version, kind, shard, generation, whole, data_set = FRAME.unpack_from(data)
    if magic != b"HRL" or whole != size:
        return None
    if crc32c(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    out = Record()
    out.kind, out.shard, out.generation, out.data_set = 0, shard, generation, data_set
    if version != 1 or kind not in (META, FENCE, LINK):
        return out
    if data[-8:-4] != b"\0\0\0\0":
        return None
    inside = (decode_meta, decode_fence, decode_link)[kind - 1]
    if not inside(out, data, size - 8):
        return None
    out.kind = kind
    return out


def is_padding(data, start, end):
    return start <= end == padded(start) and not any(data[start:end])


def decode_meta(out, data, end):
    if end < 56:
        return False
    out.shards, n, out.hash_key = META_HEAD.unpack_from(data, 32)
    out.topic = data[56:56 + n]
    return (1 <= out.shards <= 65535 and 1 <= n <= 63 and 0 not in out.topic
            and is_padding(data, 56 + n, end))


def decode_fence(out, data, end):
    if end < 64:
        return False
    out.incarnation, out.owner, n, zero = FENCE_HEAD.unpack_from(data, 32)
    out.addresses = data[64:64 + n]
    return zero == 0 and n <= 128 and is_padding(data, 64 + n, end)


def decode_link(out, data, end):
    if end < 88:
        return False
    (out.owner, out.n, out.prev_hash, out.clock, out.body_kind, zero,
     n) = LINK_HEAD.unpack_from(data, 32)
    out.body = data[88:88 + n]
    return zero == 0 and is_padding(data, 88 + n, end)


class Chain:
    """The accept rule for one shard: offer() every message in offset order."""

    def __init__(self, meta, shard):
        self.meta, self.shard = meta, shard
        self.owner, self.incarnation = None, 0
        self.n, self.clock = 0, 0
        self.hash = self.root = siphash128(
            meta.data_set + struct.pack("<Q", shard), meta.hash_key)

    def link_hash(self, link):
        head = struct.pack("<IHHQQ", link.generation, link.shard, link.body_kind,
                           link.n, link.clock)
        return siphash128(link.prev_hash + head + link.body, self.meta.hash_key)

    def offer(self, record):
        """bad, fence, link, unknown (a reader stops), or why it is ignored."""
        if record is None:
            return "bad"
        if (record.data_set != self.meta.data_set or record.kind == META
                or record.generation != self.meta.generation
                or record.shard != self.shard):
            return "foreign"
        if record.kind == 0:
            return "unknown"
        if record.kind == FENCE:
            if record.incarnation != self.incarnation + 1:
                return "stale-fence"
            self.owner, self.incarnation = record.owner, record.incarnation
            return "fence"
        refused = self.refusal(record)
        if refused:
            return refused
        self.n, self.clock = record.n, record.clock
        self.hash = self.link_hash(record)
        return "link"

    def refusal(self, link):
        if link.owner != self.owner:
            return "not-owner"
        if link.n != self.n + 1:
            return "wrong-n"
        if link.prev_hash != self.hash:
            return "wrong-prev"
        if link.clock < self.clock:
            return "clock"
        if link.body_kind not in (CONFIG, EPOCH, LOSS):
            return "unknown"
        if link.n == 1 and link.body_kind != CONFIG:
            return "no-config"
        return None


class BadBody(Exception):
    """The body of an accepted link is laid out wrongly: no reader may skip it."""


class UnknownBody(Exception):
    """Something in an accepted link that only a later reader knows."""


class Item:
    __slots__ = ("kind", "codec", "family", "at", "birth", "random", "sequence",
                 "key_id", "drops", "source", "source_port", "events", "flags", "sent",
                 "received", "payload", "table", "key")


def decode_config(body):
    """(fold version, {setting: value}, pipeline)."""
    if len(body) < 16:
        raise BadBody("CONFIG of %d bytes" % len(body))
    version, n = struct.unpack_from("<II", body)
    if version not in FOLD_VERSIONS:
        raise UnknownBody("fold version %d" % version)
    if 16 + 16 * n > len(body):
        raise BadBody("CONFIG with %d settings in %d bytes" % (n, len(body)))
    settings, last = {}, 0
    for i in range(n):
        number, zero, value = struct.unpack_from("<IIQ", body, 8 + 16 * i)
        if zero or number <= last:
            raise BadBody("CONFIG: setting %d behind %d" % (number, last))
        settings[number] = value
        last = number
    at = 8 + 16 * n
    size, zero = struct.unpack_from("<II", body, at)
    if zero or at + 8 + size != len(body):
        raise BadBody("CONFIG: a pipeline of %d bytes" % size)
    if last > KNOWN_SETTINGS:
        raise UnknownBody("setting %d" % last)
    if size > PIPELINE_MOST:
        raise UnknownBody("a pipeline of %d bytes" % size)
    return version, settings, body[at + 8:]


KNOWN_SETTINGS = DEDUP_MAX


def items_of(body):
    """Every item of an EPOCH body, in order. Raises at the first fault."""
    at, end = 0, len(body)
    while at < end:
        if at + 8 > end:
            raise BadBody("an item's head is cut")
        kind, codec, family, size = ITEM_HEAD.unpack_from(body, at)
        last = at + size
        if size < 8 or padded(last) > end:
            raise BadBody("an item of %d bytes" % size)
        item = Item()
        item.kind, item.codec, item.family, item.at = kind, codec, family, at
        item.events = 0
        if kind in (DATAGRAM, EVENT):
            if size < 80:
                raise BadBody("a datagram of %d bytes" % size)
            (item.birth, item.random, item.sequence, item.key_id, item.drops,
             item.source, item.source_port, item.events, item.flags, zero, item.sent,
             item.received) = DATAGRAM_HEAD.unpack_from(body, at + 8)
            if zero:
                raise BadBody("a datagram's reserved bytes are not zero")
            item.payload = body[at + 80:last]
            if kind == EVENT and (item.birth or item.random or item.sequence
                                  or item.key_id or item.drops):
                raise BadBody("an EVENT with a stream")
        elif kind == SKIP:
            if size != 40:
                raise BadBody("a SKIP of %d bytes" % size)
            (item.birth, item.random, item.sequence, item.key_id,
             zero) = SKIP_HEAD.unpack_from(body, at + 8)
            if zero:
                raise BadBody("a SKIP's reserved bytes are not zero")
        elif kind == FACT:
            if size < 16:
                raise BadBody("a FACT of %d bytes" % size)
            item.table, n_key, n_value = struct.unpack_from("<HHI", body, at + 8)
            if 16 + n_key + n_value != size:
                raise BadBody("a FACT whose lengths do not fit")
        elif kind == NOTE:
            if size < 16:
                raise BadBody("a NOTE of %d bytes" % size)
            item.table, n_text = struct.unpack_from("<II", body, at + 8)
            if 16 + n_text != size:
                raise BadBody("a NOTE whose length does not fit")
        else:
            raise UnknownBody("an item of kind %d" % kind)
        if any(body[last:padded(last)]):
            raise BadBody("an item's padding is not zero")
        yield item
        at = padded(last)


def check_body(kind, body):
    """(ok, bad or unknown; whole items; their events), as the vectors have it."""
    items = events = 0
    try:
        if kind == CONFIG:
            decode_config(body)
        elif kind == LOSS:
            if len(body) != 24:
                raise BadBody("a LOSS of %d bytes" % len(body))
        else:
            for item in items_of(body):
                items += 1
                events += item.events
    except BadBody:
        return "bad", items, events
    except UnknownBody:
        return "unknown", items, events
    return "ok", items, events
