#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Packets for a peer's networks never leave a gateway in clear: whatever is taken away while the
# daemon is down, or running, or before its first start, as long as it once was there or the boot
# guard was run. And what was taken away comes back.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

table_base=21820
rule_base=1200
known=0
sentinels=0

# LAN and gateway, IPv4 and IPv6, whether or not anybody answers.
traffic_start() {
	in_lan turin ping -n -q -i 0.05 10.2.0.2 >/dev/null 2>&1 &
	in_lan turin ping -n -q -i 0.05 fd00:2::2 >/dev/null 2>&1 &
	in_gw turin ping -n -q -i 0.1 10.2.0.2 >/dev/null 2>&1 &
	in_gw turin ping -n -q -i 0.1 fd00:2::2 >/dev/null 2>&1 &
}

traffic_flows() {
	lan_ping turin milan && lan_ping6 turin milan
}

links_delete() {
	local dev

	for dev in $(in_gw turin wg show interfaces); do
		ip -n gw-turin link delete "$dev"
	done
}

rules_flush() {
	local family pref

	for family in -4 -6; do
		for pref in $(ip -n gw-turin $family rule | cut -d : -f 1); do
			if [ "$pref" -ge $rule_base ] && [ "$pref" -lt $((rule_base + 300)) ]; then
				ip -n gw-turin $family rule delete pref "$pref"
			fi
		done
	done
}

routes_flush() {
	local family i

	for family in -4 -6; do
		for i in 0 1 2 3 4; do
			ip -n gw-turin $family route flush table $((table_base + i)) 2>/dev/null || :
		done
	done
}

ruleset_flush() {
	in_gw turin nft flush ruleset
}

links_down() {
	local dev

	for dev in $(in_gw turin wg show interfaces); do
		ip -n gw-turin link set "$dev" down
	done
}

repaired() {
	same "$t/turin/want" kernel_state turin
}

# watched: once the watch has seen a packet that is sent now, it has seen all before it.
watched() {
	sentinels=$((sentinels + 1))
	in_gw turin bash -c 'echo end >/dev/udp/192.0.2.254/9'
	eventually 20 test_sentinels
}

test_sentinels() {
	[ "$(grep -c '192\.0\.2\.254\.9:' "$t/turin/leak/eth0")" = $sentinels ]
}

leaks() {
	grep -cv '192\.0\.2\.254\.9:' "$t/turin/leak/eth0" || :
}

# leaks_forget: what leaked before was meant to.
leaks_forget() {
	watched
	known=$(leaks)
}

leaked_nothing() {
	watched
	check "$1: nothing leaks" test "$(leaks)" = "$known"
}

# For this long nothing answers, or something may; what counts is what the watch sees.
let_it_run() {
	sleep 1
}

# breaks_down WORDS COMMAND: done while no daemon runs, then the daemon repairs it.
breaks_down() {
	"$2"
	let_it_run
	leaked_nothing "daemon down: $1"
	daemon_start turin
	check "$1: turin settles" wait_settled turin
	check "$1: traffic is back" eventually 30 traffic_flows
	check "$1: all is as it was" eventually 10 repaired
	leaked_nothing "daemon started: $1"
}

# last_change: when the daemon last changed anything.
last_change() {
	grep -E ' info [a-z]+\.[a-z]+\.?[a-z]* ' "$t/turin/log" | tail -n 1 | cut -d ' ' -f 1
}

# breaks_running WORDS COMMAND: done under the daemon's eyes.
breaks_running() {
	local from

	"$2"
	from=$(date +%s%3N)
	check "running: $1: repaired" eventually 20 repaired
	say "after $(($(date -d "$(last_change)" +%s%3N) - from)) ms, seen after" \
		"$(($(date +%s%3N) - from)) ms"
	check "running: $1: settled" wait_settled turin
	check "running: $1: traffic is back" eventually 30 traffic_flows
	leaked_nothing "running: $1"
}

# guarded WORDS: `wgscaled --guard` alone, then nothing leaks.
guarded() {
	check "$1: nothing of ours is there" not in_gw turin nft list table inet wgscale_guard
	check "$1: the guard runs" program wgscaled turin --guard
	leaks_forget
	let_it_run
	leaked_nothing "$1"
	check "$1: down without a daemon" ctl turin down --yes
}

two_sites_up 4
check "it is settled" wait_settled turin
kernel_state turin >"$t/turin/want"
leak_watch_start turin
traffic_start
check "traffic" traffic_flows

daemon_stop turin
check "the daemon is stopped: traffic goes on" traffic_flows
daemon_start turin
check "turin settles" wait_settled turin
daemon_kill turin
check "the daemon is killed: traffic goes on" traffic_flows
breaks_down "devices deleted" links_delete
daemon_kill turin
breaks_down "ruleset flushed" ruleset_flush
daemon_stop turin
breaks_down "rules deleted" rules_flush
daemon_kill turin
breaks_down "routes flushed" routes_flush

breaks_running "devices deleted" links_delete
breaks_running "ruleset flushed" ruleset_flush
breaks_running "rules deleted" rules_flush
breaks_running "routes flushed" routes_flush
breaks_running "devices taken down" links_down
leaked_nothing "before down"

check "down" ctl turin down --yes
let_it_run
watched
check "in clear once all is gone: the watch sees it" test "$(leaks)" -gt 10
daemon_stop turin

etc=$t/turin/etc
cp -a "$etc" "$t/turin/etc.good"
guarded "a good site file"
echo "peers: [" >>"$etc/site.yaml"
guarded "a broken site file"
rm "$etc/site.yaml"
mv "$t/turin/lib/accepted" "$t/turin/lib/accepted.away"
guarded "the remembered networks only"
mv "$t/turin/lib/accepted.away" "$t/turin/lib/accepted"
cp "$t/turin/etc.good/site.yaml" "$etc/"
echo "cut: short" >"$etc/peers.d/milan.yaml"
check "a broken card: the guard runs" program wgscaled turin --guard
leaks_forget
daemon_start turin
check "with a broken card: turin settles" wait_settled turin
let_it_run
leaked_nothing "the daemon starts with a broken card"
check "down" ctl turin down --yes
daemon_stop turin
sed -i -e '/^peers:/,$d' "$etc/site.yaml"
guarded "a site file without that peer"

cp "$t/turin/etc.good/site.yaml" "$etc/"
cp "$t/turin/etc.good/peers.d/milan.yaml" "$etc/peers.d/"
check "the guard runs" program wgscaled turin --guard
leaks_forget
daemon_start turin
check "from guard to daemon: turin settles" wait_settled turin
check "traffic is back" eventually 30 traffic_flows
check "all is as it was" eventually 10 repaired
leaked_nothing "from guard to daemon"
