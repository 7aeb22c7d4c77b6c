#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# A fast library may ask the linker for these names and no others, so that no
# allocator, log line or system call slips into the per-beacon path unnoticed. What
# one of its files asks another one for is its own matter.
#   fast_symbols.sh LIBRARY [further allowed name]...
set -eu
library=$1
shift
allowed='__assert_fail|__stack_chk_fail|memcpy|memset|memcmp|bcmp|_GLOBAL_OFFSET_TABLE_'
for name in "$@"; do allowed="$allowed|$name"; done
for name in $(nm --defined-only "$library" | awk 'NF == 3 { print $3 }'); do
	allowed="$allowed|$name"
done
names=$(nm -u "$library" | awk '$1 == "U" { print $2 }')
strays=$(printf '%s\n' "$names" | grep -Ev "^($allowed|)$" | sort -u || :)
[ -z "$strays" ] || { echo "fast library $library calls:" $strays >&2; exit 1; }
