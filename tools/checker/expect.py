# SPDX-License-Identifier: BSD-3-Clause
"""What must stand in Kafka's topics (docs/topics.md) and in Redis (docs/redis.md) after
the links of the log up to each view's position: the sinks that fold tells."""
from collections import deque

import event as events
import record as r
from hashes import murmur2, to_positive

TOPICS = ("user_events", "product_views", "purchases", "dead_letters")
ROUTED = {b"product_view": "product_views", b"purchase": "purchases"}
TRIM_LINKS = 256


class Topics:
    """Per topic a list of partitions, each a list of (key, value[, headers])."""

    def __init__(self, partitions, until):
        self.until = until  # shard: n of the last link whose records are there
        self.lists = {t: [[] for _ in range(n)] for t, n in partitions.items()}
        self.places = {}  # user: murmur2, of those seen lately

    def place(self, user):
        place = self.places.get(user)
        if place is None:
            if len(self.places) > events.MEMORY:
                self.places.clear()
            place = self.places[user] = to_positive(murmur2(user))
        return place

    def counted(self, event):
        if event.n > self.until[event.shard]:
            return
        entry = event.user, events.record_of(event)
        place = self.place(event.user)
        partitions = self.lists["user_events"]
        partitions[place % len(partitions)].append(entry)
        routed = ROUTED.get(event.type)
        if routed:
            partitions = self.lists[routed]
            partitions[place % len(partitions)].append(entry)

    def rejected(self, shard, n, _offset, item, data, user, reason):
        if n > self.until[shard]:
            return
        partitions = self.lists["dead_letters"]
        place = shard if user is None else self.place(user) % len(partitions)
        partitions[place].append((user, bytes(data), (
            ("reason", reason.encode()), ("source", source_of(item)),
            ("key_id", b"%d" % item.key_id),
            ("received", events.iso_time(min(item.received // 1000,
                                             events.TIME_MOST))))))


def source_of(item):
    if item.family == 4:
        return b"%d.%d.%d.%d:%d" % (*item.source[:4], item.source_port)
    if item.family == 6:
        import ipaddress
        return f"[{ipaddress.IPv6Address(item.source)}]:{item.source_port}".encode()
    return b"unknown"


class User:
    __slots__ = ("views", "purchases", "newest", "categories", "favourite", "recent",
                 "scores", "period")

    def __init__(self, most_recent):
        self.views = self.purchases = 0
        self.newest = -1
        self.categories = {}
        self.favourite = None
        self.recent = deque(maxlen=most_recent)
        self.scores = {}
        self.period = 0  # of the last update of the scores


class Redis:
    def __init__(self, until, similar, recent_views=100, recommendations=1000):
        self.until, self.similar = until, similar
        self.recent_views, self.recommendations = recent_views, recommendations
        self.users, self.products = {}, {}

    def counted(self, event):
        if event.n > self.until[event.shard]:
            return
        user = self.users.get(event.user)
        if user is None:
            user = self.users[event.user] = User(self.recent_views)
        if event.time_ms > user.newest:
            user.newest = event.time_ms
        if event.category is not None:
            self.count_category(user, event)
        if event.type == b"product_view":
            user.views += 1
            if event.product is not None:
                self.count_view(user, event.product, event.n // TRIM_LINKS)
        elif event.type == b"purchase":
            user.purchases += 1

    def rejected(self, *_):
        pass

    def count_category(self, user, event):
        name = event.category
        count = user.categories[name] = user.categories.get(name, 0) + 1
        best = user.favourite
        if best is None or count > user.categories[best] or \
                count == user.categories[best] and name < best:
            user.favourite = name
        if event.product is not None:
            known = self.products.get(name)
            if known is None:
                known = self.products[name] = set()
            known.add(event.product)

    def count_view(self, user, product, period):
        user.recent.appendleft(product)
        if period != user.period:
            user.period = period
            if len(user.scores) > self.recommendations:
                user.scores = self.trimmed(user.scores)
        scores = user.scores
        scores[product] = scores.get(product, 0) + 1
        for other in self.similar.get(product, ()):
            scores[other] = scores.get(other, 0) + 0.5

    def trimmed(self, scores):
        """The highest scores; of equal ones the greater id."""
        best = sorted(((s, p) for p, s in scores.items()), reverse=True)
        return {p: s for s, p in best[:self.recommendations]}

    def keys(self):
        """(key, type, value) of everything that must be there for users and
        categories."""
        for name, user in self.users.items():
            yield b"user:%s:profile" % name, "hash", self.profile(user)
            if user.recent:
                yield b"user:%s:recent_views" % name, "list", list(user.recent)
            if user.scores:
                yield b"user:%s:recommendations" % name, "zset", user.scores
            yield b"headrace:user:%s:state" % name, "string", self.state(user)
            if user.categories:
                yield b"headrace:user:%s:categories" % name, "hash", {
                    c: b"%d" % n for c, n in user.categories.items()}
        for name, products in self.products.items():
            yield b"category:%s:products" % name, "set", products

    @staticmethod
    def profile(user):
        out = {b"total_views": b"%d" % user.views,
               b"total_purchases": b"%d" % user.purchases,
               b"last_active": events.iso_time(user.newest)}
        if user.favourite is not None:
            out[b"favorite_category"] = user.favourite
        return out

    @staticmethod
    def state(user):
        best = user.favourite
        return b"1 %d %d %d %d %d %s" % (
            user.period, user.newest, user.views, user.purchases,
            user.categories[best] if best is not None else 0, best or b"")


class Log:
    """Whether each event was counted once, whoever sent it; where it was found."""

    def __init__(self, findings, ledgers, strangers_welcome):
        self.findings, self.ledgers = findings, ledgers
        self.strangers_welcome = strangers_welcome
        self.found = {}  # user and id: (shard, n, index, offset)

    def counted(self, event):
        key = event.user + b"\n" + event.id
        where = self.found.get(key)
        if where is None:
            self.found[key] = event.shard, event.n, event.index, event.offset
        else:
            self.findings.add(
                "doubled", "log", f"counted again; first in link {where[1]} at offset "
                f"{where[3]}", event.id, event.user, shard=event.shard, link=event.n,
                offset=event.offset)
        if not self.ledgers:
            return
        if not self.ledgers.counted(event) and event.given \
                and not self.strangers_welcome:
            self.findings.add("phantom", "log", "counted, and in no ledger", event.id,
                              event.user, shard=event.shard, link=event.n,
                              offset=event.offset)

    def rejected(self, shard, n, offset, item, data, _user, reason):
        if self.ledgers and not self.strangers_welcome:
            event, _ = events.parse(item.codec, data, 0)
            self.findings.add("wrong", "log", f"rejected as {reason}", event.id,
                              event.user, shard=shard, link=n, offset=offset)

    def repeated(self, user, event_id, shard, n, offset, item):
        """An appliance that acknowledges takes a datagram once: a repeated one in the
        log means that it forgot its own floor. Without acknowledgement the network may
        double."""
        if item.kind == r.DATAGRAM and item.flags & r.ORDERED:
            self.findings.add("doubled", "log", "logged again at or below its stream's "
                              "floor (and not counted again)", event_id, user,
                              shard=shard, link=n, offset=offset)
