# SPDX-License-Identifier: BSD-3-Clause
"""What happens to appliances under an acknowledged load, and what is judged afterwards:
shared by tests/integration/test_crash_table and tools/soak kill.

    world = World(folder, port, n=2)     # Kafka, Redis, appliances a and b on two wires
    load = world.load("load", seed=1, rate=20000, ...)
    world.a.kill(); world.a.revive()     # what is killed comes back
    world.judge([load])                  # checker and plans: [sentence of what is wrong]

A build with -Dcrash_points=true dies where it is told to: world.a.wish.arm("ack_sent", 3).
"""
import contextlib
import json
import mmap
import os
import re
import signal
import socket
import struct
import subprocess
import time

import appliance
from servers import LOOPBACK, PROJECT, Trouble, read_text, say, wait_until

PRODUCTS = 900
SHARDS = 4
PARTITIONS = {"user_events": 4, "product_views": 4, "purchases": 4, "dead_letters": 4}
# headraced waits longer before each start while its dataplane keeps dying: after so many
# deaths it is killed, too, and a new one starts at once.
DEATHS_BORNE = 3
CHECKER_SKIPS = 77


def crash_points():
    """Names in the order of the file."""
    rows = read_text(os.path.join(PROJECT, "common", "crash_points.def"))
    return re.findall(r"^HR_CRASH_POINT_ROW\((\w+),", rows, re.M)


def tell(server, number):
    """A signal whose end nobody waits for."""
    handle = server.signal(number)
    if handle is not None:
        os.close(handle)


class Wish:
    """Where the next process dies or stands still: common/crash_point.h."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.write(b"\0" * 64)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 64)
        self.known = set(crash_points())

    def arm(self, point, count=1, number=signal.SIGKILL):
        if point not in self.known:
            raise Trouble(f"there is no crash point {point}")
        self.disarm()
        self.map[8:64] = point.encode().ljust(56, b"\0")
        self.map[4:8] = struct.pack("<i", number)
        self.map[0:4] = struct.pack("<i", count)

    def is_hit(self):
        return struct.unpack("<i", self.map[0:4])[0] <= 0

    def disarm(self):
        self.map[0:4] = struct.pack("<i", 0)


class Load:
    """A headrace-gen sdk that runs beside, and what its ledger says so far."""

    def __init__(self, world, name, words, plan):
        self.world, self.name, self.words = world, name, words
        self.plan = plan
        self.ledger = os.path.join(world.folder, name + ".ledger")
        self.read_to = 0
        self.rest = b""
        self.n_tracked = self.n_decided = 0
        self.others = {}  # state: number, of what was not committed
        self.commits = []  # (decided, tracked) in s, as they came
        self.start()

    def start(self):
        words = [*self.words, "--ledger", self.ledger]
        self.sender = self.world.a.sender(
            self.name, *words, *(["--plan", self.plan] if self.plan else []), wire=True)

    def kill(self):
        """As an application dies; start() is its next process."""
        tell(self.sender, signal.SIGKILL)
        self.sender.child.wait(20)

    def stop(self, timeout_s):
        """No more events; until what is under way is decided."""
        tell(self.sender, signal.SIGTERM)
        return self.wait(timeout_s)

    def wait(self, timeout_s):
        try:
            return self.sender.child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def look(self):
        """Reads what came to the ledger since."""
        if not os.path.exists(self.ledger):
            return
        with open(self.ledger, "rb") as f:
            f.seek(self.read_to)
            data = f.read()
        self.read_to += len(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if line.startswith(b"+ "):
                self.n_tracked += 1
            elif line and not line.startswith(b"#"):
                _, state, tracked, decided = line.rsplit(b" ", 3)
                self.n_decided += 1
                if state == b"committed":
                    self.commits.append((int(decided) / 1e6, int(tracked) / 1e6))
                else:
                    word = state.decode()
                    self.others[word] = self.others.get(word, 0) + 1

    def first_commit(self, since):
        """When the first event that was tracked after that moment was committed; None:
        none was yet."""
        self.look()
        for i in range(len(self.commits) - 1, -1, -1):
            if self.commits[i][0] < since:
                break
        else:
            i = -1
        for decided, tracked in self.commits[i + 1:]:
            if tracked >= since:
                return decided
        return None

    def said(self):
        return read_text(os.path.join(self.world.folder, "a", self.name, "log"), "")


class Appliance(appliance.Stage):
    """One of the world's: kills, pauses and comes back."""

    def __init__(self, world, name, number, port_base):
        super().__init__(os.path.join(world.folder, name), port_base=port_base)
        self.world, self.name, self.number = world, name, number
        os.makedirs(self.folder, exist_ok=True)
        self.wish = Wish(os.path.join(self.folder, "wish"))
        self.deaths = 0
        self.net = 97 - number
        self.address = f"10.{self.net}.0.1:7400"

    def need_huge_pages(self, extra=0):
        """The world has taken them for all: one that is killed leaves its own."""

    def start_daemon(self):
        os.environ["HEADRACE_CRASH"] = "@" + self.wish.path
        try:
            super().start_daemon()
        finally:
            del os.environ["HEADRACE_CRASH"]
        self.deaths = 0

    def said(self):
        """What the dataplane says of itself; {} while it does not."""
        with contextlib.suppress(OSError, ValueError):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                s.settimeout(2)
                s.connect(os.path.join(self.run_dir, "dataplane.sock"))
                s.sendall(b'{"command":"status"}\n')
                text = b""
                while not text.endswith(b"\n"):
                    more = s.recv(65536)
                    if not more:
                        break
                    text += more
                return json.loads(text)
        return {}

    def pid(self):
        """Of the dataplane that lives."""
        words = (read_text(os.path.join(self.run_dir, "dataplane.pid")) or "").split()
        if not words or not os.path.exists(f"/proc/{words[0]}"):
            return None
        stat = read_text(f"/proc/{words[0]}/stat") or ""
        field = stat.rsplit(")", 1)[-1].split()
        if len(field) < 20 or field[0] in "ZX" or field[19] != words[1]:
            return None
        return int(words[0])

    def owns(self):
        return {s["shard"] for s in self.said().get("shards") or ()
                if s["state"] == "ready"}

    def await_running(self, timeout_s=90):
        if not wait_until(lambda: self.said().get("state") == "running", timeout_s, 0.03):
            raise Trouble(f"{self.name}: does not run:\n{self.log()[-3000:]}")

    def await_pid(self, timeout_s=30):
        if not wait_until(self.pid, timeout_s, 0.02):
            raise Trouble(f"{self.name}: there is no dataplane:\n{self.log()[-3000:]}")
        return self.pid()

    def signal(self, number):
        """To the dataplane. Returns its pid."""
        pid = self.await_pid()
        os.kill(pid, number)
        return pid

    def kill(self):
        self.gone(self.signal(signal.SIGKILL))

    def kill_server(self, name):
        """kafka or redis: what a Stage calls kill()."""
        super().kill(name)

    def gone(self, pid, timeout_s=20):
        """Until that dataplane is no more."""
        if not wait_until(lambda: self.pid() != pid, timeout_s, 0.01):
            raise Trouble(f"{self.name}: dataplane {pid} does not go")
        self.deaths += 1

    def kill_daemon(self):
        if self.daemon is not None:
            tell(self.daemon, signal.SIGKILL)
            self.daemon.child.wait(20)
            self.daemon = None

    def is_dead(self):
        return self.pid() is None

    def revive(self):
        """headraced starts another dataplane; a new headraced, once it grew patient."""
        if self.daemon is not None and self.deaths > DEATHS_BORNE:
            self.kill_daemon()
        if self.daemon is None:
            self.start_daemon()
        self.await_pid()

    def await_hit(self, point, timeout_s=40):
        """Until the armed point was hit. False: it was not."""
        if wait_until(self.wish.is_hit, timeout_s, 0.01):
            return True
        self.wish.disarm()
        say(f"  {self.name}: {point} was not hit in {timeout_s} s")
        return False

    def control(self, *words):
        done = subprocess.run(
            [appliance.headracectl(), "--run-dir", self.run_dir, *map(str, words)],
            capture_output=True, text=True, timeout=30, check=False,
            stdin=subprocess.DEVNULL)
        return done.returncode, (done.stderr + done.stdout).strip()

    def take(self, shards):
        """The shards' fence is ours from now on, as an operator wants it."""
        for shard in sorted(shards):
            if not wait_until(lambda s=shard: self.has_or_takes(s), 20, 0.1):
                raise Trouble(f"{self.name}: shards take {shard} is refused for 20 s, and "
                              "it does not own it")

    def has_or_takes(self, shard):
        """It may believe for a moment that it still owns what it has lost just now."""
        if shard in self.owns():
            return True
        code, said = self.control("shards", "take", shard)
        if code != 0 and "is this appliance's" not in said:
            raise Trouble(f"{self.name}: shards take {shard}: {said}")
        return code == 0


class World:
    """Servers and appliances under one folder."""

    def __init__(self, folder, port, n=2, over=None):
        self.folder, self.port = folder, port
        self.over = over or {}
        self.appliances = [Appliance(self, "ab"[i], i, port) for i in range(n)]
        self.a = self.appliances[0]
        self.b = self.appliances[1] if n > 1 else None
        self.loads = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for x in reversed(self.appliances):
            pid = x.pid()
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
            x.wish.disarm()
            x.take_down()

    def start_servers(self):
        self.a.brokers_die = True
        self.a.start_kafka()
        self.a.start_redis()
        self.a.gen("shop", "--redis", f"{LOOPBACK}:{self.a.redis_port}", "--products",
                   PRODUCTS)

    def configure(self, **over):
        """Both alike; b's ports and folders are its own. Before the first start."""
        for x in self.appliances:
            if x.wire is None:
                x.wire = appliance.Wire(f"cal{x.name}", net=x.net, namespace="hr-cal",
                                        is_first=x is self.a)
                x.wire.up()
            x.keys_path, x.secret_path = self.a.keys_path, self.a.secret_path
            x.metrics_port = self.port + 5 + x.number
            x.write_config(appliance.merge(appliance.merge({
                "appliance": {"name": x.name},
                "data_set": {"shards": SHARDS},
                "listen": {"handshake": "on", "cluster_secret_file": x.secret_path,
                           "advertise": x.address},
                "ports": [{"device": f"af_xdp:{x.wire.near}"}],
                "log": {"keep_memory": "16MiB"},
                "topics": {"partitions": PARTITIONS},
                "control": {"restart_delay": "100ms"}}, self.over), over))
        mib = int(self.a.config["dataplane"]["memory"].removesuffix("MiB"))
        self.a.huge.need(len(self.appliances) * (mib // 2 + 8))

    def load(self, name, plan=True, **options):
        """options: of headrace-gen sdk, with _ for -."""
        base = {"to": ",".join(x.address for x in self.appliances), "products": PRODUCTS,
                "codec": "half", "instances": 4, "key-id": appliance.KEY_ID,
                "key-file": self.a.keys_path, "queue-bytes": 64 << 20, "drain": 90,
                "shards": SHARDS}
        base.update({k.replace("_", "-"): v for k, v in options.items()})
        words = ["sdk"]
        for key, value in base.items():
            words += ["--" + key, str(value)]
        made = Load(self, name, words, os.path.join(self.folder, name + ".plan")
                    if plan else None)
        self.loads.append(made)
        return made

    # ---- waiting

    def owners(self):
        """shard: name of the appliance for which it is ready."""
        return {s: x.name for x in self.appliances for s in x.owns()}

    def await_owners(self, wanted=None, timeout_s=60):
        """Until every shard has an owner, or just those that are wanted."""
        def settled():
            now = self.owners()
            return len(now) == SHARDS and (wanted is None or now == wanted)
        if not wait_until(settled, timeout_s, 0.03):
            raise Trouble(f"shards have no owner (wanted {wanted}, are "
                          f"{self.owners()}):\n" + "\n".join(
                              json.dumps(x.said().get("shards")) + x.log()[-3000:]
                              for x in self.appliances))

    def lags(self):
        """{view: links that it is behind, summed over shards}: by its own position in its
        store and by what the owners accepted. None: somebody does not answer."""
        out = {}
        for x in self.appliances:
            status = x.status()
            for view in status.get("views") or []:
                if view.get("lag_links") is None:
                    return None
                out[view["name"]] = out.get(view["name"], 0) + view["lag_links"]
        return out

    def await_views(self, timeout_s):
        """Until views are what was accepted. Seconds that it took; None: too long. The
        views that came last are in self.last_views."""
        began = time.monotonic()
        self.last_views = []

        def are_there():
            lags = self.lags()
            behind = sorted(v for v, n in (lags or {}).items() if n > 0)
            self.last_views = behind or self.last_views
            return bool(lags) and not behind
        if not wait_until(are_there, timeout_s, 0.05):
            return None
        return time.monotonic() - began

    # ---- judgement

    def check(self, loads, timeout_s=1200):
        """tools/checker over everything there is. Exit code, report or what it said."""
        argv = [os.path.join(PROJECT, "tools", "checker", "check"), "--json",
                "--brokers", f"{LOOPBACK}:{self.a.kafka_port}", "--redis",
                f"{LOOPBACK}:{self.a.redis_port}", *[x.ledger for x in loads]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s,
                              check=False, stdin=subprocess.DEVNULL)
        if done.returncode == CHECKER_SKIPS:
            raise Trouble("the checker cannot run here: " + done.stderr)
        try:
            return done.returncode, json.loads(done.stdout)
        except ValueError:
            return done.returncode, {"why": done.stdout + done.stderr}

    def verify(self, loads):
        """What headrace-gen verify finds wrong by the plans."""
        _, said = self.a.verify([x.plan for x in loads], "--json")
        try:
            found, _ = json.JSONDecoder().raw_decode(said[said.index("{"):])
        except ValueError:
            return {"verify": said}
        findings = found["findings"]
        findings.pop("status", None)  # counters died with their processes
        return findings
