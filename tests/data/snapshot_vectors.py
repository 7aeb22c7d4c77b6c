#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes snapshot_vectors.txt: byte sequences of headrace.snapshots and what a reader
must say of each. Knows nothing of the C code: made from docs/snapshots.md alone.

    snapshot_vectors.py             print the table
    snapshot_vectors.py --check F   fail unless F is that table
"""
import struct
import sys

from epoch_log_vectors import config, pad8
from hashes import crc32c, siphash128

ID = bytes(range(0x10, 0x20))
KEY = bytes(range(0xA0, 0xB0))
GENERATION, S, SHARD = 1, 5, 3
OWNER = bytes([0xAA]) * 16
HASH = bytes([0xCC]) * 16
FOLD = bytes([0xDD]) * 16
ADDRESSES = b"192.0.2.1:7400,[2001:db8::1]:7400-7407"
CHUNK, MANIFEST = 1, 2
CONFIG = config([(1, 40000), (2, 65536), (3, 3600000000)])
STATE = bytes((7 * i + 3) & 0xFF for i in range(101))
lines = []


def head(n=7, offset=4711, fmt=1, fold=1, data_set=ID, generation=GENERATION,
         shard=SHARD, config_bytes=None, state_bytes=None, zero2=0,
         cfg=CONFIG, state=STATE, addresses=ADDRESSES, address_bytes=None):
    h = struct.pack("<II", fmt, fold) + data_set
    h += struct.pack("<IHH", generation, shard,
                     len(addresses) if address_bytes is None else address_bytes)
    h += OWNER + struct.pack("<QQ", 2, n) + HASH
    h += struct.pack("<QQ", 1700000000000000, offset & (1 << 64) - 1) + FOLD
    h += struct.pack("<IIQ", len(cfg) if config_bytes is None else config_bytes, zero2,
                     len(state) if state_bytes is None else state_bytes)
    assert len(h) == 128
    return h


def image(h=None, cfg=CONFIG, state=STATE, addresses=ADDRESSES, flip=None, tail=b""):
    if h is None:
        h = head(cfg=cfg, state=state, addresses=addresses)
    data = h + pad8(cfg) + pad8(state) + pad8(addresses)
    if flip is not None:
        data = data[:flip] + bytes([data[flip] ^ 1]) + data[flip + 1:]
    return data + siphash128(KEY, data) + tail


def frame(rtype, inside, shard=SHARD, version=1, generation=GENERATION, data_set=ID,
          magic=b"HRS", size=None, crc=None, zero=0):
    inside = pad8(inside)
    whole = 32 + len(inside) + 8
    body = magic + bytes([version]) + struct.pack(
        "<HHII", rtype, shard, generation, whole if size is None else size) + data_set
    body += inside + struct.pack("<I", zero)
    return body + struct.pack("<I", crc32c(body) if crc is None else crc)


def chunk(sid, index, data, n=None, **kw):
    return frame(CHUNK, sid + struct.pack("<II", index, len(data) if n is None else n)
                 + data, **kw)


def manifest(sid, img, chunks, zero=0, n=None, h=None, digest=None, **kw):
    return frame(MANIFEST, sid + struct.pack("<IIQ", chunks, zero,
                                             len(img) if n is None else n)
                 + (img[:128] if h is None else h)
                 + (img[-16:] if digest is None else digest), **kw)


def cut(img, size):
    return [img[i:i + size] for i in range(0, len(img), size)]


def image_row(verdict, name, data, **more):
    extra = "".join(" %s=%s" % (k, v) for k, v in more.items())
    lines.append("image %s name=%s%s bytes=%s" % (verdict, name, extra, data.hex()))


def record_row(verdict, name, data):
    lines.append("record %s name=%s bytes=%s" % (verdict, name, data.hex()))


def images():
    whole = image()
    at = 128 + len(pad8(CONFIG))
    image_row("ok", "whole", whole, n=7, config=CONFIG.hex(), state=STATE.hex(),
              addresses=ADDRESSES.hex())
    image_row("ok", "with_nothing_in_it",
              image(cfg=b"", state=b"", addresses=b""), n=7, config="", state="",
              addresses="")
    image_row("bad", "empty", b"")
    image_row("bad", "link_0", image(head(n=0)))
    image_row("bad", "offset_below_0", image(head(offset=-1)))
    image_row("bad", "addresses_of_129_bytes",
              image(addresses=b"a" * 129))
    image_row("bad", "addresses_longer_than_the_image",
              image(head(address_bytes=len(ADDRESSES) + 8)))
    image_row("bad", "padding_of_the_addresses",
              image(flip=at + len(pad8(STATE)) + len(ADDRESSES)))
    image_row("bad", "reserved_word", image(head(zero2=1)))
    image_row("bad", "state_one_too_long", image(head(state_bytes=len(STATE) + 8)))
    image_row("bad", "state_of_4_GiB", image(head(state_bytes=1 << 32)))
    image_row("bad", "config_of_4_GiB", image(head(config_bytes=0xFFFFFFFF)))
    image_row("bad", "padding_of_the_state", image(flip=at + len(STATE)))
    image_row("bad", "bytes_behind", image(tail=bytes(8)))
    image_row("bad", "another_digest", whole[:-1] + bytes([whole[-1] ^ 1]))
    image_row("bad", "a_flipped_bit_of_the_state",
              whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    image_row("unknown", "a_later_format", image(head(fmt=2)))
    image_row("unknown", "format_0", image(head(fmt=0)))


def records():
    sid = bytes([1]) * 16
    img = image()
    record_row("chunk", "chunk", chunk(sid, 0, img[:8]))
    record_row("chunk", "chunk_of_one_byte", chunk(sid, 0xFFFFFFFF, b"x"))
    record_row("bad", "empty_chunk", chunk(sid, 0, b""))
    record_row("bad", "chunk_longer_than_its_record", chunk(sid, 0, b"12345678", 9))
    record_row("bad", "chunk_shorter_than_its_record", chunk(sid, 0, bytes(17), 8))
    record_row("bad", "chunk_of_4_GiB", chunk(sid, 0, b"12345678", 0xFFFFFFFF))
    record_row("bad", "padding_of_a_chunk", chunk(sid, 0, b"1234567x", 7))
    record_row("manifest", "manifest", manifest(sid, img, 3))
    record_row("bad", "manifest_without_chunks", manifest(sid, img, 0))
    record_row("bad", "manifest_with_more_chunks_than_bytes",
               manifest(sid, img, len(img) + 1))
    record_row("bad", "manifest_of_other_bytes", manifest(sid, img, 3, n=len(img) - 8))
    record_row("bad", "manifest_reserved", manifest(sid, img, 3, zero=1))
    record_row("bad", "manifest_head_of_another_shard",
               manifest(sid, img, 3, h=head(shard=4)))
    record_row("bad", "manifest_head_of_another_data_set",
               manifest(sid, img, 3, h=head(data_set=bytes(16))))
    record_row("bad", "manifest_head_of_another_generation",
               manifest(sid, img, 3, h=head(generation=2)))
    record_row("unknown", "manifest_of_a_later_format",
               manifest(sid, img, 3, h=head(fmt=2)))
    record_row("unknown", "later_version", chunk(sid, 0, b"x", version=2))
    record_row("unknown", "later_type", frame(3, bytes(32)))
    record_row("bad", "the_logs_magic", chunk(sid, 0, b"x", magic=b"HRL"))
    record_row("bad", "another_size", chunk(sid, 0, b"x", size=80))
    record_row("bad", "another_crc", chunk(sid, 0, b"x", crc=0))
    record_row("bad", "reserved_tail", chunk(sid, 0, b"x", zero=1))
    record_row("bad", "no_record", b"hello, world")


def partition(name, messages, exist):
    """A partition, message by message, and the ids of the snapshots that are in it."""
    lines.append("partition name=%s shard=%d" % (name, SHARD))
    for m in messages:
        lines.append("message bytes=%s" % m.hex())
    lines.append("exist ids=%s" % ",".join(i.hex() for i in exist))


def partitions():
    a, b = bytes([0xA1]) * 16, bytes([0xB2]) * 16
    img, other = image(), image(head(n=9))
    c = [chunk(a, i, part) for i, part in enumerate(cut(img, 100))]
    d = [chunk(b, i, part) for i, part in enumerate(cut(other, 64))]
    m, k = manifest(a, img, len(c)), manifest(b, other, len(d))
    small = [chunk(a, i, bytes([x])) for i, x in enumerate(img)]
    partition("one", c + [m], [a])
    partition("two", c + [m] + d + [k], [a, b])
    partition("one_byte_a_chunk", small + [manifest(a, img, len(img))], [a])
    partition("interleaved", [x for p in zip(c, d) for x in p] + d[len(c):] + [k, m],
              [b, a])
    partition("no_manifest", c, [])
    partition("a_manifest_alone", [m], [])
    partition("the_manifest_first", [m] + c, [])
    partition("without_the_first_chunk", c[1:] + [m], [])
    partition("without_one_in_the_middle", c[:1] + c[2:] + [m], [])
    partition("without_the_last_chunk", c[:-1] + [m], [])
    partition("two_chunks_the_other_way_round", [c[1], c[0]] + c[2:] + [m], [])
    partition("a_chunk_twice", c[:2] + [c[1]] + c[2:] + [m], [a])
    partition("the_manifest_twice", c + [m, m], [a])
    partition("garbage_between", [b"", b"x" * 40] + c[:1] + [b"HRS"] + c[1:] + [m], [a])
    partition("a_chunk_of_another_data_set",
              c[:1] + [chunk(a, 1, bytes(100), data_set=bytes(16))] + c[1:] + [m], [a])
    partition("of_another_data_set", [chunk(a, i, x, data_set=bytes(16))
                                      for i, x in enumerate(cut(img, 100))] + [m], [])
    partition("of_another_shard", [chunk(a, i, x, shard=4)
                                   for i, x in enumerate(cut(img, 100))] + [m], [])
    partition("another_chunk_count", c + [manifest(a, img, len(c) + 1)], [])
    partition("another_digest", c + [manifest(a, img, len(c), digest=bytes(16))], [])
    partition("another_head", c + [manifest(a, img, len(c), h=head(n=8))], [])
    flipped = image(flip=None)
    flipped = flipped[:150] + bytes([flipped[150] ^ 1]) + flipped[151:]
    partition("a_flipped_bit", [chunk(a, i, x) for i, x in enumerate(cut(flipped, 100))]
              + [m], [])
    partition("killed_then_another", c[:2] + d + [k], [b])


def main():
    lines.append("# Written by snapshot_vectors.py; see docs/snapshots.md.")
    lines.append("set id=%s key=%s generation=%d shards=%d shard=%d" % (
        ID.hex(), KEY.hex(), GENERATION, S, SHARD))
    images()
    records()
    partitions()
    text = "\n".join(lines) + "\n"
    if sys.argv[1:2] == ["--check"]:
        with open(sys.argv[2]) as f:
            sys.exit(f.read() != text and "%s is not what this program writes"
                     % sys.argv[2])
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
