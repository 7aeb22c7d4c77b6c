# SPDX-License-Identifier: BSD-3-Clause
"""What tools/kafka and tools/redis share: finding, starting, watching and stopping
one server process, and saying in plain words why that did not work.

A server belongs to a run folder. Beside its data lies a pid file that names the
process beyond doubt: pid, the kernel's start time of it, and the boot. A recycled
pid therefore never gets a signal, and a pid file left by a crash is just stale.

Standard library only: this runs before anything is built.
"""
import contextlib
import errno
import fcntl
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

PROJECT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
LOOPBACK = "127.0.0.1"
MIB = 1 << 20


class Trouble(Exception):
    """What was found, what was expected and how to mend it, for a person to read."""


def say(text):
    """Progress goes to stderr: stdout is for the answer alone."""
    print(text, file=sys.stderr, flush=True)


ENDINGS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


def run_command(name, main):
    """Runs a tool's main; every refusal becomes one clear text and exit code 1.
    Being asked to end takes the same way out as Ctrl-C, so nothing is left half."""
    def end(*_):
        raise KeyboardInterrupt
    for number in ENDINGS:
        signal.signal(number, end)
    try:
        sys.exit(main())
    except Trouble as trouble:
        say(f"{name}: {trouble}")
        sys.exit(1)
    except KeyboardInterrupt:
        say(f"{name}: interrupted")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


@contextlib.contextmanager
def undisturbed():
    """Holds back the request to end until the block is through; yields the mask
    from before, which a child must get back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def cache_folder():
    """Downloads and what is made of them, shared by every clone on this machine."""
    chosen = os.environ.get("HEADRACE_CACHE")
    path = os.path.abspath(chosen or os.path.expanduser("~/.cache/headrace"))
    if re.search(r'[:*"\\\n]', path):
        raise Trouble(f"the cache folder {path} has a character in its name that a "
                      f"Java class path cannot hold; choose another with HEADRACE_CACHE")
    return path


def wait_until(question, timeout_s, every_s=0.02, progress=None):
    """Asks until the answer is true; False when time is up. Tells every 5 s that
    it is still waiting."""
    start = told = time.monotonic()
    while True:
        answer = question()
        now = time.monotonic()
        if answer or now - start > timeout_s:
            return answer
        if progress and now - told >= 5:
            told = now
            say(f"  … {progress}, {now - start:.0f} s of at most {timeout_s:.0f} s")
        time.sleep(every_s)


@contextlib.contextmanager
def locked(path, what, timeout_s=120):
    """One tool at a time in a folder; the kernel drops the lock with its holder."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a") as lock:
        def taken():
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    raise
                return False
        if not wait_until(taken, timeout_s, 0.05, f"another command has {what}"):
            raise Trouble(f"another command has held {path} for {timeout_s} s; "
                          f"wait for it, or find it with: fuser -v {path}")
        yield


# ---- files ---------------------------------------------------------------------

def read_text(path, default=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return default


def write_text(path, text):
    """Whole or not at all: a reader never sees half a file."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(temporary, path)


def read_json(path):
    text = read_text(path)
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise Trouble(f"{path} is not valid JSON; it was damaged or edited. "
                      f"Remove its run folder to start afresh") from None


def write_json(path, value):
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def make_folder(path):
    if re.search(r'[,"\\\n]', os.path.realpath(path)):
        raise Trouble(f"the folder {path} has a character in its name that a server's "
                      f"configuration cannot hold; choose another with --run DIR")
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise Trouble(f"cannot make the folder {path}: {error.strerror}; "
                      f"choose another with --run DIR") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise Trouble(f"the folder {path} is not writable for "
                      f"user {os.getuid()}; choose another with --run DIR")


def rotate_log(path, max_bytes=16 * MIB):
    """Logs are appended to across restarts and keep one older part."""
    with contextlib.suppress(FileNotFoundError):
        if os.stat(path).st_size > max_bytes:
            os.replace(path, path + ".1")


def log_tail(path, since=0, lines=12):
    """The last lines of a log from a byte offset on, indented, for an error text."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since if since <= size else 0, size - 65536))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return f"  ({path} cannot be read)"
    last = [line for line in text.splitlines() if line.strip()][-lines:]
    return "\n".join("  | " + line[:300] for line in last) or f"  ({path} is empty)"


def disk_used(folder):
    """Bytes that a folder really takes (sparse files count what they hold)."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
    return total


# ---- what a machine has --------------------------------------------------------

def parse_size(text):
    """'512m', '2g', '1048576' to bytes."""
    match = re.fullmatch(r"(\d+)([kmg]?)(?:i?b)?", text.strip().lower())
    if not match or int(match[1]) == 0:
        raise Trouble(f"'{text}' is not a size; expected a number with k, m or g, "
                      f"such as 512m")
    return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]]


def human(n_bytes):
    if n_bytes < MIB:
        return f"{n_bytes / 1024:.0f} KiB"
    if n_bytes < 10240 * MIB:
        return f"{n_bytes / MIB:.0f} MiB"
    return f"{n_bytes / 1024 / MIB:.1f} GiB"


def memory_available():
    """Bytes that new processes may take, by the kernel and by a v2 memory limit."""
    text = read_text("/proc/meminfo", "")
    found = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)
    free = int(found[1]) * 1024 if found else sys.maxsize
    own = re.search(r"^0::(/.*)$", read_text("/proc/self/cgroup", ""), re.M)
    group = "/sys/fs/cgroup" + (own[1] if own else "/")
    while group.startswith("/sys/fs/cgroup"):
        limit = (read_text(group + "/memory.max") or "max").strip()
        if limit != "max":
            used = int(read_text(group + "/memory.current", "0"))
            free = min(free, max(int(limit) - used, 0))
        group = os.path.dirname(group)
    return free


def need_memory(wanted, what, cure):
    free = memory_available()
    if free < wanted:
        raise Trouble(f"memory is short: {what} may take {human(wanted)}, "
                      f"{human(free)} are available; {cure}")


def need_disk(folder, wanted, cure):
    stat = os.statvfs(folder)
    free = stat.f_bavail * stat.f_frsize
    if free < wanted:
        raise Trouble(f"disk is short: {folder} has {human(free)} free, at least "
                      f"{human(wanted)} are wanted; {cure}")
    if stat.f_files and stat.f_favail < 1000:
        raise Trouble(f"the file system of {folder} has {stat.f_favail} inodes free, "
                      f"at least 1000 are wanted; {cure}")


def parse_cpus(text):
    """'0,2-3' to {0, 2, 3}, all of them usable by this process."""
    cpus = set()
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise Trouble(f"'{text}' is not a CPU list; expected one such as 0,2-3")
        cpus.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    usable = os.sched_getaffinity(0)
    if not cpus <= usable:
        raise Trouble(f"CPU {min(cpus - usable)} of --cpu {text} cannot be used; "
                      f"this process may run on {','.join(map(str, sorted(usable)))}")
    return cpus



# ---- ports ---------------------------------------------------------------------

def port_holder(port):
    """(pid, command line) of whoever listens on a TCP port, as far as we may see."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in read_text(table, "").splitlines()[1:]:
            field = line.split()
            if field[3] == "0A" and int(field[1].rsplit(":", 1)[1], 16) == port:
                inodes.add(f"socket:[{field[9]}]")
    for pid in filter(str.isdigit, os.listdir("/proc") if inodes else ()):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                    return int(pid), command_line(int(pid))
    return None, None


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except PermissionError:
            raise Trouble(f"port {port} needs root; choose one above 1023") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise
    return True


def need_ports(ports, command, recognise=lambda cmd: None):
    """Refuses with the holder's name unless every port is free."""
    for port in ports:
        if not 0 < port < 65536:
            raise Trouble(f"port {port} is outside 1-65535; choose another with --port")
        if port_is_free(port):
            continue
        pid, cmd = port_holder(port)
        who = (recognise(cmd) or f"pid {pid}: {cmd[:160]}") if pid else \
            "a process that only root can see (try: sudo ss -ltnp)"
        raise Trouble(f"port {port} on {LOOPBACK} is taken by {who}. Stop that, or "
                      f"choose another: {command} start --port P")


def free_ports(count):
    """Consecutive free ports for a short-lived private server."""
    for _ in range(200):
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            first = probe.getsockname()[1]
        ports = range(first, first + count)
        if ports[-1] < 65536 and all(map(port_is_free, ports)):
            return first
    raise Trouble(f"no {count} consecutive free ports found on {LOOPBACK}")


# ---- processes -----------------------------------------------------------------

def command_line(pid):
    return (read_text(f"/proc/{pid}/cmdline") or "").replace("\0", " ").strip()


def start_time(pid):
    """The kernel's start time of a living process; None for the dead and zombies."""
    stat = read_text(f"/proc/{pid}/stat")
    if not stat:
        return None
    field = stat.rsplit(")", 1)[1].split()
    return None if field[0] in "ZX" else int(field[19])


def boot_id():
    return read_text("/proc/sys/kernel/random/boot_id", "").strip()


class Server:
    """One server process with its pid file, log and identity.

    mark: a word that its command line must hold, so that no signal ever goes to
    a stranger, whatever the pid file says.
    """

    def __init__(self, name, folder, mark):
        self.name = name
        self.folder = folder
        self.mark = mark
        self.pid_file = os.path.join(folder, "pid")
        self.log = os.path.join(folder, "log")
        self.log_start = 0
        self.child = None

    def pid(self):
        """Our living process, or None. A stale pid file counts as none."""
        known = read_json(self.pid_file)
        if not known or known["boot"] != boot_id():
            return None
        if self.child and self.child.pid == known["pid"]:
            self.child.poll()
        pid = known["pid"]
        if known["start"] is None or start_time(pid) != known["start"]:
            return None
        return pid if self.mark in command_line(pid) else None

    def spawn(self, argv, cpus=None):
        """Starts it in a session of its own, so that no Ctrl-C of ours reaches it.
        Undisturbed, for a process without its pid file would be nobody's."""
        os.makedirs(self.folder, exist_ok=True)
        rotate_log(self.log)
        with open(self.log, "ab") as log, undisturbed() as mask:
            def in_child():
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                if cpus:
                    os.sched_setaffinity(0, cpus)
            self.log_start = log.seek(0, os.SEEK_END)
            self.child = subprocess.Popen(
                argv, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=in_child)
            try:
                write_json(self.pid_file,
                           {"pid": self.child.pid, "boot": boot_id(),
                            "start": start_time(self.child.pid)})
            except BaseException:
                self.child.kill()
                raise

    def await_ready(self, ready, timeout_s):
        """Waits for ready(); says why it did not come to that."""
        def settled():
            return ready() or self.child.poll() is not None
        wait_until(settled, timeout_s, progress=f"waiting for {self.name}")
        code = self.child.poll()
        if code is not None:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            raise Trouble(f"{self.name} ended by itself with {how}. "
                          f"{self.last_words()}")
        if not ready():
            raise Trouble(f"{self.name} is running but does not answer after "
                          f"{timeout_s:.0f} s. {self.last_words()}")

    def last_words(self):
        return (f"The last lines of {self.log}:\n"
                f"{log_tail(self.log, self.log_start)}")

    def signal(self, number):
        """Signals our process, if there is one. Returns what await_gone() takes.
        The handle closes the gap between the check and the kill."""
        pid = self.pid()
        if pid is None:
            return None
        handle = None
        try:
            handle = os.pidfd_open(pid)
            if self.pid() == pid:
                signal.pidfd_send_signal(handle, number)
                return handle
        except ProcessLookupError:
            pass
        except PermissionError:
            os.close(handle)
            raise Trouble(f"{self.name} (pid {pid}) belongs to another user; "
                          f"run this as that user or root") from None
        if handle is not None:
            os.close(handle)
        return None

    def forget(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.pid_file)


def await_gone(handle, timeout_s):
    """Waits for the end of a whole process. The kernel tells by the handle when the
    last thread is gone and its ports are closed; /proc shows a zombie before that."""
    try:
        gone, _, _ = select.select([handle], [], [], max(timeout_s, 0))
        return bool(gone)
    finally:
        os.close(handle)


def stop_servers(servers, patience_s):
    """SIGTERM to all, wait, SIGKILL with a notice to who is still there. Returns how
    many were running."""
    asked = [(server, server.signal(signal.SIGTERM)) for server in servers]
    asked = [(server, handle) for server, handle in asked if handle is not None]
    deadline = time.monotonic() + patience_s
    for server, handle in asked:
        if not await_gone(handle, deadline - time.monotonic()):
            say(f"{server.name} did not stop within {patience_s:.0f} s of SIGTERM; "
                f"killing it (pid {server.pid()})")
            kill_server(server)
    for server in servers:
        server.forget()
    return len(asked)


def kill_server(server):
    """SIGKILL and the certainty that it is gone."""
    pid, handle = server.pid(), server.signal(signal.SIGKILL)
    if handle is None:
        return False
    if not await_gone(handle, 30):
        raise Trouble(f"{server.name} (pid {pid}) does not go after SIGKILL; "
                      f"it hangs in the kernel (see /proc/{pid}/wchan)")
    server.forget()
    return True


def await_ports(servers, ports):
    """A server that has just died by itself may not have closed its ports yet."""
    if any(os.path.exists(server.pid_file) for server in servers):
        wait_until(lambda: all(map(port_is_free, ports)), 5)


def usage(pid):
    """(resident bytes, CPU seconds so far) of a process, for status and benchmarks."""
    status = read_text(f"/proc/{pid}/status") or ""
    stat = read_text(f"/proc/{pid}/stat") or ""
    rss = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
    ticks = sum(map(int, stat.rsplit(")", 1)[1].split()[11:13])) if stat else 0
    return (int(rss[1]) * 1024 if rss else 0, ticks / os.sysconf("SC_CLK_TCK"))


def find_program(name, cure="run tools/setup"):
    path = shutil.which(name)
    if not path:
        raise Trouble(f"{name} is not installed; {cure}")
    return path
