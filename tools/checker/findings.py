# SPDX-License-Identifier: BSD-3-Clause
"""What is wrong, one entry each: kind, where, event, user, in words.

    lost       an event or record that must be there and is not
    doubled    one that is there more often than once
    reordered  one that stands behind its successor
    wrong      a value or record that says something else than fold
    phantom    one that nobody sent, or that fold does not write
    chain      a law of the chain that the log breaks
    behind     a view that has not reached the end of the log
"""
KINDS = ("lost", "doubled", "reordered", "wrong", "phantom", "chain", "behind")


def text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Findings:
    def __init__(self, most=1000):
        self.most = most  # of each kind and place that are kept; all are counted
        self.counts = {}
        self.kept = []

    def add(self, kind, place, what, event_id=None, user=None, **more):
        assert kind in KINDS
        number = self.counts.get((kind, place), 0)
        self.counts[kind, place] = number + 1
        if number >= self.most:
            return
        entry = {"kind": kind, "place": place, "what": what}
        for name, value in (("event_id", event_id), ("user", user), *more.items()):
            if value is not None:
                entry[name] = text(value)
        self.kept.append(entry)

    def __len__(self):
        return sum(self.counts.values())

    def kinds(self):
        return sorted({kind for kind, _ in self.counts})

    def as_json(self):
        return {
            "counts": [{"kind": k, "place": p, "findings": n}
                       for (k, p), n in sorted(self.counts.items())],
            "findings": self.kept,
            "not_shown": len(self) - len(self.kept),
        }

    def lines(self, most):
        """For people: at most so many of each kind and place, and how many more."""
        shown = {}
        for entry in self.kept:
            shown.setdefault((entry["kind"], entry["place"]), []).append(entry)
        for (kind, place), entries in sorted(shown.items()):
            number = self.counts[kind, place]
            yield f"{kind.upper()} in {place}: {number}"
            for entry in entries[:most]:
                yield "  " + line_of(entry)
            if number > most:
                yield f"  … and {number - min(most, len(entries))} more"


def line_of(entry):
    name = ""
    if "event_id" in entry:
        name = f"event {entry['event_id']}"
    if "user" in entry:
        name += (" of " if name else "") + f"user {entry['user']}"
    more = ", ".join(f"{k} {v}" for k, v in entry.items()
                     if k not in ("kind", "place", "what", "event_id", "user"))
    return (name + ": " if name else "") + entry["what"] + (f" ({more})" if more else "")
