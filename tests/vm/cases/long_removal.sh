#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 3600
# smp: 4
#
# Peers, devices, namespaces and the module go while traffic is at its fullest, a third of the times
# vanilla, a third inline, a third while modes are switched: the kernel's log stays clean, memory
# comes back, rtnl is free soon, and the module can always go.
# module: yes
# long: yes
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/numbered.sh"

# What is taken away and put back, and how: ../churn. Floods come from "lan", whose hosts are behind
# both of its gateways.
rounds=${REMOVAL_ROUNDS:-200}
kinds=${REMOVAL_KINDS:-peers,devices,namespaces,modules}

# churned COMMAND [N]: the longest round in $longest, in seconds.
churned() {
	local answer

	echo "$*" >&"${churn[1]}"
	read -r answer longest <&"${churn[0]}" && [ "$answer" = ok ] || fail "churn stopped at: $*"
}

# floods_start: two, as fast as it goes, whether there is a way or not; of the lowest priority, so that
# they take all that the programs of a round leave, and these begin at once.
floods_start() {
	local dst

	for dst in 1 2; do
		ip netns exec lan chrt --idle 0 bash -c "while :; do
			'$order' send 10.9.0.$dst 9 0 $dst 0 3600 1000 8 >/dev/null 2>&1 || sleep 0.05
		done" &
	done
}

# flippers_start: of both sides, from inside. It takes a while until they run.
flippers_start() {
	local side

	for side in left right; do
		ip netns exec $side wgs flip 3600 >/dev/null &
		flippers+=($!)
	done
	eventually 60 is_switched left
	eventually 60 is_switched right
}

is_switched() {
	[ "$(counter "$1" '.peers[0].switches')" -gt 10 ]
}

# walker_start: of both sides in turn, from outside.
walker_start() {
	wgs walk 3600 0 >$t/walked &
	flippers+=($!)
	eventually 60 grep -q '^[1-9]' $t/walked
}

# flippers_end: they ran until now.
flippers_end() {
	[ ${#flippers[@]} = 0 ] || kill "${flippers[@]}" || fail "nobody switched modes in the end"
	flippers=()
}

# module_anew DEFAULT_INLINE: no device is left.
module_anew() {
	eventually 20 rmmod wireguard >/dev/null || fail "the module does not go"
	insmod "$WGS_MODULE" "default_inline=$1"
}

# anew MODE: new devices begin in it.
anew() {
	churned down
	module_anew $([ "$1" = inline ] && echo 1 || echo 0)
	churned up
}

# Devices stay: their mode is set, and that of new peers.
mode_of_peers() {
	if [ "$1" = flipped ]; then
		flippers_start
		return
	fi
	pair_mode "$1"
	left wgs default "$1" wg0
}

mode_of_devices() {
	anew "$1"
	[ "$1" != flipped ] || flippers_start
}

mode_of_all() {
	anew "$1"
	[ "$1" != flipped ] || walker_start
}

# modules N: what churn can't.
modules() {
	local i

	for ((i = 0; i < $1; i++)); do
		anew "$mode"
	done
}

# kind NAME PREPARE COMMAND...: all its rounds.
kind() {
	local done=0 mode name=$1 prepare=$2 third=0

	shift 2
	for mode in vanilla inline flipped; do
		third=$((third + 1))
		"$prepare" $mode
		"$@" $((rounds * third / 3 - done))
		done=$((rounds * third / 3))
		say "$name, $mode: $done rounds so far; the longest took $longest s"
	done
	[ ! -e $t/walked ] || say "switches: $(awk '{ n += $1 } END { print n }' $t/walked)"
	flippers_end
	say "ok - $name removed $rounds times"
}

flippers=()
topo_defaults
sysctl -qw net.ipv4.ip_forward=1
ns_add lan
for side in left right; do
	(umask 077 && wg genkey >$pair_key.$side)
	wg pubkey <$pair_key.$side >$pair_key.$side.pub
done
load_module
hold_code
coproc churn { exec "$REPO/tests/vm/churn" $pair_key; }
floods_start
churned up
memory=$(awk '/^Slab:/ { print $2 }' /proc/meminfo)

# wanted KIND
wanted() {
	[[ ,$kinds, == *",$1,"* ]]
}

if wanted peers; then
	kind "a peer" mode_of_peers churned peer
	for mode in vanilla inline; do
		pair_mode $mode
		churned idle 20
		check "an idle peer of a flooded device goes in at most $longest s, $mode" \
			test "${longest%.*}" -lt 2
	done
fi
! wanted devices || kind "a device" mode_of_devices churned device
! wanted namespaces || kind "namespaces" mode_of_all churned namespaces
! wanted modules || kind "the module" mode_of_all modules

# Its slab caches die with the module: they would complain in the kernel's log if they could not.
churned down
eventually 20 rmmod wireguard
check "no peer is left" test -z "$(awk '$1 == "wg_peer"' /proc/slabinfo)"
after=$(awk '/^Slab:/ { print $2 }' /proc/meminfo)
say "slab memory: $memory kB before, $after kB after"
check "and the memory came back" test "$((after - memory))" -lt 16384
