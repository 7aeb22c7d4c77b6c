# SPDX-License-Identifier: BSD-3-Clause
"""Events as docs/wire-format.md lays them out: frames of a payload, one event by either
codec, and the record of user_events it becomes.

Written from that page alone. What repeats in real traffic (metadata pairs, types,
users) is looked at once and remembered.
"""
import re

PROTOBUF, JSON = 1, 2
TIME_MOST = 253402300799999
KNOWN_TYPES = (b"product_view", b"purchase", b"add_to_cart", b"search", b"click",
               b"rating")
PAIRS_MOST, NUMBER_MOST, NUMBER_BELOW, DEPTH_MOST = 64, 1000, 10 ** 15, 64
MEMORY = 200_000  # entries that a table of things seen may have

CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
NEEDS_ESCAPE = re.compile(rb'[\x00-\x1f\x7f"\\]')
NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
TIME = re.compile(rb"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})"
                  rb"(?::([0-9]{2})(?:[.,]([0-9]+))?)?"
                  rb"(?:[Zz]|([+-])([0-9]{2})(?::?([0-9]{2}))?)?")


class Reject(Exception):
    """The event is refused; args[0] is the reason."""


class Event:
    """meta: the rendered pairs; time: timestamp as it is rendered, None: absent."""
    __slots__ = ("user", "type", "id", "product", "category", "meta", "time", "time_ms",
                 # where it was found, set by fold
                 "shard", "n", "index", "offset", "given")

    def __init__(self):
        self.user = self.type = self.id = self.product = self.category = None
        self.meta, self.time, self.time_ms = b"", None, None


# ---- frames -----------------------------------------------------------------------

def frames(codec, payload):
    """(start, end, whole) of each event; the last may be broken: then whole is False
    and it is the rest of the payload."""
    return json_frames(payload) if codec == JSON else protobuf_frames(payload)


def protobuf_frames(data):
    at, end = 0, len(data)
    while at < end:
        start = at
        try:
            tag, at = varint(data, at, end)
            if tag != 0x0A:
                raise Reject("syntax")
            n, at = varint(data, at, end)
            if at + n > end:
                raise Reject("syntax")
        except Reject:
            yield start, end, False
            return
        yield at, at + n, True
        at += n


def json_frames(data):
    at, end = 0, len(data)
    while at < end:
        stop = data.find(b"\n", at)
        stop = end if stop < 0 else stop
        if stop == at:
            yield at, end, False
            return
        yield at, stop, True
        at = stop + 1


# ---- texts, numbers, times --------------------------------------------------------

def rendered(text):
    """A valid text as a JSON string."""
    if NEEDS_ESCAPE.search(text):
        text = NEEDS_ESCAPE.sub(escape, text)
    return b'"' + text + b'"'


def escape(match):
    c = match[0]
    return b"\\" + c if c in b'"\\' else b"\\u%04x" % c[0]


def need_utf8(text):
    if not text.isascii():
        try:
            text.decode("utf-8")
        except UnicodeDecodeError:
            raise Reject("utf8") from None


def need_name(text, most, reason):
    """A text without control characters, of 1 to most bytes."""
    need_utf8(text)
    if CONTROL.search(text):
        raise Reject("control")
    if not 1 <= len(text) <= most:
        raise Reject(reason)


def need_number(text, key):
    if len(text) > NUMBER_MOST or key in (b"price", b"quantity") and not small(text):
        raise Reject("number")


def small(text):
    """The decimal is below 10^15 in size, without arithmetic on its exponent's size:
    its first digit that is not zero stands at most 15 places left of the point."""
    mantissa, _, exponent = text.lower().lstrip(b"-").partition(b"e")
    whole, _, fraction = mantissa.partition(b".")
    digits = whole + fraction
    lead = len(digits) - len(digits.lstrip(b"0"))
    if lead == len(digits):
        return True
    return len(whole) - lead + int(exponent or b"0") <= 15


DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
day_seconds = {}


def seconds_of_day(text):
    """Seconds from 1970 to the day "YYYY-MM-DD"; None where there is no such day."""
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not 1 <= month <= 12 or not 1 <= day <= DAYS[month - 1] + (leap and month == 2):
        return None
    year -= month < 3  # a year begins in March: the odd day is its last
    before = 365 * year + year // 4 - year // 100 + year // 400
    return (before + (153 * ((month + 9) % 12) + 2) // 5 + day - 1 - 719468) * 86400


def time_of_text(text):
    match = TIME.fullmatch(text)
    if not match:
        raise Reject("timestamp")
    (_, _, _, hour, minute, second, fraction, sign, zone_hour,
     zone_minute) = match.groups()
    day = text[:10]
    if day not in day_seconds:
        if len(day_seconds) > MEMORY:
            day_seconds.clear()
        day_seconds[day] = seconds_of_day(day)
    start = day_seconds[day]
    hour, minute, second = int(hour), int(minute), int(second or 0)
    if start is None or hour > 23 or minute > 59 or second > 59:
        raise Reject("timestamp")
    ms = (start + hour * 3600 + minute * 60 + second) * 1000
    if fraction:
        ms += int(fraction[:3].ljust(3, b"0"))
    if sign:
        east = int(zone_hour), int(zone_minute or 0)
        if east[0] > 23 or east[1] > 59:
            raise Reject("timestamp")
        zone = (east[0] * 60 + east[1]) * 60000
        ms += zone if sign == b"-" else -zone
    return need_range(ms)


def need_range(ms):
    if not 0 <= ms <= TIME_MOST:
        raise Reject("time_range")
    return ms


second_texts = {}


def sql_time(ms):
    """YYYY-MM-DD HH:MM:SS.mmm in UTC."""
    second, rest = divmod(ms, 1000)
    text = second_texts.get(second)
    if text is None:
        if len(second_texts) > MEMORY:
            second_texts.clear()
        text = second_texts[second] = second_text(second)
    return b"%s%03d" % (text, rest)


def second_text(second):
    days, second = divmod(second, 86400)
    # The same the other way round, in eras of 400 years.
    days += 719468
    era, day = divmod(days, 146097)
    year = (day - day // 1460 + day // 36524 - day // 146096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    day -= (153 * month + 2) // 5 - 1
    month += 3 if month < 10 else -9
    year += era * 400 + (month <= 2)
    return b"%04d-%02d-%02d %02d:%02d:%02d." % (
        year, month, day, second // 3600, second // 60 % 60, second % 60)


def iso_time(ms):
    """YYYY-MM-DDTHH:MM:SS.mmmZ."""
    return sql_time(ms).replace(b" ", b"T") + b"Z"


# ---- protobuf ---------------------------------------------------------------------

def varint(data, at, end):
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise Reject("syntax")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    if value >> 64:
        raise Reject("syntax")
    return value, at


def signed(value):
    return value - (1 << 64) if value >> 63 else value


def fields(data, at, end):
    """(number, wire type, value) of each field; value is an int or (start, end)."""
    while at < end:
        tag = data[at]
        at += 1
        if tag >= 0x80:
            tag, at = varint(data, at - 1, end)
        number, kind = tag >> 3, tag & 7
        if not 1 <= number < 1 << 29:
            raise Reject("syntax")
        if kind == 2:
            n = data[at] if at < end else 0x80
            at += 1
            if n >= 0x80:
                n, at = varint(data, at - 1, end)
            if n > end - at:
                raise Reject("syntax")
            yield number, 2, (at, at + n)
            at += n
        elif kind == 0:
            value, at = varint(data, at, end)
            yield number, 0, value
        elif kind in (1, 5):
            n = 8 if kind == 1 else 4
            if n > end - at:
                raise Reject("syntax")
            yield number, kind, None
            at += n
        else:
            raise Reject("syntax")


EVENT_KINDS = {1: 2, 2: 2, 3: 2, 4: 0, 5: 2, 6: 2}
PAIR_KINDS = {1: 2, 2: 2, 3: 0, 4: 2, 5: 0, 6: 0}
pairs_seen = {}  # bytes of a Pair: (key, rendered, product or None, category or None)
types_seen = set()
users_seen = set()


def parse_protobuf(event, data):
    """Fills event from one message; raises Reject, with event filled so far."""
    seen, keys, metas = 0, [], []
    try:
        for number, kind, value in fields(data, 0, len(data)):
            wanted = EVENT_KINDS.get(number)
            if wanted is None:
                continue
            if kind != wanted:
                raise Reject("field_type")
            if number == 6:
                take_pair(event, data[value[0]:value[1]], keys, metas)
                continue
            # time_ms and time_text share one bit: one of them at most.
            bit = 1 << (4 if number == 5 else number)
            if seen & bit:
                raise Reject("duplicate_key")
            seen |= bit
            if number == 4:
                event.time_ms = need_range(signed(value))
                event.time = b"%d" % event.time_ms
                continue
            take_text(event, number, data[value[0]:value[1]])
    finally:
        event.meta = b",".join(metas)
    need_fields(event)


def take_text(event, number, text):
    if number == 1:
        if text not in users_seen:
            need_name(text, 128, "user")
            if len(users_seen) > MEMORY:
                users_seen.clear()
            users_seen.add(text)
        event.user = text
    elif number == 2:
        if text not in types_seen:
            need_name(text, 64, "type")
            if len(types_seen) > MEMORY:
                types_seen.clear()
            types_seen.add(text)
        event.type = text
    elif number == 3:
        need_name(text, 64, "event_id")
        event.id = text
    else:
        need_utf8(text)
        event.time_ms = time_of_text(text)
        event.time = b'"' + text + b'"'


def need_fields(event):
    if event.user is None:
        raise Reject("user")
    if event.type is None:
        raise Reject("type")


def take_pair(event, data, keys, metas):
    known = pairs_seen.get(data)
    if known is None:
        known = parse_pair(data)
        if len(pairs_seen) > MEMORY:
            pairs_seen.clear()
        pairs_seen[data] = known
    key, text, product, category = known
    add_pair(event, keys, metas, key, text, product, category)


def add_pair(event, keys, metas, key, text, product, category):
    if len(keys) == PAIRS_MOST:
        raise Reject("pairs")
    if key in keys:
        raise Reject("duplicate_key")
    keys.append(key)
    metas.append(text)
    if product is not None:
        event.product = product
    if category is not None:
        event.category = category


def parse_pair(data):
    key = value = form = None
    for number, kind, found in fields(data, 0, len(data)):
        wanted = PAIR_KINDS.get(number)
        if wanted is None:
            continue
        if kind != wanted:
            raise Reject("field_type")
        if kind == 2:
            found = data[found[0]:found[1]]
        if number == 1:
            if key is not None:
                raise Reject("duplicate_key")
            key = found
            need_name(key, 64, "pairs")
        else:
            if form is not None:
                raise Reject("duplicate_key")
            form, value = number, found
    if key is None:
        raise Reject("pairs")
    if form is None:
        raise Reject("field_type")
    if form == 2:
        return (key, *pair_of_text(key, value))
    if form in (3, 4):
        if form == 3:
            value = b"%d" % signed(value)
        elif not NUMBER.fullmatch(value):
            raise Reject("number")
        return (key, *pair_of_number(key, value))
    if form == 6 and value == 0:
        raise Reject("field_type")
    word = b"null" if form == 6 else b"true" if value else b"false"
    return (key, *pair_of_word(key, word))


def pair_of_text(key, value):
    need_utf8(value)
    product = category = None
    if key == b"product_id":
        need_name(value, 64, "product")
        product = value
    elif key == b"category":
        need_name(value, 64, "category")
        category = value
    elif key in (b"price", b"quantity"):
        raise Reject("number")
    return rendered(key) + b":" + rendered(value), product, category


def pair_of_number(key, value):
    if key in (b"product_id", b"category"):
        raise Reject("field_type")
    need_number(value, key)
    return rendered(key) + b":" + value, None, None


def pair_of_word(key, word):
    if word != b"null":
        if key in (b"product_id", b"category"):
            raise Reject("field_type")
        if key in (b"price", b"quantity"):
            raise Reject("number")
    return rendered(key) + b":" + word, None, None


# ---- JSON -------------------------------------------------------------------------

SPACE = re.compile(rb"[ \t\r\n]*")
PLAIN_STRING = re.compile(rb'"([^"\\\x00-\x1f]*)"')
WORD = re.compile(rb"true|false|null")
ESCAPES = {0x22: b'"', 0x5C: b"\\", 0x2F: b"/", 0x62: b"\b", 0x66: b"\f", 0x6E: b"\n",
           0x72: b"\r", 0x74: b"\t"}
HEX4 = re.compile(rb"[0-9a-fA-F]{4}")


class Scanner:
    """A cursor over one line."""

    def __init__(self, data):
        self.data, self.at = data, SPACE.match(data).end()

    def peek(self):
        return self.data[self.at:self.at + 1]

    def skip_space(self):
        self.at = SPACE.match(self.data, self.at).end()

    def take(self, byte):
        if self.data[self.at:self.at + 1] != byte:
            raise Reject("syntax")
        self.at = SPACE.match(self.data, self.at + 1).end()

    def string(self):
        match = PLAIN_STRING.match(self.data, self.at)
        if match:
            text = match[1]
            need_utf8(text)
            self.at = SPACE.match(self.data, match.end()).end()
            return text
        if self.peek() != b'"':
            raise Reject("syntax")
        return self.string_with_escapes()

    def string_with_escapes(self):
        data, at, out = self.data, self.at + 1, bytearray()
        while True:
            if at >= len(data):
                raise Reject("syntax")
            c = data[at]
            at += 1
            if c == 0x22:
                break
            if c < 0x20:
                raise Reject("control")
            if c != 0x5C:
                out.append(c)
                continue
            c = data[at] if at < len(data) else 0
            at += 1
            if c in ESCAPES:
                out += ESCAPES[c]
            elif c == 0x75:
                unit, at = self.unit(at)
                if 0xDC00 <= unit < 0xE000:
                    raise Reject("utf8")
                if 0xD800 <= unit < 0xDC00:
                    if data[at:at + 2] != b"\\u":
                        raise Reject("utf8")
                    low, at = self.unit(at + 2)
                    if not 0xDC00 <= low < 0xE000:
                        raise Reject("utf8")
                    unit = 0x10000 + (unit - 0xD800 << 10) + low - 0xDC00
                out += chr(unit).encode()
            else:
                raise Reject("syntax")
        need_utf8(bytes(out))
        self.at = SPACE.match(data, at).end()
        return bytes(out)

    def unit(self, at):
        match = HEX4.match(self.data, at)
        if not match:
            raise Reject("syntax")
        return int(match[0], 16), match.end()

    def scalar(self):
        """("text", "number" or "word", value); containers are ("open", bracket)."""
        c = self.peek()
        if c == b'"':
            return "text", self.string()
        if c in (b"{", b"["):
            return "open", c
        match = NUMBER.match(self.data, self.at) or WORD.match(self.data, self.at)
        # What stands right behind a token must be able to.
        if not match or self.data[match.end():match.end() + 1] not in (
                b"", b",", b"}", b"]", b" ", b"\t", b"\r", b"\n"):
            raise Reject("syntax")
        self.at = SPACE.match(self.data, match.end()).end()
        return "word" if match[0][:1].isalpha() else "number", match[0]

    def skip_value(self, depth=1):
        """Any JSON, whose own depth is at most what is left."""
        kind, value = self.scalar()
        if kind != "open":
            return
        if depth > DEPTH_MOST:
            raise Reject("syntax")
        close = b"}" if value == b"{" else b"]"
        self.take(value)
        if self.peek() == close:
            self.take(close)
            return
        while True:
            if value == b"{":
                self.string()
                self.take(b":")
            self.skip_value(depth + 1)
            if self.peek() == close:
                self.take(close)
                return
            self.take(b",")


def parse_json(event, data):
    s = Scanner(data)
    s.take(b"{")
    seen = set()
    if s.peek() == b"}":
        s.take(b"}")
    else:
        while True:
            name = s.string()
            s.take(b":")
            if name in JSON_FIELDS:
                if name in seen:
                    raise Reject("duplicate_key")
                seen.add(name)
                JSON_FIELDS[name](event, s)
            else:
                s.skip_value()
            if s.peek() == b"}":
                s.take(b"}")
                break
            s.take(b",")
    if s.at != len(data):
        raise Reject("syntax")
    need_fields(event)


def json_text(number):
    def take(event, s):
        kind, value = s.scalar()
        if kind == "text":
            take_text(event, number, value)
        elif kind == "word" and value == b"null":
            if number < 3:
                raise Reject("user" if number == 1 else "type")
        else:
            raise Reject("field_type")
    return take


def json_time(event, s):
    kind, value = s.scalar()
    if kind == "text":
        event.time_ms = time_of_text(value)
        event.time = b'"' + value + b'"'
    elif kind == "number":
        if not value.lstrip(b"-").isdigit() or value == b"-0":
            raise Reject("timestamp")
        event.time_ms = need_range(int(value))
        event.time = value
    elif value != b"null":
        raise Reject("field_type")


def json_metadata(event, s):
    if s.peek() != b"{":
        kind, value = s.scalar()
        if kind == "word" and value == b"null":
            return
        raise Reject("field_type")
    s.take(b"{")
    keys, metas = [], []
    if s.peek() == b"}":
        s.take(b"}")
        return
    while True:
        key = s.string()
        need_name(key, 64, "pairs")
        s.take(b":")
        if len(keys) == PAIRS_MOST:
            raise Reject("pairs")
        if key in keys:
            raise Reject("duplicate_key")
        kind, value = s.scalar()
        if kind == "open":
            raise Reject("nested")
        add_pair(event, keys, metas, key, *(
            pair_of_text if kind == "text" else
            pair_of_number if kind == "number" else pair_of_word)(key, value))
        if s.peek() == b"}":
            s.take(b"}")
            break
        s.take(b",")
    event.meta = b",".join(metas)


JSON_FIELDS = {b"user_id": json_text(1), b"event_type": json_text(2),
               b"event_id": json_text(3), b"timestamp": json_time,
               b"metadata": json_metadata}


# ---- one event, and what becomes of it --------------------------------------------

def parse(codec, data, received_ms):
    """(Event, None) or (what was valid so far, reason)."""
    event = Event()
    try:
        (parse_json if codec == JSON else parse_protobuf)(event, data)
    except Reject as reject:
        return event, reject.args[0]
    if event.time_ms is None:
        event.time_ms = received_ms
    return event, None


texts_seen = {}


def text_of(value):
    out = texts_seen.get(value)
    if out is None:
        if len(texts_seen) > MEMORY:
            texts_seen.clear()
        out = texts_seen[value] = rendered(value)
    return out


def record_of(event):
    """The record of user_events."""
    time = event.time
    if time is None:
        time = b'"' + iso_time(event.time_ms) + b'"'
    return (b'{"event_id":%s,"user_id":%s,"event_type":%s,"metadata":{%s},'
            b'"timestamp":%s,"event_time":"%s"}' % (
                b"null" if event.id is None else rendered(event.id),
                text_of(event.user), text_of(event.type), event.meta, time,
                sql_time(event.time_ms)))
