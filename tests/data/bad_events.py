# SPDX-License-Identifier: BSD-3-Clause
"""The events of bad_input.py: each lies between two good ones in one datagram, which
must count as if it were not there."""
import json as standard

import frames as f
import wire_vectors as wire
from bad_input import NEIGHBOURS, SAME
from wire_vectors import JSON, PROTOBUF, Number, field, pb_pair, varint

CODECS = {PROTOBUF: "pb", JSON: "json"}
UTF8 = (
    ("overlong_2", "a slash in two bytes", b"\xc0\xaf"),
    ("overlong_nul", "NUL in two bytes, as Java writes it", b"\xc0\x80"),
    ("overlong_3", "a slash in three bytes", b"\xe0\x80\xaf"),
    ("overlong_4", "the euro sign in four bytes", b"\xf0\x82\x82\xac"),
    ("surrogate", "a surrogate", b"\xed\xa0\x80"),
    ("surrogates", "a pair of surrogates (CESU-8)", b"\xed\xa0\xbd\xed\xb8\x80"),
    ("beyond", "U+110000", b"\xf4\x90\x80\x80"),
    ("five_bytes", "a form of five bytes", b"\xf8\x88\x80\x80\x80"),
    ("ff", "a byte that UTF-8 never has", b"\xff"),
    ("alone", "a continuation alone", b"\x80"),
    ("cut", "a character cut at the end", b"\xe2\x82"),
    ("cut_inside", "a character cut in the middle", b"\xe2\x82x"),
    ("latin1", "a letter of Latin-1", b"\xfc"),
)
CONTROLS = (("nul", b"\0"), ("newline", b"\n"), ("tab", b"\t"), ("escape", b"\x1b"),
            ("del", b"\x7f"))
NO_TIMES = (
    ("empty", ""), ("word", "yesterday"), ("date", "2024-01-15"),
    ("clock", "10:30:00"), ("nothing_behind_t", "2024-01-15T"),
    ("month_0", "2024-00-15T10:30:00"), ("month_13", "2024-13-15T10:30:00"),
    ("day_0", "2024-01-00T10:30:00"), ("february_30", "2024-02-30T10:30:00"),
    ("no_leap_year", "2100-02-29T10:30:00"), ("hour_24", "2024-01-15T24:00:00"),
    ("minute_60", "2024-01-15T10:60:00"), ("leap_second", "2016-12-31T23:59:60Z"),
    ("short_month", "2024-1-15T10:30:00"), ("short_year", "24-01-15T10:30:00"),
    ("long_year", "+012024-01-15T10:30:00"), ("basic", "20240115T103000Z"),
    ("week", "2024-W03-1T10:30:00"), ("ordinal", "2024-015T10:30:00"),
    ("american", "01/15/2024 10:30:00"), ("mail", "Mon, 15 Jan 2024 10:30:00 +0000"),
    ("point_alone", "2024-01-15T10:30:00."), ("zone_name", "2024-01-15T10:30:00 CET"),
    ("zone_24", "2024-01-15T10:30:00+24:00"), ("zone_half", "2024-01-15T10:30:00+1"),
    ("blank_behind", "2024-01-15T10:30:00Z "), ("blank_before", " 2024-01-15T10:30:00"),
    ("digits", "1705314600000"), ("other_digits", "٢٠٢٤-٠١-١٥T10:30:00"),
    ("minus", "2024\u221201\u221215T10:30:00"), ("nul", "2024-01-15T10:30:00\0"))
OUT_OF_TIME = (("1969", "1969-12-31T23:59:59.999Z"), ("year_0", "0000-01-01T00:00:00Z"),
               ("1970_in_the_east", "1970-01-01T00:30:00+01:00"),
               ("9999_in_the_west", "9999-12-31T23:59:59.999-01:00"))
NO_NUMBERS = ("1e15", "-1e15", "1e999", "-1e999", "1e99999999999999999999",
              "1000000000000000", "9999999999999999.5", "0.1e17")
NO_JSON_NUMBERS = ("NaN", "Infinity", "-Infinity", "007", "-01", "0x10", "+1", ".5",
                   "1.", "-", "1e", "1e+", "1_000", "1,5", "--1", "1 2", "1f", "True")
NO_DECIMALS = ("", "NaN", "inf", "007", "0x10", "+1", ".5", "1.", "1e", " 1", "1 ",
               "1,5", "1\0", "\u0661")


def add(kind):
    """kind(name, what, said by pcap, said by wire, make(m), counted)."""
    def row(reason, name, what, codec, make):
        kind("%s_%s" % (CODECS[codec], name), what, "rejected." + reason, SAME,
             lambda m: f.ether(f.IP4, f.ip4(f.udp(
                 m.around(codec, m.letter(reason, codec, make(m)))))),
             counted=NEIGHBOURS)

    def right(name, what, codec, make):
        kind("%s_%s" % (CODECS[codec], name), what, "counted", SAME,
             lambda m: f.ether(f.IP4, f.ip4(f.udp(m.around(codec, make(m))))),
             counted=1 + NEIGHBOURS)

    def both(reason, name, what, **event):
        """In both codecs; the user and type of a good event unless said otherwise."""
        for codec, encode in ((PROTOBUF, wire.pb_event), (JSON, wire.json_event)):
            row(reason, name, what, codec, lambda m, encode=encode: encode(
                **{"user": m.user.decode(), "etype": "click", **event}))

    names(both)
    texts(row)
    times(both, row)
    numbers(both, row)
    metadata(both, row)
    json_types(row)
    json_syntax(row)
    protobuf(row)
    strangers(row)
    odd(right)


def begin(m):
    """A JSON event up to where further members may stand."""
    return b'{"user_id":"' + m.user + b'","event_type":"click"'


def member(text):
    return lambda m: begin(m) + b"," + text + b"}"


def pair(value, key="price"):
    return member(b'"metadata":{"%s":%s}' % (key.encode(), value))


def pb(m):
    return field(1, m.user) + field(2, "click")


def behind(data):
    return lambda m: pb(m) + data


def names(both):
    both("user", "user_missing", "no user_id", user=None)
    both("user", "user_empty", "an empty user_id", user="")
    both("user", "user_129", "a user_id of 129 bytes", user="u" * 129)
    both("user", "user_characters", "100 characters of 2 bytes", user="\u00fc" * 100)
    both("type", "type_missing", "no event_type", etype=None)
    both("type", "type_empty", "an empty event_type", etype="")
    both("type", "type_65", "an event_type of 65 bytes", etype="t" * 65)
    both("event_id", "id_empty", "an empty event_id", eid="")
    both("event_id", "id_65", "an event_id of 65 bytes", eid="i" * 65)
    both("product", "product_empty", "an empty product_id", pairs=[("product_id", "")])
    both("product", "product_65", "a product_id of 65 bytes",
         pairs=[("product_id", "p" * 65)])
    both("category", "category_empty", "an empty category", pairs=[("category", "")])
    both("category", "category_65", "a category of 65 bytes",
         pairs=[("category", "c" * 65)])
    for name, c in CONTROLS:
        c = c.decode()
        both("control", "user_" + name, name + " in user_id", user="a" + c + "b")
        both("control", "type_" + name, name + " in event_type", etype="a" + c)
        both("control", "id_" + name, name + " in event_id", eid=c + "b")
        both("control", "product_" + name, name + " in product_id",
             pairs=[("product_id", "a" + c + "b")])
        both("control", "category_" + name, name + " in category",
             pairs=[("category", c)])
        both("control", "key_" + name, name + " in a metadata key",
             pairs=[("a" + c, 1)])


def texts(row):
    for name, what, data in UTF8:
        row("utf8", "user_" + name, what + " in user_id", PROTOBUF,
            lambda m, d=data: field(1, b"a" + d) + field(2, "click"))
        row("utf8", "user_" + name, what + " in user_id", JSON,
            lambda m, d=data: b'{"user_id":"a' + d + b'","event_type":"click"}')
        row("utf8", "value_" + name, what + " in a metadata text", PROTOBUF,
            lambda m, d=data: pb(m) + field(6, field(1, "a") + field(2, d)))
        row("utf8", "value_" + name, what + " in a metadata text", JSON,
            lambda m, d=data: pair(b'"' + d + b'"', "a")(m))
    bad = b"\xc3("
    for where, number in (("type", 2), ("id", 3)):
        row("utf8", where, "event_%s that is not UTF-8" % where, PROTOBUF,
            lambda m, n=number: field(1, m.user) + field(n, bad))
        row("utf8", where, "event_%s that is not UTF-8" % where, JSON,
            lambda m, w=where.encode(): b'{"user_id":"%s","event_%s":"%s"}' % (
                m.user, w, bad))
    row("utf8", "key", "a metadata key that is not UTF-8", PROTOBUF,
        behind(field(6, field(1, bad) + field(3, 1))))
    row("utf8", "key", "a metadata key that is not UTF-8", JSON,
        member(b'"metadata":{"' + bad + b'":1}'))
    row("utf8", "unknown", "a text that nobody reads is not UTF-8", JSON,
        member(b'"x":"' + bad + b'"'))
    row("utf8", "time", "a timestamp that is not UTF-8", PROTOBUF,
        behind(field(5, bad)))
    for name, text in (("high_alone", b"\\ud83d"), ("low_alone", b"\\ude00"),
                       ("low_first", b"\\ude00\\ud83d"), ("high_twice",
                                                          b"\\ud83d\\ud83d"),
                       ("high_letter", b"\\ud83dx")):
        row("utf8", "escape_" + name, "half a pair of surrogates, escaped", JSON,
            pair(b'"' + text + b'"', "a"))
    for name, c in CONTROLS:
        if c not in b"\n\x7f":  # the one ends the line, the other may stand there
            row("control", "raw_" + name, "a raw %s in a text" % name, JSON,
                pair(b'"a' + c + b'"', "a"))


def times(both, row):
    for name, text in NO_TIMES:
        both("timestamp", "time_" + name, "the time %r" % text, time=text)
    for name, text in OUT_OF_TIME:
        both("time_range", "time_" + name, "the time %r" % text, time=text)
    both("time_range", "time_minus_1", "a millisecond before 1970", time=-1)
    both("time_range", "time_10000", "the year 10000", time=wire.MILLIS_MAX + 1)
    row("time_range", "time_2_64", "2^64 - 1 milliseconds", PROTOBUF,
        behind(b"\x20" + varint((1 << 64) - 1)))
    row("time_range", "time_long", "milliseconds of 40 digits", JSON,
        member(b'"timestamp":' + b"9" * 40))
    for name, text in (("seconds", b"1705314600.5"), ("exponent", b"1.7e12"),
                       ("minus_0", b"-0")):
        row("timestamp", "time_" + name, "the time " + text.decode(), JSON,
            member(b'"timestamp":' + text))
    row("syntax", "time_leading_zero", "milliseconds with a leading zero", JSON,
        member(b'"timestamp":01705314600000'))


def numbers(both, row):
    for i, text in enumerate(NO_NUMBERS):
        both("number", "price_%d" % i, "price %s" % text,
             pairs=[("price", Number(text))])
    both("number", "quantity_10_15", "quantity 10^15", pairs=[("quantity", 10 ** 15)])
    both("number", "quantity_low", "quantity -10^15", pairs=[("quantity", -10 ** 15)])
    both("number", "price_text", "price as a text", pairs=[("price", "19.90")])
    both("number", "price_true", "true for a price", pairs=[("price", True)])
    both("number", "digits_1001", "a number of 1,001 digits",
         pairs=[("n", Number("1" * 1001))])
    for i, text in enumerate(NO_JSON_NUMBERS):
        row("syntax", "number_%d" % i, "the number %s" % text, JSON,
            pair(text.encode()))
    for i, text in enumerate(NO_DECIMALS):
        row("number", "decimal_%d" % i, "the decimal %r" % text, PROTOBUF,
            behind(field(6, field(1, "n") + field(4, text))))


def metadata(both, row):
    both("pairs", "pairs_65", "65 pairs", pairs=[("k%d" % i, i) for i in range(65)])
    both("pairs", "key_empty", "an empty metadata key", pairs=[("", 1)])
    both("pairs", "key_65", "a metadata key of 65 bytes", pairs=[("k" * 65, 1)])
    both("duplicate_key", "pair_twice", "a metadata key twice",
         pairs=[("a", 1), ("b", 2), ("a", 1)])
    both("duplicate_key", "product_twice", "product_id twice",
         pairs=[("product_id", "p"), ("product_id", "q")])
    both("field_type", "product_number", "a number for product_id",
         pairs=[("product_id", 5)])
    both("field_type", "category_true", "true for a category",
         pairs=[("category", True)])
    for name, text in (("object", b'{"b":1}'), ("empty_object", b"{}"),
                       ("list", b"[1]"), ("empty_list", b"[]"),
                       ("deep", b"[" * 500 + b"]" * 500), ("not_closed", b"{")):
        row("nested", "nested_" + name, "%s in metadata" % name.replace("_", " "),
            JSON, pair(text, "a"))
    row("nested", "nested_product", "a list of products", JSON,
        pair(b'["p","q"]', "product_id"))
    row("duplicate_key", "pair_escaped", "a metadata key twice, once escaped", JSON,
        member(b'"metadata":{"a":1,"\\u0061":2}'))


def json_types(row):
    for name, text in (("number", b"5"), ("true", b"true"), ("list", b'["u"]'),
                       ("object", b"{}")):
        row("field_type", "user_" + name, name + " for user_id", JSON,
            lambda m, t=text: b'{"user_id":' + t + b',"event_type":"click"}')
        row("field_type", "id_" + name, name + " for event_id", JSON,
            member(b'"event_id":' + text))
        if name != "object":
            row("field_type", "metadata_" + name, name + " for metadata", JSON,
                member(b'"metadata":' + text))
        if name != "number":
            row("field_type", "time_" + name, name + " for timestamp", JSON,
                member(b'"timestamp":' + text))
    row("field_type", "metadata_text", "a text for metadata", JSON,
        member(b'"metadata":"{}"'))
    row("user", "user_null", "null for user_id", JSON,
        lambda m: b'{"user_id":null,"event_type":"click"}')
    for name, text in (("user", b'"user_id":"x"'), ("type", b'"event_type":"click"'),
                       ("user_escaped", b'"user\\u005fid":"x"')):
        row("duplicate_key", name + "_twice", "a member twice", JSON, member(text))
    for name, text in (("id", b'"event_id":"i"'), ("time", b'"timestamp":5'),
                       ("metadata", b'"metadata":{}'), ("null", b'"event_id":null')):
        row("duplicate_key", name + "_twice", "a member twice", JSON,
            member(text + b"," + text))


def json_syntax(row):
    def syntax(name, what, make):
        row("syntax", "syntax_" + name, what, JSON, make)

    def whole(name, what, data):
        syntax(name, what, lambda m: data)

    syntax("cut", "an object that does not end", lambda m: begin(m))
    syntax("cut_in_text", "a text that does not end", lambda m: begin(m)[:-3])
    syntax("cut_in_escape", "ends inside an escape", lambda m: begin(m) + b',"a\\')
    syntax("closed_twice", "a bracket too many", lambda m: begin(m) + b"}}")
    syntax("two", "two objects on one line", lambda m: (begin(m) + b"}") * 2)
    syntax("comma_last", "a comma behind the last member",
           lambda m: begin(m) + b",}")
    syntax("comma_first", "a comma before the first member",
           lambda m: b"{," + begin(m)[1:] + b"}")
    syntax("comma_missing", "no comma between members",
           lambda m: begin(m) + b' "a":1}')
    syntax("colon_missing", "no colon", member(b'"a" 1'))
    syntax("value_missing", "no value", member(b'"a":'))
    syntax("key_bare", "a key without quotes", member(b"a:1"))
    syntax("key_number", "a number for a key", member(b"1:1"))
    syntax("quotes_single", "single quotes", member(b"'a':1"))
    syntax("comment", "a comment", member(b'/* c */ "a":1'))
    syntax("escape_x", "an escape that JSON does not have", member(b'"a":"\\x41"'))
    syntax("escape_u12", "an escape of two digits", member(b'"a":"\\u12"'))
    syntax("escape_u_word", "an escape of letters", member(b'"a":"\\uzzzz"'))
    syntax("word", "a word that JSON does not have", member(b'"a":undefined'))
    syntax("word_long", "a word with a tail", member(b'"a":nullx'))
    syntax("brackets_crossed", "brackets that close each other's",
           member(b'"a":[1}'))
    syntax("deep", "65 lists in each other", member(
        b'"a":' + b"[" * 65 + b"]" * 65))
    syntax("form_feed", "a form feed between members", member(b'\x0c"a":1'))
    syntax("nbsp", "a no-break space between members", member(b'\xc2\xa0"a":1'))
    whole("bom", "a byte order mark", b'\xef\xbb\xbf{"user_id":"u"}')
    whole("null", "null", b"null")
    whole("number", "a number", b"42")
    whole("list", "a list of events", b'[{"user_id":"u","event_type":"t"}]')
    whole("text", "a line of text", b"hello")
    whole("blank", "a blank", b" ")
    whole("nul", "a NUL", b"\0")
    whole("random", "bytes of all values", bytes(b for b in range(256) if b != 10))


def protobuf(row):
    def syntax(name, what, data):
        row("syntax", "syntax_" + name, what, PROTOBUF, behind(data))

    def kind_of(name, what, data):
        row("field_type", name, what, PROTOBUF, behind(data))

    row("syntax", "syntax_cut", "a text that ends behind the event", PROTOBUF,
        lambda m: pb(m)[:-1])
    row("syntax", "syntax_json", "JSON", PROTOBUF, lambda m: begin(m) + b"}")
    row("syntax", "syntax_zeroes", "bytes of 0", PROTOBUF, lambda m: bytes(20))
    row("user", "empty", "an event of no bytes", PROTOBUF, lambda m: b"")
    syntax("tag_cut", "a tag that does not end", b"\x80")
    syntax("field_0", "field number 0", b"\2\0")
    syntax("field_2_29", "a field number above 2^29 - 1", varint(1 << 32) + b"\0")
    syntax("type_3", "a group", b"\x3b\x3c")
    syntax("type_4", "the end of a group", b"\x3c")
    syntax("type_6", "wire type 6", b"\x3e\0")
    syntax("type_7", "wire type 7", b"\x3f\0")
    syntax("varint_11", "an integer of 11 bytes", b"\x38" + b"\x80" * 10 + b"\1")
    syntax("varint_65_bits", "an integer of more than 64 bits",
           b"\x38" + b"\xff" * 9 + b"\2")
    syntax("varint_cut", "an integer that does not end", b"\x20\xff")
    syntax("length", "a length behind the event's end", b"\x3a\x05abcd")
    syntax("length_2_63", "a length of 2^63", b"\x3a" + varint(1 << 63) + b"a")
    syntax("length_2_32", "a length of 2^32", b"\x3a" + varint(1 << 32) + b"a")
    syntax("fixed64_cut", "seven bytes of eight", b"\x39" + bytes(7))
    syntax("fixed32_cut", "three bytes of four", b"\x3d" + bytes(3))
    syntax("pair_cut", "a pair that ends inside its key",
           field(6, b"\x0a\x05ab"))
    syntax("pair_group", "a group inside a pair", field(6, field(1, "a") + b"\x3b"))
    row("field_type", "user_integer", "an integer for user_id", PROTOBUF,
        lambda m: field(1, 5) + field(2, "click"))
    row("field_type", "user_fixed", "eight bytes for user_id", PROTOBUF,
        lambda m: b"\x09" + bytes(8) + field(2, "click"))
    kind_of("id_integer", "an integer for event_id", field(3, 5))
    kind_of("time_fixed", "eight bytes for the time", b"\x21" + bytes(8))
    kind_of("time_bytes", "a text in the place of milliseconds", field(4, b"5"))
    kind_of("text_integer", "an integer for the time's text", field(5, 5))
    kind_of("pairs_integer", "an integer for metadata", field(6, 5))
    kind_of("pair_no_value", "a key without a value", field(6, field(1, "a")))
    kind_of("pair_null_0", "a null that is not there",
            field(6, field(1, "a") + field(6, 0)))
    kind_of("pair_text_integer", "an integer for a text",
            field(6, field(1, "a") + b"\x10\5"))
    row("pairs", "pair_empty", "a pair of no bytes", PROTOBUF, behind(field(6, b"")))
    row("pairs", "pair_no_key", "a value without a key", PROTOBUF,
        behind(field(6, field(2, "v"))))
    for name, data in (("user", field(1, "x")), ("type", field(2, "click")),
                       ("id", field(3, "i") * 2), ("time", field(4, 5) * 2),
                       ("time_and_text", field(4, 5) + field(5, "1970-01-01T00:00:00")),
                       ("key", field(6, field(1, "a") * 2 + field(3, 1))),
                       ("value", field(6, field(1, "a") + field(3, 1) + field(2, "b")))
                       ):
        row("duplicate_key", name + "_twice", "a field twice", PROTOBUF, behind(data))


def strangers(row):
    row("wrong_shard", "stranger", "a user of another shard", PROTOBUF,
        lambda m: field(1, m.stranger) + field(2, "click"))
    row("wrong_shard", "stranger", "a user of another shard", JSON,
        lambda m: b'{"user_id":"' + m.stranger + b'","event_type":"click"}')
    row("wrong_shard", "stranger_escaped", "the same, escaped", JSON,
        lambda m: b'{"user_id":"\\u%04x' % m.stranger[0] + m.stranger[1:]
        + b'","event_type":"click"}')


def odd(right):
    """What looks bad and is not."""
    def json(name, what, text):
        right("odd_" + name, what, JSON, member(text))

    json("minus_0", "minus zero", b'"metadata":{"price":-0}')
    json("tiny", "a price too small for a double", b'"metadata":{"price":1e-999}')
    json("zero_high", "zero times 10^999", b'"metadata":{"price":0e999}')
    json("most", "the largest price", b'"metadata":{"price":999999999999999.99}')
    json("huge_elsewhere", "a huge number that nobody reads",
         b'"metadata":{"n":1e999}')
    json("nulls", "null for what is understood",
         b'"metadata":{"price":null,"product_id":null,"category":null}')
    json("unknown_twice", "an unknown member twice", b'"x":1,"x":2')
    json("other_case", "user_id in capitals", b'"USER_ID":5')
    json("unknown_nested", "an unknown member with members", b'"x":{"y":[{"z":[]}]}')
    json("control_carried", "a NUL in a text that is carried",
         b'"metadata":{"note":"\\u0000\\n"}')
    json("last_character", "U+10FFFF and a noncharacter",
         b'"metadata":{"note":"\xf4\x8f\xbf\xbf\xef\xbf\xbf"}')
    json("key_64", "a key of 64 bytes, all escaped",
         b'"metadata":{"' + b"\\u006b" * 64 + b'":1}')
    json("pairs_64", "64 pairs", b'"metadata":' + standard.dumps(
        {"k%d" % i: i for i in range(64)}).encode())
    json("slash", "an escaped slash", b'"event_id":"a\\/b"')
    right("odd_varints", "integers longer than they need be", PROTOBUF,
          lambda m: b"\x8a\0" + bytes([len(m.user) | 0x80, 0]) + m.user
          + field(2, "click"))
    right("odd_unknown", "unknown fields", PROTOBUF,
          behind(field(7, b"x") + field(3000, 1) + b"\x41" + bytes(8)))
    right("odd_nothing_known", "a pair with unknown fields", PROTOBUF,
          behind(field(6, pb_pair("a", 1) + field(9, b"x"))))
