#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# The way between two sites loses some UDP ports, in both directions or in one: the tunnels that are
# left carry everything, `status` names what is lost, both ends notice, and it comes back.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# The slowest that a busy test machine may be; a quiet one takes half of it.
detect_s=8
return_s=20

uptime_ms() {
	local up

	read -r up _ </proc/uptime
	echo $((10#${up/./} * 10))
}

# both_carry N: N tunnels, at either end.
both_carry() {
	[ "$(peer_json turin milan .usable)" = "$1" ] &&
		[ "$(peer_json milan turin .usable)" = "$1" ]
}

# noticed STATE START NAME...: when each site gets there, in ms after START.
noticed() {
	local state=$1 start=$2 name

	shift 2
	for name; do
		(
			ctl "$name" wait --state "$state" --timeout 60
			echo $(($(uptime_ms) - start)) >"$t/$name/noticed"
		) &
	done
	for name; do
		wait -n || fail "a site does not become $state"
	done
	say "$state after ms: $(for name; do echo "$name $(cat "$t/$name/noticed")"; done | xargs)"
}

# in_time SECONDS: both sites noticed by then.
in_time() {
	[ "$(cat "$t/turin/noticed")" -le $(($1 * 1000)) ] &&
		[ "$(cat "$t/milan/noticed")" -le $(($1 * 1000)) ]
}

# one_way DIRECTION: of the packets of milan's lane 3, those "to" or "from" it are lost.
one_way() {
	local start

	start=$(uptime_ms)
	udp_port_block milan 21823 "$1"
	noticed degraded "$start" turin milan
	check "both ends notice that packets $1 port 21823 are lost" in_time $detect_s
	check "seven tunnels carry" eventually 5 both_carry 7
	check "turin names it" grep -F "192.0.2.2:21823" <(peer_json turin milan '.problems[]')
	check "all is delivered" in_lan turin manyflows echo udp 10.2.0.2 64 500 7001
	check "and back" answered_all lan_ping6 milan turin -c 5 -i 0.1 -W 5
	start=$(uptime_ms)
	udp_port_unblock milan 21823
	noticed up "$start" turin milan
	check "it comes back" in_time $return_s
}

two_sites_up 8
lan_echo milan 7001
leak_watch_start turin
leak_watch_start milan

one_way to
one_way from

# --- Seven of eight ports
start=$(uptime_ms)
for port in 21820 21821 21822 21824 21825 21826 21827; do
	udp_port_block milan $port
done
check "one tunnel is left" eventually 20 both_carry 1
say "after $(($(uptime_ms) - start)) ms"
check "a ping" answered_all lan_ping turin milan -c 20 -i 0.05 -W 5
check "an IPv6 ping" answered_all lan_ping6 milan turin -c 20 -i 0.05 -W 5
for dst in 10.2.0.2 fd00:2::2; do
	check "64 UDP flows to $dst" in_lan turin manyflows echo udp $dst 64 500 7001
	check "64 TCP flows to $dst" in_lan turin manyflows echo tcp $dst 64 5000 7001
done
ctl turin status
ctl turin status milan
for port in 21820 21821 21822 21824 21825 21826 21827; do
	check "status names port $port" grep -F "192.0.2.2:$port" \
		<(peer_json turin milan '.problems[]')
	check "and shows it" grep -E "192\.0\.2\.2:$port +down" <(ctl turin status milan)
done
check_not "and not the one that works" grep -F "192.0.2.2:21823" \
	<(peer_json turin milan '.problems[]')
check "all buckets use the one that is left" test 1024 = \
	"$(peer_json turin milan '.detail[] | select(.theirs == 3) | .buckets')"
for port in 21820 21821 21822 21824 21825 21826 21827; do
	udp_port_unblock milan $port
done
start=$(uptime_ms)
noticed up "$start" turin milan
check "all come back" in_time 30
check "evenly" test 128 = "$(peer_json turin milan '[.detail[].buckets] | max')"
check "all is delivered" in_lan turin manyflows echo udp 10.2.0.2 64 500 7001
leak_none turin
leak_none milan
