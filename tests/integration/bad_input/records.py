# SPDX-License-Identifier: BSD-3-Clause
"""Reads a topic from its beginning, without a client library: Fetch v4 and the record
batches of magic 2 (kafka.apache.org/documentation, "Record Batch"), not compressed."""
import struct

from kafka_probe import NotReady, Reader, ask, string

API_FETCH = 1
MOST = 512 << 10
CONTROL, COMPRESSED = 0x20, 0x07
ABORT = 0  # type of a control record


def varint(r):
    """Zigzag, as records have it."""
    value = shift = 0
    while True:
        byte = r.number("B")
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value >> 1 ^ -(value & 1)


def data(r, n):
    if n < 0:
        return None
    r.at += n
    return r.data[r.at - n:r.at]


def record(r):
    varint(r)  # length
    r.number("b")  # attributes
    varint(r)  # timestamp
    varint(r)  # offset
    key = data(r, varint(r))
    value = data(r, varint(r))
    headers = {}
    for _ in range(varint(r)):
        name = data(r, varint(r)).decode()
        headers[name] = data(r, varint(r))
    return key, value, headers


class Batch:
    """offset, behind: of its first record and of what follows its last."""

    def __init__(self, raw, at, length):
        self.offset, = struct.unpack_from(">q", raw, at)
        r = Reader(raw[at + 16:at + 12 + length])
        if r.number("b") != 2:
            raise NotReady("a batch that is not of magic 2")
        r.number("I")  # crc
        attributes = r.number("h")
        if attributes & COMPRESSED:
            raise NotReady("a compressed batch: topics.compression must be none")
        self.is_control = bool(attributes & CONTROL)
        self.behind = self.offset + r.number("i") + 1
        r.at += 8 + 8  # first and last time
        self.producer = r.number("q")
        r.at += 2 + 4  # its epoch, first sequence
        self.records = [record(r) for _ in range(r.number("i"))]

    def ends_in_abort(self):
        return self.is_control and struct.unpack(">hh", self.records[0][0])[1] == ABORT


def batches(raw):
    """The last may be cut and is then left out."""
    at = 0
    while len(raw) - at >= 61:
        length, = struct.unpack_from(">i", raw, at + 8)
        if at + 12 + length > len(raw):
            return
        yield Batch(raw, at, length)
        at += 12 + length


def fetch(host, port, topic, partition, offset):
    """(end of what is decided, aborted transactions, raw batches) from this offset."""
    # v4: replica, wait ms, least and most bytes, read_committed, one topic
    body = struct.pack(">iiiibi", -1, 100, 1, MOST, 1, 1) + string(topic)
    body += struct.pack(">iiqi", 1, partition, offset, MOST)  # one partition
    answer = ask(host, port, API_FETCH, 4, body, 10)
    answer.number("i")  # throttle_time_ms
    answer.number("i")  # one topic
    answer.string()
    answer.number("i")  # one partition
    answer.number("i")
    error = answer.number("h")
    if error:
        raise NotReady(f"{topic} {partition}: error {error}")
    answer.number("q")  # high watermark
    stable = answer.number("q")
    aborted = [(answer.number("q"), answer.number("q"))
               for _ in range(answer.number("i"))]  # producer, first offset
    return stable, aborted, data(answer, answer.number("i"))


def committed(raw, aborted):
    """(offset behind the batch, its records); those of an aborted transaction are not
    there. A producer's transaction goes to its marker."""
    begun = set()
    for batch in batches(raw):
        begun |= {p for p, first in aborted
                  if p == batch.producer and first <= batch.offset}
        if batch.ends_in_abort():
            begun.discard(batch.producer)
            aborted = [(p, first) for p, first in aborted
                       if p != batch.producer or first > batch.offset]
        is_there = not batch.is_control and batch.producer not in begun
        yield batch.behind, batch.records if is_there else []


def read_topic(host, port, topic, partitions):
    """Committed records: (partition, key, value, headers)."""
    for partition in range(partitions):
        offset, stable = 0, 1
        while offset < stable:
            before = offset
            stable, aborted, raw = fetch(host, port, topic, partition, offset)
            for offset, found in committed(raw, aborted):
                for key, value, headers in found:
                    yield partition, key, value, headers
            if offset == before and offset < stable:
                raise NotReady(f"{topic} {partition}: stuck at {offset} of {stable}")
