# SPDX-License-Identifier: BSD-3-Clause
"""One check from beginning to end: read the log, wait for the views, fold, compare."""
import time

import compare
import expect
import record as r
from errors import CannotCheck, Moved
from findings import Findings
from fold import Fold
from ledger import Ledgers


class ShardLog:
    """What one partition of the log holds: the chain, and links as they were
    accepted."""

    def __init__(self, meta, shard):
        self.chain = r.Chain(meta, shard)
        self.trouble = []  # (what, offset, owner) of broken laws
        self.links = []   # (offset, Record)
        self.hashes = []  # of link n at n - 1
        self.ignored = {}
        self.by_owner = {}  # (owner, n): hash, of every link that was appended

    def take(self, offset, data):
        record = r.decode(data)
        verdict = self.chain.offer(record)
        if verdict == "link":
            self.links.append((offset, record))
            self.hashes.append(self.chain.hash)
        elif verdict == "unknown":
            raise CannotCheck(
                f"shard {self.chain.shard}, offset {offset}: a record of a later "
                "version, which may decide what counts")
        elif verdict != "fence":
            self.ignored[verdict] = self.ignored.get(verdict, 0) + 1
        if record is not None and record.kind == r.LINK and verdict != "foreign":
            self.one_link_a_number(offset, record)

    def one_link_a_number(self, offset, link):
        """An owner never appends two links of one number (a link that is appended
        again has a fresh owner)."""
        said = self.chain.link_hash(link)
        before = self.by_owner.setdefault((link.owner, link.n), said)
        if before != said:
            self.trouble.append((f"one owner appended two links {link.n}", offset,
                                 link.owner.hex()))


class Report:
    def __init__(self):
        self.findings = Findings()
        self.numbers = {}
        self.notes = []
        self.seconds = 0

    def as_json(self):
        return {"verdict": "findings" if len(self.findings) else "clean",
                "seconds": round(self.seconds, 1), **self.numbers,
                "notes": self.notes, **self.findings.as_json()}

    def lines(self, most):
        n = self.numbers
        yield (f"log: {n['links']} links of {n['shards']} shards, {n['events']} events: "
               f"{n['counted']} counted, {n['repeated']} repeated, "
               f"{sum(n['rejected'].values())} rejected")
        if n.get("ledgers"):
            yield "ledgers: " + ", ".join(f"{v} {k}" for k, v in n["ledgers"].items()
                                          if v)
        if "topic_records" in n:
            yield f"topics: {n['topic_records']} records"
        if "redis_keys" in n:
            yield f"redis: {n['redis_keys']} keys"
        yield from (f"note: {x}" for x in self.notes)
        yield from self.findings.lines(most)
        found = len(self.findings)
        yield (f"{found} findings" if found else "clean") + f" ({self.seconds:.1f} s)"


def check(args):
    """What is found; begun anew where something moved, until args.wait is over."""
    end = time.monotonic() + args.wait
    while True:
        try:
            return attempt(args, end)
        except Moved:
            if time.monotonic() > end:
                raise


def attempt(args, end):
    started = time.monotonic()
    report = Report()
    ledgers = None
    if args.ledgers:
        ledgers = Ledgers(report.findings)
        for path in args.ledgers:
            ledgers.read(path)
    kafka = redis = None
    if args.brokers:
        from kafka_source import Kafka
        kafka = Kafka(args.brokers, args.prefix)
    if args.redis:
        from redis_source import RedisSource
        redis = RedisSource(args.redis, args.redis_password_file)
    Check(args, end, report, ledgers, kafka, redis).run()
    report.seconds = time.monotonic() - started
    return report


class Check:
    def __init__(self, args, end, report, ledgers, kafka, redis):
        self.args, self.end = args, end
        self.report, self.findings = report, report.findings
        self.ledgers, self.kafka, self.redis = ledgers, kafka, redis
        self.meta, self.shards = None, []

    def run(self):
        positions = self.settle()
        until = {view: self.judge_positions(view, texts)
                 for view, texts in positions.items()}
        log, topics, redis = self.sinks(until)
        self.fold([s for s in (log, topics, redis) if s])
        if self.ledgers:
            self.ledgers.end()
            self.report.numbers["ledgers"] = self.ledgers.states()
            if self.ledgers.strangers:
                self.report.notes.append(
                    f"{self.ledgers.strangers} counted events are in no ledger")
        if topics:
            self.report.numbers["topic_records"] = compare.compare_topics(
                self.kafka, topics, self.findings)
        if redis:
            self.report.numbers["redis_keys"] = compare.compare_redis(
                self.redis, redis, until["redis"], self.findings)
        if self.positions() != positions:
            raise Moved("positions moved while the views were read: stop the load first")

    # ---- the log, and the views at its end

    def settle(self):
        """Reads the log, waits until the views have it. The views' positions."""
        while True:
            self.read_log()
            while True:
                positions = self.positions()
                lags = [self.lag(v, t) for v, t in positions.items()]
                if all(lag <= 0 for lag in lags) or time.monotonic() > self.end:
                    break
                time.sleep(0.3)
            if all(lag >= 0 for shard in (self.lags(t) for t in positions.values())
                   for lag in shard):
                return positions
            if time.monotonic() > self.end:
                raise Moved("the log grows while it is read: stop the load first")

    def lag(self, _view, texts):
        return max(self.lags(texts))

    def lags(self, texts):
        """Links that each shard's view is behind; negative: ahead of what was read."""
        return [s.chain.n - position_n(texts.get(i)) for i, s in enumerate(self.shards)]

    def read_log(self):
        if self.args.log_dir:
            from file_source import read_meta, read_shards
            self.meta = read_meta(self.args.log_dir)
            self.shards = [ShardLog(self.meta, s)
                           for s in range(self.meta.shards)]
            read_shards(self.args.log_dir, self.meta, self.shards)
            return
        self.meta = self.read_meta()
        self.shards = [ShardLog(self.meta, s)
                       for s in range(self.meta.shards)]
        topic = self.meta.topic.decode()[len(self.args.prefix):]

        def begin(_topic, partition, low):
            if low > 0:
                raise CannotCheck(
                    f"the log of shard {partition} begins at offset {low}: it was "
                    "trimmed, and what stood before cannot be folded again")
        for batch in self.kafka.read({topic: self.meta.shards}, False, begin):
            for message in batch:
                self.shards[message.partition()].take(message.offset(), message.value())

    def read_meta(self):
        for batch in self.kafka.read({"headrace.meta": 1}, False):
            for message in batch:
                meta = r.decode(message.value())
                if meta is not None and meta.kind == r.META:
                    return meta
        raise CannotCheck("headrace.meta holds no data set: nothing was started here")

    # ---- positions

    def positions(self):
        out = {}
        if self.kafka and not self.args.no_topics:
            out["topics"] = self.kafka.positions(self.meta.shards)
        if self.redis:
            out["redis"] = self.redis.positions(self.meta.shards)
        return out

    def judge_positions(self, view, texts):
        """n of the last link of each shard that the view has applied."""
        until = {}
        for s, shard in enumerate(self.shards):
            text = texts.get(s)
            n = until[s] = position_n(text)
            if n < shard.chain.n:
                self.findings.add("behind", view, f"stands at link {n} of "
                                  f"{shard.chain.n}", shard=s)
            if n == 0:
                continue
            words = text.split(b"\n")[0].split(b" ")
            wanted = [b"%d" % self.meta.generation, b"%d" % n, b"0",
                      shard.hashes[n - 1].hex().encode()]
            if words[:4] != wanted:
                self.findings.add("wrong", view, f"the position of shard {s} is "
                                  f"{text[:80].decode()!r}, must begin with "
                                  f"{b' '.join(wanted).decode()!r}", shard=s)
        return until

    # ---- fold

    def sinks(self, until):
        log = expect.Log(self.findings, self.ledgers, self.args.strangers)
        topics = redis = None
        if "topics" in until:
            there = self.kafka.partitions()
            missing = [t for t in expect.TOPICS if t not in there]
            if missing:
                raise CannotCheck(f"Kafka has no topic {self.args.prefix}{missing[0]} "
                                  "(--no-topics where topics.encoding is none)")
            # Beyond the position, too: what a view says of itself excuses no record.
            topics = expect.Topics({t: there[t] for t in expect.TOPICS},
                                   {s: x.chain.n for s, x in enumerate(self.shards)})
        if "redis" in until:
            redis = expect.Redis(until["redis"], self.redis.similar(),
                                 self.args.recent_views, self.args.recommendations)
        return log, topics, redis

    def fold(self, sinks):
        numbers = {"shards": len(self.shards), "links": 0, "events": 0, "counted": 0,
                   "repeated": 0, "rejected": {}, "gaps": 0, "ignored_records": {}}
        sink = Fan(sinks)
        for s, shard in enumerate(self.shards):
            fold = Fold(s, self.meta.shards, sink)
            for offset, link in shard.links:
                try:
                    fold.take(link, offset)
                except (r.BadBody, r.UnknownBody) as error:
                    raise CannotCheck(f"shard {s}, link {link.n} at offset {offset}: "
                                      f"{error}: no reader may skip it") from None
            for what, offset, owner in shard.trouble:
                self.findings.add("chain", "log", what, shard=s, offset=offset,
                                  owner=owner)
            self.add_totals(numbers, s, shard, fold.totals)
            shard.links = None
        self.report.numbers.update(numbers)

    def add_totals(self, numbers, s, shard, totals):
        if not totals.is_balanced():
            self.findings.add("chain", "fold", "ledger law 2 does not hold", shard=s)
        numbers["links"] += shard.chain.n
        for name in ("events", "counted", "repeated", "gaps"):
            numbers[name] += getattr(totals, name)
        for into, found in (("rejected", totals.rejected),
                            ("ignored_records", shard.ignored)):
            for name, n in found.items():
                numbers[into][name] = numbers[into].get(name, 0) + n


class Fan:
    """One sink for several."""

    def __init__(self, sinks):
        self.on_counted = [s.counted for s in sinks]
        self.on_rejected = [s.rejected for s in sinks]
        self.on_repeated = [s.repeated for s in sinks if hasattr(s, "repeated")]

    def counted(self, event):
        for take in self.on_counted:
            take(event)

    def rejected(self, *words):
        for take in self.on_rejected:
            take(*words)

    def repeated(self, *words):
        for take in self.on_repeated:
            take(*words)


def position_n(text):
    if text is None:
        return 0
    try:
        return int(text.split(b" ")[1])
    except (IndexError, ValueError):
        raise CannotCheck(f"{text[:80]!r} is no position") from None
