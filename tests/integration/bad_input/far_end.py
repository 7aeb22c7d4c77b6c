#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The other end of the wire, inside its namespace: raw frames as it is told.

  far_end.py INTERFACE

Commands on stdin, an answer on stdout behind each:

  frames N             then N times 4 bytes of length and a frame: sent as they are
  flood SECONDS SEED   then one frame (as above) of a good datagram: random bytes to
                       the beacon port, that datagram with a bit changed, and frames of
                       random bytes, as fast as it goes

The answer is the number of frames sent, to the beacon port and others apart. Nothing is
lost here unseen: the socket waits while the interface's queue is full.
"""
import os
import random
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..",
                                "data"))
import bad_random  # noqa: E402

AT_ONCE = 64  # frames between two looks at the clock


def take(stream, n):
    frames = []
    for _ in range(n):
        length, = struct.unpack("<I", stream.read(4))
        frames.append(stream.read(length))
    return frames


def flood(link, seconds, seed, good):
    made = bad_random.Frames(random.Random(seed), good)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(AT_ONCE):
            link.send(made.next())
    return made.to_port, made.others


def main():
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((sys.argv[1], 0))
    commands = sys.stdin.buffer
    for line in commands:
        words = line.split()
        if words[0] == b"frames":
            frames = take(commands, int(words[1]))
            for frame in frames:
                link.send(frame)
            sent = len(frames), 0
        else:
            sent = flood(link, float(words[1]), int(words[2]), take(commands, 1)[0])
        print("sent", *sent, flush=True)


main()
