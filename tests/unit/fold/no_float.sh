#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# fold counts in integers: a float's last bit depends on compiler and order. Fails on
# any instruction that computes with floats (x87; SSE and AVX arithmetic, comparison
# and conversion, scalar or packed, single or double). Moves, shuffles and bit
# operations of the same registers compute nothing.
#   no_float.sh LIBRARY...
set -eu
[ $# -gt 0 ]
arithmetic='add|sub|mul|div|sqrt|max|min|rcp|rsqrt|cmp[a-z_]*|u?comi|addsub|hadd|hsub|dp|round|rndscale|fn?m(add|sub)[a-z0-9]*'
for library; do
	[ -s "$library" ] || { echo "no_float: no library $library" >&2; exit 1; }
	found=$(objdump -d --no-show-raw-insn "$library" | awk -F'\t' 'NF >= 2 { print $2 }' |
		awk '{ print $1 }' |
		grep -E "^(v?($arithmetic)(s|p)(s|d)|v?cvt[a-z0-9]+|f[a-z0-9]+)\$" | sort | uniq -c || :)
	[ -z "$found" ] || { echo "$library computes with floats:" $found >&2; exit 1; }
done
