# SPDX-License-Identifier: BSD-3-Clause
"""tools/bench commit: how long an event takes to be acknowledged, and to be visible.

Load is acknowledged: headrace-gen sdk, by AF_XDP over a veth pair. Two clocks:

  inside   the dataplane's histograms (docs/metrics.md), scraped before and after each
           load and subtracted: datagram received until its `committed` ACK was handed to
           the device; until visible in Redis; until committed in the topics
  outside  the SDK's own ledger: from track() to the callback, its 5 ms of waiting for
           company, the wire and retransmissions included

Beside it, on the same brokers and the same Redis, in the same rounds: the plain program
(tests/bench/baseline.c --transactions), whose datagrams are stamped by the kernel.
"""
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import appliance
from servers import (
    LOOPBACK, Server, Trouble, read_text, say, stop_servers, usage, wait_until)

USERS, PRODUCTS, SIMILAR, INSTANCES = 10000, 900, 3, 4
RATE, SLOW = 100000, 20000
NET = 96          # 10.96.0.0/24: no other test's
CONTRACT = None   # the contract's 225 partitions
FEW = {"user_events": 15, "product_views": 5, "purchases": 5, "dead_letters": 5}
HIGHEST = 0.9     # of the rate found, where latency is measured
DRAIN_S = 120
QUANTILES = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
ACK, VIEW, APPEND = ("headrace_ack_latency_seconds", "headrace_view_latency_seconds",
                     "headrace_log_append_seconds")


# ---- histograms ----------------------------------------------------------------------

LABEL = re.compile(r'(\w+)="([^"]*)"')


def histogram(text, name, **labels):
    """{upper bound: count in this bucket} of all rows with these labels together."""
    rows = {}
    for line in text.splitlines():
        if not line.startswith(name + "_bucket{"):
            continue
        head, value = line.rsplit(" ", 1)
        found = dict(LABEL.findall(head))
        bound = float(found.pop("le"))
        if any(found.get(k) != v for k, v in labels.items()):
            continue
        rows.setdefault(tuple(sorted(found.items())), []).append((bound, float(value)))
    sums = {}
    for buckets in rows.values():
        before = 0
        for bound, cumulative in sorted(buckets):
            sums[bound] = sums.get(bound, 0) + cumulative - before
            before = cumulative
    return sums


def quantiles(before, after):
    """Milliseconds, straight lines inside a bucket; None where nothing was counted."""
    counts = [(b, n - before.get(b, 0)) for b, n in sorted(after.items())]
    total = sum(n for _, n in counts)
    if total <= 0:
        return None
    out = {"n": int(total)}
    for name, q in QUANTILES.items():
        low = seen = 0
        for bound, n in counts:
            if n > 0 and seen + n >= q * total:
                top = low if bound == float("inf") else bound
                out[name] = 1e3 * (low + (top - low) * (q * total - seen) / n)
                break
            seen += n
            low = bound
    return out


# ---- CPU -----------------------------------------------------------------------------

def thread_seconds(pid, name):
    total = 0.0
    for task in os.listdir(f"/proc/{pid}/task"):
        base = f"/proc/{pid}/task/{task}"
        with contextlib.suppress(OSError, TypeError, AttributeError, IndexError):
            if read_text(base + "/comm").strip() == name:
                total += int(read_text(base + "/schedstat").split()[0]) / 1e9
    return total


class Meter:
    """Cores used by the dataplane, its committer, the brokers and Redis."""

    def __init__(self, bench):
        stage = bench.stage
        self.dataplane = stage.dataplane_pid()
        self.brokers = bench.broker_pids()
        self.redis = json.loads(stage.tool("redis", "status", "--run", stage.redis_run,
                                           "--json", quiet=True).stdout)["pid"]
        self.at, self.before = time.monotonic(), self.now()

    def now(self):
        return {"dataplane": usage(self.dataplane)[1],
                "committer": thread_seconds(self.dataplane, "hr-committer"),
                "brokers": sum(usage(p)[1] for p in self.brokers),
                "redis": usage(self.redis)[1]}

    def read(self):
        took = time.monotonic() - self.at
        return {k: (v - self.before[k]) / took for k, v in self.now().items()}


# ---- one stage -----------------------------------------------------------------------

class LagWatch:
    """The largest lag of each view while it is watched."""

    def __init__(self, stage):
        self.stage, self.most, self.ends = stage, {}, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.ends.wait(0.5):
            with contextlib.suppress(Exception):
                for view in self.stage.status().get("views") or []:
                    lag = view.get("lag_links") or 0
                    name = view.get("name")
                    self.most[name] = max(self.most.get(name, 0), lag)

    def end(self):
        self.ends.set()
        self.thread.join(60)
        return self.most


class Bench:
    """Servers of one kind of cluster, and what is measured on them."""

    def __init__(self, args, stage, n_brokers):
        self.args, self.stage, self.n_brokers = args, stage, n_brokers
        self.log_kind, self.seed, self.n_starts = "kafka", 1, 0

    def broker_pids(self):
        if not os.path.exists(self.stage.kafka_run):
            return []
        done = self.stage.tool("kafka", "status", "--run", self.stage.kafka_run,
                               "--json", quiet=True)
        return [b["pid"] for b in json.loads(done.stdout)["brokers"] if b["pid"]]

    def start_servers(self):
        stage, args = self.stage, self.args
        if args.port:
            stage.kafka_port = args.port + (10 if self.n_brokers > 1 else 0)
        else:
            stage.kafka_port = appliance.choose_ports(9092, 2 * self.n_brokers)
        stage.other_cpu = f"{stage.other_cpu},{stage.worker_cpu}"
        say(f"starting {self.n_brokers} Kafka broker(s), with the optimising compiler, "
            "and Redis")
        stage.start_kafka("--bench", "--brokers", str(self.n_brokers))
        stage.start_redis()
        stage.gen("shop", "--redis", f"{LOOPBACK}:{stage.redis_port}", "--products",
                  PRODUCTS, "--similar", SIMILAR)
        stage.wire = appliance.Wire("bc", NET)
        stage.wire.up()

    @contextlib.contextmanager
    def running(self, name, shards=5, redis=True, topics=True, partitions=CONTRACT,
                log="kafka", interval=None):
        """The appliance with these views, and a data set of its own."""
        stage = self.stage
        self.n_starts += 1
        name += str(self.n_starts)
        stage.log_kind = log
        stage.log_folder = os.path.join(stage.folder, "log-" + name)
        over = {
            "data_set": {"shards": shards},
            "listen": {"handshake": "on", "cluster_secret_file": stage.secret_path,
                       "advertise": f"{stage.wire.near_ip}:7400"},
            "ports": [{"device": f"af_xdp:{stage.wire.near}"}],
            "redis": {"enabled": redis}, "topics": {"enabled": topics}}
        if log == "kafka":
            over["kafka"] = {"topic_prefix": name + "."}
        if partitions:
            over["topics"]["partitions"] = partitions
        if interval:
            over["epoch"] = {"min_interval": interval, "max_interval": interval}
        # Positions of another data set would be refused.
        appliance.command(["redis-cli", "-p", str(stage.redis_port), "FLUSHALL"], 60)
        stage.gen("shop", "--redis", f"{LOOPBACK}:{stage.redis_port}", "--products",
                  PRODUCTS, "--similar", SIMILAR)
        stage.write_config(over)
        self.shards = shards
        try:
            stage.start(120)
            stage.await_steering()
            self.settle()
            self.load(SLOW, self.args.warm)  # what is new is slow: not measured
            self.drain()
            yield
        finally:
            stage.stop()

    def settle(self):
        def steady():
            views = self.stage.status().get("views") or []
            return all(v.get("state") == "live" and v.get("lag_links") == 0
                       for v in views)
        if not wait_until(steady, 90, 0.2, "the views become live"):
            raise Trouble("the views do not become live:\n" + self.stage.log()[-2000:])

    def drain(self):
        """Seconds until the views hold what the log holds."""
        began = time.monotonic()
        if not wait_until(lambda: all(v.get("lag_links") == 0 for v in
                                      self.stage.status().get("views") or []),
                          DRAIN_S, 0.05):
            raise Trouble(f"the views have not caught up after {DRAIN_S} s")
        return time.monotonic() - began

    def scrape(self):
        url = f"http://{LOOPBACK}:{self.stage.metrics_port}/metrics"
        with urllib.request.urlopen(url, timeout=20) as answer:
            text = answer.read().decode()
        return {"ack": histogram(text, ACK), "append": histogram(text, APPEND),
                "redis": histogram(text, VIEW, view="redis"),
                "topics": histogram(text, VIEW, view="topics")}

    def load(self, rate, seconds, events=None):
        """Acknowledged load; rate None: as fast as it is committed. Every event is
        committed, or there is no figure."""
        stage = self.stage
        self.seed += 1
        words = ["sdk", "--to", f"{stage.wire.near_ip}:7400", "--users", USERS,
                 "--products", PRODUCTS, "--codec", "half", "--instances", INSTANCES,
                 "--shards", self.shards, "--key-id", appliance.KEY_ID, "--key-file",
                 stage.keys_path, "--queue-bytes", 64 << 20, "--drain", 60, "--seed",
                 self.seed, "--json"]
        # Without a rate: what a receive ring holds, or losses decide how fast it goes.
        words += ["--rate", rate, "--events", int(rate * seconds)] if rate else \
                 ["--events", events, "--window", 12000]
        return json.loads(stage.gen(*words, wire=True, timeout_s=seconds + 120))

    def measure(self, rate, seconds, watch=False):
        """A steady load: its first seconds (new streams, a pace that is still to be
        found) count in the SDK's figures only."""
        lags = LagWatch(self.stage) if watch else None
        begun = {}

        def begin():
            begun["scrape"], begun["meter"] = self.scrape(), Meter(self)
        timer = threading.Timer(self.args.ramp, begin)
        timer.start()
        try:
            sent = self.load(rate, self.args.ramp + seconds)
        finally:
            timer.cancel()
            timer.join()
        before, cpu = begun["scrape"], begun["meter"].read()
        drained = self.drain()
        after = self.scrape()
        out = {"rate": sent["events"] / sent["seconds"], "asked": rate, "cpu": cpu,
               "events": sent["events"], "resent": sent["resent"] / max(
                   sent["datagrams"], 1), "drained_s": drained}
        for name in before:
            out[name] = quantiles(before[name], after[name])
        out["sdk"] = {q: sent[f"commit_{q}_us"] / 1e3 for q in QUANTILES}
        if lags:
            out["lag_links"] = lags.end()
        if not self.stage.is_balanced():
            raise Trouble("the ledger does not balance: no figure is worth anything")
        return out

    def find(self, events):
        """Events a second that are acknowledged; and from the first one until the last
        is in every view."""
        took = self.load(None, 60, events)["seconds"]
        return events / took, events / (took + self.drain())

    def straightforward(self, rate, seconds):
        """The plain program at this rate. Kernel UDP may lose: what it processed
        counts."""
        stage = self.stage
        port = appliance.choose_ports(7401)
        folder = os.path.join(stage.folder, "baseline")
        shutil.rmtree(folder, ignore_errors=True)
        server = Server("baseline", folder, stage.folder)
        events = int(rate * seconds)
        server.spawn([appliance.program("tests", "bench", "baseline"), "--transactions",
                      "--listen", f"{LOOPBACK}:{port}", "--brokers",
                      f"{LOOPBACK}:{stage.kafka_port}", "--topic-prefix", "plain.",
                      "--replication", str(3 if self.n_brokers > 2 else 1), "--redis",
                      f"{LOOPBACK}:{stage.redis_port}", "--key-file", stage.keys_path,
                      "--events", str(events), "--idle-seconds", "2"],
                     appliance.cpus())
        try:
            server.await_ready(lambda: "ready" in (read_text(server.log) or ""), 90)
            self.seed += 1
            stage.gen("send", "--to", f"udp:{LOOPBACK}:{port}", "--events", events,
                      "--rate", rate, "--users", USERS, "--products", PRODUCTS,
                      "--codec", "half", "--key-id", appliance.KEY_ID, "--key-file",
                      stage.keys_path, "--plan",
                      os.path.join(stage.folder, "plan-plain.json"), "--seed",
                      self.seed, "--json")
            if not wait_until(lambda: server.pid() is None, 180, 0.05):
                raise Trouble("the plain program does not end")
            said = json.loads(read_text(server.log).strip().splitlines()[-1])
        finally:
            stop_servers([server], 10)

        def ms(row):
            return {q: row[f"{q}_us"] / 1e3 for q in QUANTILES} | {"n": row["n"]}
        return {"rate": said["events"] / said["seconds"], "asked": rate,
                "events": said["events"], "lost": 1 - said["events"] / events,
                "cycle": ms(said["cycle"]), "ack": ms(said["committed"]),
                "redis": ms(said["redis"]),
                "cpu": {"process": (said["user_s"] + said["sys_s"]) / said["seconds"]}}


# ---- what is measured ----------------------------------------------------------------

class Results:
    """Rounds by cell, in order; what could not be measured, and why."""

    def __init__(self, deadline):
        self.cells, self.troubles, self.deadline = {}, [], deadline

    def add(self, name, figures):
        self.cells.setdefault(name, []).append(figures)

    @contextlib.contextmanager
    def trying(self, name):
        """A cell that fails costs its figures and no other's."""
        if time.monotonic() > self.deadline:
            self.troubles.append(f"{name}: left out, the time is over")
            yield False
            return
        say(name)
        try:
            yield True
        except (Trouble, OSError, KeyError, ValueError, subprocess.SubprocessError) \
                as error:
            text = f"{name}: {type(error).__name__}: {error}"
            say(text[:3000])
            self.troubles.append(text.splitlines()[0][:300])

    def get(self, name, *path):
        """The median over rounds; None where there is none."""
        values = []
        for row in self.cells.get(name, []):
            for key in path:
                row = row.get(key) if isinstance(row, dict) else None
            if row is not None:
                values.append(row)
        return statistics.median(values) if values else None


def rounds_of_one(bench, results, found, seconds):
    """What is measured with one broker, one round."""
    who = "one broker"

    with results.trying(f"{who}: Redis alone") as go:
        if go:
            with bench.running("redis", topics=False):
                if "redis" not in found:
                    found["redis"] = bench.find(bench.args.flood)[1]
                    slow = bench.measure(SLOW, seconds)
                    found["redis_core"] = slow["rate"] / slow["cpu"]["redis"]
                    say(f"Redis sustains {found['redis']:,.0f} events/s of its keys in "
                        f"a backlog, a core of it {found['redis_core']:,.0f} as they "
                        "come")
                results.add("log and Redis, calm",
                            bench.measure(int(found["redis_core"] / 2), seconds))
                above = int(found["redis"] * 1.5)
                results.add("above what Redis sustains",
                            bench.measure(above, seconds, watch=True))
    calm = int(found.get("redis_core", 50000) / 2)
    with results.trying(f"{who}: the whole") as go:
        if go:
            with bench.running("whole"):
                if "whole" not in found:
                    found["whole"] = bench.find(bench.args.flood)[1]
                    say(f"the whole sustains {found['whole']:,.0f} events/s")
                results.add("whole, calm", bench.measure(calm, seconds))
                results.add("whole, 100k", bench.measure(RATE, seconds))
                results.add("whole, highest", bench.measure(
                    int(found["whole"] * HIGHEST), seconds))
    with results.trying(f"{who}: the plain program") as go:
        if go:
            results.add("plain, calm", bench.straightforward(calm, seconds))
            results.add("plain, 100k", bench.straightforward(RATE, seconds))
    for name, partitions in (("30", FEW), ("225", CONTRACT)):
        with results.trying(f"{who}: log and {name} partitions") as go:
            if go:
                with bench.running("t" + name, redis=False, partitions=partitions):
                    results.add(f"log, {name} partitions, calm",
                                bench.measure(calm, seconds))
    with results.trying(f"{who}: the log alone") as go:
        if go:
            with bench.running("log", redis=False, topics=False):
                if "log" not in found:
                    found["log"] = bench.find(bench.args.flood)[0]
                    say(f"the log sustains {found['log']:,.0f} events/s")
                results.add("log alone, 100k", bench.measure(RATE, seconds))
                results.add("log alone, highest", bench.measure(
                    int(found["log"] * HIGHEST), seconds))
    with results.trying("the log on files, with Redis") as go:
        if go:
            with bench.running("file", topics=False, log="file"):
                if "file" not in found:
                    found["file"] = bench.find(bench.args.flood)[0]
                    say(f"the log on files sustains {found['file']:,.0f} events/s")
                results.add("file, calm", bench.measure(calm, seconds))
                results.add("file, 100k", bench.measure(RATE, seconds))
                results.add("file, highest", bench.measure(
                    int(found["file"] * HIGHEST), seconds))


def rounds_of_three(bench, results, found, seconds):
    calm = int(found.get("redis_core", 50000) / 2)
    with results.trying("three brokers: the log alone") as go:
        if go:
            with bench.running("log", redis=False, topics=False):
                if "log3" not in found:
                    found["log3"] = bench.find(bench.args.flood)[0]
                    say(f"the log sustains {found['log3']:,.0f} events/s")
                results.add("three, log alone, 100k", bench.measure(RATE, seconds))
                results.add("three, log alone, highest", bench.measure(
                    int(found["log3"] * HIGHEST), seconds))
    with results.trying("three brokers: the plain program") as go:
        if go:
            results.add("three, plain, calm", bench.straightforward(calm, seconds))
            results.add("three, plain, 100k", bench.straightforward(RATE, seconds))
    if bench.args.quick:
        return
    with results.trying("three brokers: the whole") as go:
        if go:
            with bench.running("whole"):
                if "whole3" not in found:
                    found["whole3"] = bench.find(bench.args.flood)[1]
                    say(f"the whole sustains {found['whole3']:,.0f} events/s")
                results.add("three, whole, calm", bench.measure(calm, seconds))
                results.add("three, whole, 100k", bench.measure(RATE, seconds))
                results.add("three, whole, highest", bench.measure(
                    int(found["whole3"] * HIGHEST), seconds))


def sweep(bench, results, seconds):
    """What links cost, by S, least interval and partitions touched."""
    for shards in (1, 5, 25):
        for interval in ("1ms", "2ms", "5ms", "10ms", "20ms"):
            name = f"S={shards}, {interval}"
            with results.trying("sweep: " + name) as go:
                if not go:
                    continue
                with bench.running(f"s{shards}", shards=shards, redis=False,
                                   topics=False, interval=interval):
                    results.add(name, bench.measure(SLOW, seconds))
        for label, partitions in (("contract", CONTRACT), ("few", FEW)):
            if shards == 25 and partitions is FEW:
                continue  # S must divide every number of partitions
            name = f"S={shards}, topics, {label}"
            with results.trying("sweep: " + name) as go:
                if not go:
                    continue
                with bench.running(f"t{shards}{label}", shards=shards, redis=False,
                                   partitions=partitions):
                    results.add(name, bench.measure(SLOW, seconds))


# ---- what it says --------------------------------------------------------------------

def wanted(results):
    """[(promise, found, limit)]: found None means that there is no figure."""
    get = results.get

    def ratio(ours, theirs):
        a, b = get(ours, "ack", "p50"), get(theirs, "cycle", "p50")
        return None if a is None or b is None else a / b
    rows = []
    for cell, text in (("log alone, 100k", "the log alone at 100,000/s"),
                       ("whole, 100k", "the whole at 100,000/s"),
                       ("log and Redis, calm", "log and Redis at half of its rate"),
                       ("whole, calm", "the whole at half of Redis' rate"),
                       ("file, 100k", "log on files at 100,000/s"),
                       ("file, calm", "log on files at half of Redis' rate")):
        rows.append((f"acknowledgement p50, {text}, ms", get(cell, "ack", "p50"), 2.5))
        rows.append((f"acknowledgement p99, {text}, ms", get(cell, "ack", "p99"), 10))
    rows += [
        ("acknowledgement p50 / plain program's cycle, at 100,000/s",
         ratio("whole, 100k", "plain, 100k"), 0.2),
        ("acknowledgement p50 / plain program's cycle, at half of Redis' rate",
         ratio("whole, calm", "plain, calm"), 0.2),
        ("topics p99, 30 partitions, ms",
         get("log, 30 partitions, calm", "topics", "p99"), 150),
        ("topics p99, the contract's 225, ms (floor 750)",
         get("log, 225 partitions, calm", "topics", "p99"), 500),
        ("topics p99, the whole, ms (floor 750)", get("whole, calm", "topics", "p99"),
         500),
        ("Redis p99 at half of its rate, ms",
         get("log and Redis, calm", "redis", "p99"), 20),
        ("Redis p99 at half of its rate, the whole, ms",
         get("whole, calm", "redis", "p99"), 20),
        ("Redis p99 at half of its rate, log on files, ms",
         get("file, calm", "redis", "p99"), 20),
        ("above Redis' rate: s until the lag is gone",
         get("above what Redis sustains", "drained_s"), 60)]
    return rows


def number(value, width=8, is_ratio=False):
    if value is None:
        return " " * (width - 1) + "–"
    digits = 2 if is_ratio else 1 if abs(value) < 1000 else 0
    return f"{value:{width},.{digits}f}"


def table(results, out):
    cells = [c for c in results.cells if not c.startswith("S=")]
    print(f"\n{'ms: p50 / p99 / p99.9':26} {'events/s':>9}  {'acknowledged':^26}  "
          f"{'in Redis':^26}  {'in the topics':^26}  {'SDK, outside':^26}", file=out)
    for cell in cells:
        line = f"{cell[:26]:26} {number(results.get(cell, 'rate'), 9)}"
        for part in ("ack", "redis", "topics", "sdk"):
            line += "  " + "".join(number(results.get(cell, part, q))
                                   for q in QUANTILES) + "  "
        print(line.rstrip(), file=out)
        cycle = results.get(cell, "cycle", "p50")
        if cycle is not None:
            print(f"{'':4}its cycle p50 / p99 {number(cycle).strip()} / "
                  f"{number(results.get(cell, 'cycle', 'p99')).strip()} ms, "
                  f"{100 * (results.get(cell, 'lost') or 0):.1f} % of the datagrams "
                  f"lost by the kernel", file=out)
    print(f"\n{'cores':26} {'dataplane':>10} {'committer':>10} {'brokers':>10} "
          f"{'redis':>10}", file=out)
    for cell in cells:
        if results.get(cell, "cpu", "dataplane") is not None:
            print(f"{cell[:26]:26} " + " ".join(
                f"{results.get(cell, 'cpu', part) or 0:10.2f}" for part in
                ("dataplane", "committer", "brokers", "redis")), file=out)
    above = results.cells.get("above what Redis sustains")
    if above:
        print(f"\nabove what Redis sustains: at most {above[-1].get('lag_links')} links "
              f"behind, gone {results.get('above what Redis sustains', 'drained_s'):.1f}"
              " s after the load", file=out)


def sweep_table(results, out):
    cells = [c for c in results.cells if c.startswith("S=")]
    if not cells:
        return
    print(f"\nat 20,000 events/s {'':7} {'ack p50':>9} {'p99':>9} {'append p50':>11} "
          f"{'topics p99':>11} {'committer':>10} {'brokers':>9}  (ms, cores)", file=out)
    for cell in cells:
        print(f"{cell:26} {number(results.get(cell, 'ack', 'p50'), 9)} "
              f"{number(results.get(cell, 'ack', 'p99'), 9)} "
              f"{number(results.get(cell, 'append', 'p50'), 11)} "
              f"{number(results.get(cell, 'topics', 'p99'), 11)} "
              f"{results.get(cell, 'cpu', 'committer') or 0:10.2f} "
              f"{results.get(cell, 'cpu', 'brokers') or 0:9.2f}", file=out)


def machine():
    model = [x.split(":")[1].strip() for x in read_text("/proc/cpuinfo").splitlines()
             if x.startswith("model name")]
    commit = subprocess.run(["git", "-C", appliance.PROJECT, "rev-parse", "--short",
                             "HEAD"], capture_output=True, text=True, check=False)
    return (f"{model[0] if model else platform.machine()}, {os.cpu_count()} CPUs, "
            f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip()}, load "
            f"{os.getloadavg()[0]:.1f} before the start")


def on_servers(args, n_brokers, work):
    folder = tempfile.mkdtemp(prefix="headrace-commit.")
    try:
        with appliance.Stage(folder, port_base=args.port) as stage:
            bench = Bench(args, stage, n_brokers)
            bench.start_servers()
            with contextlib.suppress(Trouble):
                # The broker's compiler: some thousand requests of each kind before it
                # is itself.
                with bench.running("warm"):
                    bench.load(SLOW, args.warm_broker)
            work(bench)
    finally:
        appliance.remove_folder(folder)


def run(args):
    if args.quick:
        args.rounds, args.seconds = args.rounds or 1, args.seconds or 6
    args.rounds, args.seconds = args.rounds or 3, args.seconds or 20
    args.warm, args.warm_broker = (2, 15) if args.quick else (5, 40)
    args.ramp = 3
    args.flood = RATE // 2 * args.seconds
    minutes = args.minutes or (12 if args.quick else 100)
    results, found, about = Results(time.monotonic() + 60 * minutes), {}, machine()

    def one(bench):
        for i in range(args.rounds):
            say(f"one broker, round {i + 1} of {args.rounds}")
            rounds_of_one(bench, results, found, args.seconds)
        if not args.quick:
            sweep(bench, results, args.seconds / 2)

    def three(bench):
        for i in range(args.rounds):
            say(f"three brokers, round {i + 1} of {args.rounds}")
            rounds_of_three(bench, results, found, args.seconds)
    for n_brokers, work in ((1, one), (3, three)):
        if args.brokers in (None, n_brokers):
            with results.trying(f"{n_brokers} broker(s)") as go:
                if go:
                    on_servers(args, n_brokers, work)
    return report(args, results, found, about)


def report(args, results, found, about):
    rows = [{"wanted": text, "found": value, "at_most": limit,
             "reached": value is not None and value <= limit}
            for text, value, limit in wanted(results)]
    out = sys.stderr if args.json else sys.stdout
    print(f"\ncommit: {about}; {args.rounds} round(s) of {args.seconds} s, medians",
          file=out)
    for name, value in found.items():
        print(f"  sustained, {name:10} {value:12,.0f} events/s", file=out)
    table(results, out)
    sweep_table(results, out)
    print("", file=out)
    for row in rows:
        verdict = "reached" if row["reached"] else \
            "NO FIGURE" if row["found"] is None else "NOT REACHED"
        print(f"  {row['wanted']:70}{number(row['found'], 9, row['at_most'] < 1)}"
              f"  at most {row['at_most']:g}: {verdict}", file=out)
    for trouble in results.troubles:
        print(f"  not measured: {trouble}", file=out)
    if args.json:
        print(json.dumps({"machine": about, "rounds": args.rounds,
                          "seconds": args.seconds, "quick": args.quick,
                          "sustained": found, "cells": results.cells, "wanted": rows,
                          "troubles": results.troubles}, indent=1))
    if not results.cells:
        return 1
    return 1 if args.strict and (results.troubles or
                                 not all(r["reached"] for r in rows)) else 0
