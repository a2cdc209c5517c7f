#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Two sites, first on the stock module, where nothing can be inline and everything works; then on
# ours: all is inline, tunnels, lanes and peers change their mode by command and by hand, under
# flows in every tunnel that lose nothing, and what the operator said outlives the daemon.
# module: yes
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

# modes NAME PEER: of its tunnels, by index, as the status tells them.
modes() {
	peer_json "$1" "$2" '[.detail[].mode] | join(" ")'
}

# modes_are NAME PEER MODE...
modes_are() {
	local name=$1 peer=$2

	shift 2
	[ "$(modes "$name" "$peer")" = "$*" ]
}

# in_kernel NAME MODE: how many entries the module says to have that mode.
in_kernel() {
	in_gw "$1" wgs list | jq "[.peers[] | select(.mode == \"$2\" and .in_force == .mode)] | length"
}

has_vanilla() {
	[ "$(in_kernel "$1" vanilla)" = "$2" ]
}

# inline_packets NAME: that were encrypted inline.
inline_packets() {
	in_gw "$1" wgs list | jq '[.peers[].counters.inline.tx_packets] | add'
}

status_says() {
	ctl "$1" status | grep -F "$2"
}

# says WORDS COMMAND...: the output has these words, however it ends.
says() {
	local words=$1 out

	shift
	out=$("$@" 2>&1)
	printf '%s\n' "$out"
	[[ $out == *"$words"* ]]
}

# lossless WHAT: ends the flows of this part.
lossless() {
	flows_stop
	flows_report "$1:"
	check "$1: no packet was lost" flows_intact
	flows_start turin milan 20 "${ports[@]}"
}

flows_build
two_sites_up 4
check "stock module: traffic" lan_ping turin milan -c 3 -i 0.2
check "stock module: the status says so" status_says turin "inline: module not loaded, all tunnels vanilla"
check "stock module: all vanilla" modes_are turin milan vanilla vanilla vanilla vanilla
check "stock module: nothing to change" plan_is_empty turin
status=0
out=$(ctl turin mode milan inline) || status=$?
check "stock module: what cannot be is kept, and told" test "$status" = 6
check "stock module: in words" grep -F "4 tunnels vanilla; the inline module is not loaded" <<<"$out"
check "stock module: loudly" status_says turin "mode inline is asked for and cannot be had"
check "stock module: taken back" ctl turin mode milan auto

for name in turin milan; do
	ctl $name down --yes
done
rmmod wireguard
load_module
for name in turin milan; do
	check "$name: on our module" ctl $name reload
done
for name in turin milan; do
	wait_up $name 60 || fail "$name does not come up"
done
check "all inline" eventually 10 modes_are turin milan inline inline inline inline
check "the module says so, too" test "$(in_kernel turin inline)" = 4
check "the status says so" status_says turin ", inline module"
check "no notice of it" not status_says turin "inline:"
check "nothing to change, with threaded NAPI" plan_is_empty turin
[ "$KERNEL" = 6.1 ] ||
	check "threaded is on, of the lane" in_gw turin grep -x 1 /sys/class/net/wgs0/threaded
before=$(inline_packets turin)
check "traffic" lan_ping turin milan -c 20 -i 0.1
check "it was inline" test "$(inline_packets turin)" -ge $((before + 20))

flows_serve milan
flows_ports turin milan >"$t/ports"
mapfile -t ports < <(cut -d ' ' -f 1 "$t/ports")
check "a flow for each tunnel" test "${#ports[@]}" = 4
flows_start turin milan 20 "${ports[@]}"

check "one tunnel vanilla" says "milan/0: 1 tunnel vanilla" ctl turin mode milan/0 vanilla
check "the status has it" eventually 10 modes_are turin milan vanilla inline inline inline
check "and whose word it is" test "$(peer_json turin milan '.detail[0].mode_by')" = tunnel
check "the module has it" test "$(in_kernel turin vanilla)" = 1
check "nothing to change" plan_is_empty turin
lane=$(peer_json turin milan '.detail[1].device')
check "a lane" says "$lane: 1 tunnel vanilla" ctl turin mode "$lane" vanilla
check "a peer: what is said of less goes before it" says "milan: 2 tunnels inline, 2 vanilla" \
	ctl turin mode milan inline
check "the status has all three" eventually 10 modes_are turin milan vanilla vanilla inline inline
lossless "by command"

for target in nowhere milan/4 milan/x wgs9; do
	check_not "no target $target" ctl turin mode $target inline
done
check "it says what there is" says "the tunnels of milan are milan/0 to milan/3" \
	ctl turin mode milan/4 inline
chgrp nogroup "$t/turin/run/control.sock"
check_not "a reader may not" in_gw turin setpriv --reuid nobody --regid nogroup --clear-groups \
	wgscalectl --runtime-dir "$t/turin/run" mode milan vanilla
check "nothing was changed" modes_are turin milan vanilla vanilla inline inline

daemon_stop turin
check "while the daemon is away, all stays" test "$(in_kernel turin vanilla)" = 2
daemon_start turin
check "settles again" wait_settled turin
check "a restart forgets nothing" eventually 10 modes_are turin milan vanilla vanilla inline inline
lossless "restart"

# More often than the daemon looks by itself.
for i in 1 2 3; do
	in_gw turin wgs mode vanilla
	check "by hand, $i: put back at once" eventually 5 has_vanilla turin 2
done
lossless "by hand"

check "auto gives the tunnel back to the lane, the peer, the file" ctl turin mode milan/0 auto
check "one is left" eventually 10 modes_are turin milan inline vanilla inline inline
check "auto: the lane" ctl turin mode "$lane" auto
check "auto: the peer" ctl turin mode milan auto
check "all inline again" eventually 10 modes_are turin milan inline inline inline inline
check "nothing is kept of it" not test -e "$t/turin/lib/modes"
lossless "auto"

echo "mode: vanilla" >>"$t/turin/etc/site.yaml"
check "reload: the site file says vanilla" ctl turin reload
check "all vanilla" eventually 10 modes_are turin milan vanilla vanilla vanilla vanilla
sed -i 's/^  milan:.*/  milan: {mode: inline}/' "$t/turin/etc/site.yaml"
check "reload: but the peer inline" ctl turin reload
check "all inline by the file" eventually 10 modes_are turin milan inline inline inline inline
flows_stop
flows_report "by file:"
check "by file: no packet was lost" flows_intact
check "up" wait_up turin
check "nothing to change at the end" plan_is_empty turin
