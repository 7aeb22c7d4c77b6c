# SPDX-License-Identifier: BSD-3-Clause
"""A few requests of Kafka's wire protocol, enough to know that a broker is ready.

Byte layouts: kafka.apache.org/protocol. Only versions from before the "flexible"
encoding are used; the 3.x and 4.x brokers still take all of them. Integers are
big-endian, a string is an int16 length (-1: null) and its bytes, an array an int32
count and its items.
"""
import socket
import struct

API_METADATA, API_FIND_COORDINATOR, API_DELETE_RECORDS, API_INIT_PRODUCER_ID = \
    3, 10, 21, 22
MAX_ANSWER = 1 << 20


class NotReady(Exception):
    """The broker said no, or something other than what a ready broker says."""


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def number(self, form):
        try:
            value, = struct.unpack_from(">" + form, self.data, self.at)
        except struct.error:
            raise NotReady("short answer") from None
        self.at += struct.calcsize(form)
        return value

    def string(self):
        length = max(self.number("h"), 0)
        text = self.data[self.at:self.at + length]
        self.at += length
        return text.decode("utf-8", "replace")


def string(text):
    data = text.encode()
    return struct.pack(">h", len(data)) + data


def ask(host, port, api, version, body, timeout_s):
    """One request on a connection of its own; a Reader behind the correlation id."""
    request = struct.pack(">hhi", api, version, 7) + string("headrace-probe") + body
    try:
        with socket.create_connection((host, port), timeout_s) as link:
            link.sendall(struct.pack(">i", len(request)) + request)
            stream = link.makefile("rb")
            size = stream.read(4)
            if len(size) < 4:
                raise NotReady("connection closed")
            length, = struct.unpack(">i", size)
            if not 4 <= length <= MAX_ANSWER:
                raise NotReady(f"an answer of {length} bytes: not a Kafka broker?")
            answer = Reader(stream.read(length))
    except OSError as error:
        raise NotReady(str(error)) from None
    if answer.number("i") != 7:
        raise NotReady("another correlation id")
    return answer


def brokers(host, port, timeout_s=2):
    """{node id: (host, port)} of the living brokers, as this one knows them."""
    # v4: topics (an empty array: none), allow_auto_topic_creation
    answer = ask(host, port, API_METADATA, 4, struct.pack(">ib", 0, 0), timeout_s)
    answer.number("i")  # throttle_time_ms
    known = {}
    for _ in range(answer.number("i")):
        node = answer.number("i")
        known[node] = (answer.string(), answer.number("i"))
        answer.string()  # rack
    return known


def init_transactions(host, port, transactional_id, timeout_s=10):
    """Finds the coordinator of a transactional id and takes a producer id there; what was
    open under it ends. Returns the producer's id and epoch."""
    # v1: key, key_type (1 = transaction)
    answer = ask(host, port, API_FIND_COORDINATOR, 1,
                 string(transactional_id) + b"\1", timeout_s)
    answer.number("i")  # throttle_time_ms
    error = answer.number("h")
    if error:
        raise NotReady(f"no transaction coordinator yet (error {error})")
    answer.string()  # error_message
    answer.number("i")  # node_id
    where = answer.string(), answer.number("i")
    # v1: transactional_id, transaction_timeout_ms
    answer = ask(*where, API_INIT_PRODUCER_ID, 1,
                 string(transactional_id) + struct.pack(">i", 10000), timeout_s)
    answer.number("i")  # throttle_time_ms
    error = answer.number("h")
    if error:
        raise NotReady(f"transaction coordinator answers error {error}")
    return answer.number("q"), answer.number("h")


def delete_records(host, port, topic, partition, before=-1, timeout_s=10):
    """Asked of the partition's leader: everything before that offset goes (-1: all that
    was committed). Returns the offset at which the partition begins now."""
    # v0: topics {name, partitions {partition, offset}}, timeout_ms
    body = struct.pack(">i", 1) + string(topic) \
        + struct.pack(">iiqi", 1, partition, before, int(timeout_s * 1000))
    answer = ask(host, port, API_DELETE_RECORDS, 0, body, timeout_s)
    answer.number("i")  # throttle_time_ms
    answer.number("i")  # topics: one
    answer.string()
    answer.number("i")  # partitions: one
    answer.number("i")
    low, error = answer.number("q"), answer.number("h")
    if error:
        raise NotReady(f"{topic} {partition} is not deleted from (error {error})")
    return low
