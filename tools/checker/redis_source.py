# SPDX-License-Identifier: BSD-3-Clause
"""Reads what Headrace has in Redis: every key of ours, each with its type."""
import redis

from errors import CannotCheck

BATCH = 2000
OURS = (b"user:*", b"category:*", b"headrace:*")


class RedisSource:
    def __init__(self, address, password_file=None):
        host, _, port = address.rpartition(":")
        password = None
        if password_file:
            with open(password_file, encoding="utf-8") as f:
                password = f.readline().rstrip("\n")
        self.address = address
        self.client = redis.Redis(host=host, port=int(port), password=password,
                                  socket_timeout=30, protocol=2)

    def ask(self, question, *words):
        try:
            return question(*words)
        except redis.RedisError as error:
            raise CannotCheck(f"Redis at {self.address}: {error}") from None

    def keys(self, pattern):
        def scan():
            return set(self.client.scan_iter(match=pattern, count=5000))
        return self.ask(scan)

    def pipelined(self, calls):
        """Answers of [(method, words…)], errors as exceptions among them."""
        out = []
        for i in range(0, len(calls), BATCH):
            pipe = self.client.pipeline(transaction=False)
            for name, *words in calls[i:i + BATCH]:
                getattr(pipe, name)(*words)
            out += self.ask(lambda p=pipe: p.execute(raise_on_error=False))
        return out

    def similar(self):
        """{product: set of similar ones}; a key of another type is an empty set."""
        names = [k for k in self.keys(b"product:*:similar")]
        answers = self.pipelined([("smembers", k) for k in names])
        return {k[len(b"product:"):-len(b":similar")]: a for k, a in zip(names, answers)
                if isinstance(a, (set, list)) and a}

    def positions(self, n_shards):
        keys = [b"headrace:shard:%d" % s for s in range(n_shards)]
        return {s: v for s, v in enumerate(self.ask(self.client.mget, keys)) if v}

    def values(self, wanted):
        """[(key, type)] to values of that type; None where the key is missing, an
        exception where it has another type."""
        calls = {"hash": lambda k: ("hgetall", k),
                 "list": lambda k: ("lrange", k, 0, -1),
                 "zset": lambda k: ("zrange", k, 0, -1, False, True),
                 "set": lambda k: ("smembers", k),
                 "string": lambda k: ("get", k)}
        for i in range(0, len(wanted), BATCH):
            part = wanted[i:i + BATCH]
            answers = self.pipelined([calls[kind](key) for key, kind, *_ in part])
            for (key, kind, *more), answer in zip(part, answers):
                if kind == "zset" and isinstance(answer, list):
                    answer = dict(answer)
                yield key, kind, answer, *more
