#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after lib.sh: two sites, turin and milan, that are joined by a plain wg0 tunnel,
# come over to wgscale one end after the other and go back, while iperf3 and ping never stop.

# wg0_files NAME...: keys and wg-quick's file of each, in their folders.
wg0_files() {
	local name other idx

	for name; do
		wg genkey >"$t/$name/wg0.key"
	done
	for name; do
		idx=$(cat "$t/$name/idx")
		for other; do
			[ "$other" != "$name" ] || continue
			cat >>"$t/$other/wg0.peer" <<-END
				[Peer]
				PublicKey = $(wg pubkey <"$t/$name/wg0.key")
				AllowedIPs = 10.$idx.0.0/16, fd00:$idx::/32
				Endpoint = 192.0.2.$idx:51820
			END
		done
	done
	for name; do
		(
			umask 077
			printf '%s\n' '[Interface]' "PrivateKey = $(cat "$t/$name/wg0.key")" \
				'ListenPort = 51820' | cat - "$t/$name/wg0.peer" >"$t/$name/wg0.conf"
		)
	done
}

wg0_quick() {
	in_gw "$1" wg-quick up "$t/$1/wg0.conf"
}

# packets WHICH: sent by turin's devices of this pattern.
packets() {
	local n=0 path

	for path in $(in_gw turin bash -c "ls -d /sys/class/net/$1"); do
		n=$((n + $(in_gw turin cat "$path/statistics/tx_packets")))
	done
	echo $n
}

# carried_by wg0|wgs: twenty pings take this way and, but for handshakes, only this.
carried_by() {
	local before after

	before=$(packets wg0)
	lan_ping turin milan -c 20 -i 0.02 >/dev/null && lan_ping6 turin milan >/dev/null || return
	after=$(packets wg0)
	say "$1: wg0 sent $((after - before))"
	if [ "$1" = wg0 ]; then
		[ $((after - before)) -ge 20 ]
	else
		[ $((after - before)) -le 5 ]
	fi
}

# Everything that names the peer's networks; the flows' table alone is not looked at.
no_trace_of_networks() {
	! in_gw turin nft list ruleset | grep -E '10\.2\.|fd00:2:' &&
		! in_gw turin ip route show table all | grep -E '10\.2\.' | grep -v 'dev wg0' &&
		! in_gw turin ip -6 route show table all | grep -E 'fd00:2:' | grep -v 'dev wg0' &&
		in_gw turin ip route get 10.2.0.2 | grep 'dev wg0' &&
		in_gw turin ip route get fd00:2::2 | grep 'dev wg0'
}

tunnels_up() {
	[ "$(ctl "$1" status --json | jq '.peers[0].usable')" = 4 ]
}

# throughout_start: one TCP connection from turin's host, at a pace at which it need not lose.
throughout_start() {
	lan_serve milan
	ip netns exec lan-turin iperf3 -c 10.2.0.2 -t 3600 -b 4M -i 1 --forceflush \
		>"$t/iperf3" 2>&1 &
	iperf3=$!
	eventually 20 grep -q 'sec.*bits/sec' "$t/iperf3" >/dev/null
}

# throughout_end: it is the same connection still; prints what there is to know of it.
throughout_end() {
	local connection

	connection=$(in_lan turin ss -Htin state established 'dport = :5201' |
		grep -oE 'bytes_acked:[0-9]+|retrans:[0-9]+/[0-9]+' | paste -sd ' ')
	kill -TERM "$iperf3"
	wait "$iperf3" || : # by a signal
	awk '/sec .*bits\/sec/ && !/sender|receiver/ { n++; silent += $5 == 0; run = $5 ? 0 : run + 1
			if (run > longest) longest = run }
		END { printf "iperf3: %d s, %d of them without a byte, at most %d in a row\n",
			n, silent, longest }' "$t/iperf3"
	say "$(grep -c 'bits/sec' "$t/iperf3") lines of iperf3; its connections: $connection"
	check "iperf3 ended by our signal alone" \
		grep -q 'interrupt - the client has terminated' "$t/iperf3"
	check "two connections, as at the start" test "$(grep -o acked <<<"$connection" | wc -l)" = 2
}

# there_and_back [COMMAND]: from two ends in standby to two active ones, and back; the command while
# they are active.
there_and_back() {
	secret turin
	secret milan
	site_file turin 4 'milan: {traffic: off}'
	site_file milan 4 'turin: {traffic: off}'
	cards_exchange turin milan
	check "the old tunnel carries" eventually 10 carried_by wg0
	throughout_start
	daemon_start turin
	daemon_start milan
	check "turin settles" wait_settled turin
	check "milan settles" wait_settled milan
	check "the tunnels are up" eventually 30 tunnels_up turin
	check "at both ends" eventually 30 tunnels_up milan
	check "turin says up" wait_up turin
	check "standby: nothing says where the networks are" no_trace_of_networks
	check "standby: the old tunnel carries" carried_by wg0
	check "turin is active" ctl turin activate milan
	check "one end is active: traffic flows" lan_ping turin milan -c 3 -i 0.1
	check "milan is active" ctl milan activate turin
	check "active: the new tunnels carry" carried_by wgs
	"${1-:}"
	check "milan is in standby" ctl milan standby turin
	# networkd makes wg0's peer anew when it restarts: milan finds its session lost after 15 s.
	check "one end in standby: traffic flows" eventually 30 lan_ping turin milan -c 3 -i 0.1
	check "turin is in standby" ctl turin standby milan
	check "standby: nothing says where the networks are" no_trace_of_networks
	check "standby: the old tunnel carries" carried_by wg0
	throughout_end
}
