# SPDX-License-Identifier: BSD-3-Clause
"""A strict reader of Prometheus' text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/: what a scraper tolerates
and what it should is not the same; this one tolerates nothing. check() returns the
samples {(name, labels): value} and a list of complaints.
"""
import re

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"')
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.*)")
NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?)|[+-]Inf|NaN")
TYPES = {"counter", "gauge", "histogram"}


def labels_of(text, complaints, line):
    found, at = [], 0
    while at < len(text):
        match = LABEL.match(text, at)
        if not match:
            complaints.append(f"labels: {line}")
            return ()
        found.append((match[1], match[2]))
        at = match.end()
        if at < len(text):
            if text[at] != ",":
                complaints.append(f"no comma between labels: {line}")
                return ()
            at += 1
            if at == len(text):
                complaints.append(f"comma behind the last label: {line}")
    if len({key for key, _ in found}) != len(found):
        complaints.append(f"a label twice: {line}")
    return tuple(found)


class Family:
    def __init__(self, name):
        self.name, self.help, self.type, self.samples = name, None, None, []


def check_histogram(family, complaints):
    series = {}
    for name, labels, value in family.samples:
        rest = tuple(pair for pair in labels if pair[0] != "le")
        one = series.setdefault(rest, {"buckets": [], "sum": None, "count": None})
        if name.endswith("_bucket"):
            le = dict(labels).get("le")
            if le is None:
                complaints.append(f"{name}: a bucket without le")
                continue
            one["buckets"].append((float(le.replace("Inf", "inf")), value))
        elif name.endswith("_sum"):
            one["sum"] = value
        elif name.endswith("_count"):
            one["count"] = value
        else:
            complaints.append(f"{name}: not a sample of a histogram")
    for labels, one in series.items():
        what = f"{family.name}{dict(labels)}"
        bounds = [le for le, _ in one["buckets"]]
        counts = [n for _, n in one["buckets"]]
        if bounds != sorted(set(bounds)):
            complaints.append(f"{what}: bounds do not rise")
        if counts != sorted(counts):
            complaints.append(f"{what}: counts fall")
        if not bounds or bounds[-1] != float("inf"):
            complaints.append(f"{what}: no bucket +Inf")
        elif one["count"] != counts[-1]:
            complaints.append(f"{what}: _count is not the bucket +Inf")
        if one["sum"] is None or one["count"] is None:
            complaints.append(f"{what}: no _sum or no _count")


def check(text):
    complaints, samples, families, now = [], {}, {}, None
    if not text.endswith("\n"):
        complaints.append("the last line has no newline")
    for line in text.split("\n")[:-1]:
        head = HEAD.fullmatch(line)
        if head:
            kind, name, rest = head.groups()
            if kind == "HELP":
                if name in families:
                    complaints.append(f"two heads of {name}")
                now = families[name] = Family(name)
                now.help = rest
                if re.search(r"\\(?![\\n])", rest):
                    complaints.append(f"a wrong escape in the help of {name}")
            elif now is None or now.name != name or now.type or now.samples:
                complaints.append(f"TYPE out of place: {line}")
            else:
                now.type = rest
                if rest not in TYPES:
                    complaints.append(f"no such type: {line}")
            continue
        sample = SAMPLE.fullmatch(line)
        if not sample or line.startswith("#"):
            complaints.append(f"neither head nor sample: {line!r}")
            continue
        name, labels, value = sample[1], sample[2], sample[3]
        found = labels_of(labels or "", complaints, line)
        if labels == "":
            complaints.append(f"empty braces: {line}")
        if not NUMBER.fullmatch(value):
            complaints.append(f"not a number: {line}")
            continue
        number = float(value.replace("Inf", "inf"))
        if (name, found) in samples:
            complaints.append(f"twice: {line}")
        samples[name, found] = number
        base = name
        if now and now.type == "histogram":
            base = re.sub(r"_(bucket|sum|count)$", "", name)
        if now is None or now.name != base or now.type is None:
            complaints.append(f"not below its head: {line}")
            continue
        now.samples.append((name, found, number))
        if now.type == "counter" and number < 0:
            complaints.append(f"a counter below 0: {line}")
    for family in families.values():
        if not family.samples:
            complaints.append(f"{family.name}: a head without samples")
        if family.type == "counter" and not family.name.endswith("_total"):
            complaints.append(f"{family.name}: a counter without _total")
        if family.type == "histogram":
            check_histogram(family, complaints)
    return samples, complaints


def total(samples, name):
    return sum(v for (n, _), v in samples.items() if n == name)
