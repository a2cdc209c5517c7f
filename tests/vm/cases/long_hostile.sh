#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1500
#
# A million bad packets in each mode's share: cut, too long, with wrong bits, once more, forged.
# Each one is in a counter, and what is good comes through, each packet once.
# module: yes
# long: yes
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/numbered.sh"

count=${HOSTILE_COUNT:-500000}
rate=${HOSTILE_RATE:-2500}
forge=$t/forge
gcc -D_GNU_SOURCE -O1 -Wall -o "$forge" "$REPO/tests/vm/forge.c"

# accounted: bad packets that the right side has counted so far, and those that never reached
# WireGuard, since the CPU's backlog was full.
accounted() {
	local backlog=0 dropped

	while read -r _ dropped _; do
		backlog=$((backlog + 0x$dropped))
	done </proc/net/softnet_stat
	echo $(($(counter right '[.devices[].drops, .peers[].drops] | map(
		(.rx_header // 0) + (.rx_session // 0) + (.rx_handshake // 0) + (.rx_decrypt // 0) +
		(.rx_replay // 0) + (.rx_queue // 0) + (.rx_ring // 0)) | add') + backlog))
}

# attack MODE SEED
attack() {
	local before

	pair_mode "$1"
	before=$(accounted)
	receiver_start
	senders_start 50 $((count / rate + 5)) 0
	left "$forge" wire "$count" "$rate" "$2" >$t/forged
	senders_wait
	say "$1: $(xargs <$t/forged)"
	# Handshakes are looked at by a worker.
	eventually 60 test_accounted "$before" >/dev/null || :
	check "$1: each of $count is accounted for: $(($(accounted) - before)); $(counter right \
		'[.devices[].drops, .peers[].drops] | tostring')" test_accounted "$before"
	eventually 10 left ping -n -c 1 -W 1 10.9.0.2 >/dev/null
	receiver_end
	check "$1: good packets came through, once each: $(cut -d ' ' -f 2 $t/sent) sent; $(flows)" \
		test "$(flows)" = "0 $(cut -d ' ' -f 2 $t/sent) 0 0 0"
}

test_accounted() {
	[ $(($(accounted) - $1)) = "$count" ]
}

load_module
pair_wire
for side in left right; do
	ip -n $side link set wire mtu 2000
done
pair_tunnel 0
attack vanilla 1
attack inline 2

# --- a wire that reorders, and sends twice
left tc qdisc add dev wire root netem delay 4ms 3ms reorder 30% duplicate 20% limit 100000
for mode in vanilla inline; do
	pair_mode $mode
	receiver_start
	senders_start 300 20 0
	senders_wait
	eventually 10 left ping -n -c 1 -W 1 10.9.0.2 >/dev/null
	receiver_end
	say "received lost reordered duplicated: $(flows)"
	check "$mode: none lost, none twice" test "$(flows | cut -d ' ' -f 2,3,5)" = \
		"$(cut -d ' ' -f 2 $t/sent) 0 0"
done
check "replays were seen: $(counter right '.peers[0].drops.rx_replay')" \
	test "$(counter right '.peers[0].drops.rx_replay')" -gt 1000
