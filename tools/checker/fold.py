# SPDX-License-Identifier: BSD-3-Clause
"""fold as docs/fold.md has it: from the accepted links of a shard to verdicts, in order.

Written from that page alone. What becomes of events is told to a sink:

    sink.counted(event)                          verdict counted
    sink.rejected(shard, n, offset, item, data, user, reason)    one that has bytes
    sink.repeated(event_id, user, item, ...)     see Fold.repeat()
"""
from collections import OrderedDict

import event as events
import record as r
from hashes import murmur2, to_positive

WINDOW_BITS = 64
RECEIVED_MOST = 253402300799999
DISK_CLASS = 1 << 63
MINUTE_US = 60_000_000

REPEATED, NO_ROOM, TAKEN = "repeated", "no_room", "taken"
FOREIGN = "foreign"  # under another write key than its stream began with
NO_CLASS, MEMORY, DISK = 0, 1, 2


class Stream:
    """floor is the highest sequence; bits and first are of a window alone."""
    __slots__ = ("cls", "floor", "bits", "first", "last", "key_id")


class Totals:
    def __init__(self):
        self.events = self.counted = self.repeated = 0
        self.rejected = {}
        self.gaps = self.filled = 0
        self.dedup_hits = self.dedup_evicted = 0

    def is_balanced(self):
        """Ledger law 2: every event of every item has one verdict."""
        return self.events == self.counted + self.repeated + sum(self.rejected.values())


class Fold:
    def __init__(self, shard, n_shards, sink):
        self.shard, self.n_shards, self.sink = shard, n_shards, sink
        self.settings = {}
        self.version = 0
        self.streams = {}
        # Streams of each class, the one that was heard of longest ago first.
        self.by_age = (OrderedDict(), OrderedDict(), OrderedDict())
        self.of_key = {}
        self.seen = OrderedDict()  # dedup: (user, id) to the clock it was first seen
        self.totals = Totals()
        self.mine = {}  # user: whether it belongs to this shard
        self.clock = 0

    def setting(self, number):
        return self.settings.get(number, 0)

    def take(self, link, offset):
        """One accepted link."""
        self.clock = link.clock
        if link.body_kind == r.CONFIG:
            self.expire()
            self.forget_old()
            self.version, self.settings, pipeline = r.decode_config(link.body)
            if pipeline:
                raise r.UnknownBody("a pipeline: only the default one is known")
            self.forget_until(self.room_for_known())
            return
        if link.body_kind == r.LOSS:
            if len(link.body) != 24:
                raise r.BadBody("a LOSS of %d bytes" % len(link.body))
            return
        items = list(r.items_of(link.body))
        said = [self.judge(item) for item in items]
        index = 0
        for item, verdict in zip(items, said):
            if item.kind in (r.DATAGRAM, r.EVENT):
                index = self.take_item(link.n, offset, item, verdict, index)

    # ---- streams

    def age(self, cls):
        if cls == NO_CLASS:
            return self.setting(r.STREAM_MAX_AGE)
        ttl = self.setting(r.TTL_DISK if cls == DISK else r.TTL_MEMORY)
        return self.setting(r.STREAM_MAX_AGE) + ttl + MINUTE_US

    def expire(self):
        for cls, order in enumerate(self.by_age):
            age = self.age(cls)
            while order:
                key = next(iter(order))
                stream = self.streams[key]
                if self.clock - stream.last <= age:
                    break
                del order[key], self.streams[key]
                self.of_key[stream.key_id] -= 1

    def judge(self, item):
        if item.kind not in (r.DATAGRAM, r.SKIP):
            return TAKEN
        self.expire()
        key = item.birth, item.random
        stream = self.streams.get(key)
        if stream is None:
            stream = self.begin(key, item)
            if stream is None:
                return NO_ROOM
            if stream.cls == NO_CLASS:
                return TAKEN
        elif item.key_id != stream.key_id:
            return FOREIGN  # no effect at all
        elif item.kind == r.SKIP and stream.cls == NO_CLASS:
            return TAKEN  # no effect at all
        stream.last = self.clock
        self.by_age[stream.cls].move_to_end(key)
        if stream.cls == NO_CLASS:
            return self.in_window(stream, item.sequence)
        return self.above_floor(stream, item)

    def begin(self, key, item):
        """The stream that begins with this item, or None where there is no room."""
        of_key, share = self.of_key.get(item.key_id, 0), self.setting(r.KEY_STREAMS)
        if len(self.streams) >= self.setting(r.MAX_STREAMS) or share and \
                of_key >= share:
            return None
        has_floor = item.kind == r.SKIP or item.flags & r.ORDERED
        stream = Stream()
        stream.cls = NO_CLASS if not has_floor else \
            DISK if item.birth & DISK_CLASS else MEMORY
        stream.floor = 0 if has_floor else item.sequence
        stream.first, stream.bits = item.sequence, 1
        stream.last, stream.key_id = self.clock, item.key_id
        self.streams[key] = stream
        self.by_age[stream.cls][key] = None
        self.of_key[item.key_id] = of_key + 1
        return stream

    def above_floor(self, stream, item):
        if item.sequence <= stream.floor:
            return REPEATED
        jump = item.sequence - stream.floor
        self.totals.gaps += jump if item.kind == r.SKIP else jump - 1
        stream.floor = item.sequence
        return TAKEN

    def in_window(self, stream, sequence):
        """{highest, 64 bits}: bit i is sequence highest - i."""
        ahead = sequence - stream.floor
        if ahead > 0:
            self.totals.gaps += ahead - 1
            stream.bits = (stream.bits << ahead | 1) & (1 << WINDOW_BITS) - 1 \
                if ahead < WINDOW_BITS else 1
            stream.floor = sequence
            return TAKEN
        if -ahead >= WINDOW_BITS or stream.bits >> -ahead & 1:
            return REPEATED
        stream.bits |= 1 << -ahead
        if sequence > stream.first:
            self.totals.filled += 1
        return TAKEN

    # ---- events

    def take_item(self, n, offset, item, verdict, index):
        """Every event of it; the index of the next item's first."""
        totals, most = self.totals, self.setting(r.MAX_EVENTS)
        totals.events += item.events
        received_ms = min(item.received // 1000, RECEIVED_MOST)
        if self.version == 2:  # whole seconds
            received_ms -= received_ms % 1000
        left = item.events
        for start, end, whole in events.frames(item.codec, item.payload):
            if not left:
                break
            left -= 1
            data = item.payload[start:end]
            if verdict == REPEATED:
                self.repeat(n, offset, item, data if whole else b"", index)
            elif verdict == FOREIGN:
                self.reject(n, offset, item, data, None, "stream_key")
            elif verdict == NO_ROOM or index >= most:
                self.reject(n, offset, item, data, None, "capacity")
            elif not whole:
                self.reject(n, offset, item, data, None, "syntax")
            else:
                self.take_event(n, offset, item, data, received_ms, index)
            index += 1
        for _ in range(left):  # claimed, and not there: verdicts without bytes
            if verdict == REPEATED:
                totals.repeated += 1
            else:
                reason = "stream_key" if verdict == FOREIGN else \
                    "capacity" if verdict == NO_ROOM or index >= most else "syntax"
                totals.rejected[reason] = totals.rejected.get(reason, 0) + 1
            index += 1
        return index

    def take_event(self, n, offset, item, data, received_ms, index):
        event, reason = events.parse(item.codec, data, received_ms)
        if reason:
            self.reject(n, offset, item, data, event.user, reason)
            return
        if not self.is_mine(event.user):
            self.reject(n, offset, item, data, None, "wrong_shard")
            return
        event.given = event.id is not None
        if item.kind == r.EVENT and event.given and self.is_known(event):
            self.totals.repeated += 1
            self.sink.repeated(event.user, event.id, self.shard, n, offset, item)
            return
        if not event.given:
            event.id = b"hr-%d-%d-%d" % (self.shard, n, index)
        event.shard, event.n, event.index = self.shard, n, index
        event.offset = offset
        self.totals.counted += 1
        self.sink.counted(event)

    def room_for_known(self):
        return self.setting(r.DEDUP_MAX) if self.setting(r.DEDUP_WINDOW) else 0

    def forget_old(self):
        window = self.setting(r.DEDUP_WINDOW)
        while self.seen:
            oldest = next(iter(self.seen))
            if self.clock - self.seen[oldest] <= window:
                break
            del self.seen[oldest]

    def forget_until(self, most):
        """Before their time, those first that became known first."""
        while len(self.seen) > most:
            self.seen.popitem(last=False)
            self.totals.dedup_evicted += 1

    def is_known(self, event):
        """Known by user and id; if not, it is from now on."""
        most = self.room_for_known()
        self.forget_old()
        key = event.user, event.id
        if key in self.seen:
            self.totals.dedup_hits += 1
            return True
        if most:
            self.forget_until(most - 1)
            self.seen[key] = self.clock
        return False

    def is_mine(self, user):
        mine = self.mine.get(user)
        if mine is None:
            if len(self.mine) > events.MEMORY:
                self.mine.clear()
            mine = to_positive(murmur2(user)) % self.n_shards == self.shard
            self.mine[user] = mine
        return mine

    def repeat(self, n, offset, item, data, index):
        self.totals.repeated += 1
        event, reason = events.parse(item.codec, data, 0)
        if reason is None and event.id is not None:
            self.sink.repeated(event.user, event.id, self.shard, n, offset, item)

    def reject(self, n, offset, item, data, user, reason):
        self.totals.rejected[reason] = self.totals.rejected.get(reason, 0) + 1
        if user is not None and not self.is_mine(user):
            user = None
        self.sink.rejected(self.shard, n, offset, item, data, user, reason)
