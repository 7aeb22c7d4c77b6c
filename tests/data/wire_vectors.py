#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes wire_vectors.txt: datagrams and events, byte by byte, and what an appliance
must say of each. Knows nothing of the C code: header, tag, protobuf, JSON and the
record of user_events are done again here from docs/wire-format.md, so that two authors
have to agree.

    wire_vectors.py             print the table
    wire_vectors.py --check F   fail unless F is that table
"""
import datetime
import struct
import sys

from hashes import MASK, siphash128

KEY_ID, KEY = 7, bytes(range(16))
GENERATION, S = 1, 5
RECEIVED_MS = 1700000000123
BIRTH, RANDOM = 1700000000000000, 0x0123456789ABCDEF
DATA, HELLO, CHALLENGE, ACK, PROBE, PROBE_ANSWER, SKIP, NOT_OWNER, BUSY, EXPIRED, \
    WRONG_SHARD = range(1, 12)
PROTOBUF, JSON = 1, 2
MILLIS_MAX = 253402300799999
lines = []


# ---- the datagram ----

def stream_key(key, birth, rnd):
    return siphash128(key, b"headrace stream 1" + struct.pack("<QQ", birth, rnd))


def datagram(payload=b"", magic=b"HRB", version=1, kind=DATA, direction=0, suite=1,
             codec=PROTOBUF, flags=0, shard=3, n_shards=S, events=1,
             generation=GENERATION, key_id=KEY_ID, birth=BIRTH, rnd=RANDOM, sequence=1,
             attempt=0, drops=0, sent=BIRTH + 5, token=0, length=None, reserved=bytes(6),
             key=KEY):
    data = magic + struct.pack(
        "<BBBBBHHHHIIQQQIIQQH", version, kind, direction, suite, codec, flags, shard,
        n_shards, events, generation, key_id, birth, rnd, sequence, attempt, drops,
        sent, token, len(payload) if length is None else length) + reserved + payload
    return data + siphash128(stream_key(key, birth, rnd), data)


def row(verdict, name, data):
    lines.append("datagram %s name=%s bytes=%s" % (verdict, name, data.hex()))


def good(name, payload, events, codec, **kw):
    said = dict(kind=DATA, shard=3, birth=BIRTH, rnd=RANDOM, sequence=1)
    said.update(kw)
    lines.append(
        "datagram ok name=%s kind=%d codec=%d shard=%d events=%d birth=%d random=%d "
        "sequence=%d stream_key=%s bytes=%s" % (
            name, said["kind"], codec, said["shard"], events, said["birth"],
            said["rnd"], said["sequence"],
            stream_key(KEY, said["birth"], said["rnd"]).hex(),
            datagram(payload, events=events, codec=codec, **kw).hex()))


# ---- protobuf ----

def varint(v):
    out = b""
    v &= MASK
    while v >= 0x80:
        out += bytes([v & 0x7F | 0x80])
        v >>= 7
    return out + bytes([v])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


class Number(str):
    """A decimal that is carried as it is written."""


def pb_pair(key, value):
    if value is None:
        form = field(6, 1)
    elif isinstance(value, bool):
        form = field(5, int(value))
    elif isinstance(value, int):
        form = field(3, value)
    elif isinstance(value, Number):
        form = field(4, value)
    else:
        form = field(2, value)
    return field(1, key) + form


def pb_event(user=None, etype=None, eid=None, time=None, pairs=()):
    out = b""
    for number, value in ((1, user), (2, etype), (3, eid)):
        if value is not None:
            out += field(number, value)
    if isinstance(time, int):
        out += field(4, time)
    elif time is not None:
        out += field(5, time)
    return out + b"".join(field(6, pb_pair(k, v)) for k, v in pairs)


def batch(*events):
    return b"".join(field(1, e) for e in events)


# ---- JSON, and the record of user_events ----

def text(s):
    out = '"'
    for c in s:
        if c in '"\\':
            out += "\\" + c
        elif ord(c) < 0x20 or ord(c) == 0x7F:
            out += "\\u%04x" % ord(c)
        else:
            out += c
    return out + '"'


def value(v):
    if v is None or isinstance(v, bool):
        return {None: "null", True: "true", False: "false"}[v]
    if isinstance(v, (int, Number)):
        return str(v)
    return text(v)


def metadata(pairs):
    return "{" + ",".join(text(k) + ":" + value(v) for k, v in pairs) + "}"


def json_event(user=None, etype=None, eid=None, time=None, pairs=()):
    members = []
    for name, v in (("user_id", user), ("event_type", etype), ("event_id", eid),
                    ("timestamp", time)):
        if v is not None:
            members.append(text(name) + ":" + value(v))
    if pairs:
        members.append('"metadata":' + metadata(pairs))
    return ("{" + ",".join(members) + "}").encode()


def moment(ms):
    t = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    return "%04d-%02d-%02d" % (t.year, t.month, t.day), \
        "%02d:%02d:%02d.%03d" % (t.hour, t.minute, t.second, t.microsecond // 1000)


def record(time_ms, user, etype, eid=None, time=None, pairs=()):
    date, clock = moment(time_ms)
    if time is None:
        time = date + "T" + clock + "Z"
    return "{\"event_id\":%s,\"user_id\":%s,\"event_type\":%s,\"metadata\":%s," \
        "\"timestamp\":%s,\"event_time\":\"%s %s\"}" % (
            value(eid), text(user), text(etype), metadata(pairs), value(time), date,
            clock)


def event(name, time_ms, **kw):
    """A good event, in both codecs, and its record."""
    for codec, encode in ((PROTOBUF, pb_event), (JSON, json_event)):
        lines.append("event ok name=%s codec=%d time_ms=%d record=%s bytes=%s" % (
            name, codec, time_ms, record(time_ms, **kw).encode().hex(),
            encode(**kw).hex()))


def taken(name, codec, data, time_ms, **kw):
    """Bytes that an encoder would not write so, and that are an event all the same."""
    lines.append("event ok name=%s codec=%d time_ms=%d record=%s bytes=%s" % (
        name, codec, time_ms, record(time_ms, **kw).encode().hex(), data.hex()))


def rejected(reason, name, codec, data):
    lines.append("event %s name=%s codec=%d bytes=%s" % (
        reason, name, codec, data.hex()))


FULL = dict(user="user_123", etype="product_view", eid="user_123_1705314600000",
            time="2024-01-15T10:30:00.000",
            pairs=[("product_id", "product_456"), ("category", "electronics"),
                   ("price", Number("19.990")), ("quantity", 2), ("new", True),
                   ("used", False), ("coupon", None), ("note", "a\n\"b\"\\\x00\x7f\u20ac"),
                   ("least", -1 << 63), ("most", (1 << 63) - 1)])
BARE = dict(user="u", etype="t")


def datagrams():
    good("one_event_protobuf", batch(pb_event(**FULL)), 1, PROTOBUF)
    good("one_event_json", json_event(**FULL) + b"\n", 1, JSON)
    good("json_without_last_newline", json_event(**BARE), 1, JSON)
    good("three_events_protobuf", batch(*[pb_event(**BARE)] * 3), 3, PROTOBUF)
    good("three_events_json", (json_event(**BARE) + b"\n") * 3, 3, JSON)
    good("events_are_not_looked_into", batch(b"", b"\xff"), 2, PROTOBUF)
    good("nor_are_lines", b"x\n\xff\n", 2, JSON)
    good("512_events", batch(b"") * 512, 512, PROTOBUF)
    good("disk_class", batch(b""), 1, PROTOBUF, birth=BIRTH | 1 << 63)
    good("every_header_byte", batch(b""), 1, PROTOBUF, shard=4, birth=0x0706050403020100,
         rnd=0x0F0E0D0C0B0A0908, sequence=0x1716151413121110, attempt=0x1B1A1918,
         drops=0x1F1E1D1C, sent=0x2726252423222120, token=0x2F2E2D2C2B2A2928)
    whole = batch(b"x" * (1376 - 3))
    good("1472_bytes", whole, 1, PROTOBUF)

    body = batch(pb_event(**BARE))
    row("frame_short", "nothing", b"")
    row("frame_short", "95_bytes", datagram()[:95])
    row("frame_long", "1473_bytes", datagram(whole + b"x"))
    row("frame_magic", "magic", datagram(body, magic=b"HRL"))
    row("frame_version", "version_2", datagram(body, version=2))
    row("frame_kind", "kind_0", datagram(body, kind=0))
    row("frame_kind", "kind_12", datagram(body, kind=12))
    row("frame_direction", "from_an_appliance", datagram(body, direction=1))
    row("frame_suite", "suite_2", datagram(body, suite=2))
    row("frame_codec", "codec_0", datagram(body, codec=0))
    row("frame_codec", "codec_3", datagram(body, codec=3))
    row("frame_flags", "flag", datagram(body, flags=1))
    row("frame_flags", "highest_flag", datagram(body, flags=0x8000))
    for i in range(6):
        row("frame_flags", "reserved_byte_%d" % i, datagram(
            body, reserved=bytes(i) + b"\1" + bytes(5 - i)))
    row("frame_length", "length_too_small", datagram(body, length=len(body) - 1))
    row("frame_length", "length_too_large", datagram(body, length=len(body) + 1))
    row("frame_length", "length_65535", datagram(body, length=65535))
    row("frame_count", "no_events", datagram(b"", events=0))
    row("frame_count", "513_events", datagram(batch(b"") * 513, events=513))
    row("frame_stream", "birth_0", datagram(body, birth=0))
    row("frame_stream", "birth_0_with_class", datagram(body, birth=1 << 63))
    row("frame_stream", "sequence_0", datagram(body, sequence=0))
    row("key_unknown", "key_8", datagram(body, key_id=8))
    row("tag", "another_key", datagram(body, key=bytes(16)))
    row("tag", "another_birth", datagram(body)[:24] + datagram(body, birth=1)[24:32]
        + datagram(body)[32:])
    row("tag", "tag_of_zeroes", datagram(body)[:-16] + bytes(16))
    row("generation", "generation_2", datagram(body, generation=2))
    row("wrong_s", "s_25", datagram(body, n_shards=25))
    row("wrong_shard", "shard_5", datagram(body, shard=5))
    row("wrong_shard", "shard_65535", datagram(body, shard=65535))
    row("framing", "one_event_fewer", datagram(body, events=2))
    row("framing", "one_event_more", datagram(body + body, events=1))
    row("framing", "no_payload", datagram(b""))
    row("framing", "event_longer_than_payload", datagram(b"\x0a\x02x"))
    row("framing", "another_field", datagram(batch(b"") + field(2, b"")))
    row("framing", "an_integer", datagram(field(1, 0)))
    row("framing", "json_empty_line", datagram(b"{}\n\n{}\n", codec=JSON, events=3))
    row("framing", "json_leading_newline", datagram(b"\n{}", codec=JSON))
    row("framing", "json_a_line_fewer", datagram(b"{}\n", codec=JSON, events=2))


def handshake():
    """The other kinds: laid out, and not spoken while the handshake is off."""
    def kind(verdict, name, number, payload, **kw):
        row(verdict, name, datagram(payload, kind=number, codec=0, events=0, **kw))

    incarnation = struct.pack("<Q", 9)
    kind("handshake", "hello", HELLO, bytes(32), birth=0, sequence=0, generation=0,
         n_shards=0, shard=0)
    kind("handshake", "hello_of_a_client_that_knows", HELLO, bytes(32), birth=0,
         sequence=0)
    kind("frame_stream", "hello_with_a_birth", HELLO, bytes(32), sequence=0)
    kind("frame_stream", "hello_with_a_sequence", HELLO, bytes(32), birth=0)
    kind("handshake", "probe", PROBE, bytes(160), sequence=17)
    kind("handshake", "probe_before_the_first_data", PROBE, bytes(160), sequence=0)
    kind("handshake", "skip", SKIP, bytes(32), sequence=17)
    kind("frame_stream", "skip_up_to_0", SKIP, bytes(32), sequence=0)
    row("frame_codec", "probe_with_a_codec", datagram(bytes(160), kind=PROBE, events=0))
    row("frame_count", "probe_with_events", datagram(bytes(160), kind=PROBE, codec=0))
    kind("frame_kind", "challenge", CHALLENGE,
         struct.pack("<QQQIHH", BIRTH + 9, BIRTH + 5, 3600000000, 7200000, 1472, 0),
         direction=1, birth=0, sequence=0, token=99)
    kind("frame_kind", "ack", ACK,
         incarnation + struct.pack("<QIHBB", 0b101, 64, 0, 2, 0), direction=1,
         sequence=17)
    kind("frame_kind", "probe_answer", PROBE_ANSWER, incarnation + struct.pack(
        "<QIHBBQQ", 0, 64, 0, 2, 0, BIRTH + 9, BIRTH + 5), direction=1, sequence=17,
         token=99)
    kind("frame_kind", "not_owner", NOT_OWNER, incarnation + struct.pack(
        "<HHI", 13, 0, 0) + b"10.0.0.1:7400", direction=1)
    kind("frame_kind", "busy", BUSY, incarnation + struct.pack("<IHH", 1000, 1, 0),
         direction=1)
    kind("frame_kind", "expired", EXPIRED, incarnation + struct.pack(
        "<QQ", BIRTH + 9, BIRTH + 1), direction=1)
    kind("frame_kind", "wrong_shard", WRONG_SHARD, b"", direction=1)


def events():
    event("full", 1705314600000, **FULL)
    event("bare", RECEIVED_MS, **BARE)
    event("time_in_milliseconds", 1705314600001, time=1705314600001, **BARE)
    event("first_millisecond", 0, time=0, **BARE)
    event("last_millisecond", MILLIS_MAX, time=MILLIS_MAX, **BARE)
    event("time_with_zone", 1705311000500, time="2024-01-15T10:30:00.5+01:00", **BARE)
    event("time_with_long_fraction", 1705314600123,
          time="2024-01-15T10:30:00.123999999Z", **BARE)
    event("beyond_ascii", RECEIVED_MS, user="\u00e4\u20ac\U0001f600\U0010ffff",
          etype="\ud7ff\ue000", pairs=[("\u00fc", "\u0080")])
    event("longest_names", RECEIVED_MS, user="u" * 128, etype="t" * 64, eid="i" * 64,
          pairs=[("k" * 64, ""), ("product_id", "p" * 64), ("category", "c" * 64)])
    event("64_pairs", RECEIVED_MS, pairs=[("k%d" % i, i) for i in range(64)], **BARE)
    event("numbers_as_written", RECEIVED_MS, pairs=[
        ("a", Number("-0")), ("b", Number("1.50")), ("c", Number("1E+3")),
        ("d", Number("0.1e-7")), ("price", Number("999999999999999.99")),
        ("quantity", -999999999999999)], **BARE)
    event("null_is_carried", RECEIVED_MS, pairs=[
        ("product_id", None), ("category", None), ("price", None)], **BARE)

    taken("escapes", JSON, b'{"user\\u005fid":"\\u00e4\\/\\ud83d\\ude00",'
          b'"event_type":"t","metadata":{"\\"":"\\b\\f\\n\\r\\t\\u0041\\\\"}}',
          RECEIVED_MS, user="\u00e4/\U0001f600", etype="t",
          pairs=[('"', "\b\f\n\r\tA\\")])
    taken("white_space", JSON, b' {\t"user_id" : "u" ,\r\n "event_type" : "t",'
          b'"metadata" : { "a" : 1 , "b" : "c" } } ', RECEIVED_MS,
          pairs=[("a", 1), ("b", "c")], **BARE)
    taken("null_is_absent", JSON, b'{"user_id":"u","event_type":"t","event_id":null,'
          b'"timestamp":null,"metadata":null}', RECEIVED_MS, **BARE)
    taken("unknown_fields", JSON, b'{"user_id":"u","x":{"y":[1,{"z":null}]},'
          b'"event_type":"t","x":0,"event_time":"2024-01-15 10:30:00.000"}',
          RECEIVED_MS, **BARE)
    taken("unknown_fields", PROTOBUF, pb_event(**BARE) + field(7, "x") + field(
        3000, 1) + varint(8 << 3 | 1) + bytes(8) + varint(9 << 3 | 5) + bytes(4),
        RECEIVED_MS, **BARE)
    taken("any_order", PROTOBUF, field(6, pb_pair("a", 1)) + field(2, "t") + field(
        6, field(2, "c") + field(1, "b")) + field(1, "u"), RECEIVED_MS,
        pairs=[("a", 1), ("b", "c")], **BARE)
    taken("varints_longer_than_needed", PROTOBUF,
          b"\x8a\x00\x81\x80\x00u" + field(2, "t") + b"\x20\x85\x80\x80\x00", 5, time=5,
          **BARE)

    for reason, name, kw in (
            ("user", "user_missing", dict(etype="t")),
            ("user", "user_empty", dict(user="", etype="t")),
            ("user", "user_129", dict(user="u" * 129, etype="t")),
            ("control", "user_nul", dict(user="a\0b", etype="t")),
            ("control", "user_newline", dict(user="a\nb", etype="t")),
            ("control", "user_del", dict(user="a\x7fb", etype="t")),
            ("type", "type_missing", dict(user="u")),
            ("type", "type_empty", dict(user="u", etype="")),
            ("type", "type_65", dict(user="u", etype="t" * 65)),
            ("event_id", "id_empty", dict(eid="", **BARE)),
            ("event_id", "id_65", dict(eid="i" * 65, **BARE)),
            ("timestamp", "date_alone", dict(time="2024-01-15", **BARE)),
            ("timestamp", "february_30", dict(time="2024-02-30T00:00:00Z", **BARE)),
            ("timestamp", "leap_second", dict(time="2016-12-31T23:59:60Z", **BARE)),
            ("time_range", "before_1970", dict(time=-1, **BARE)),
            ("time_range", "after_9999", dict(time=MILLIS_MAX + 1, **BARE)),
            ("time_range", "1969", dict(time="1969-12-31T23:59:59.999Z", **BARE)),
            ("duplicate_key", "pair_twice", dict(pairs=[("a", 1), ("a", 1)], **BARE)),
            ("pairs", "65_pairs", dict(pairs=[(str(i), i) for i in range(65)], **BARE)),
            ("pairs", "key_empty", dict(pairs=[("", 1)], **BARE)),
            ("pairs", "key_65", dict(pairs=[("k" * 65, 1)], **BARE)),
            ("control", "key_tab", dict(pairs=[("a\t", 1)], **BARE)),
            ("product", "product_empty", dict(pairs=[("product_id", "")], **BARE)),
            ("product", "product_65", dict(pairs=[("product_id", "p" * 65)], **BARE)),
            ("field_type", "product_number", dict(pairs=[("product_id", 1)], **BARE)),
            ("category", "category_65", dict(pairs=[("category", "c" * 65)], **BARE)),
            ("number", "price_text", dict(pairs=[("price", "1")], **BARE)),
            ("number", "price_1e15", dict(pairs=[("price", Number("1e15"))], **BARE)),
            ("number", "quantity_1e15", dict(pairs=[("quantity", 10 ** 15)], **BARE)),
            ("number", "1001_digits", dict(pairs=[("n", Number("1" * 1001))], **BARE))):
        rejected(reason, name, PROTOBUF, pb_event(**kw))
        rejected(reason, name, JSON, json_event(**kw))
    for reason, name, user in (
            ("utf8", "overlong", b"\xc0\xaf"), ("utf8", "surrogate", b"\xed\xa0\x80"),
            ("utf8", "beyond_unicode", b"\xf4\x90\x80\x80"), ("utf8", "cut", b"\xe2\x82")):
        rejected(reason, name, PROTOBUF, field(1, user) + field(2, "t"))
        rejected(reason, name, JSON,
                 b'{"user_id":"' + user + b'","event_type":"t"}')
    rejected("utf8", "half_a_surrogate_pair", JSON,
             b'{"user_id":"\\ud83d","event_type":"t"}')
    rejected("duplicate_key", "user_twice", JSON,
             b'{"user_id":"u","event_type":"t","user_id":"u"}')
    rejected("duplicate_key", "user_twice", PROTOBUF,
             pb_event(**BARE) + field(1, "u"))
    rejected("duplicate_key", "both_times", PROTOBUF,
             pb_event(time=1, **BARE) + field(5, "2024-01-15T10:30:00"))
    rejected("nested", "object", JSON,
             b'{"user_id":"u","event_type":"t","metadata":{"a":{}}}')
    rejected("nested", "list", JSON,
             b'{"user_id":"u","event_type":"t","metadata":{"a":[]}}')
    rejected("syntax", "cut", JSON, json_event(**BARE)[:-1])
    rejected("syntax", "cut", PROTOBUF, pb_event(**BARE)[:-1])
    rejected("syntax", "group", PROTOBUF, pb_event(**BARE) + b"\x3b\x3c")
    rejected("field_type", "user_as_number", JSON, b'{"user_id":1,"event_type":"t"}')
    rejected("field_type", "user_as_number", PROTOBUF, field(1, 1) + field(2, "t"))


def table():
    lines[:] = [
        "# Made by wire_vectors.py; docs/wire-format.md says how to read it.",
        "set key_id=%d key=%s generation=%d shards=%d received_ms=%d" % (
            KEY_ID, KEY.hex(), GENERATION, S, RECEIVED_MS),
    ]
    datagrams()
    handshake()
    events()
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
