# SPDX-License-Identifier: BSD-3-Clause
"""Reads a topic from its beginning, without a client library: Fetch v4 and the record
batches of magic 2 (kafka.apache.org/documentation, "Record Batch"), not compressed."""
import struct

from kafka_probe import NotReady, Reader, ask, string

API_FETCH = 1
MOST = 512 << 10
CONTROL, COMPRESSED = 0x20, 0x07


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


def batches(raw):
    """(offset behind it, its records); the last may be cut and is then left out."""
    at = 0
    while len(raw) - at >= 61:
        offset, length = struct.unpack_from(">qi", raw, at)
        if at + 12 + length > len(raw):
            return
        r = Reader(raw[at + 16:at + 12 + length])
        if r.number("b") != 2:
            raise NotReady("a batch that is not of magic 2")
        r.number("I")  # crc
        attributes = r.number("h")
        if attributes & COMPRESSED:
            raise NotReady("a compressed batch: topics.compression must be none")
        behind = offset + r.number("i") + 1
        r.at += 8 + 8 + 8 + 2 + 4
        count = r.number("i")
        yield behind, [] if attributes & CONTROL else [record(r) for _ in range(count)]
        at += 12 + length


def fetch(host, port, topic, partition, offset):
    """(end of what is committed, raw batches) from this offset."""
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
    if answer.number("i") > 0:
        raise NotReady(f"{topic} {partition}: has aborted transactions")
    return stable, data(answer, answer.number("i"))


def read_topic(host, port, topic, partitions):
    """Committed records: (partition, key, value, headers)."""
    for partition in range(partitions):
        offset, stable = 0, 1
        while offset < stable:
            stable, raw = fetch(host, port, topic, partition, offset)
            before = offset
            for offset, found in batches(raw):
                for key, value, headers in found:
                    yield partition, key, value, headers
            if offset == before and offset < stable:
                raise NotReady(f"{topic} {partition}: stuck at {offset} of {stable}")
