# SPDX-License-Identifier: BSD-3-Clause
"""tools/soak kill: rounds of deaths under acknowledged load, judged by tools/checker.

Each round an SDK sends at --rate over AF_XDP to two appliances with one Kafka and one
Redis, and one thing happens, drawn from --seed and the round's number alone, so that
`--first N --rounds 1` plays round N again: some of both dataplanes, both headraceds,
broker and Redis die by SIGKILL, one of them stands still beyond its time-outs, the owner
dies at a crash point or shards change hands. Then everything has to be committed and the
views have to be what was accepted. Every --each rounds the checker reads everything, and
the next rounds begin with a data set of their own.

What counts: nothing lost, doubled, reordered or wrong; from a death to the first new
acknowledgement at most 2 s (99 of 100; a broker's restart is told apart and counted from
when the broker answers); views that are fold at most 5 s after the last commit. Exit code
0: all of it; 1: not; with --no-times times are told and do not count.
"""
import os
import random
import shutil
import signal
import tempfile
import time

import appliance
import calamity
from servers import PROJECT, Server, Trouble, say, wait_until

ACK_S, VIEWS_S = 2.0, 5.0
LEAST_LOAD_S = 4.0
SHARDS = range(calamity.SHARDS)
# Where an owner can be told to die; the others are not met in a round, or not by chance.
POINTS = ("datagram_taken", "epoch_closed", "link_before_append", "link_appended",
          "link_delivered", "link_read_back", "floors_raised", "ack_sent",
          "redis_before_exec", "redis_after_exec", "topics_before_begin",
          "topics_in_transaction", "topics_before_commit", "topics_after_commit",
          "fence_appended", "fence_accepted", "first_link_accepted")
AT_START = ("fence_appended", "fence_accepted", "first_link_accepted")
PARTS = ("owner", "other", "owner's headraced", "other's headraced", "broker", "redis")


class Round:
    """What will happen, and what came of it."""

    def __init__(self, seed, number, has_points):
        r = random.Random(f"{seed}/{number}")
        self.number = number
        self.at = r.uniform(0.5, 2.5)
        kinds = ["kill"] * 5 + ["pause"] * 2 + ["take"] + ["zombie"]
        kinds += ["point"] * 4 if has_points else []
        self.kind = r.choice(kinds)
        self.victims = sorted(r.sample(PARTS, r.choice((1, 1, 1, 2, 2, 3, 6))),
                              key=PARTS.index)
        self.paused = r.choice(("owner", "owner", "broker", "redis"))
        self.pause_s = r.uniform(6, 9)
        self.down_s = r.uniform(0, 1.5)
        self.point = r.choice(POINTS)
        self.count = r.choice((1, 2, 3)) if self.point in AT_START else \
            r.choice((1, 2, 5, 20, 100))
        self.taken = sorted(r.sample(SHARDS, r.randint(1, calamity.SHARDS)))
        self.starts_at = r.choice("ab")  # the owner of all shards at the beginning
        self.ack_s = self.views_s = None
        self.last_views = []  # that were the last to be complete
        self.n = self.committed = 0
        self.wrong, self.notes = [], []

    def what(self):
        if self.kind == "kill":
            words = "SIGKILL to " + ", ".join(self.victims)
        elif self.kind == "pause":
            words = f"{self.paused} stands still for {self.pause_s:.1f} s"
        elif self.kind == "point":
            words = f"owner dies at {self.point}:{self.count}"
        elif self.kind == "take":
            words = f"the other takes shards {self.taken}"
        else:
            words = f"owner stands still, the other takes its shards, it wakes " \
                    f"{self.pause_s:.1f} s later"
        return f"{self.starts_at} owns; after {self.at:.1f} s {words}"

    def row(self):
        """Of the table at the end."""
        if self.kind == "kill":
            has_broker = "broker" in self.victims
            return "SIGKILL, the broker among them" if has_broker else \
                "SIGKILL, one" if len(self.victims) == 1 else "SIGKILL, several"
        if self.kind == "pause":
            return f"SIGSTOP of {self.paused}"
        return {"point": "dead at a crash point", "take": "shards change hands",
                "zombie": "a paused owner loses its shards and wakes"}[self.kind]

    def is_restart(self):
        """A new owner has to come before anything is acknowledged, and the log answers
        all the time."""
        return (self.kind == "point" or self.kind == "kill"
                and "owner" in self.victims and "broker" not in self.victims)


class Soak:
    def __init__(self, args, port):
        self.args, self.port = args, port
        self.rounds = []
        self.world = None
        self.folder = None
        self.judged = []  # rounds since the last judgement
        self.findings = []

    # ---- a data set

    def open(self):
        self.folder = tempfile.mkdtemp(prefix="headrace-soak.")
        self.world = calamity.World(self.folder, self.port)
        world = self.world
        world.start_servers()
        world.configure(snapshot={"interval": self.args.snapshots})
        world.a.start_daemon()
        world.await_owners()
        world.b.start_daemon()
        world.b.await_running()
        world.a.await_steering()
        world.b.await_steering()

    def close(self, keep=False):
        if self.world is not None:
            self.world.__exit__()
            if not keep:
                shutil.rmtree(self.folder, ignore_errors=True)
        self.world = None

    # ---- one round

    def play(self, what):
        world = self.world
        who = {"a": (world.a, world.b), "b": (world.b, world.a)}[what.starts_at]
        self.owner, self.other = who
        if len(self.owner.owns()) < calamity.SHARDS:
            self.owner.take(SHARDS)
            world.await_owners(dict.fromkeys(SHARDS, self.owner.name))
        load = world.load(
            f"load-{what.number}", seed=1000 * self.args.seed + what.number,
            rate=self.args.rate, seconds=120, users=self.args.users)
        began = time.monotonic()
        if not wait_until(lambda: load.first_commit(0), 30, 0.05):
            what.wrong.append("nothing is committed at its beginning")
        time.sleep(what.at)
        since = getattr(self, what.kind)(what)
        self.all_back()
        first = wait_until(lambda: load.first_commit(since), 60, 0.02)
        if first:
            what.ack_s = first - since
        else:
            what.wrong.append("nothing is committed any more")
        time.sleep(max(0, began + LEAST_LOAD_S - time.monotonic()))
        self.end_of(what, load)

    def end_of(self, what, load):
        code = load.stop(150)
        took = self.world.await_views(300)
        quiet = time.time()
        load.look()  # after that: it takes a CPU
        what.n, what.committed = load.n_tracked, len(load.commits)
        if code != 0:
            what.wrong.append(f"exit code {code} of the SDK: {load.said()[-300:]}")
        if took is None or not load.commits:
            what.wrong.append("views do not become what was accepted")
        else:
            what.views_s = quiet - load.commits[-1][0]
            what.last_views = self.world.last_views

    def all_back(self):
        for x in self.world.appliances:
            x.revive()
        self.world.await_owners(timeout_s=90)

    # ---- deeds; each returns the moment from which an acknowledgement is waited for

    def kill(self, what):
        world = self.world
        part = {"owner": self.owner, "other": self.other}
        for v in what.victims:
            if v in part:
                part[v].kill()
        since = time.time()
        for v in what.victims:
            name, _, is_daemon = v.partition("'")
            if is_daemon:
                part[name].kill_daemon()
        servers = [n for n, v in (("kafka", "broker"), ("redis", "redis"))
                   if v in what.victims]
        for name in servers:
            world.a.kill_server(name)
        if servers:
            time.sleep(what.down_s)
        for name in servers:
            getattr(world.a, "start_" + name)()
            if name == "kafka":
                since = time.time()
        return since

    def pause(self, what):
        server = self.server(what.paused)
        pid = server.pid() if server else self.owner.await_pid()
        since = time.time()
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(what.pause_s)
        finally:
            os.kill(pid, signal.SIGCONT)
        return since if what.paused == "redis" else time.time()

    def server(self, name):
        """The process of broker or Redis."""
        if name == "redis":
            run = self.world.a.redis_run
            return Server("Redis", run, os.path.join(run, "redis.conf"))
        if name == "broker":
            run = os.path.join(self.world.a.kafka_run, "broker-1")
            return Server("Kafka broker 1", run,
                          "-Dheadrace.broker=" + run)
        return None

    def point(self, what):
        owner = self.owner
        pid = owner.await_pid()
        owner.wish.arm(what.point, what.count)
        if what.point in AT_START:
            owner.kill()
            owner.revive()
            pid = owner.await_pid()
        if owner.await_hit(what.point, 10):
            owner.gone(pid)
        else:
            what.notes.append(f"{what.point} was not met, so it was killed")
            owner.kill()
        return time.time()

    def take(self, what):
        since = time.time()
        self.other.take(what.taken)
        return since

    def zombie(self, what):
        self.owner.signal(signal.SIGSTOP)
        since = time.time()
        try:
            self.other.take(SHARDS)
            wait_until(lambda: len(self.other.owns()) == calamity.SHARDS, 30, 0.05)
            time.sleep(max(0, since + what.pause_s - time.time()))
        finally:
            self.owner.signal(signal.SIGCONT)
        return since

    # ---- judgement

    def judge(self):
        """What is wrong in the rounds since the last one."""
        world, numbers = self.world, [x.number for x in self.judged]
        if not numbers:
            return
        where = f"rounds {numbers[0]} to {numbers[-1]}"
        began = time.monotonic()
        code, report = world.check(world.loads)
        wrong = [f"{k}: {v}" for k, v in self.kinds(report).items()]
        if code != 0 and not wrong:
            wrong = [str(report)[:1500]]
        plans = world.verify(world.loads)
        if plans:
            wrong.append(f"by the plans: {plans}")
        for x in world.appliances:
            if not x.is_balanced():
                wrong.append(f"{x.name}: a ledger is out of balance")
        good = [x.stop() for x in (world.b, world.a)]
        if not all(good):
            wrong.append("it does not stop with everything written out")
        say(f"  {where}: {report.get('events')} events, "
            f"{'clean' if not wrong else 'FAILED: ' + '; '.join(wrong)} "
            f"({time.monotonic() - began:.0f} s)")
        if wrong:
            self.findings.append(f"{where}: " + "; ".join(wrong))
            for f in (report.get("findings") or [])[:20]:
                say(f"    {f}")
            for x in world.appliances:
                say(f"    the end of {x.name}'s log:\n{x.log()[-4000:]}")
        self.judged = []

    @staticmethod
    def kinds(report):
        out = {}
        for f in report.get("counts") or []:
            out[f"{f['kind']} ({f['place']})"] = f["findings"]
        return out

    # ---- all

    def run(self):
        args = self.args
        has_points = args.crash_build is not None
        last = args.first + args.rounds
        until = time.monotonic() + args.seconds
        for number in range(args.first, last):
            what = Round(args.seed, number, has_points)
            if args.list:
                say(f"{number:4}  {what.what()}")
                continue
            if self.world is None:
                self.open()
            began = time.monotonic()
            try:
                self.play(what)
            except Trouble as trouble:
                what.wrong.append(f"trouble: {trouble}")
                for load in self.world.loads:
                    load.kill()
            self.rounds.append(what)
            self.judged.append(what)
            say(f"{number:4}  {what.what()}: first ACK {seconds(what.ack_s)}, views "
                f"{seconds(what.views_s)}"
                + (f" ({', '.join(what.last_views)})" if what.last_views else "")
                + f", {what.committed} of {what.n} committed, "
                f"{time.monotonic() - began:.0f} s in all"
                + "".join("; " + x for x in what.notes)
                + ("; FAILED: " + "; ".join(what.wrong) if what.wrong else ""))
            is_last = number + 1 == last or time.monotonic() > until
            if is_last or len(self.judged) == args.each or what.wrong:
                try:
                    self.judge()
                except Trouble as trouble:
                    self.findings.append(f"up to round {number}: {trouble}")
                self.close(keep=args.keep and bool(self.findings))
            if is_last:
                break
        return self.table() if not args.list else True

    def table(self):
        say(f"\nseed {self.args.seed}, {len(self.rounds)} rounds at {self.args.rate} "
            f"events/s, {self.args.users} users, "
            f"{sum(x.committed for x in self.rounds)} of "
            f"{sum(x.n for x in self.rounds)} events committed")
        say("| what | rounds | first new ACK p50 | most | views p50 | most | failed |")
        say("|---|---|---|---|---|---|---|")
        for name in sorted({x.row() for x in self.rounds}):
            self.line(name, [x for x in self.rounds if x.row() == name])
        self.line("all", self.rounds)
        slow = self.times()
        for f in self.findings:
            say("FAILED  " + f)
        failed = [x for x in self.rounds if x.wrong]
        good = not self.findings and not failed
        return good and (self.args.no_times or not slow)

    @staticmethod
    def line(name, rounds):
        acks = sorted(x.ack_s for x in rounds if x.ack_s is not None)
        views = sorted(x.views_s for x in rounds if x.views_s is not None)
        say(f"| {name} | {len(rounds)} | {seconds(middle(acks))} | "
            f"{seconds(acks[-1] if acks else None)} | {seconds(middle(views))} | "
            f"{seconds(views[-1] if views else None)} | "
            f"{sum(bool(x.wrong) for x in rounds)} |")

    def times(self):
        acks = sorted(x.ack_s for x in self.rounds
                      if x.is_restart() and x.ack_s is not None)
        p99 = acks[max(0, -(-len(acks) * 99 // 100) - 1)] if acks else None
        late = [x for x in self.rounds if x.views_s is not None and x.views_s > VIEWS_S]
        slow = [x for x in (
            f"restart to first new ACK: p99 {seconds(p99)} of {len(acks)}, wanted "
            f"{ACK_S:.0f} s" if p99 is not None and p99 > ACK_S else None,
            f"views later than {VIEWS_S:.0f} s in {len(late)} rounds"
            if late else None) if x]
        say(f"restart to first new ACK, no broker killed: p99 {seconds(p99)} of "
            f"{len(acks)}; " + ("; ".join(slow) if slow else "all times held"))
        return slow


def seconds(x):
    return "-" if x is None else f"{x:.2f} s"


def middle(values):
    return values[len(values) // 2] if values else None


def crash_build():
    """Points are hit where there is a build that has them."""
    found = os.environ.get("HEADRACE_CRASH_BUILD") or os.path.join(PROJECT, "build-crash")
    return found if os.path.exists(os.path.join(found, "controlplane/headraced")) else None


def arguments(parser):
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=1, metavar="N",
                        help="the first round's number (1)")
    parser.add_argument("--seconds", type=float, default=float("inf"), metavar="N",
                        help="no further round after so long")
    parser.add_argument("--each", type=int, default=10, metavar="N",
                        help="rounds of a data set, judged at its end (10)")
    parser.add_argument("--rate", type=int, default=20000)
    parser.add_argument("--users", type=int, default=100000)
    parser.add_argument("--snapshots", default="10s", help="snapshot.interval (10s)")
    parser.add_argument("--port", type=int, default=24320)
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--list", action="store_true", help="only what would happen")
    parser.add_argument("--keep", action="store_true",
                        help="keep the folder of rounds that failed")


def main(args):
    args.crash_build = crash_build()
    if args.crash_build:
        appliance.BUILD = args.crash_build
    else:
        say("there is no build with -Dcrash_points=true (HEADRACE_CRASH_BUILD or "
            "build-crash): no round dies at a named point")
    soak = Soak(args, args.port)
    try:
        good = soak.run()
    finally:
        soak.close(keep=args.keep)
    return 0 if good else 1
