#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""docs/headrace.proto fits the bytes: Google's own compiler reads every protobuf event
of wire_vectors.txt, and what an encoder would write comes back the same.

    proto_fits.py DOCS_FOLDER WIRE_VECTORS      exit code 77: no protoc here
"""
import os
import shutil
import subprocess
import sys

# Rows that no encoder writes so: they are read, and written another way.
READ_ONLY = {"unknown_fields", "any_order", "varints_longer_than_needed"}


def protoc(docs, how, data):
    return subprocess.run(
        ["protoc", how, "--proto_path=" + docs, os.path.join(docs, "headrace.proto")],
        input=data, stdout=subprocess.PIPE, check=True).stdout


def rows(path):
    with open(path, encoding="ascii") as f:
        for line in f:
            if not line.startswith("event ok "):
                continue
            said = dict(w.split("=", 1) for w in line.split()[2:])
            if said["codec"] == "1":
                yield said["name"], bytes.fromhex(said["bytes"])


def main():
    docs, vectors = sys.argv[1:]
    if shutil.which("protoc") is None:
        print("skipped: protoc is not installed (apt install protobuf-compiler)")
        return 77
    n = 0
    for name, data in rows(vectors):
        text = protoc(docs, "--decode=headrace.v1.Event", data)
        if name not in READ_ONLY:
            again = protoc(docs, "--encode=headrace.v1.Event", text)
            if again != data:
                print("%s: comes back as %s" % (name, again.hex()), file=sys.stderr)
                return 1
        # In a Batch: its one field, and nothing that the definition does not know.
        batch = b"\x0a" + bytes([len(data) & 0x7F | 0x80, len(data) >> 7]) + data
        if protoc(docs, "--decode=headrace.v1.Batch", batch).split()[0] != b"events":
            print("%s: not an event of a batch" % name, file=sys.stderr)
            return 1
        n += 1
    print("%d events" % n)
    return 0 if n > 10 else 1


sys.exit(main())
