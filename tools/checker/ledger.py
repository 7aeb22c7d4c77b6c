# SPDX-License-Identifier: BSD-3-Clause
"""Ledgers: what senders say of their events, and what the log must say then.

    # headrace-ledger 1 …
    + <event_id> <user_id> <order>                                  tracked
    <event_id> <user_id> <order> <state> <tracked_us> <decided_us>  decided

A file is appended to as states are decided, so the file of a sender that was killed
is usable: what is only tracked may be in the log or not. The last line may be cut.
"""
COMMITTED, DROPPED, UNKNOWN, LOST, PENDING = range(5)
STATES = {b"committed": COMMITTED, b"dropped": DROPPED, b"unknown": UNKNOWN,
          b"lost": LOST, b"pending": PENDING}
NAMES = {v: k.decode() for k, v in STATES.items()}


class LedgerError(Exception):
    """A ledger that cannot be read: nothing can be checked."""


class Entry:
    __slots__ = ("ledger", "order", "state", "times")

    def __init__(self, ledger, order):
        self.ledger, self.order = ledger, order
        self.state, self.times = PENDING, 0


def key_of(user, event_id):
    """Neither has control characters."""
    return user + b"\n" + event_id


def split_key(key):
    return key.split(b"\n")


class Ledgers:
    def __init__(self, findings):
        self.findings = findings
        self.paths, self.entries = [], {}
        self.last = {}  # (ledger, user): (order, event id) of the newest counted event
        self.strangers = 0

    def read(self, path):
        with open(path, "rb") as f:
            lines = f.read().split(b"\n")
        if not lines[0].startswith(b"# headrace-ledger 1"):
            raise LedgerError(f"{path}:1: found {lines[0][:60]!r}, expected "
                              f"'# headrace-ledger 1 …'")
        ledger = len(self.paths)
        self.paths.append(path)
        for number, line in enumerate(lines[1:-1], 2):
            if line and not line.startswith(b"#"):
                self.take(path, number, ledger, line)

    def take(self, path, number, ledger, line):
        try:
            # A user id may have blanks, an event id of ours has none.
            if line.startswith(b"+ "):
                event_id, rest = line[2:].split(b" ", 1)
                user, order = rest.rsplit(b" ", 1)
                state = None
            else:
                event_id, rest = line.split(b" ", 1)
                user, order, word, _, _ = rest.rsplit(b" ", 4)
                state = STATES[word]
            order = int(order)
        except (IndexError, ValueError, KeyError):
            raise LedgerError(f"{path}:{number}: found {line[:80]!r}, expected "
                              "'+ <event_id> <user_id> <order>' or '<event_id> "
                              "<user_id> <order> <state> <tracked_us> "
                              "<decided_us>'") from None
        key = key_of(user, event_id)
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = Entry(ledger, order)
        elif entry.order != order or entry.ledger != ledger:
            raise LedgerError(
                f"{path}:{number}: event {event_id.decode()} of user {user.decode()} "
                f"is there already, in {self.paths[entry.ledger]} with order "
                f"{entry.order}: ids must be different")
        if state is not None:
            if entry.state == COMMITTED and state != COMMITTED:
                # `lost` is told of what was told to be committed: the log went back.
                if state != LOST:
                    raise LedgerError(f"{path}:{number}: {event_id.decode()} was "
                                      "committed and became something else")
            entry.state = state

    def counted(self, event):
        """The event was counted; in the order of the user's shard."""
        key = key_of(event.user, event.id)
        entry = self.entries.get(key)
        if entry is None:
            self.strangers += 1
            return False
        entry.times += 1
        if entry.times > 1:
            return True
        if entry.state == DROPPED:
            self.findings.add(
                "phantom", "log", "its sender says it was dropped before it was sent",
                event.id, event.user, offset=event.offset, shard=event.shard)
        where = entry.ledger, event.user
        last = self.last.get(where)
        if last and entry.order < last[0]:
            self.findings.add(
                "reordered", "log",
                f"tracked as number {entry.order}, counted behind number {last[0]} "
                f"({last[1].decode()})", event.id, event.user, offset=event.offset,
                shard=event.shard, ledger=self.paths[entry.ledger])
        else:
            self.last[where] = entry.order, event.id
        return True

    def end(self):
        """What must have been counted and was not."""
        for key, entry in self.entries.items():
            if entry.state == COMMITTED and not entry.times:
                user, event_id = split_key(key)
                self.findings.add(
                    "lost", "log", "committed, and not counted in the accepted log",
                    event_id, user, ledger=self.paths[entry.ledger])

    def states(self):
        out = dict.fromkeys(STATES.values(), 0)
        for entry in self.entries.values():
            out[entry.state] += 1
        return {NAMES[k]: v for k, v in out.items()}
