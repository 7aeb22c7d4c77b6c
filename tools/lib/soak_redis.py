# SPDX-License-Identifier: BSD-3-Clause
"""tools/soak redis: one appliance, and a Redis that goes back, empties, is replaced and
stands still, round after round. After each round every key is what fold says.

The kinds of rounds, each under load unless its name says otherwise:

  cut       killed; its append-only file ends at a random byte; started again
  promoted  a replica that was cut off takes the place of its killed master
  emptied   FLUSHALL; the shop puts its own keys back in the same transaction
  old       killed; an RDB file of an earlier round is put back
  checkpoint
            killed; what headracectl checkpoint made some rounds ago is restored
  slow      SIGSTOP, CLIENT PAUSE or DEBUG SLEEP, also beyond the view's time-out
  idle      without any load: cut, emptied, or gone back under the living connection;
            noticed within NOTICED_S

The servers are real ones. The log lies in files, judged by tools/checker/follow.py,
which shares no code with the appliance.
"""
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time

import redis

import appliance
from servers import (LOOPBACK, PROJECT, Server, Trouble, find_program, kill_server,
                     read_text, say, stop_servers, wait_until, write_text)

sys.path.insert(0, os.path.join(PROJECT, "tools", "checker"))
from errors import CannotCheck  # noqa: E402
from follow import Follower  # noqa: E402
from redis_source import RedisSource  # noqa: E402

PRODUCTS, USERS, CATEGORIES, SHARDS = 300, 250, 20, 5
RECENT_VIEWS, RECOMMENDATIONS = 40, 60
NOTICED_S = 1.5
CAUGHT_UP_S = 90
NEAR_END = 64 << 10
TIMEOUT_S = 10  # the view's own

WEIGHTS = {"cut": 5, "promoted": 3, "emptied": 2, "old": 3, "checkpoint": 3, "slow": 3,
           "idle": 4}

CONFIG = """\
bind {host}
port {port}
dir "{data}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
enable-debug-command local
repl-diskless-sync-delay 0
set-proc-title no
"""


class Node:
    """One redis-server with its own folder."""

    def __init__(self, name, folder):
        self.name, self.folder = name, os.path.join(folder, name)
        self.data = os.path.join(self.folder, "data")
        self.config = os.path.join(self.folder, "redis.conf")
        self.server = Server(name, self.folder, self.config)
        self.port = self.client = None

    def start(self, port, master=None):
        self.port = port
        os.makedirs(self.data, exist_ok=True)
        text = CONFIG.format(host=LOOPBACK, port=port, data=self.data)
        if master:
            text += f"replicaof {LOOPBACK} {master.port}\n"
        write_text(self.config, text)
        self.connect(port)
        self.spawn()
        try:
            self.server.await_ready(self.is_ready, 60)
        except Trouble as trouble:
            # Killed while it began its file anew behind half a transaction, it mends
            # the older part and refuses, once.
            if "is not the last file" not in str(trouble):
                raise
            self.spawn()
            self.server.await_ready(self.is_ready, 60)

    def spawn(self):
        self.server.spawn([find_program("redis-server"), self.config])

    def connect(self, port):
        self.port = port
        self.client = redis.Redis(host=LOOPBACK, port=port, socket_timeout=60,
                                  protocol=2)

    def is_ready(self):
        with contextlib.suppress(redis.RedisError, OSError):
            return self.client.ping()
        return False

    def kill(self):
        kill_server(self.server)

    def wipe(self):
        shutil.rmtree(self.data, ignore_errors=True)

    def newest_aof(self):
        """The last incremental part of the append-only file."""
        folder = os.path.join(self.data, "appendonlydir")
        names = re.findall(r"file (\S+) seq (\d+) type i",
                           read_text(os.path.join(folder, "appendonly.aof.manifest"), ""))
        return os.path.join(folder, max(names, key=lambda x: int(x[1]))[0])

    def await_rewritten(self):
        """No rewrite of the append-only file is under way or waits for its turn."""
        def is_over():
            now = self.client.info("persistence")
            return not now["aof_rewrite_in_progress"] and \
                not now["aof_rewrite_scheduled"]
        if not wait_until(is_over, 30):
            raise Trouble("a rewrite of the append-only file does not end")

    def saved(self):
        """Makes an RDB file, aside; its path."""
        client = self.client
        before = client.lastsave()
        time.sleep(max(0, 1.01 - time.time() % 1))  # lastsave() counts seconds
        client.bgsave()
        if not wait_until(lambda: client.lastsave() > before, 30, 0.05):
            raise Trouble("BGSAVE does not end")
        return os.path.join(self.data, "dump.rdb")

    def put_back(self, rdb):
        """Its data become those of an RDB file, as an append-only file's beginning."""
        self.wipe()
        os.makedirs(self.data)
        shutil.copyfile(rdb, os.path.join(self.data, "appendonly.aof"))


class World:
    def __init__(self, stage, seed):
        self.stage, self.seed = stage, seed
        self.random = random.Random(seed)
        self.socket = os.path.join(stage.folder, "memif.sock")
        self.node = Node("redis-a", stage.folder)
        self.other = Node("redis-b", stage.folder)
        self.sender = self.judge = None
        self.shop, self.similar = {}, {}
        self.old_rdb = os.path.join(stage.folder, "old.rdb")
        self.log_path = os.path.join(stage.folder, "headraced", "log")
        self.checkpoints = os.path.join(stage.folder, "checkpoints")
        self.old_positions = []
        self.log_at, self.said = 0, ""

    # ---- beginning and end

    def begin(self, **over):
        stage = self.stage
        self.node.start(stage.redis_port)
        stage.gen("shop", "--redis", f"{LOOPBACK}:{stage.redis_port}", "--products",
                  PRODUCTS, "--categories", CATEGORIES)
        self.remember_shop()
        stage.write_config(appliance.merge({
            "ports": [{"device": f"memif:server:{self.socket}"}],
            "data_set": {"shards": SHARDS},
            "dataplane": {"huge_pages": False},
            "epoch": {"min_interval": "10ms"},
            "redis": {"recent_views": RECENT_VIEWS, "recommendations": RECOMMENDATIONS},
            "snapshot": {"interval": "5s"},
            "checkpoint": {"folder": self.checkpoints, "interval": "24h"},
            "log": {"segment": "1MiB", "keep_memory": "1MiB"}}, over))
        stage.start()
        self.judge = Follower(stage.log_folder,
                              RedisSource(f"{LOOPBACK}:{stage.redis_port}"),
                              self.similar, RECENT_VIEWS, RECOMMENDATIONS)

    def remember_shop(self):
        client = self.node.client
        source = RedisSource(f"{LOOPBACK}:{self.node.port}")
        self.similar = source.similar()
        for key in client.scan_iter(match="product:*", count=5000):
            self.shop[key] = client.dump(key)
        if len(self.similar) < PRODUCTS // 2:
            raise Trouble(f"the shop has {len(self.similar)} sets of similar products")
        # So that no cut of what is appended from now on reaches the shop's keys.
        client.bgrewriteaof()
        self.node.await_rewritten()

    def end(self):
        self.unload()
        with contextlib.suppress(Exception):
            os.kill(self.node.server.pid(), signal.SIGCONT)
        stop_servers([self.node.server, self.other.server], 10)

    # ---- load

    def load(self, number):
        """Some seconds of it, beside; another seed for each round."""
        chance = self.random
        events = chance.randrange(1500, 6000)
        self.sender = self.stage.sender(
            "sender", "send", "--to", f"memif:client:{self.socket}", "--events", events,
            "--rate", chance.randrange(1200, 2500), "--users", USERS, "--products",
            PRODUCTS, "--categories", CATEGORIES, "--shards", SHARDS, "--seed",
            self.seed * 1000000 + number, "--datagram-events",
            chance.choice((1, 5, 20)), "--key-id", appliance.KEY_ID, "--key-file",
            self.stage.keys_path)
        time.sleep(chance.uniform(0.2, 1.2))

    def unload(self):
        """Until the sender has handed over everything."""
        sender, self.sender = self.sender, None
        if sender is None:
            return
        try:
            code = sender.child.wait(120)
        finally:
            stop_servers([sender], 5)
            self.stage.others.remove(sender)
        if code != 0:
            raise Trouble(f"the sender ended with {code}: {sender.last_words()}")

    # ---- what happens to Redis

    def emptied(self):
        """Emptied, and the shop is there again, at once: nobody saw it without."""
        pipe = self.node.client.pipeline(transaction=True)
        pipe.flushall()
        for key, value in self.shop.items():
            pipe.restore(key, 0, value)
        pipe.execute()

    def cut_file(self):
        """Cuts the file of the killed server; how many bytes went."""
        path = self.node.newest_aof()
        size = os.path.getsize(path)
        first = 0 if self.random.random() < 0.3 else max(0, size - NEAR_END)
        at = self.random.randrange(first, size) if size > first else size
        os.truncate(path, at)
        return size - at

    def cut(self):
        self.node.kill()
        self.cut_file()
        self.node.start(self.stage.redis_port)

    def promoted(self):
        """The replica knows nothing of what its master did behind the cut."""
        node, other = self.node, self.other
        other.wipe()
        other.start(self.stage.redis_port + 2, node)
        if not wait_until(lambda: other.client.info("replication")
                          ["master_link_status"] == "up", 30, 0.02):
            raise Trouble("the replica does not come up: " + other.server.last_words())
        other.client.replicaof(LOOPBACK, 1)
        time.sleep(self.random.uniform(0.05, 1))
        node.kill()
        other.client.replicaof("NO", "ONE")
        other.client.config_set("port", self.stage.redis_port)
        other.connect(self.stage.redis_port)
        if not wait_until(other.is_ready, 20):
            raise Trouble("the promoted replica does not answer at its new port")
        self.node, self.other = other, node

    def old(self):
        self.node.kill()
        self.node.put_back(self.old_rdb)
        self.node.start(self.stage.redis_port)

    def reload(self):
        """An older RDB file into the running server. Its append-only file knows nothing
        of that and is begun anew."""
        client = self.node.client
        shutil.copyfile(self.old_rdb, os.path.join(self.node.data, "dump.rdb"))
        client.config_set("appendonly", "no")
        client.execute_command("DEBUG", "RELOAD", "NOSAVE")
        client.config_set("appendonly", "yes")

    def ctl(self, *words):
        return appliance.command([appliance.headracectl(), "--config",
                                  self.stage.config_path, *words], 120)

    def kept_checkpoints(self):
        """Their names, the oldest first."""
        return [line.split()[0] for line in
                self.ctl("checkpoint", "list").splitlines()]

    def restore(self, name):
        self.node.kill()
        self.node.wipe()
        os.makedirs(self.node.data)
        self.ctl("checkpoint", "restore", name, self.node.data)
        self.node.start(self.stage.redis_port)

    def checkpoint(self):
        """Back to one that is kept; now and then one is made under load."""
        if self.random.random() < 0.6:
            self.ctl("checkpoint", "make")
        self.restore(self.random.choice(self.kept_checkpoints()))

    def slow(self):
        way = self.random.choice(("stop", "pause", "sleep"))
        seconds = TIMEOUT_S + 1.5 if self.random.random() < 0.06 else \
            self.random.uniform(0.1, 3)
        if way == "pause":
            self.node.client.client_pause(int(seconds * 1000))
            time.sleep(seconds)
        elif way == "sleep":
            self.node.client.execute_command("DEBUG", "SLEEP", f"{seconds:.3f}")
        else:
            pid = self.node.server.pid()
            os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.kill(pid, signal.SIGCONT)

    def idle(self):
        """Goes back while nothing is written; seconds until each shard that must have
        gone back was noticed."""
        way = self.random.choice(("emptied", "reload", "cut"))
        every = {s for s, n in enumerate(self.judge.ends()) if n > 0}
        older = {s for s in every if self.old_positions[s] < self.judge.ends()[s]}
        if way == "reload" and not older:
            way = "emptied"
        back = older if way == "reload" else every
        if way == "emptied":
            self.emptied()
        elif way == "reload":
            self.reload()
        else:
            self.node.kill()
            path = self.node.newest_aof()
            os.truncate(path, self.random.randrange(0, max(os.path.getsize(path), 1)))
            self.node.start(self.stage.redis_port)
        began = time.monotonic()

        def noticed():
            shards = set(map(int, re.findall(r"shard (\d+) went back", self.new_log())))
            return shards if way == "cut" else shards >= back
        if not wait_until(noticed, CAUGHT_UP_S, 0.01):
            raise Trouble(f"idle ({way}): not noticed within {CAUGHT_UP_S} s")
        took = time.monotonic() - began
        if took > NOTICED_S:
            raise Trouble(f"idle ({way}): noticed after {took:.2f} s, at most "
                          f"{NOTICED_S} s are allowed")
        return took

    # ---- judging

    def new_log(self):
        """What the appliance wrote in this round."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_at)
            data = file.read()
        self.log_at += len(data)
        self.said += data.decode("utf-8", "replace")
        return self.said

    def keep_copy(self):
        """An RDB file of now, for a later round to go back to."""
        self.node.await_rewritten()
        if not os.path.exists(self.old_rdb) or self.random.random() < 0.25:
            shutil.copyfile(self.node.saved(), self.old_rdb)
            self.old_positions = self.judge.positions()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.node.data, "dump.rdb"))

    def round(self, number, kind):
        row = {"kind": kind}
        self.new_log()
        self.said = ""
        before = self.judge.n_events()
        if kind != "idle":
            self.load(number)
        row["noticed"] = getattr(self, kind)()
        healed_from = time.monotonic()
        self.unload()
        healed_from = max(healed_from, time.monotonic())
        if not self.judge.await_view(CAUGHT_UP_S):
            raise Trouble(f"Redis stands at {self.judge.positions()}, the log at "
                          f"{self.judge.ends()}")
        row["caught_up"] = time.monotonic() - healed_from
        row["keys"] = self.judge.compare()
        row["events"] = self.judge.n_events() - before
        if kind != "idle" and row["events"] == 0:
            raise Trouble("nothing came into the log")
        self.new_log()
        row["back"] = sum(int(a) - int(b) for a, b in re.findall(
            r"went back from link (\d+) to (\d+)", self.said))
        if len(self.judge.findings):
            raise Trouble("Redis is not what fold says:\n"
                          + "\n".join(self.judge.findings.lines(5)))
        return row


def table(rows):
    yield (f"{'kind':10} {'rounds':>6} {'events':>9} {'links back':>10} "
           f"{'noticed s':>9} {'caught up s, mean, most':>24}")
    for kind in WEIGHTS:
        of = [r for r in rows if r["kind"] == kind]
        if not of:
            continue
        noticed = [r["noticed"] for r in of if r["noticed"] is not None]
        caught = [r["caught_up"] for r in of]
        yield (f"{kind:10} {len(of):6} {sum(r['events'] for r in of):9} "
               f"{sum(r['back'] for r in of):10} "
               f"{f'{max(noticed):.2f}' if noticed else '':>9} "
               f"{f'{sum(caught) / len(caught):.2f}  {max(caught):.2f}':>24}")


def play(world, rounds, rows):
    """Appends a row for each round that was right."""
    world.begin()
    world.load(0)
    world.unload()
    world.ctl("checkpoint", "make")
    if not world.judge.await_view(CAUGHT_UP_S):
        raise Trouble("the first load does not come into Redis")
    kinds = random.Random(world.seed)
    for number in range(1, rounds + 1):
        world.keep_copy()
        kind = kinds.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if number <= len(WEIGHTS):  # each of them early
            kind = list(WEIGHTS)[number - 1]
        at = time.monotonic()
        try:
            row = world.round(number, kind)
        except Exception:
            say(f"round {number} ({kind}), seed {world.seed}: FAILED")
            raise
        rows.append(row)
        say(f"round {number:4} {kind:10} {row['events']:5} events, {row['back']:6} links "
            f"back, right after {row['caught_up']:.2f} s, {row['keys']} keys, "
            f"{time.monotonic() - at:.1f} s" + (
                f", noticed after {row['noticed']:.2f} s" if row["noticed"] is not None
                else ""))


def run(rounds, seed, port, keep):
    folder = tempfile.mkdtemp(prefix="headrace-soak-redis.")
    began = time.monotonic()
    rows, good = [], False
    try:
        with appliance.Stage(folder, port_base=port, log="file") as stage:
            world = World(stage, seed)
            try:
                play(world, rounds, rows)
                good = stage.is_balanced() and stage.stop()
            except (Trouble, CannotCheck, OSError, redis.RedisError) as trouble:
                say(f"{type(trouble).__name__}: {trouble}\nthe end of headraced's log:\n{stage.log()[-4000:]}")
                say(json.dumps(stage.status().get("views")))
            finally:
                world.end()
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(table(rows)))
    print(f"soak redis: {len(rows)} of {rounds} rounds right, seed {seed}, "
          f"{time.monotonic() - began:.0f} s" + ("" if good else ": FAILED"))
    return 0 if good else 1
