#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after lib.sh: two namespaces with one wire and N tunnels, without the daemon, for
# what is the module's alone. Owns the namespaces "left" and "right".
#
#	left  wire 192.0.2.1/24 --- 192.0.2.2/24 wire  right
#	left  wgI  10.9.I.1/24  === 10.9.I.2/24  wgI   right	I from 0

pair_key=$t/pair-key # pair_key.SIDE.I, of tunnel I

left() {
	ip netns exec left "$@"
}

right() {
	ip netns exec right "$@"
}

other() {
	[ "$1" = left ] && echo right || echo left
}

# pair_wire: the namespaces and the wire. What arrives is steered to one CPU, as a NIC steers an outer
# flow: the order of packets that different CPUs send is decided by the wire, not after it. Neighbours
# are known for good: while one is asked for, the kernel keeps 166 packets of this size, drops the rest,
# and sends what it kept after what others send meanwhile.
pair_wire() {
	local side mac

	topo_defaults
	sysctl -qw net.core.netdev_max_backlog=100000
	ns_add left
	ns_add right
	ip link add wire netns left type veth peer name wire netns right
	for side in left right; do
		ip -n $side addr add "192.0.2.$(host $side)/24" dev wire
		ip -n $side link set wire up
		ip netns exec $side bash -c 'echo 1 >/sys/class/net/wire/queues/rx-0/rps_cpus'
	done
	for side in left right; do
		mac=$(ip netns exec $side cat /sys/class/net/wire/address)
		ip -n "$(other $side)" neigh add "192.0.2.$(host $side)" lladdr "$mac" nud permanent dev wire
	done
}

host() {
	[ "$1" = left ] && echo 1 || echo 2
}

# pair_device SIDE I: a lane, with its key, not yet a peer.
pair_device() {
	ip -n "$1" link add "wg$2" type wireguard
	[ -e "$pair_key.$1.$2" ] || (umask 077 && wg genkey >"$pair_key.$1.$2")
	ip netns exec "$1" wg set "wg$2" listen-port $((21820 + $2)) private-key "$pair_key.$1.$2"
	ip -n "$1" addr add "10.9.$2.$(host "$1")/24" dev "wg$2"
	ip -n "$1" link set "wg$2" up
}

# pair_peer SIDE I: the other side's entry, on this side.
pair_peer() {
	local side

	side=$(other "$1")
	ip netns exec "$1" wg set "wg$2" peer "$(wg pubkey <"$pair_key.$side.$2")" \
		endpoint "192.0.2.$(host "$side"):$((21820 + $2))" allowed-ips "10.9.$2.0/24"
}

# pair_tunnel I: up, with a session.
pair_tunnel() {
	local side

	for side in left right; do
		pair_device $side "$1"
	done
	for side in left right; do
		pair_peer $side "$1"
	done
	eventually 10 left ping -n -c 1 -W 1 "10.9.$1.2" >/dev/null
}

# pair_mode MODE: of all peers at both sides.
pair_mode() {
	left wgs mode "$1"
	right wgs mode "$1"
}

# counter SIDE FILTER: what jq finds in what the module says of that side.
counter() {
	ip netns exec "$1" wgs list | jq -r "$2"
}
