#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The vanilla mode of our module against the kernel's own, alternated within one boot: a tunnel that
# is left alone is to cost what it always did.
# timeout: 3600
# module: yes
# smp: 1
# shellcheck source=../../vm/lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../net.sh
. "$REPO/tests/bench/net.sh"

# looped VARIANT SEGMENTS ROUND: 4 tunnels; 0 is no round, it fills the kernel's caches.
looped() {
	local ns all

	all=$("$BUILD/bench/loop" 4 "$2" "$WARM_MS" "$WINDOW_MS" "$WINDOWS") || fail "$all"
	[ "$3" != 0 ] || return 0
	for ns in $all; do
		sample "loop $module $1 $2 $3 $ns"
	done
	say "$(printf '%-5s %-8s %2d at once, round %d: %s ns' "$module" "$1" "$2" "$3" \
		"$(paste -sd ' ' <<<"$all")")"
}

describe "32 datagrams of 1,300 bytes in each of 4 tunnels, all taken in before the next"
for ((round = 0; round <= ROUNDS; round++)); do
	for module in stock ours; do
		module_load $module
		net_up 4
		mode=vanilla threaded=0
		[ "$round" != 1 ] || [ $module != ours ] || {
			way_up plain 4
			looped plain 1 1
			looped plain 16 1
		}
		for variant in softirq threaded; do
			variant_set $variant
			way_up $variant 4
			for segments in 1 16; do
				looped $variant $segments "$round"
			done
		done
		net_down
		rmmod wireguard
	done
done
