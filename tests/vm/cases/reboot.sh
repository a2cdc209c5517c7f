#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# A gateway reboots: its daemon dies, everything of ours is gone from its kernel, the daemon starts
# again. Traffic comes back by itself, whichever of the two it was, and when it was both.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# wipe NAME: what a reboot leaves of us in the kernel, nothing.
wipe() {
	local name=$1 dev family

	daemon_kill "$name"
	rm -rf "$t/$name/run"
	mkdir "$t/$name/run"
	for dev in $(in_gw "$name" wg show interfaces); do
		in_gw "$name" ip link delete "$dev"
	done
	in_gw "$name" nft flush ruleset
	for family in -4 -6; do
		in_gw "$name" ip $family rule |
			sed -n 's/^\(1[234][0-9][0-9]\):.*/rule delete pref \1/p' |
			in_gw "$name" ip $family -batch -
		in_gw "$name" ip $family route flush table all proto kernel type unreachable
		in_gw "$name" ip $family route flush table all proto kernel type throw
	done
	check "nothing of $name is left" is_blank "$name"
}

is_blank() {
	local out

	out=$(in_gw "$1" wg show interfaces
		in_gw "$1" nft list tables
		in_gw "$1" ip rule | grep -v -E '^(0|32766|32767):'
		in_gw "$1" ip route show table 21820
		in_gw "$1" ip -6 route show table 21820) || :
	echo "$out"
	[ -z "$out" ]
}

carries_none() {
	[ "$(peer_json "$1" "$2" .usable)" = 0 ]
}

# back NAME...: started again, all is as before.
back() {
	local name start up

	read -r start _ </proc/uptime
	for name; do
		daemon_start "$name"
	done
	check "turin is up" wait_up turin 60
	check "milan is up" wait_up milan 60
	read -r up _ </proc/uptime
	say "back after $(((10#${up/./} - 10#${start/./}) * 10)) ms"
	check "IPv4" answered_all lan_ping turin milan -c 5 -i 0.1 -W 5
	check "IPv6" answered_all lan_ping6 milan turin -c 5 -i 0.1 -W 5
	check "64 flows" in_lan turin manyflows echo udp 10.2.0.2 64 500 7001
}

two_sites_up 8
lan_echo milan 7001
leak_watch_start turin

say "milan reboots"
wipe milan
check "turin notices" eventually 20 carries_none turin milan
check_not "no packet" lan_ping turin milan
back milan

say "milan reboots at once"
wipe milan
back milan
leak_none turin

say "turin reboots"
wipe turin
check "milan notices" eventually 20 carries_none milan turin
back turin

say "both reboot"
wipe turin
wipe milan
back turin milan
