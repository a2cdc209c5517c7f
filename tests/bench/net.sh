#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by ./cases after ../vm/lib.sh: the set-up under measurement, in one VM, and the words to
# measure it with. Owns /run/t/bench and $VM_OUT/samples in the guest.
#
#	source eth0 --- lan0 gw1 eth0 --- eth0 gw2 lan0 --- eth0 drain
#	10.1.0.I   .254     192.0.2.1   192.0.2.2    .254  10.2.0.I
#
# Tunnel I is the pair of devices wgI of both gateways. Flow I is one TCP connection from 10.1.0.I
# to 10.2.0.I (./traffic.c), through tunnel I, or straight from gateway to gateway when the variant
# is "plain". The LANs have the MTU of the tunnels, so that segments are alike in all variants. All
# else is as the kernel makes it.
#
# veth hands a packet over on the CPU it was sent from. So sender and receiver of flow I are both
# bound to CPU (I - 1) mod CPUs: what is not given away to workers or threads stays on that CPU.
#
# $VM_OUT/samples, which ./report.py reads, is lines of words:
#
#	machine KEY VALUE...
#	floor BYTES ENCRYPT_NS DECRYPT_NS
#	row MODULE VARIANT TUNNELS ROUND and what traffic prints of a window
#	loop MODULE VARIANT SEGMENTS ROUND NS_PER_DATAGRAM

bench=/run/t/bench
# shellcheck source=/dev/null
. "$BUILD/bench/params" # TUNNELS WARM_MS WINDOW_MS WINDOWS ROUNDS FLOOR
cpus=$(nproc)
gateways="gw1 gw2"
module=stock
mode=vanilla threaded=0 # of all tunnels, now

mkdir -p "$bench"
: >"$VM_OUT/samples"

sample() {
	echo "$*" >>"$VM_OUT/samples"
}

# --- The set-up

# module_load ours|stock
module_load() {
	module=$1
	if [ "$module" = stock ]; then
		modprobe wireguard
	else
		load_module
	fi
}

# link_pair NS DEVICE NS DEVICE MTU
link_pair() {
	ip -n "$1" link add "$2" mtu "$5" type veth peer name "$4" netns "$3" mtu "$5"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}

# host_addresses NS NET COUNT
host_addresses() {
	local i

	for ((i = 1; i <= $3; i++)); do
		echo "addr add $2.$i/24 dev eth0"
	done
	echo "route add default via $2.254"
}

# net_up TUNNELS: what one flow teaches TCP is not kept for the next.
net_up() {
	local ns

	topo_defaults
	for ns in source gw1 gw2 drain; do
		ns_add "$ns"
		ip netns exec "$ns" sysctl -qw net.ipv4.tcp_no_metrics_save=1 net.ipv4.ip_forward=1
	done
	link_pair source eth0 gw1 lan0 1420
	link_pair gw1 eth0 gw2 eth0 1500
	link_pair drain eth0 gw2 lan0 1420
	host_addresses source 10.1.0 "$1" | ip -n source -batch -
	host_addresses drain 10.2.0 "$1" | ip -n drain -batch -
	ip -n gw1 addr add 10.1.0.254/24 dev lan0
	ip -n gw2 addr add 10.2.0.254/24 dev lan0
	ip -n gw1 addr add 192.0.2.1/24 dev eth0
	ip -n gw2 addr add 192.0.2.2/24 dev eth0
	tunnels_add "$1"
}

net_down() {
	local ns

	for ns in source gw1 gw2 drain; do
		ip netns del "$ns"
	done
}

# tunnel_add GATEWAY I PEER_ADDRESS ALLOWED: keys of all devices are in $bench.
tunnel_add() {
	local other=gw1

	[ "$1" = gw2 ] || other=gw2
	ip -n "$1" link add "wg$2" type wireguard
	ip netns exec "$1" wg set "wg$2" listen-port $((21820 + $2)) private-key "$bench/$1.$2" \
		peer "$(wg pubkey <"$bench/$other.$2")" endpoint "$3:$((21820 + $2))" allowed-ips "$4"
}

tunnels_add() {
	local i

	umask 077
	for ((i = 1; i <= $1; i++)); do
		wg genkey >"$bench/gw1.$i"
		wg genkey >"$bench/gw2.$i"
		tunnel_add gw1 "$i" 192.0.2.2 "10.2.0.$i/32"
		tunnel_add gw2 "$i" 192.0.2.1 "10.1.0.$i/32"
	done
}

# way_up VARIANT TUNNELS: where both gateways send the flows. A device that goes down forgets its
# sessions: the handshake is made when the flows connect, and the next one is two minutes away, in
# nobody's window.
way_up() {
	local i to1="via 192.0.2.2" to2="via 192.0.2.1" again=()

	for ((i = 1; i <= $2; i++)); do
		if [ "$1" != plain ]; then
			to1="dev wg$i" to2=$to1
			again=("link set wg$i down" "link set wg$i up")
		fi
		printf '%s\n' "${again[@]}" "route replace 10.2.0.$i/32 $to1" >&3
		printf '%s\n' "${again[@]}" "route replace 10.1.0.$i/32 $to2" >&4
	done 3>"$bench/way1" 4>"$bench/way2"
	ip -n gw1 -batch "$bench/way1"
	ip -n gw2 -batch "$bench/way2"
}

# variant_set VARIANT: live, of all tunnels. Threads are nothing an inline tunnel needs.
variant_set() {
	local ns want_threaded=0 want_mode=vanilla

	case $1 in
	plain) return ;;
	threaded) want_threaded=1 ;;
	inline) want_mode=inline ;;
	esac
	for ns in $gateways; do
		[ $mode = $want_mode ] || ip netns exec "$ns" wgs mode $want_mode
		# shellcheck disable=SC2016 # expanded by the inner shell
		[ $threaded = $want_threaded ] || ip netns exec "$ns" bash -c '
			for file in /sys/class/net/wg*/threaded; do
				echo "$1" >"$file" && [ "$(<"$file")" = "$1" ] || exit
			done' bash $want_threaded
	done
	mode=$want_mode threaded=$want_threaded
}

# --- Traffic

# flows_start COUNT: they send when this returns, or soon.
flows_start() {
	coproc traffic { exec "$BUILD/bench/traffic" "$1"; }
	# shellcheck disable=SC2154 # set by coproc
	traffic_out=${traffic[0]} traffic_in=${traffic[1]} traffic_pid=$!
}

# flows_say stop|go: they pause, and go on.
flows_say() {
	echo "$1" >&"$traffic_in"
}

flows_stop() {
	exec {traffic_in}>&-
	wait "$traffic_pid"
}

# window VARIANT TUNNELS ROUND [WARM_MS]: the flows run; one sample.
window() {
	local result us bytes

	echo "${4:-$WARM_MS} $WINDOW_MS" >&"$traffic_in"
	read -r result <&"$traffic_out" || fail "the flows died"
	sample "row $module $1 $2 $3 $result"
	read -r us _ bytes _ <<<"$result"
	say "$(printf '%-8s %d tunnels, round %d: %6d Mb/s' "$1" "$2" "$3" $((8 * bytes / us)))"
}

# row VARIANT TUNNELS: flows of its own, and windows one after another, to see that nothing changes
# any more.
row() {
	local i

	variant_set "$1"
	way_up "$1" "$2"
	flows_start "$2"
	window "$1" "$2" 1
	for ((i = 2; i <= WINDOWS; i++)); do
		window "$1" "$2" $i 0
	done
	flows_stop
}

# floor: what the cryptography of one full packet costs.
floor() {
	local dependency name=/sys/module/bench_floor/parameters

	for dependency in $(modinfo -F depends "$FLOOR" | tr , ' '); do
		modprobe "$dependency"
	done
	insmod "$FLOOR" bytes=1420
	sample "floor 1420 $(<$name/encrypt_ns) $(<$name/decrypt_ns)"
	say "floor: $(<$name/encrypt_ns) + $(<$name/decrypt_ns) ns a packet"
	rmmod bench_floor
}

# describe [FLOWS]
describe() {
	sample "machine kernel $(uname -r)"
	sample "machine vcpus $cpus"
	sample "machine clocksource $(</sys/devices/system/clocksource/clocksource0/current_clocksource)"
	sample "machine windows $WINDOW_MS ms, after $WARM_MS ms"
	sample "machine flows ${1:-one TCP connection per tunnel, both ends bound to one CPU}"
}
