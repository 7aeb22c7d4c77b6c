#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the documents name is there.

  tests/unit/docs/test_docs.py [FOLDER]

In every *.md of the project: relative links resolve, with their anchors; paths of the
tree in backticks exist; options and metrics in backticks are those of the schema and
of the tables. Prints a line for each that is not; exit code 0 or 1.
"""
import glob
import os
import re
import sys

ROOT = os.path.realpath(sys.argv[1] if len(sys.argv) > 1 else
                        os.path.join(os.path.dirname(__file__), "..", "..", ".."))
TOP = "bpf|common|config|controlplane|dataplane|docs|sdk|tests|tools"


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as f:
        return f.read()


def documents():
    for folder, inner, files in os.walk(ROOT):
        inner[:] = [d for d in inner if not d.startswith((".", "build"))
                    and os.path.join(folder, d) != os.path.join(ROOT, "run")]
        yield from (os.path.relpath(os.path.join(folder, f), ROOT)
                    for f in files if f.endswith(".md"))


def names(path, pattern):
    return set(re.findall(pattern, read(path), re.M))


def anchors(text):
    """As GitHub makes them of headings."""
    heads = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads}


def bad_links(document, text):
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        full = os.path.join(ROOT, os.path.dirname(document), path) if path else \
            os.path.join(ROOT, document)
        if not os.path.exists(full):
            yield f"links to {target}: no such file"
        elif anchor and anchor not in anchors(read(full)):
            yield f"links to {target}: no such heading"


def bad_paths(_, text):
    for path in re.findall(rf"`((?:{TOP})/[\w./*-]*)`", text):
        if not glob.glob(os.path.join(ROOT, path)):
            yield f"names {path}: not in the tree"


OPTIONS = names("common/config.def", r'^HR_(?:OPTION|LIST|FIXED)\("([\w.]+)"')
SECTIONS = {o.split(".")[0] for o in OPTIONS}


def bad_options(_, text):
    for option in re.findall(r"`(\w+(?:\.\w+)+)(?::[^`]*)?`", text):
        if option.split(".")[0] in SECTIONS and option not in OPTIONS \
                and not option.endswith((".c", ".h", ".md", ".def", ".sock", ".pid")):
            yield f"names option {option}: not in common/config.def"


METRICS = names("dataplane/stats/names.def", r'^HR_METRIC\(\w+, \w+, "(\w+)"') | \
    names("controlplane/metrics/own.def", r'"(headrace_\w+|\w+_total|\w+_seconds)"') | \
    {"headrace_stats_rows_lost_total"}


def bad_metrics(document, text):
    if document.startswith("sdk"):  # the SDK's functions begin so, too
        return
    for metric in re.findall(r"`(headrace_[a-z_]+)(?:\{[^`]*)?`", text):
        if metric not in METRICS:
            yield f"names metric {metric}: in no table"


def main():
    bad = n = 0
    for document in sorted(documents()):
        text = read(document)
        n += 1
        for check in (bad_links, bad_paths, bad_options, bad_metrics):
            for what in check(document, text):
                print(f"{document} {what}")
                bad += 1
    print(f"{n} documents, {bad} names that lead nowhere")
    return 0 if n > 0 and bad == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
