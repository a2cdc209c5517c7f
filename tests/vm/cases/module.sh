#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 180
#
# The module by itself: it takes the stock module's place; modes, live switches, counters, the CPUs
# of vanilla work, refusals with the kernel's words, notifications, and its way out.
# module: yes
# check: 6.12
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"

# counts SIDE MODE DIRECTION: packets of the first peer.
counts() {
	counter "$1" ".peers[0].counters.$2.$3_packets"
}

# carries MODE: iperf3 both ways moves the counters of that mode, and those of no other.
carries() {
	local mode=$1 rest before after

	[ "$mode" = inline ] && rest=vanilla || rest=inline
	before="$(counts left $rest tx) $(counts left $rest rx)"
	left iperf3 -c 10.9.0.2 -t 2 -O 0 >/dev/null
	left iperf3 -c 10.9.0.2 -t 2 -R >/dev/null
	after="$(counts left $rest tx) $(counts left $rest rx)"
	echo "$(counts left "$mode" tx) $(counts left "$mode" rx), $rest $before to $after"
	[ "$(counts left "$mode" tx)" -gt 20 ] && [ "$(counts left "$mode" rx)" -gt 20 ] &&
		[ "$before" = "$after" ]
}

# refused WORDS COMMAND...: a wgs command fails with these words.
refused() {
	local words=$1 out

	shift
	out=$(left wgs "$@" 2>&1) && return 1
	[[ $out == *"$words"* ]]
}

load_module
check "it is our module" test -e /sys/module/wireguard/parameters/default_inline
pair_wire
pair_tunnel 0
right iperf3 -s -D
eventually 10 is_served right >/dev/null

check "a new peer is vanilla" test "$(counter left '.peers[0].mode + .peers[0].in_force')" = vanillavanilla
check "vanilla carries" carries vanilla
pair_mode inline
check "the mode is in force at once on an idle peer" \
	test "$(counter left '.peers[0].mode + .peers[0].in_force')" = inlineinline
check "inline carries" carries inline
check "switches are counted" test "$(counter left '.peers[0].switches')" = 1

# Sent packets are counted where they are encrypted, received ones where they are authenticated.
sent=$(counter left '[.peers[0].counters[].tx_packets] | add')
got=$(counter right '[.peers[0].counters[].rx_packets] | add')
check "what the left sends the right gets: $sent, $got" test "$sent" = "$got"
check "nothing was dropped" test "$(counter left '[.peers[].drops, .devices[].drops] | add | length')" = 0
bytes=$(counter left '[.peers[0].counters[].tx_bytes] | add')
wg_bytes=$(left wg show wg0 transfer | cut -f 3)
check "wg counts these bytes, and the handshakes: $bytes, $wg_bytes" \
	test $((wg_bytes - bytes)) -ge 148 -a $((wg_bytes - bytes)) -lt 1000

ip netns exec left wgs flip 6 >$t/left.flips &
flippers=$!
ip netns exec right wgs flip 6 >$t/right.flips &
flippers+=" $!"
check "iperf3 while both ends flip" left iperf3 -c 10.9.0.2 -t 5
# shellcheck disable=SC2086 # several
wait $flippers
say "flips: $(cat $t/left.flips), $(cat $t/right.flips)"
check "there were many" test "$(cut -d ' ' -f 1 $t/left.flips)" -gt 100
pair_mode vanilla

# --- where vanilla work is done
left wgs cpus 1 wg0
check "the CPUs of vanilla work" test "$(counter left '.devices[0].cpus')" = 1
check "a tunnel over one CPU carries" left ping -n -c 3 -i 0.2 -W 2 10.9.0.2
left wgs cpus "" wg0
check "and everywhere again" test "$(counter left '.devices[0].cpus')" = null
check "a CPU that is not there" refused "cannot have such a CPU" cpus 77 wg0
check "no list of CPUs" refused "not a list of CPUs" cpus x wg0
check "no such device" refused "no such device" cpus 0 wg7
check "not a WireGuard device" refused "not a WireGuard device" cpus 0 wire

# --- requests that are not as they should be: the numbers are Linux's
raw_answer() {
	left wgs raw "$1" "$2"
}
check "a mode that there is not" grep -q "^\(34\|22\) " <(raw_answer set_peer 0800050063000000)
check "an attribute of another command" grep -q "^22 " <(raw_answer get_device 0800050001000000)
check "an attribute cut short" grep -q "^34 " <(raw_answer set_peer 060004000102)
check "no device named" grep -q "^22 a device is named" <(raw_answer set_device "")
check "another namespace sees nothing of it" \
	test "$(wgs list)" = '{"devices": [], "peers": []}'
check "without CAP_NET_ADMIN nothing is told" \
	grep -q "errno 1" <(left setpriv --bounding-set -net_admin --inh-caps -net_admin wgs list 2>&1)

# --- notifications
ip netns exec left wgs monitor 60 >$t/monitor &
monitor=$!
eventually 20 grep -q listening $t/monitor
left wgs mode inline
eventually 20 grep -q '"mode": "inline", "in_force": "inline"' $t/monitor
kill "$monitor"
say "ok - a change of mode is told"

# --- peers that come later, and the way out
left wgs default inline wg0
pair_device right 1
pair_device left 1
left wgs default inline wg1
pair_peer left 1
check "a peer starts as the device says" \
	test "$(counter left '.peers | map(.mode) | join(",")')" = inline,inline
pkill iperf3
for side in left right; do
	for i in 0 1; do
		ip -n $side link del wg$i
	done
done
check "the module goes" rmmod wireguard
check "and the stock module comes" modprobe wireguard
check_not "without the family" wgs list
