#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes epoch_log_vectors.txt: byte sequences of the epoch log and what a reader
must say of each. Knows nothing of the C code: formats, crc, hash and verdicts are
done again here from docs/epoch-log.md, so that two authors have to agree.

    epoch_log_vectors.py             print the table
    epoch_log_vectors.py --check F   fail unless F is that table
"""
import struct
import sys

from hashes import crc32c, siphash128


def pad8(data):
    return data + bytes(-len(data) % 8)


ID = bytes(range(0x10, 0x20))
KEY = bytes(range(0xA0, 0xB0))
GENERATION = 1
S = 5
TOPIC = "headrace.log.g1"
META, FENCE, LINK = 1, 2, 3
CONFIG, EPOCH, LOSS = 1, 2, 3
DATAGRAM, EVENT, SKIP, FACT, NOTE = 1, 2, 3, 4, 5


def frame(rtype, shard, inside, version=1, generation=GENERATION, data_set=ID,
          size=None, crc=None, zero=0):
    inside = pad8(inside)
    whole = 32 + len(inside) + 8
    head = b"HRL" + bytes([version]) + struct.pack(
        "<HHII", rtype, shard, generation, whole if size is None else size) + data_set
    body = head + inside + struct.pack("<I", zero)
    return body + struct.pack("<I", crc32c(body) if crc is None else crc)


def meta(topic=TOPIC, n_shards=S):
    t = topic.encode()
    return frame(META, 0, struct.pack("<II", n_shards, len(t)) + KEY + t)


def fence(shard, incarnation, owner, addresses=b"", reserved=0, **kw):
    return frame(FENCE, shard, struct.pack("<Q", incarnation) + owner + struct.pack(
        "<II", len(addresses), reserved) + addresses, **kw)


def link(shard, owner, n, prev, clock, kind, body, reserved=0, body_bytes=None, **kw):
    return frame(LINK, shard, owner + struct.pack("<Q", n) + prev + struct.pack(
        "<QHHI", clock, kind, reserved,
        len(body) if body_bytes is None else body_bytes) + body, **kw)


def link_hash(shard, n, prev, clock, kind, body):
    return siphash128(KEY, prev + struct.pack("<IHHQQ", GENERATION, shard, kind, n,
                                              clock) + body)


def root(shard):
    return siphash128(KEY, ID + struct.pack("<Q", shard))


def datagram(payload, events, kind=DATAGRAM, codec=1, family=4, birth=1, random=2,
             sequence=3, key_id=4, drops=5, source=bytes([10, 0, 0, 1]) + bytes(12),
             port=4711, flags=0, sent=1700000000000000, received=1700000000000100,
             reserved=0, size=None):
    return pad8(struct.pack("<HBBI", kind, codec, family,
                            80 + len(payload) if size is None else size)
                + struct.pack("<QQQII", birth, random, sequence, key_id, drops)
                + source + struct.pack("<HHHHQQ", port, events, flags, reserved, sent,
                                       received) + payload)


def item(kind, rest, size=None):
    return pad8(struct.pack("<HBBI", kind, 0, 0,
                            8 + len(rest) if size is None else size) + rest)


def config(settings, pipeline=b"", fold_version=1, pipeline_bytes=None, count=None):
    body = struct.pack("<II", fold_version, len(settings) if count is None else count)
    for number, value in settings:
        body += struct.pack("<IIQ", number, 0, value)
    return body + struct.pack("<II", len(pipeline) if pipeline_bytes is None
                              else pipeline_bytes, 0) + pipeline


SETTINGS = [(1, 40000), (2, 65536), (3, 3600000000)]
A, B = bytes([0xAA]) * 16, bytes([0xBB]) * 16
lines = []


def offer(verdict, name, data, **more):
    extra = "".join(" %s=%s" % (k, v) for k, v in more.items())
    lines.append("offer %s name=%s%s bytes=%s" % (verdict, name, extra, data.hex()))


class Chain:
    """The writer's side: makes rows that must be accepted, and remembers."""

    def __init__(self, shard):
        self.shard, self.n, self.hash, self.clock = shard, 0, root(shard), 0
        lines.append("chain shard=%d root=%s" % (shard, self.hash.hex()))

    def next(self, name, owner, clock, kind, body, result="ok", items=0, events=0):
        data = link(self.shard, owner, self.n + 1, self.hash, clock, kind, body)
        self.n += 1
        self.hash = link_hash(self.shard, self.n, self.hash, clock, kind, body)
        self.clock = clock
        offer("link", name, data, n=self.n, hash=self.hash.hex(), body=result,
              items=items, events=events)
        return data

    def refused(self, verdict, name, owner=None, n=None, prev=None, clock=None,
                kind=EPOCH, body=b"", shard=None, **kw):
        offer(verdict, name, link(
            self.shard if shard is None else shard, A if owner is None else owner,
            self.n + 1 if n is None else n, self.hash if prev is None else prev,
            self.clock if clock is None else clock, kind, body, **kw))


def story():
    """One partition from its first byte on: fences, links, and all that is none."""
    c = Chain(3)
    c.refused("not-owner", "link_before_any_fence", kind=CONFIG, body=config(SETTINGS))
    offer("stale-fence", "first_incarnation_must_be_1", fence(3, 2, A))
    offer("stale-fence", "incarnation_0", fence(3, 0, A))
    offer("foreign", "fence_of_another_shard", fence(4, 1, A))
    offer("foreign", "fence_of_another_generation", fence(3, 1, A, generation=2))
    offer("foreign", "fence_of_another_data_set", fence(3, 1, A, data_set=bytes(16)))
    offer("fence", "first_fence", fence(3, 1, A, b"10.0.0.1:9000"), incarnation=1)
    c.refused("no-config", "link_1_is_an_epoch")
    c.refused("wrong-n", "link_2_first", n=2, kind=CONFIG, body=config(SETTINGS))
    c.refused("wrong-n", "link_0", n=0, kind=CONFIG, body=config(SETTINGS))
    c.refused("wrong-prev", "link_1_with_zero_prev", prev=bytes(16), kind=CONFIG,
              body=config(SETTINGS))
    c.refused("wrong-prev", "link_1_with_another_shards_root", prev=root(4),
              kind=CONFIG, body=config(SETTINGS))
    c.refused("not-owner", "link_1_of_somebody_else", owner=B, kind=CONFIG,
              body=config(SETTINGS))
    c.refused("unknown", "link_1_of_a_later_body_kind", kind=9)
    first = c.next("config", A, 1000000, CONFIG, config(SETTINGS))
    offer("wrong-n", "config_appended_twice", first)
    c.next("empty_epoch", A, 1000000, EPOCH, b"")
    body = datagram(b"1234567", 2)
    c.next("one_datagram", A, 1000001, EPOCH, body, items=1, events=2)
    body = (datagram(b"12345678", 1, family=6, source=bytes(range(16)))
            + datagram(b'{"a":1}', 3, kind=EVENT, codec=2, birth=0, random=0,
                       sequence=0, key_id=0, drops=0)
            + item(SKIP, struct.pack("<QQQII", 1, 2, 99, 4711, 0))
            + item(FACT, struct.pack("<HHI", 7, 3, 5) + b"keyvalue")
            + item(NOTE, struct.pack("<II", 1, 5) + b"hello"))
    c.next("every_item_kind", A, 1000002, EPOCH, body, items=5, events=4)
    c.refused("clock", "clock_one_behind", clock=1000001)
    c.refused("wrong-prev", "own_n_with_a_flipped_prev",
              prev=bytes([c.hash[0] ^ 1]) + c.hash[1:])
    c.refused("foreign", "link_of_another_generation", generation=2)
    c.refused("foreign", "link_of_another_data_set", data_set=bytes(16))
    c.refused("foreign", "link_of_another_shard", shard=2)
    offer("foreign", "meta_in_the_log", frame(
        META, 3, struct.pack("<II", S, len(TOPIC)) + KEY + TOPIC.encode()))
    late = link(3, A, c.n + 1, c.hash, 1000003, EPOCH, b"")
    offer("stale-fence", "the_same_fence_again", fence(3, 1, A, b"10.0.0.1:9000"))
    offer("stale-fence", "an_incarnation_skipped", fence(3, 3, B))
    offer("fence", "another_owner", fence(3, 2, B, bytes(range(128))), incarnation=2)
    offer("not-owner", "what_the_old_owner_had_on_its_way", late)
    c.next("the_new_owners_first_link", B, 1000003, EPOCH, b"")
    c.refused("not-owner", "the_old_owner_with_the_right_n_and_prev", owner=A)
    c.next("a_later_config", B, 1000004, CONFIG, config(SETTINGS, b"filter: none\n"))
    c.next("loss", B, 1000004, LOSS, struct.pack("<Q", 5) + c.hash)
    c.refused("unknown", "an_accepted_link_of_a_later_body_kind", owner=B, kind=4)
    c.refused("not-owner", "a_later_body_kind_that_is_not_accepted", kind=4)
    offer("unknown", "a_later_version", fence(3, 3, A, version=2))
    offer("unknown", "a_later_type", frame(4, 3, bytes(16)))
    offer("foreign", "a_later_version_of_another_data_set",
          fence(3, 3, A, version=2, data_set=bytes(16)))
    c.next("still_going", B, 1000005, EPOCH, b"")


def bodies():
    """Accepted links whose inside this reader must refuse by name."""
    c = Chain(0)
    offer("fence", "fence", fence(0, 1, A), incarnation=1)
    clock = 5

    def row(name, result, kind, body, items=0, events=0):
        c.next(name, A, clock, kind, body, result, items, events)

    row("config_without_settings", "ok", CONFIG, config([]))
    row("config_too_short", "bad", CONFIG, bytes(15))
    row("config_of_a_later_fold", "unknown", CONFIG, config(SETTINGS, fold_version=2))
    row("config_of_fold_0", "unknown", CONFIG, config(SETTINGS, fold_version=0))
    row("config_with_a_later_setting", "unknown", CONFIG, config([(9, 1)]))
    row("config_settings_out_of_order", "bad", CONFIG, config([(2, 1), (1, 1)]))
    row("config_setting_twice", "bad", CONFIG, config([(1, 1), (1, 1)]))
    row("config_setting_0", "bad", CONFIG, config([(0, 1)]))
    row("config_more_settings_than_bytes", "bad", CONFIG, config(SETTINGS, count=4))
    row("config_settings_overflow", "bad", CONFIG, config([], count=0xFFFFFFFF))
    row("config_pipeline_longer_than_body", "bad", CONFIG,
        config(SETTINGS, b"x", pipeline_bytes=2))
    row("config_pipeline_shorter_than_body", "bad", CONFIG,
        config(SETTINGS, b"xy", pipeline_bytes=1))
    row("config_pipeline_of_4096", "ok", CONFIG, config(SETTINGS, b"x" * 4096))
    row("config_pipeline_of_4097", "unknown", CONFIG, config(SETTINGS, b"x" * 4097))
    row("loss_too_short", "bad", LOSS, bytes(23))
    row("loss_too_long", "bad", LOSS, bytes(25))
    row("item_head_cut", "bad", EPOCH, datagram(b"", 1) + bytes(7), 1, 1)
    row("item_of_size_0", "bad", EPOCH, item(NOTE, bytes(8), size=0))
    row("item_of_size_7", "bad", EPOCH, item(NOTE, bytes(8), size=7))
    row("item_longer_than_body", "bad", EPOCH, item(NOTE, bytes(8), size=17))
    row("item_of_size_4G", "bad", EPOCH, item(NOTE, bytes(8), size=0xFFFFFFFF))
    row("item_size_that_wraps", "bad", EPOCH, item(NOTE, bytes(8), size=0xFFFFFFFA))
    row("item_padding_not_zero", "bad", EPOCH,
        item(NOTE, struct.pack("<II", 1, 1) + b"a")[:-1] + b"\1")
    row("item_padding_missing", "bad", EPOCH,
        item(NOTE, struct.pack("<II", 1, 1) + b"a")[:-7])
    row("item_of_kind_0", "unknown", EPOCH, item(0, bytes(8)))
    row("item_of_kind_6", "unknown", EPOCH, datagram(b"x", 1) + item(6, bytes(8)), 1, 1)
    row("datagram_cut", "bad", EPOCH, item(DATAGRAM, bytes(71)))
    row("datagram_without_payload", "ok", EPOCH, datagram(b"", 0), 1, 0)
    row("datagram_reserved_not_zero", "bad", EPOCH, datagram(b"x", 1, reserved=1))
    row("skip_too_short", "bad", EPOCH, item(SKIP, bytes(16)))
    row("skip_without_a_key", "bad", EPOCH, item(SKIP, bytes(24)))
    row("skip_too_long", "bad", EPOCH, item(SKIP, bytes(40)))
    row("skip_reserved_not_zero", "bad", EPOCH, item(SKIP, bytes(28) + b"\1\0\0\0"))
    row("fact_cut", "bad", EPOCH, item(FACT, bytes(7)))
    row("fact_key_too_long", "bad", EPOCH, item(FACT, struct.pack("<HHI", 1, 9, 0)))
    row("fact_value_too_long", "bad", EPOCH,
        item(FACT, struct.pack("<HHI", 1, 1, 0xFFFFFFFF) + b"k"))
    row("fact_bytes_left_over", "bad", EPOCH,
        item(FACT, struct.pack("<HHI", 1, 1, 1) + b"kvx"))
    row("fact_empty", "ok", EPOCH, item(FACT, struct.pack("<HHI", 1, 0, 0)), 1)
    row("note_text_too_long", "bad", EPOCH, item(NOTE, struct.pack("<II", 1, 1)))
    row("note_text_left_over", "bad", EPOCH, item(NOTE, struct.pack("<II", 1, 0) + b"x"))


def garbage():
    """Bytes that are no record: ignored by every reader."""
    Chain(1)
    good = fence(1, 1, A, b"x")
    offer("bad", "nothing", b"")
    offer("bad", "one_byte", b"H")
    offer("bad", "39_bytes", good[:39])
    offer("bad", "cut_by_8", good[:-8])
    offer("bad", "8_too_many", good + bytes(8))
    offer("bad", "not_in_eights", good + b"\0")
    offer("bad", "wrong_magic", b"hRL" + good[3:])
    offer("bad", "json", pad8(b'{"event_id":"user_123_1705314600000","user_id":"u"}'))
    offer("bad", "all_zero", bytes(64))
    offer("bad", "all_ones", b"\xff" * 64)
    offer("bad", "size_too_small", fence(1, 1, A, size=64))
    offer("bad", "size_too_large", fence(1, 1, A, size=88))
    offer("bad", "crc_zero", fence(1, 1, A, crc=0))
    offer("bad", "crc_of_crc32_not_crc32c", fence(1, 1, A, crc=0x414FA339))
    offer("bad", "zero_word_not_zero", fence(1, 1, A, zero=1))
    offer("bad", "fence_of_40_bytes", frame(FENCE, 1, b""))
    offer("bad", "fence_reserved_not_zero", fence(1, 1, A, reserved=1))
    offer("bad", "fence_129_bytes_of_addresses", fence(1, 1, A, b"x" * 129))
    offer("bad", "fence_addresses_longer_than_record", frame(
        FENCE, 1, struct.pack("<Q", 1) + A + struct.pack("<II", 9, 0) + bytes(8)))
    offer("bad", "fence_addresses_4G", frame(
        FENCE, 1, struct.pack("<Q", 1) + A + struct.pack("<II", 0xFFFFFFF9, 0)))
    offer("bad", "fence_padding_not_zero", frame(
        FENCE, 1, struct.pack("<Q", 1) + A + struct.pack("<II", 1, 0) + b"x\0\0\1"))
    offer("fence", "and_a_good_one", good, incarnation=1)
    prev = root(1)
    offer("bad", "link_of_40_bytes", frame(LINK, 1, b""))
    offer("bad", "link_reserved_not_zero", link(1, A, 1, prev, 1, CONFIG, config([]),
                                                reserved=1))
    offer("bad", "link_body_longer_than_record", link(
        1, A, 1, prev, 1, CONFIG, config([]), body_bytes=17))
    offer("bad", "link_body_shorter_than_record", link(
        1, A, 1, prev, 1, CONFIG, config([]), body_bytes=8))
    offer("bad", "link_body_4G", link(1, A, 1, prev, 1, CONFIG, b"",
                                      body_bytes=0xFFFFFFF8))
    offer("bad", "link_body_wraps", link(1, A, 1, prev, 1, CONFIG, b"",
                                         body_bytes=0xFFFFFFFF))
    offer("bad", "link_padding_not_zero", link(
        1, A, 1, prev, 1, CONFIG, config([]) + b"\1", body_bytes=16))
    offer("bad", "meta_without_topic", frame(META, 0, struct.pack("<II", S, 0) + KEY))
    offer("bad", "meta_topic_of_64", meta("x" * 64))
    offer("bad", "meta_topic_with_nul", meta("a\0b"))
    offer("bad", "meta_s_0", meta(n_shards=0))
    offer("bad", "meta_s_65536", meta(n_shards=65536))
    offer("bad", "meta_of_40_bytes", frame(META, 0, b""))


def table():
    lines[:] = [
        "# Made by epoch_log_vectors.py; docs/epoch-log.md says how to read it.",
        "set id=%s key=%s generation=%d shards=%d topic=%s bytes=%s" % (
            ID.hex(), KEY.hex(), GENERATION, S, TOPIC, meta().hex()),
    ]
    story()
    bodies()
    garbage()
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) == 1:
        sys.stdout.write(table())
        return 0
    with open(sys.argv[2], encoding="ascii") as f:
        if f.read() == table():
            return 0
    print("%s is not what this program writes" % sys.argv[2], file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
