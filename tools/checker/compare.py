# SPDX-License-Identifier: BSD-3-Clause
"""What is there beside what fold says must be there: topics, Redis, positions."""
import re
from collections import Counter

EVENT_ID = re.compile(rb'^\{"event_id":"((?:[^"\\]|\\.)*)"')


def event_id_of(value):
    match = EVENT_ID.match(value or b"")
    return match[1] if match else None


class TopicReader:
    """Compares one partition while it is read; keeps what came only once something
    did not fit."""

    def __init__(self, topic, partition, expected):
        self.topic, self.partition, self.expected = topic, partition, expected
        self.at = 0
        self.rest = None  # [(offset, entry)] from the first that differs

    def take(self, message):
        entry = message.key(), message.value()
        if self.topic == "dead_letters":
            # `detail` is a sentence for people.
            entry += (tuple((k, v) for k, v in message.headers() or ()
                            if k != "detail"),)
        if self.rest is None:
            if self.at < len(self.expected) and self.expected[self.at] == entry:
                self.at += 1
                return
            self.rest = []
        self.rest.append((message.offset(), entry))

    def judge(self, findings):
        expected = self.expected[self.at:]
        found = self.rest or []
        if not expected and not found:
            return
        left = Counter(e for _, e in found)
        missing = []
        for entry in expected:
            if left[entry] > 0:
                left[entry] -= 1
            else:
                missing.append(entry)
        extra = self.extra(found, +left)
        self.name_missing(findings, missing, extra)
        self.name_extra(findings, extra)
        if not missing and not extra:
            self.name_order(findings, expected, found)

    @staticmethod
    def extra(found, left):
        """The last ones of each that is there too often."""
        out = []
        for offset, entry in reversed(found):
            if left[entry] > 0:
                left[entry] -= 1
                out.append((offset, entry))
        return out[::-1]

    def name_missing(self, findings, missing, extra):
        others = {(e[0], event_id_of(e[1])): o for o, e in extra
                  if event_id_of(e[1]) is not None}
        for key, value, *_ in missing:
            event_id = event_id_of(value)
            offset = others.get((key, event_id))
            if event_id is not None and offset is not None:
                findings.add("wrong", self.topic, "its record is another one than fold "
                             "makes", event_id, key, partition=self.partition,
                             offset=offset)
            else:
                findings.add("lost", self.topic, "counted, and no record" if
                             event_id is not None else "rejected, and no dead letter "
                             f"{value[:60]!r}", event_id, key, partition=self.partition)

    def name_extra(self, findings, extra):
        known = set(self.expected)
        ids = {(k, event_id_of(v)) for k, v, *_ in self.expected}
        for offset, entry in extra:
            key, value = entry[:2]
            event_id = event_id_of(value)
            if entry in known:
                findings.add("doubled", self.topic, "its record is there again",
                             event_id, key, partition=self.partition, offset=offset)
            elif event_id is None or (key, event_id) not in ids:
                findings.add("phantom", self.topic, "a record that fold does not make"
                             if event_id is not None else
                             f"a record that fold does not make: {(value or b'')[:60]!r}",
                             event_id, key, partition=self.partition, offset=offset)

    def name_order(self, findings, expected, found):
        """The same records in another order: of which users, and how far."""
        rank = {}
        for i, entry in enumerate(expected):
            rank.setdefault(entry, i)
        last, users = {}, set()
        for offset, entry in found:
            key = entry[0]
            if rank[entry] < last.get(key, -1):
                users.add(key)
                findings.add("reordered", self.topic, "stands behind a later one of "
                             "its user", event_id_of(entry[1]), key,
                             partition=self.partition, offset=offset)
            last[key] = max(last.get(key, -1), rank[entry])
        if not users:
            offset, entry = found[0]
            findings.add("reordered", self.topic, "events of several users stand in "
                         "another order than they were accepted in",
                         event_id_of(entry[1]), entry[0], partition=self.partition,
                         offset=offset)


def compare_topics(kafka, expected, findings):
    """Returns the number of records that were read."""
    readers = {(kafka.prefix + t, p): TopicReader(t, p, entries)
               for t, partitions in expected.lists.items()
               for p, entries in enumerate(partitions)}
    n = 0
    sizes = {t: len(p) for t, p in expected.lists.items()}
    for batch in kafka.read(sizes, True):
        n += len(batch)
        for message in batch:
            readers[message.topic(), message.partition()].take(message)
    for reader in readers.values():
        reader.judge(findings)
    return n


def compare_redis(source, expected, positions, findings):
    """Returns the number of keys that were compared."""
    there = set()
    for pattern in (b"user:*", b"category:*", b"headrace:*"):
        there |= source.keys(pattern)
    there -= {b"headrace:shard:%d" % s for s in positions} | {b"headrace:run"}
    wanted = list(expected.keys())
    for key, kind, answer, value in source.values(wanted):
        there.discard(key)
        name_difference(findings, key, kind, answer, value)
    if b"headrace:damaged" in there:
        there.discard(b"headrace:damaged")
        for key, said in source.client.hgetall(b"headrace:damaged").items():
            findings.add("wrong", "redis", f"damaged: {said.decode()}", key=key)
    for key in sorted(there):
        findings.add("phantom", "redis", "a key that fold does not make", key=key,
                     user=user_of(key))
    return len(wanted)


def user_of(key):
    for head in (b"headrace:user:", b"user:"):
        if key.startswith(head):
            return key[len(head):].rpartition(b":")[0]
    return None


def name_difference(findings, key, kind, answer, value):
    user = user_of(key)
    if isinstance(answer, Exception):
        findings.add("wrong", "redis", f"is no {kind}: {answer}", key=key, user=user)
    elif not answer:
        findings.add("lost", "redis", "the key is missing", key=key, user=user)
    elif answer != value:
        findings.add("wrong", "redis", difference(kind, answer, value), key=key,
                     user=user)


def difference(kind, found, wanted):
    if kind == "string":
        return f"is {found.decode('utf-8', 'replace')!r}, must be " \
               f"{wanted.decode('utf-8', 'replace')!r}"
    if kind in ("hash", "zset"):
        for field in sorted(set(found) | set(wanted)):
            if found.get(field) != wanted.get(field):
                return f"{show(field)} is {show(found.get(field))}, must be " \
                       f"{show(wanted.get(field))}"
    if kind == "set":
        return f"lacks {[show(x) for x in sorted(wanted - found)][:5]}, has " \
               f"{[show(x) for x in sorted(found - wanted)][:5]} too much"
    for i, (a, b) in enumerate(zip(found, wanted)):
        if a != b:
            return f"number {i} is {show(a)}, must be {show(b)}; it has {len(found)} " \
                   f"and must have {len(wanted)}"
    return f"has {len(found)} entries and must have {len(wanted)}"


def show(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
