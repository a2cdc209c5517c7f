#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after pair.sh: numbered datagrams (./order.c) from left to right, through wg0.
# Owns $t/received, what the receiver has told, and $t/sent, how many each sender has sent.

order=$t/order
gcc -D_GNU_SOURCE -O1 -Wall -pthread -o "$order" "$REPO/tests/vm/order.c"

receiver_start() {
	: >$t/received
	ip netns exec right "$order" receive 7000 >>$t/received &
	receiver=$!
	eventually 10 grep -q ready $t/received
}

# receiver_end: it tells of all flows.
receiver_end() {
	kill "$receiver"
	wait "$receiver" || :
}

# flows: those told of, a line each: FLOW received lost reordered duplicated
flows() {
	awk 'NF == 6 { print $1, $2, $3, $4, $5 }' $t/received
}

# flows_times: the longest way of a datagram told of, and the longest that a sender was late.
flows_times() {
	awk 'FNR == NR { if (NF == 6 && $6 > way) way = $6; next }
		$3 > late { late = $3 }
		END { printf "slowest %.1f ms, senders late by up to %.1f ms\n", way / 1000, late / 1000 }' \
		$t/received $t/sent
}

# senders_start RATE SECONDS CPUS [SIZE [GSO]]: a flow for each word of CPUS, numbered from 0; "1,2"
# is one that two CPUs send in turns.
senders_start() {
	local cpu flow=0

	: >$t/sent
	senders=()
	for cpu in $3; do
		ip netns exec left "$order" send 10.9.0.2 7000 $flow "$cpu" "$1" "$2" "${@:4}" >>$t/sent &
		senders+=($!)
		flow=$((flow + 1))
	done
}

senders_wait() {
	local sender

	for sender in "${senders[@]}"; do
		wait "$sender"
	done
}
