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

count=${HOSTILE_COUNT:-500000}
rate=${HOSTILE_RATE:-2500}
order=$t/order
forge=$t/forge
gcc -D_GNU_SOURCE -O1 -Wall -o "$order" "$REPO/tests/vm/order.c"
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
	local before sender

	pair_mode "$1"
	before=$(accounted)
	: >$t/received
	ip netns exec right "$order" receive 7000 >>$t/received &
	receiver=$!
	eventually 10 grep -q ready $t/received
	ip netns exec left "$order" send 10.9.0.2 7000 1 0 50 $((count / rate + 5)) >$t/sent &
	sender=$!
	left "$forge" wire "$count" "$rate" "$2" >$t/forged
	wait "$sender"
	say "$1: $(xargs <$t/forged)"
	# Handshakes are looked at by a worker.
	eventually 60 test_accounted "$before" >/dev/null || :
	check "$1: each of $count is accounted for: $(($(accounted) - before)); $(counter right \
		'[.devices[].drops, .peers[].drops] | tostring')" test_accounted "$before"
	eventually 10 left ping -n -c 1 -W 1 10.9.0.2 >/dev/null
	kill "$receiver"
	wait "$receiver" || :
	check "$1: good packets came through, once each: $(cut -d ' ' -f 2 $t/sent) sent; $(grep '^1 ' $t/received)" \
		test "$(grep '^1 ' $t/received)" = "1 $(cut -d ' ' -f 2 $t/sent) 0 0 0"
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
	: >$t/received
	ip netns exec right "$order" receive 7000 >>$t/received &
	receiver=$!
	eventually 10 grep -q ready $t/received
	left "$order" send 10.9.0.2 7000 1 0 300 20 >$t/sent
	eventually 10 left ping -n -c 1 -W 1 10.9.0.2 >/dev/null
	kill "$receiver"
	wait "$receiver" || :
	say "received lost reordered duplicated: $(grep '^1 ' $t/received)"
	check "$mode: none lost, none twice" test "$(grep '^1 ' $t/received | cut -d ' ' -f 2,3,5)" = \
		"$(cut -d ' ' -f 2 $t/sent) 0 0"
done
check "replays were seen: $(counter right '.peers[0].drops.rx_replay')" \
	test "$(counter right '.peers[0].drops.rx_replay')" -gt 1000
