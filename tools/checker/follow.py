# SPDX-License-Identifier: BSD-3-Clause
"""A judge that stays: folds a log on files as it grows, and compares Redis with it as
often as it is asked. What was read once may be trimmed afterwards."""
import os
import re
import time

import compare
import expect
import file_source
from errors import CannotCheck
from findings import Findings
from fold import Fold
from run import Fan, ShardLog, position_n


class Endless:
    """A view's position in each shard that excuses nothing."""

    def __getitem__(self, _shard):
        return 1 << 64


class Shard:
    def __init__(self, folder, meta, number, sink):
        self.folder = os.path.join(folder, meta.topic.decode(), str(number))
        self.meta, self.number = meta, number
        self.log = ShardLog(meta, number)
        self.fold = Fold(number, meta.shards, sink)
        self.at, self.segment = 0, 0

    def parts(self):
        names = sorted(x for x in os.listdir(self.folder)
                       if re.fullmatch(r"\d{8}\.segment", x))
        numbers = [int(x[:8]) for x in names if int(x[:8]) >= self.segment]
        return [file_source.Segment(os.path.join(self.folder, f"{n:08}.segment"),
                                    self.meta, self.number, n) for n in numbers]

    def read(self):
        """Folds what came since."""
        if not os.path.isdir(self.folder):
            return
        parts = self.parts()
        if parts and parts[0].base > self.at:
            raise CannotCheck(f"shard {self.number}: the log begins at position "
                              f"{parts[0].base}, and was read up to {self.at}")
        for part, after in zip(parts, parts[1:] + [None]):
            end = part.end if after is None else after.base
            if end > self.at:
                for offset, data in part.records(end, max(self.at, part.base)):
                    self.take(offset, data)
                self.at = end
            self.segment = part.number

    def take(self, offset, data):
        self.log.take(offset, data)
        for at, link in self.log.links:
            self.fold.take(link, at)
        self.log.links.clear()


class Follower:
    """log_dir: log.folder; redis: a redis_source.RedisSource; similar: the shop's sets,
    which must not change."""

    def __init__(self, log_dir, redis, similar, recent_views, recommendations):
        self.findings = Findings()
        self.redis = redis
        self.meta = file_source.read_meta(log_dir)
        self.wanted = expect.Redis(Endless(), similar, recent_views, recommendations)
        sink = Fan([self.wanted])
        self.shards = [Shard(log_dir, self.meta, s, sink)
                       for s in range(self.meta.shards)]

    def read(self):
        for shard in self.shards:
            shard.read()

    def n_events(self):
        return sum(s.fold.totals.events for s in self.shards)

    def ends(self):
        return [s.log.chain.n for s in self.shards]

    def await_view(self, wait_s):
        """Reads until Redis stands at the log's end in every shard; whether it does."""
        until = time.monotonic() + wait_s
        while True:
            self.read()
            there = self.positions()
            if there == self.ends():
                return True
            if time.monotonic() > until:
                return False
            time.sleep(0.05)

    def positions(self):
        texts = self.redis.positions(self.meta.shards)
        return [position_n(texts.get(s)) for s in range(self.meta.shards)]

    def compare(self):
        """Every key of Redis with the fold of the whole log; the number of keys. New
        findings are in self.findings."""
        texts = self.redis.positions(self.meta.shards)
        for s, shard in enumerate(self.shards):
            self.compare_position(s, shard, texts.get(s))
            for what, offset, owner in shard.log.trouble:
                self.findings.add("chain", "log", what, shard=s, offset=offset,
                                  owner=owner)
        return compare.compare_redis(self.redis, self.wanted,
                                     dict.fromkeys(range(len(self.shards)), 0),
                                     self.findings)

    def compare_position(self, s, shard, text):
        n = shard.log.chain.n
        wanted = f"{self.meta.generation} {n} 0 {shard.log.hashes[n - 1].hex()} " \
            if n else ""
        if not (text or b"").decode().startswith(wanted):
            self.findings.add("wrong", "redis", f"the position of shard {s} is {text!r}, "
                              f"must begin with {wanted!r}", shard=s)


