# SPDX-License-Identifier: BSD-3-Clause
"""Reads a log on files, as docs/epoch-log.md lays it out under "On files": what counts,
and nothing of what stands behind it. Takes no lock and writes nothing."""
import os
import re
import struct

import record as r
from errors import CannotCheck
from hashes import crc32c

HEAD = struct.Struct("<4sHHII16sQQQII")
MARK = struct.Struct("<4sIQQII")
FRAME = struct.Struct("<4sIQ")
START = struct.Struct("<4sHHQ12sI")
MARKS, FRAMES_AT = (512, 1024), 4096


def read_bytes(path):
    try:
        with open(path, "rb") as f:
            return f.read()
    except OSError as error:
        raise CannotCheck(f"{path}: {error.strerror}") from None


def has_crc(data, end):
    return crc32c(data[:end]) == int.from_bytes(data[end:end + 4], "little")


def read_meta(folder):
    path = os.path.join(folder, "meta")
    data = read_bytes(path)
    size = int.from_bytes(data[12:16], "little") if len(data) >= 16 else 0
    meta = r.decode(data[:size])
    if meta is None or meta.kind != r.META:
        raise CannotCheck(f"{path} holds no data set")
    return meta


class Segment:
    def __init__(self, path, meta, shard, number):
        self.path, self.number = path, number
        data = self.data = read_bytes(path)
        if len(data) < FRAMES_AT:
            raise CannotCheck(f"{path}: {len(data)} bytes, a segment has 4096 at least")
        (magic, of_shard, zero, generation, zero2, data_set, found, self.base, _made,
         zero3, _crc) = HEAD.unpack_from(data)
        if magic != b"HRS\1" or zero or zero2 or zero3 or not has_crc(data, 60):
            raise CannotCheck(f"{path}: its head is damaged")
        if (of_shard, generation, data_set, found) != (
                shard, meta.generation, meta.data_set, number):
            raise CannotCheck(f"{path}: is segment {found} of shard {of_shard}, "
                              f"generation {generation}, data set {data_set.hex()}")
        marks = [self.mark(at) for at in MARKS]
        valid = [m for m in marks if m]
        if not valid:
            raise CannotCheck(f"{path}: holds no valid mark")
        self.end = max(valid)[1]

    def mark(self, at):
        magic, zero, count, position, zero2, _ = MARK.unpack_from(self.data, at)
        good = magic == b"HRM\1" and not zero and not zero2 and \
            has_crc(self.data[at:at + 32], 28)
        return (count, position) if good else None

    def records(self, end, start=None):
        """(offset, record) of each frame from position `start` (its first) to `end`."""
        at = self.base if start is None else start
        while at < end:
            where = FRAMES_AT + at - self.base
            head = self.data[where:where + 16]
            if len(head) < 16:
                raise CannotCheck(f"{self.path}: ends at byte {len(self.data)}, and "
                                  f"counts up to position {end}")
            magic, size, position = FRAME.unpack(head)
            whole = 16 + r.padded(size) + 8
            frame = self.data[where:where + whole]
            if magic != b"HRF\1" or position != at or len(frame) < whole or \
                    int.from_bytes(frame[-8:-4], "little") != size or \
                    not has_crc(frame, whole - 4):
                raise CannotCheck(f"{self.path}: damage at byte {where}: it counts, "
                                  "and no frame is there")
            at += whole
            yield at - 1, frame[16:16 + size]
        if at != end:
            raise CannotCheck(f"{self.path}: a frame goes beyond position {end}, up "
                              "to which it counts")


def segments_of(folder, meta, shard):
    names = sorted(x for x in os.listdir(folder) if re.fullmatch(r"\d{8}\.segment", x))
    if not names:
        raise CannotCheck(f"{folder}: no segment is there")
    numbers = [int(x[:8]) for x in names]
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise CannotCheck(f"{folder}: a segment is missing among {', '.join(names)}")
    return [Segment(os.path.join(folder, name), meta, shard, number)
            for name, number in zip(names, numbers)]


def read_shard(folder, meta, shard, take):
    """take(offset, bytes) of each record that counts."""
    if os.path.exists(os.path.join(folder, "start")):
        data = read_bytes(os.path.join(folder, "start"))
        if len(data) < START.size or not has_crc(data, 28):
            raise CannotCheck(f"{folder}/start: damaged")
        if START.unpack_from(data)[3] > 0:
            raise CannotCheck(
                f"the log of shard {shard} begins at position "
                f"{START.unpack_from(data)[3]}: it was trimmed, and what stood before "
                "cannot be folded again")
    parts = segments_of(folder, meta, shard)
    if parts[0].base > 0:
        raise CannotCheck(f"{parts[0].path}: the first segment begins at position "
                          f"{parts[0].base}: those before it are missing")
    for part, after in zip(parts, parts[1:] + [None]):
        for offset, data in part.records(part.end if after is None else after.base):
            take(offset, data)


def read_shards(folder, meta, shards):
    for shard, log in enumerate(shards):
        path = os.path.join(folder, meta.topic.decode(), str(shard))
        if os.path.isdir(path):  # an appliance that took no such shard has none
            read_shard(path, meta, shard, log.take)
