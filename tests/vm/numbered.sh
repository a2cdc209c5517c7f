#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after pair.sh: numbered datagrams (./order.c) from left to right, through wg0.
# Owns $t/received, what the receiver has told, and $t/sent, how many each sender has sent.

order=$t/order
gcc -D_GNU_SOURCE -O1 -Wall -o "$order" "$REPO/tests/vm/order.c"

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
	awk 'NF == 5' $t/received
}

# senders_start RATE SECONDS CPUS [SIZE [GSO]]: a flow from each CPU, of its number.
senders_start() {
	local cpu

	: >$t/sent
	senders=()
	for cpu in $3; do
		ip netns exec left "$order" send 10.9.0.2 7000 "$cpu" "$cpu" "$1" "$2" "${@:4}" >>$t/sent &
		senders+=($!)
	done
}

senders_wait() {
	local sender

	for sender in "${senders[@]}"; do
		wait "$sender"
	done
}
