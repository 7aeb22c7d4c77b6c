#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# What an application copies is enough: headrace.h and headrace.c compile as strict
# C99 with every warning an error, the example links with nothing but threads, no
# name without the prefix leaves the object, and the header is C++.
#   stands_alone.sh <sdk/c> <C compiler> [argument...]
set -eu
sdk=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cp "$sdk/headrace.h" "$sdk/headrace.c" "$sdk/example/track.c" "$dir"
cd "$dir"

warnings='-Wall -Wextra -Wshadow -Wconversion -Wpedantic -Werror'
for std in c99 gnu11; do
	# shellcheck disable=SC2086 # words on purpose
	"$@" -std=$std -O2 $warnings -c headrace.c
	# shellcheck disable=SC2086
	"$@" -std=$std -O2 $warnings track.c headrace.o -lpthread -o track
done
strays=$(nm -g --defined-only headrace.o | awk '{ print $3 }' | grep -v '^headrace_' || :)
[ -z "$strays" ] || { echo "names without the prefix:" $strays >&2; exit 1; }
status=0
./track 2>usage || status=$?
[ "$status" = 2 ] && grep -q '^usage: ' usage

command -v c++ >/dev/null || { echo "skipped: no c++ here"; exit 0; }
cat >header.cc <<'CC'
#include "headrace.h"
int one(headrace *h, const char *user)
{
	return HEADRACE_TRACK(h, user, "purchase", headrace_text("product_id", "p"),
			      headrace_integer("quantity", 2));
}
int main()
{
	return headrace_close(nullptr);
}
CC
# shellcheck disable=SC2086
c++ -std=c++11 $warnings header.cc headrace.o -lpthread -o header
./header
