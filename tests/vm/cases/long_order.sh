#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 900
# smp: 4
#
# Order through one tunnel: numbered datagrams from three CPUs, others that these send in turns, and a
# TCP connection; steady inline, below saturation while both gateways switch all the time and across
# rekeys, and in saturation (there each flow has its CPU).
# module: yes
# long: yes
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/numbered.sh"

# stream RATE SECONDS [GSO]: from $cpus; the sum of "sent received lost reordered duplicated" in
# $sums, each flow in $t/flows.
cpus="1 2 3 1,2,3"
stream() {
	senders_start "$1" "$2" "$cpus" 200 "${3:-1}"
	senders_wait
	# What is under way has no number to wait for: until nothing comes any more.
	eventually 60 is_quiet >/dev/null
	flows_told
	sums=$(awk 'NR == FNR { sent += $2; next }
		{ got += $2; reordered += $4; twice += $5 }
		END { print sent + 0, got + 0, sent - (got - twice), reordered + 0, twice + 0 }' \
		$t/sent $t/flows)
	say "sent received lost reordered duplicated: $sums; $(flows_times)"
}

received() {
	right cat /proc/net/snmp | awk '/^Udp: [0-9]/ { print $2 + $4 }'
}

is_quiet() {
	local before

	before=$(received)
	sleep 1
	[ "$(received)" = "$before" ]
}

# flows_told: the receiver's lines since it last told, in $t/flows.
flows_told() {
	: >$t/received
	kill -USR1 "$receiver"
	eventually 30 grep -qx end $t/received
	flows >$t/flows
}

sum() {
	cut -d ' ' -f "$1" <<<"$sums"
}

# flips_start SECONDS DEVICE [WAIT_S] / flips_end: both gateways.
flips_start() {
	local side

	flippers=()
	for side in left right; do
		ip netns exec $side wgs flip "$1" 0 "${3:-0}" "$2" >$t/flips.$side &
		flippers+=($!)
	done
}

flips_end() {
	local flipper

	for flipper in "${flippers[@]}"; do
		wait "$flipper" || fail "a switch did not end: $(cat $t/flips.*)"
	done
	say "switches, longest wait: left $(cat $t/flips.left), right $(cat $t/flips.right)"
}

drops() {
	say "drops: left $(counter left '[.peers[].drops, .devices[].drops] | tostring')," \
		"right $(counter right '[.peers[].drops, .devices[].drops] | tostring')"
}

load_module
pair_wire
pair_tunnel 0
pair_tunnel 1
receiver_start
# A tail loss probe tells of time alone, and CPUs that are emulated may be away for longer than two
# round trips. What is lost or overtaken, and what is late by 0.2 s, is sent again as ever.
left sysctl -qw net.ipv4.tcp_early_retrans=0
right iperf3 -s -D
eventually 10 is_served right >/dev/null

# --- a rate at which vanilla loses nothing here
rate=${ORDER_RATE:-200}
while :; do
	stream "$rate" 10
	[ "$(sum 3)" != 0 ] || break
	rate=$((rate / 2))
	[ "$rate" -ge 20 ] || fail "vanilla loses packets at any rate"
done
say "4 x $rate packets/s: vanilla loses none"

# --- steady inline
pair_mode inline
stream "$rate" 20
check "steady inline, below saturation: none lost, reordered, duplicated" \
	test "$(cut -d ' ' -f 3- <<<"$sums")" = "0 0 0"
stream 0 10
check "steady inline, as fast as it goes: none reordered or duplicated" \
	test "$(cut -d ' ' -f 4- <<<"$sums")" = "0 0"
stream 0 10 16
check "the same in GSO buffers" test "$(cut -d ' ' -f 4- <<<"$sums")" = "0 0"

# --- switches below saturation, across rekeys; before that the same load with nothing switched in
# this tunnel, but as often in another one
seconds=${ORDER_SECONDS:-260}
# tcp_told SIDE NAME...: counters of its TCP.
tcp_told() {
	ip netns exec "$1" nstat -asz "${@:2}" | awk 'NF == 3 { printf " %s %s", substr($1, 7), $2 }'
}

# busy DEVICE: all flows, while both gateways switch the peer of that device.
busy() {
	flips_start "$seconds" "$1"
	ip netns exec left iperf3 -c 10.9.0.2 -t "$((seconds - 10))" -b 1M --json >$t/tcp &
	tcp=$!
	stream "$rate" "$((seconds - 10))"
	wait "$tcp"
	flips_end
	drops
	say "TCP bytes, retransmissions: $(jq -c '.end.sum_sent | [.bytes, .retransmits]' $t/tcp)," \
		"in seconds $(jq -c '[.intervals[].sum | select(.retransmits > 0).start | floor]' $t/tcp)"
	say "TCP so far:$(tcp_told left TcpExtTCPTimeouts TcpExtTCPSpuriousRTOs TcpExtTCPDSACKRecv)," \
		"out of order at the receiver:$(tcp_told right TcpExtTCPOFOQueue)"
}

pair_mode vanilla
while :; do
	say "4 x $rate packets/s, another tunnel is switched"
	busy wg1
	[ "$(sum 3) $(jq .end.sum_sent.retransmits $t/tcp)" != "0 0" ] || break
	rate=$((rate / 2))
	[ "$rate" -ge 20 ] || fail "packets are lost at any rate"
done
before=$(left wg show wg0 latest-handshakes | cut -f 2)
say "4 x $rate packets/s, this tunnel is switched"
busy wg0
check "switching, below saturation: none lost, reordered, duplicated" \
	test "$(cut -d ' ' -f 3- <<<"$sums")" = "0 0 0"
check "TCP without retransmissions" test "$(jq .end.sum_sent.retransmits $t/tcp)" = 0
check "5,000 switches at each end" test "$(cat $t/flips.* | cut -d ' ' -f 1 | sort -n | head -n 1)" -ge 5000
check "keys were new meanwhile" test "$(left wg show wg0 latest-handshakes | cut -f 2)" -ge $((before + 110))

# --- saturation
# lost: of 1,000.
lost() {
	awk '{ print int(1000 * $3 / $1) }' <<<"$sums"
}

cpus="1 2 3"
worst=0
for mode in vanilla inline; do
	pair_mode $mode
	for i in 1 2; do
		stream 0 10
		check "saturated, $mode, without switches: none reordered or duplicated" \
			test "$(cut -d ' ' -f 4- <<<"$sums")" = "0 0"
		[ "$(lost)" -le $worst ] || worst=$(lost)
	done
done
# 0: CPUs hold, rather than queue, from the first packet on that could go behind others alone.
for ms in 250 0; do
	echo $ms >/sys/module/wireguard/parameters/hold_after_ms
	flips_start 30 wg0 2
	stream 0 28
	flips_end
	check "switching in saturation, held after $ms ms: none reordered or duplicated" \
		test "$(cut -d ' ' -f 4- <<<"$sums")" = "0 0"
	check "lost of 1,000: $(lost), without switches at most $worst" test "$(lost)" -le $((worst + 10))
done
drops
receiver_end
