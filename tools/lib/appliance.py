# SPDX-License-Identifier: BSD-3-Clause
"""A whole appliance on this machine, for the quick start, tests and benchmarks: real
Kafka, real Redis, headraced with its dataplane, and the wire that beacons come by.

Everything lives under one run folder and is taken down in the reverse order of its
making, whatever happened in between: `with Stage(folder) as stage:`.
"""
import contextlib
import glob
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time

from servers import (
    LOOPBACK, PROJECT, Server, Trouble, free_ports, port_is_free, read_text, say,
    stop_servers, wait_until, write_text)

BUILD = os.environ.get("HEADRACE_BUILD") or os.path.join(PROJECT, "build")
HUGE = "/sys/kernel/mm/hugepages/hugepages-2048kB"
KEY_ID = 1


def program(*path):
    found = os.path.join(BUILD, *path)
    if not os.path.exists(found):
        raise Trouble(f"there is no {found}: build first (meson setup build && "
                      f"ninja -C build)")
    return found


def headraced():
    return program("controlplane", "headraced")


def headracectl():
    return program("controlplane", "headracectl")


def headrace_gen():
    return program("tools", "gen", "headrace-gen")


def command(argv, timeout_s, what=None, **more):
    """Run to the end; its standard output. A failure shows what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s,
                          stdin=subprocess.DEVNULL, check=False, **more)
    if done.returncode != 0:
        raise Trouble(f"{what or ' '.join(argv)} failed with exit code "
                      f"{done.returncode}:\n{done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def choose_ports(wanted, count=1):
    """The wanted ports where they are free, else others that are."""
    ports = list(range(wanted, wanted + count))
    if all(port_is_free(p) for p in ports):
        return wanted
    return free_ports(count)[0] if count == 1 else consecutive(count)


def consecutive(count):
    for first in range(20000, 32000, 16):
        if all(port_is_free(first + i) for i in range(count)):
            return first
    raise Trouble(f"no {count} free ports in a row between 20000 and 32000")


def cpus():
    """CPU of everything else, CPU of the worker: two where there are two."""
    mine = sorted(os.sched_getaffinity(0))
    return mine[0], mine[1] if len(mine) > 1 else mine[0]


def main_cpus():
    """CPUs of the appliance's threads that are no worker: on a small machine all."""
    mine = sorted(os.sched_getaffinity(0))
    return mine if len(mine) <= 2 else [c for c in mine if c != cpus()[1]][:16]


def yaml(value, indent=0):
    """A nested dict of plain values as YAML."""
    pad = "  " * indent
    lines = []
    for key, v in value.items():
        if isinstance(v, dict):
            lines += [f"{pad}{key}:", yaml(v, indent + 1)]
        elif isinstance(v, list) and v and isinstance(v[0], dict):
            lines.append(f"{pad}{key}:")
            for item in v:
                text = yaml(item, indent + 2)
                lines.append(pad + "  - " + text.lstrip())
        else:
            lines.append(f"{pad}{key}: {scalar(v)}")
    return "\n".join(lines)


def scalar(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, list):
        return "[" + ", ".join(map(str, v)) + "]"
    return str(v) if v != "" else '""'


def merge(base, over):
    """A copy of base with what `over` says, down to single options."""
    out = dict(base)
    for key, v in over.items():
        nested = isinstance(v, dict) and isinstance(out.get(key), dict)
        out[key] = merge(out[key], v) if nested else v
    return out


class HugePages:
    """Takes care that so many 2 MiB pages are free, and gives back what it added."""

    def __init__(self):
        self.added = 0

    @staticmethod
    def number(name):
        return int(read_text(os.path.join(HUGE, name), "0"))

    def need(self, pages):
        free = self.number("free_hugepages") - self.number("resv_hugepages")
        if free >= pages:
            return
        before = self.number("nr_hugepages")
        try:
            write_plain(os.path.join(HUGE, "nr_hugepages"), before + pages - free)
        except OSError as error:
            raise Trouble(f"huge pages cannot be taken: {error}; run this as root") \
                from None
        self.added += self.number("nr_hugepages") - before
        free = self.number("free_hugepages")
        if free < pages:
            self.give_back()
            raise Trouble(f"{pages} huge pages of 2 MiB are needed and {free} could "
                          f"be had: free some memory (the kernel needs it in one piece)")

    def give_back(self):
        if self.added:
            left = max(self.number("nr_hugepages") - self.added, 0)
            with contextlib.suppress(OSError):
                write_plain(os.path.join(HUGE, "nr_hugepages"), left)
        self.added = 0


def write_plain(path, value):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(value))


class Wire:
    """A veth pair: one end here, for the dataplane, the other in a namespace where
    senders live; of its own, or one that another wire has made."""

    def __init__(self, tag, net=99, namespace=None, is_first=True):
        self.namespace = namespace or f"hr-{tag}"
        self.makes_namespace = is_first
        self.near, self.far = f"hr{tag}a", f"hr{tag}b"
        self.near_ip, self.far_ip = f"10.{net}.0.1", f"10.{net}.0.2"
        self.near_ip6, self.far_ip6 = f"fd{net}::1", f"fd{net}::2"

    def up(self):
        def ip(*words):
            command(["ip", *words], 20)
        self.down()
        if self.makes_namespace:
            ip("netns", "add", self.namespace)
        ip("link", "add", self.near, "type", "veth", "peer", "name", self.far,
           "netns", self.namespace)
        inside = ["-n", self.namespace]
        # A router would solicit, IPv6 would wait for duplicate addresses: neither here.
        ip("addr", "add", self.near_ip + "/24", "dev", self.near)
        ip("addr", "add", self.near_ip6 + "/64", "dev", self.near, "nodad")
        ip(*inside, "addr", "add", self.far_ip + "/24", "dev", self.far)
        ip(*inside, "addr", "add", self.far_ip6 + "/64", "dev", self.far, "nodad")
        ip("link", "set", self.near, "up")
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "link", "set", self.far, "up")
        # veth leaves checksums to a card that is not there; AF_XDP sees them unmade.
        self.inside(["ethtool", "-K", self.far, "tx", "off"], 20)

    def inside(self, argv, timeout_s, **more):
        return command(["ip", "netns", "exec", self.namespace, *argv], timeout_s, **more)

    def prefix(self):
        return ["ip", "netns", "exec", self.namespace]

    def down(self):
        argvs = [["ip", "link", "del", self.near]]
        if self.makes_namespace:
            argvs.append(["ip", "netns", "del", self.namespace])
        for argv in argvs:
            subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=False)


class Stage:
    """Servers, appliance and wire of one run folder."""

    def __init__(self, folder, port_base=None, other_cpu=None, worker_cpu=None,
                 log="kafka"):
        self.folder = os.path.abspath(folder)
        first, second = cpus()
        self.other_cpu = first if other_cpu is None else other_cpu
        self.worker_cpu = second if worker_cpu is None else worker_cpu
        self.kafka_port = port_base or choose_ports(9092, 2)
        self.redis_port = port_base + 4 if port_base else choose_ports(6379)
        self.metrics_port = port_base + 5 if port_base else choose_ports(9464)
        self.log_kind = log
        self.log_folder = os.path.join(self.folder, "log")
        self.huge = HugePages()
        self.wire = None
        self.daemon = None
        self.config = None
        self.kafka_run = os.path.join(self.folder, "kafka")
        self.redis_run = os.path.join(self.folder, "redis")
        self.run_dir = os.path.join(self.folder, "run")
        self.config_path = os.path.join(self.folder, "headrace.yaml")
        self.keys_path = os.path.join(self.folder, "keys")
        self.secret_path = os.path.join(self.folder, "secret")
        self.others = []  # Servers of ours beside these
        self.brokers_die = False  # killed ones are missed after 1 s, not 9

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        return self

    def __exit__(self, *_):
        self.take_down()

    # ---- servers

    def tool(self, name, *words, timeout_s=180, quiet=False):
        out = subprocess.PIPE
        done = subprocess.run([os.path.join(PROJECT, "tools", name), *words],
                              stdout=out, stderr=out if quiet else None, text=True,
                              timeout=timeout_s, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0 and not quiet:
            raise Trouble(f"tools/{name} {words[0]} failed (see above)")
        return done

    def start_kafka(self, *more):
        """A broker that is starved for a second is fenced where it is missed that soon."""
        self.tool("kafka", "start", "--run", self.kafka_run, "--port",
                  str(self.kafka_port), "--cpu", str(self.other_cpu), "--session",
                  "1" if self.brokers_die else "9", *more)

    def start_redis(self, *more):
        self.tool("redis", "start", "--run", self.redis_run, "--port",
                  str(self.redis_port), "--cpu", str(self.other_cpu), *more)

    def kill(self, name):
        self.tool(name, "kill", "--run", getattr(self, name + "_run"))

    # ---- the appliance

    def base_config(self):
        if self.log_kind == "file":
            log = {"log": {"kind": "file", "folder": self.log_folder}}
        else:
            log = {"kafka": {"brokers": f"{LOOPBACK}:{self.kafka_port}"}}
        return {
            "appliance": {"name": "headrace", "run_dir": self.run_dir,
                          "state_dir": os.path.join(self.folder, "state")},
            "data_set": {"shards": 5},
            "listen": {"udp_ports": [7400], "tcp_ports": [], "handshake": "off",
                       "insecure": False, "keys_file": self.keys_path},
            "ports": [],
            "dataplane": {"main_cpus": main_cpus(), "worker_cpus": [self.worker_cpu],
                          "memory": "256MiB"},
            **log,
            "redis": {"host": LOOPBACK, "port": self.redis_port},
            "control": {"metrics_listen": f"{LOOPBACK}:{self.metrics_port}",
                        "stop_drain": "30s"},
        }

    def write_config(self, over):
        self.config = merge(self.base_config(), over)
        write_text(self.config_path, yaml(self.config) + "\n")
        if not os.path.exists(self.keys_path):
            write_text(self.keys_path, f"{KEY_ID} {secrets.token_hex(16)} made here\n")
            os.chmod(self.keys_path, 0o600)
            write_text(self.secret_path, secrets.token_hex(16) + "\n")
            os.chmod(self.secret_path, 0o600)
        return self.config

    def need_huge_pages(self, extra=0):
        config = self.config["dataplane"]
        if config.get("huge_pages", True):
            mib = int(config["memory"].removesuffix("MiB"))
            self.huge.need(mib // 2 + 8 + extra)

    def start(self, timeout_s=120):
        """headraced, until the appliance is ready."""
        self.start_daemon()
        try:
            self.daemon.await_ready(self.is_ready, timeout_s)
        except Trouble as e:
            raise Trouble(f"{e}\nstatus: {self.status().get('reasons')}") from e

    def start_daemon(self):
        self.need_huge_pages()
        self.daemon = Server("headraced", os.path.join(self.folder, "headraced"),
                             self.config_path)
        self.daemon.spawn([headraced(), "--config", self.config_path],
                          cpus())

    def status(self):
        done = subprocess.run([headracectl(), "--run-dir", self.run_dir, "--json",
                               "status"], capture_output=True, text=True, timeout=30,
                              stdin=subprocess.DEVNULL, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {"state": "not running", "ready": False, "reasons": [done.stderr]}

    def log_verify(self):
        """headracectl log verify: whether it finds no fault, and what it says."""
        done = subprocess.run([headracectl(), "--config", self.config_path, "--json",
                               "log", "verify"], capture_output=True, text=True,
                              timeout=120, stdin=subprocess.DEVNULL, check=False)
        try:
            return done.returncode == 0, json.loads(done.stdout)
        except ValueError:
            return False, [{"fault": done.stderr}]

    def log_show(self, *words):
        """The records that headracectl log show finds."""
        done = subprocess.run([headracectl(), "--config", self.config_path, "--json",
                               "log", "show", *map(str, words)], capture_output=True,
                              text=True, timeout=120, stdin=subprocess.DEVNULL,
                              check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def is_ready(self):
        return self.status().get("ready", False)

    def dataplane_pid(self):
        return (self.status().get("dataplane") or {}).get("pid")

    def stop(self, timeout_s=120):
        """In good order; True when everything was written out."""
        if self.daemon is None:
            return True
        done = subprocess.run([headracectl(), "--run-dir", self.run_dir, "stop"],
                              capture_output=True, text=True, timeout=timeout_s,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            say(f"headracectl stop: {(done.stderr or done.stdout).strip()}")
        stop_servers([self.daemon], 30)
        # headracectl judges by the last statistics; headraced knows how its child
        # ended, a crash at the very end included.
        ended = self.daemon.child.wait(10)
        self.daemon = None
        return done.returncode == 0 and ended == 0

    def log(self):
        return read_text(os.path.join(self.folder, "headraced", "log"), "")

    # ---- traffic

    def gen(self, *words, timeout_s=900, wire=False, cpu=None, **more):
        argv = [headrace_gen(), *map(str, words)]
        if wire:
            argv = self.wire.prefix() + argv
        argv = ["taskset", "-c", str(self.other_cpu if cpu is None else cpu)] + argv
        return command(argv, timeout_s, what="headrace-gen " + str(words[0]), **more)

    def sender(self, name, *words, wire=False, cpu=None):
        """A headrace-gen that runs beside: a Server, whose log is its output."""
        server = Server(name, os.path.join(self.folder, name), self.folder)
        argv = [headrace_gen(), *map(str, words)]
        if wire:
            argv = self.wire.prefix() + argv
        server.spawn(argv, {self.other_cpu if cpu is None else cpu})
        self.others.append(server)
        return server

    def await_written(self, events, timeout_s=300):
        """Until the log holds that many events and both views have what the log
        holds; or nothing moves any more: then what is missing was refused, and verify
        names it."""
        seen = {"now": None, "at": time.monotonic()}

        def settled():
            status = self.status()
            logged = (status.get("sums") or {}).get("headrace_events_logged_total", 0)
            lags = [v.get("lag_links") for v in status.get("views") or []]
            lag = sum(x or 0 for x in lags) if None not in lags else None
            if (logged, lag) != seen["now"]:
                seen.update(now=(logged, lag), at=time.monotonic())
            return lag == 0 and (logged >= events
                                 or time.monotonic() - seen["at"] > 5)
        if not wait_until(settled, timeout_s, 0.2, "the views catch up"):
            raise Trouble(f"log and views are not done after {timeout_s} s:\n"
                          + json.dumps(self.status(), indent=2)[:4000])

    def verify(self, plans, *words, timeout_s=600):
        """headrace-gen verify against what is in Kafka and Redis now. Returns whether
        everything is right, and what it said."""
        status = os.path.join(self.folder, "status.json")
        write_text(status, json.dumps(self.status()))
        argv = ["taskset", "-c", str(self.worker_cpu), headrace_gen(), "verify"]
        for plan in plans:
            argv += ["--plan", plan]
        argv += ["--config", self.config_path, "--status", status, *map(str, words)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout_s,
                              check=False, stdin=subprocess.DEVNULL)
        return done.returncode == 0, (done.stdout + done.stderr).rstrip()

    def is_balanced(self):
        """Both ledger laws, at rest."""
        ledger = self.status().get("ledger") or {}
        return len(ledger) == 2 and all(
            row.get("balance") == "BALANCED" for row in ledger.values())

    def await_steering(self, timeout_s=20):
        """Ports are set in the XDP program: from here on no beacon goes astray."""
        def set_up():
            ports = self.status().get("xdp") or []
            return ports and all(p.get("attached") for p in ports)
        if not wait_until(set_up, timeout_s):
            raise Trouble(f"the XDP program does not steer beacons after {timeout_s} "
                          f"s:\n{self.log()[-2000:]}")

    def make_wire(self, tag):
        self.wire = Wire(tag)
        self.wire.up()
        return self.wire

    # ---- the end

    def take_down(self):
        """Everything of ours, whatever state it is in."""
        with contextlib.suppress(Exception):
            stop_servers(self.others, 5)
        try:
            if self.daemon is not None:
                self.stop()
        except Exception as error:  # the rest must still go
            say(f"headraced: {error}")
            with contextlib.suppress(Exception):
                stop_servers([self.daemon], 10)
        self.kill_strays()
        for name in ("redis", "kafka"):
            if os.path.exists(getattr(self, name + "_run")):
                self.tool(name, "stop", "--run", getattr(self, name + "_run"),
                          quiet=True)
        if self.wire is not None:
            self.wire.down()
        self.huge.give_back()

    def kill_strays(self):
        """A dataplane whose headraced died; only ever one with our configuration."""
        for pid in self.processes("headrace-dataplane"):
            say(f"stopping a dataplane without headraced (pid {pid})")
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
                if wait_until(lambda p=pid: not os.path.exists(f"/proc/{p}"), 10):
                    break

    def processes(self, name=""):
        """Pids of processes whose command line names our folder."""
        found = []
        for path in glob.glob("/proc/[0-9]*/cmdline"):
            text = (read_text(path) or "").replace("\0", " ")
            if name in text and self.folder + "/" in text + "/":
                pid = int(path.split("/")[2])
                if pid != os.getpid():
                    found.append(pid)
        return found

    def remains(self, pins_before=()):
        """What is left after take_down(): a sentence each; empty when nothing is."""
        left = [f"process {p}: {read_text(f'/proc/{p}/cmdline', '')[:120]!r}"
                for p in self.processes()]
        names = os.listdir("/sys/class/net")
        if self.wire is not None:
            left += [f"interface {n}" for n in names if n == self.wire.near]
            spaces = subprocess.run(["ip", "netns", "list"], capture_output=True,
                                    text=True, check=False).stdout.split()
            left += [f"namespace {n}" for n in spaces if n == self.wire.namespace]
        left += [f"huge page file {f}" for f in glob.glob("/dev/hugepages/*")]
        left += [f"pinned map {f}" for f in pins() if f not in pins_before]
        if os.path.exists(os.path.join(self.run_dir, "stats")):
            left.append(f"statistics segment in {self.run_dir}")
        return left


def pins():
    return [os.path.join(d, f) for d, _, files in os.walk("/sys/fs/bpf") for f in files]


def remove_folder(folder):
    shutil.rmtree(folder, ignore_errors=True)


def need_root():
    if os.geteuid() != 0:
        say("network namespaces, AF_XDP and huge pages need root: asking sudo")
        os.execvp("sudo", ["sudo", "-E", *sys.argv])
