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

# Floods come from a namespace of their own, "lan", whose hosts are behind both gateways: what is
# inside a namespace would keep it alive.
#
#	lan left0 --- lan0 left wire --- wire right lan0 --- right0 lan
rounds=${REMOVAL_ROUNDS:-200}
order=$t/order
gcc -D_GNU_SOURCE -O1 -Wall -o "$order" "$REPO/tests/vm/order.c"

# config SIDE: for `wg setconf`.
config() {
	local side

	side=$(other "$1")
	cat <<-END
		[Interface]
		PrivateKey = $(cat $pair_key.$1)
		ListenPort = 21820
		[Peer]
		PublicKey = $(wg pubkey <$pair_key.$side)
		Endpoint = 192.0.2.$(host $side):21820
		AllowedIPs = 10.9.0.0/24, 10.0.0.0/16
	END
}

# lane SIDE: its device, with its peer.
lane() {
	ip -n "$1" link add wg0 type wireguard
	ip netns exec "$1" wg setconf wg0 $t/"$1".conf
	ip -n "$1" -batch - <<-END
		addr add 10.9.0.$(host "$1")/24 dev wg0
		link set wg0 up
	END
}

# sides: both namespaces, the wire, their hosts, and the tunnel.
sides() {
	local side

	ip -batch - <<-END
		netns add left
		netns add right
		link add wire netns left type veth peer name wire netns right
		link add left0 netns lan type veth peer name lan0 netns left
		link add right0 netns lan type veth peer name lan0 netns right
	END
	for side in left right; do
		ip -n $side -batch - <<-END
			addr add 192.0.2.$(host $side)/24 dev wire
			link set wire up
			addr add 10.0.$(host $side).254/24 dev lan0
			link set lan0 up
		END
		lane $side
	done
	ip -n lan -batch - <<-END
		addr add 10.0.1.1/24 dev left0
		link set left0 up
		addr add 10.0.2.1/24 dev right0
		link set right0 up
		route add 10.9.0.2 via 10.0.1.254
		route add 10.9.0.1 via 10.0.2.254
	END
}

sides_gone() {
	ip netns del left
	ip netns del right
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

# third ROUND: 0, 1 or 2, and whether a new one begins.
third() {
	now=$(($1 * 3 / rounds))
	begins=no
	[ "$1" != 0 ] && [ $((($1 - 1) * 3 / rounds)) = $now ] || begins=yes
}

# flippers_start / flippers_end: of both sides, for as long as it takes.
flippers_start() {
	for side in left right; do
		ip netns exec $side wgs flip 3600 >/dev/null 2>&1 &
		flippers+=($!)
	done
}

flippers_end() {
	[ ${#flippers[@]} = 0 ] || kill "${flippers[@]}" 2>/dev/null || :
	flippers=()
}

# module_anew DEFAULT_INLINE: no device is left.
module_anew() {
	eventually 20 rmmod wireguard >/dev/null || fail "the module does not go"
	load_module "default_inline=$1"
}

progress() {
	[ $((($1 + 1) % 20)) != 0 ] || say "round $(($1 + 1))"
}

# kind NAME SETUP ROUND_FUNCTION: all its rounds.
kind() {
	local i

	for ((i = 0; i < rounds; i++)); do
		third $i
		"$2" $now $begins
		"$3"
		progress $i
	done
	flippers_end
	say "ok - $1 removed $rounds times"
}

# Devices stay: their mode is set once for a third, and that of new peers.
set_mode() {
	[ "$2" = yes ] || return 0
	case $1 in
	0) pair_mode vanilla ;;
	1)
		pair_mode inline
		left wgs default inline wg0
		right wgs default inline wg0
		;;
	2) flippers_start ;;
	esac
}

# Devices do not stay: new ones begin as the module says.
set_default() {
	[ "$2" = yes ] || return 0
	sides_gone
	module_anew $(($1 == 1))
	sides
	[ "$1" != 2 ] || flippers_start
}

# It is the module that goes: module_goes() does it.
set_nothing() {
	:
}

peer_goes() {
	left wg set wg0 peer "$peer" remove
	left wg setconf wg0 $t/left.conf
	left ping -n -c 1 -W 1 10.9.0.2 >/dev/null 2>&1 || :
}

device_goes() {
	ip -n left link del wg0
	lane left
	left ping -n -c 1 -W 1 10.9.0.2 >/dev/null 2>&1 || :
}

namespaces_go() {
	flippers_end
	sides_gone
	sides
	[ "$now" != 2 ] || flippers_start
	left ping -n -c 1 -W 1 10.9.0.2 >/dev/null 2>&1 || :
}

module_goes() {
	flippers_end
	sides_gone
	module_anew $((now == 1))
	sides
	[ "$now" != 2 ] || flippers_start
	left ping -n -c 1 -W 1 10.9.0.2 >/dev/null 2>&1 || :
}

flippers=()
topo_defaults
sysctl -qw net.ipv4.ip_forward=1
ns_add lan
for side in left right; do
	(umask 077 && wg genkey >$pair_key.$side)
done
for side in left right; do
	config $side >$t/$side.conf
done
peer=$(wg pubkey <$pair_key.right)
load_module
sides
eventually 10 left ping -n -c 1 -W 1 10.9.0.2 >/dev/null
memory=$(awk '/^Slab:/ { print $2 }' /proc/meminfo)
floods_start

kind "a peer" set_mode peer_goes

# An idle peer of a flooded device: how long the request takes, most of it with rtnl held. The kernel
# does all of it within sendto(); a program's start says nothing, it takes seconds here by itself.
for mode in vanilla inline; do
	pair_mode $mode
	for ((i = 0; i < 10; i++)); do
		key=$(wg genkey | wg pubkey)
		left wg set wg0 peer "$key" allowed-ips 10.99.0.1/32
		left strace -T -e trace=sendto -o $t/removal.$mode.$i wg set wg0 peer "$key" remove
	done
	longest=$(sed -n 's/.*<\([0-9.]*\)>$/\1/p' $t/removal.$mode.* | sort -n | tail -n 1)
	check "an idle peer of a flooded device goes in at most $longest s, $mode" test "${longest%.*}" -lt 2
done

kind "a device" set_default device_goes
kind "namespaces" set_default namespaces_go
kind "the module" set_nothing module_goes

# Its slab caches die with the module: they would complain in the kernel's log if they could not.
sides_gone
eventually 20 rmmod wireguard
check "no peer is left" test -z "$(awk '$1 == "wg_peer"' /proc/slabinfo)"
after=$(awk '/^Slab:/ { print $2 }' /proc/meminfo)
say "slab memory: $memory kB before, $after kB after"
check "and the memory came back" test "$((after - memory))" -lt 16384
