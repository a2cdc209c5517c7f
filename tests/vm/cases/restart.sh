#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# The daemon is stopped or killed, and started again, under flows in every tunnel: no packet is
# lost, and the next start finds everything as it should be and changes nothing.
# check: 6.1
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

# watch_start: what the kernel says of changes, from whomever, in the gateway.
watch_start() {
	ip netns exec gw-turin ip -ts monitor link address route rule >"$t/ip" 2>&1 &
	echo $! >"$t/ip.pid"
	ip netns exec gw-turin nft monitor >"$t/nft" 2>&1 &
	echo $! >"$t/nft.pid"
	# Both listen when they report this.
	eventually 60 marked
}

marked() {
	in_gw turin nft add table inet sentinel
	in_gw turin nft delete table inet sentinel
	ip -n gw-turin rule add pref 99 table 99
	ip -n gw-turin rule delete pref 99
	sleep 0.2
	grep -q '^add table inet sentinel' "$t/nft" && grep -q 'lookup 99' "$t/ip"
}

watch_stop() {
	local which

	eventually 60 marked # so that all before is written
	for which in ip nft; do
		kill "$(cat "$t/$which.pid")"
		wait "$(cat "$t/$which.pid")" || :
	done
}

# Neighbours, the state of which is no configuration, and the sentinel are not ours.
no_change_seen() {
	! grep -vE '^Timestamp|lookup 99|^$' "$t/ip" &&
		! grep -vE '^(add|delete) table inet sentinel|^# new generation' "$t/nft"
}

# restart_log: what the daemon that was started last has logged.
restart_log() {
	tail -n +$((log_before + 1)) "$t/turin/log"
}

# Addresses to try are not of the kernel's configuration.
nothing_applied() {
	! restart_log | grep -E ' info [a-z.]+\.(add|set|del|inert) |failed:' |
		grep -vE ' info wg\.peer\.set .* endpoint=[^ ]+$'
}

no_tunnel_moved() {
	! restart_log | grep -E 'tunnel [0-9]+ .*: (down|trying|congested), was'
}

# restarted HOW: daemon_stop or daemon_kill.
restarted() {
	kernel_state turin >"$t/turin/want"
	links_state turin >"$t/turin/links"
	flows_start turin milan 20 "${ports[@]}"
	watch_start
	log_before=$(wc -l <"$t/turin/log")
	"$1" turin
	sleep 1
	daemon_start turin
	check "$1: settles" wait_settled turin
	check "$1: up" wait_up turin
	check "$1: nothing to change" plan_is_empty turin
	watch_stop
	flows_stop
	flows_report "$1:"
	check "$1: no packet was lost" flows_intact
	check "$1: the log says of no change" nothing_applied
	check "$1: no tunnel flapped" no_tunnel_moved
	check "$1: the kernel says of no change" no_change_seen
	check "$1: same state" same "$t/turin/want" kernel_state turin
	check "$1: same devices" same "$t/turin/links" links_state turin
}

flows_build
two_sites_up 8
check "turin is settled" wait_settled turin
flows_serve milan
flows_ports turin milan >"$t/ports"
mapfile -t ports < <(cut -d ' ' -f 1 "$t/ports")
check "a flow for each tunnel" test "${#ports[@]}" = 8

restarted daemon_stop
restarted daemon_kill
