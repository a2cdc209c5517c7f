#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by the cases (and by run --shell): sites in network namespaces on one wide-area bridge,
# the daemon in each gateway, and the words a case asserts with. Owns /run/t/SITE/ in the guest.
#
#	lan-NAME eth0 --- lan0 gw-NAME eth0 --- w-NAME [bridge br0 in namespace wan]
#
#	            IPv4            IPv6
#	underlay    192.0.2.IDX/24  2001:db8::IDX/64	gateway eth0; the bridge has .254 and ::fe
#	site        10.IDX.0.0/24   fd00:IDX::/64	gateway lan0 has 1, host eth0 has 2
#
# NAME is at most 12 characters, IDX from 1 to 99. A command that fails ends the case (set -e);
# whatever ends it, the daemons are stopped, and a daemon that died, or exits with an error, or
# whose log has a sanitizer's report, fails the case. Their logs are kept in build/vm/.../SITE.log.
#
# Trap: set -e is off in whatever check, check_not, eventually or || calls, and that runs in a
# subshell. A function given to them answers with the status of its last command.

t=/run/t
mkdir -p $t

# --- Assertions

# say WORDS: progress, with the seconds since boot, to compare with the kernel log.
say() {
	local up

	read -r up _ </proc/uptime
	printf '[%8.2f] %s\n' "$up" "$*"
}

# fail WORDS: ends the case; the exit trap prints the state of all sites.
fail() {
	say "FAIL: $*"
	exit 1
}

# skip WORDS: ends the case as not runnable here.
skip() {
	echo "$*"
	exit 77
}

# check DESC CMD...: prints ok or not ok; a failure ends the case and shows the command's output.
check() {
	local desc=$1 out status=0

	shift
	out=$("$@" 2>&1) || status=$?
	if [ "$status" != 0 ]; then
		say "not ok - $desc"
		printf '%s\n' "\$ $*" "$out"
		fail "$desc (exit $status)"
	fi
	say "ok - $desc"
}

# check_not DESC CMD...: the command has to fail.
check_not() {
	local desc=$1

	shift
	check "$desc" not "$@"
}

not() {
	! "$@"
}

# eventually SECONDS CMD...: repeats the command until it succeeds; its last output if it never did.
eventually() {
	local end=$((${EPOCHREALTIME%[.,]*} + $1)) out

	shift
	until out=$("$@" 2>&1); do
		if [ "${EPOCHREALTIME%[.,]*}" -ge "$end" ]; then
			printf '%s\n' "never true: $*" "$out"
			return 1
		fi
		sleep 0.1
	done
	printf '%s' "${out:+$out$'\n'}"
}

# --- Topology

ns_add() {
	ip netns add "$1"
	ip -n "$1" link set lo up
}

# Namespaces inherit these; duplicate address detection would cost a second per address.
topo_defaults() {
	sysctl -qw net.core.devconf_inherit_init_net=1 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.default.accept_ra=0
}

topo_init() {
	topo_defaults
	ns_add wan
	ip -n wan link add br0 type bridge forward_delay 0 mcast_snooping 0
	ip -n wan addr add 192.0.2.254/24 dev br0
	ip -n wan addr add 2001:db8::fe/64 dev br0 nodad
	ip -n wan link set br0 up
}

# site_add NAME IDX
site_add() {
	local name=$1 idx=$2 gw=gw-$1 lan=lan-$1

	[ ${#name} -le 12 ] || fail "site name $name is too long"
	mkdir -p "$t/$name/etc/peers.d" "$t/$name/lib" "$t/$name/run"
	echo "$idx" >"$t/$name/idx"
	ns_add "$gw"
	ns_add "$lan"

	ip -n wan link add "w-$name" type veth peer name eth0 netns "$gw"
	ip -n wan link set "w-$name" master br0 up
	ip -n "$gw" -batch - <<-END
		addr add 192.0.2.$idx/24 dev eth0
		addr add 2001:db8::$idx/64 dev eth0 nodad
		link set eth0 up
		route add default via 192.0.2.254
		route add default via inet6 2001:db8::fe
		link add lan0 type veth peer name eth0 netns $lan
		addr add 10.$idx.0.1/24 dev lan0
		addr add fd00:$idx::1/64 dev lan0 nodad
		link set lan0 up
	END
	ip -n "$lan" -batch - <<-END
		addr add 10.$idx.0.2/24 dev eth0
		addr add fd00:$idx::2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.$idx.0.1
		route add default via inet6 fd00:$idx::1
	END
	in_gw "$name" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# sites: the names of all sites, one per line.
sites() {
	local path

	for path in "$t"/*/idx; do
		[ ! -e "$path" ] || basename "${path%/idx}"
	done
}

in_gw() {
	local name=$1

	shift
	ip netns exec "gw-$name" "$@"
}

in_lan() {
	local name=$1

	shift
	ip netns exec "lan-$name" "$@"
}

# nic_up NIC [NAMESPACE]: of a case with "net: nic", moved there; 4 queues, an even table. Trap:
# QEMU's RSS, when it moves a packet to a queue that has no buffers yet, stops reading the queue
# the packet came on until that one is refilled: the NIC seems dead. So the table comes last.
nic_up() {
	local ns=${2-} run=()

	if [ -n "$ns" ]; then
		ip link set "$1" netns "$ns"
		run=(ip netns exec "$ns")
	fi
	"${run[@]}" ip link set "$1" up
	"${run[@]}" ethtool -L "$1" combined 4 2>/dev/null || :
	"${run[@]}" ethtool -X "$1" equal 4
}

# lan_ping FROM TO [ping arguments]: from the host of one site to that of another.
lan_ping() {
	local from=$1 to

	to=10.$(cat "$t/$2/idx").0.2
	shift 2
	in_lan "$from" ping -n -c 1 -W 1 "$@" "$to"
}

lan_ping6() {
	local from=$1 to

	to=fd00:$(cat "$t/$2/idx")::2
	shift 2
	in_lan "$from" ping -n -c 1 -W 1 "$@" "$to"
}

# lan_serve NAME: an iperf3 server on the host of a site, ready when this returns.
lan_serve() {
	in_lan "$1" iperf3 -s -D
	eventually 10 is_served "lan-$1" >/dev/null
}

is_served() {
	[ -n "$(ip netns exec "$1" ss -Hltn "sport = :${2:-5201}")" ]
}

# lan_echo NAME PORT...: an echo server (see ./manyflows) on the host of a site, ready likewise.
lan_echo() {
	local name=$1

	shift
	ip netns exec "lan-$name" manyflows serve "$@" &
	eventually 30 is_served "lan-$name" "${@: -1}" >/dev/null
}

# answered_all COMMAND...: a ping, not one of whose packets may be lost.
answered_all() {
	local out

	out=$("$@")
	printf '%s\n' "$out"
	[[ $out == *", 0% packet loss"* ]]
}

# flow_devices NAME PORT COUNT: which lane device each of COUNT flows to this UDP port takes, from
# those that a "manyflows stream" on the host sends now: "SPORT DEVICE" a line.
flow_devices() {
	ip netns exec "gw-$1" timeout 60 tcpdump -Z root -i any -s 128 -nqlt --immediate-mode \
		-c $(($3 * 6)) "udp dst port $2" 2>/dev/null |
		awk '$1 ~ /^wgs/ && $2 == "Out" { sub(/.*\./, "", $4); print $4, $1 }' | sort -u
}

# udp_port_block NAME PORT [from|to]: the wide area loses UDP from and to this port of a gateway,
# or in one direction only.
udp_port_block() {
	local from="iifname \"w-$1\" udp sport $2 counter drop"
	local to="oifname \"w-$1\" udp dport $2 counter drop"

	case ${3-} in
	from) to= ;;
	to) from= ;;
	esac
	ip netns exec wan nft -f - <<-END
		table bridge block-$1-$2 {
			chain forward {
				type filter hook forward priority 0
				$from
				$to
			}
		}
	END
}

udp_port_unblock() {
	ip netns exec wan nft delete table bridge "block-$1-$2"
}

# load_module [PARAM=VALUE...]: ours, in place of the stock one. No depmod: it takes minutes here.
load_module() {
	local module

	for module in $(modinfo -F depends "$WGS_MODULE" | tr , ' '); do
		modprobe "$module"
	done
	insmod "$WGS_MODULE" "$@"
}

# hold_code: no comings and goings of tunnels and pings patch the kernel's code; see hold.c. For
# cases that have hundreds of them while traffic flows.
hold_code() {
	gcc -O1 -Wall -o $t/hold "$REPO/tests/vm/hold.c"
	modprobe nbd nbds_max=1
	$t/hold &
	eventually 20 test -e /sys/block/nbd0/pid
}

# --- The daemon and its control

# program PROGRAM NAME [args]: with the folders of that site, in its gateway.
program() {
	local program=$1 name=$2

	shift 2
	ip netns exec "gw-$name" "$program" --config "$t/$name/etc/site.yaml" \
		--state-dir "$t/$name/lib" --runtime-dir "$t/$name/run" "$@"
}

ctl() {
	program wgscalectl "$@"
}

# site_config NAME <FILE
site_config() {
	cat >"$t/$1/etc/site.yaml"
}

secret() {
	wgscalectl keygen "$t/$1/etc/site.secret"
}

# peer_json NAME PEER FILTER: what the status of a peer says, by jq.
peer_json() {
	ctl "$1" status "$2" --json | jq -r ".peers[0] | $3"
}

# card NAME: prints it.
card() {
	ctl "$1" card
}

# lists_peer NAME OTHER: the site file of NAME has OTHER below "peers:".
lists_peer() {
	awk -v other="$2" '
		/^[^[:space:]#]/ { peers = /^peers:/ }
		peers && match($0, /^[[:space:]]+["'\'']?[^"'\'':]+/) {
			name = substr($0, RSTART, RLENGTH)
			gsub(/[[:space:]"'\'']/, "", name)
			if (name == other)
				found = 1
		}
		END { exit !found }' "$t/$1/etc/site.yaml"
}

# cards_exchange NAME...: everybody's card to everybody who lists that site as a peer.
cards_exchange() {
	local from to

	for from in "$@"; do
		card "$from" >"$t/$from/card.yaml"
		for to in "$@"; do
			if [ "$from" != "$to" ] && lists_peer "$to" "$from"; then
				cp "$t/$from/card.yaml" "$t/$to/etc/peers.d/$from.yaml"
			fi
		done
	done
}

# site_file NAME LANES PEER...: a site file for the topology above, all else being default. A peer is
# a name or "NAME: {SETTINGS}".
site_file() {
	local name=$1 lanes=$2 idx peer

	idx=$(cat "$t/$name/idx")
	shift 2
	site_config "$name" <<-END
		site: $name
		secret-file: site.secret
		lanes: $lanes
		endpoint: 192.0.2.$idx
		networks: [10.$idx.0.0/16, "fd00:$idx::/32"]
		peers:
	END
	for peer; do
		[[ $peer == *:* ]] || peer+=:
		echo "  $peer" >>"$t/$name/etc/site.yaml"
	done
}

# sites_up NAME...: exchanges cards, starts the daemons, and waits until all tunnels carry.
sites_up() {
	local name

	cards_exchange "$@"
	for name; do
		daemon_start "$name"
	done
	for name; do
		wait_settled "$name" 60 && wait_up "$name" 60 || fail "$name does not come up"
	done
	say "up: $*"
}

# two_sites_up LANES: turin and milan, up.
two_sites_up() {
	topo_init
	site_add turin 1
	site_add milan 2
	secret turin
	secret milan
	site_file turin "$1" milan
	site_file milan "$1" turin
	sites_up turin milan
}

# is_running PID: and not a zombie.
is_running() {
	local stat

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	[[ ${stat##*) } != [ZX]* ]]
}

# daemon_start NAME [args]: returns at once; wait_settled and wait_up are for the rest. The
# program comes by exec, so its pid is that of the job.
daemon_start() {
	local name=$1

	[ ! -e "$t/$name/pid" ] || fail "daemon $name was started already"
	shift
	ip netns exec "gw-$name" wgscaled --config "$t/$name/etc/site.yaml" \
		--state-dir "$t/$name/lib" --runtime-dir "$t/$name/run" "$@" \
		>>"$t/$name/log" 2>&1 </dev/null &
	echo $! >"$t/$name/pid"
}

# daemon_reap NAME: its exit status, once it is gone; 124 when it still runs after 15 s.
daemon_reap() {
	local pid i status=0

	pid=$(cat "$t/$1/pid")
	for ((i = 0; i < 300; i++)); do
		if ! is_running "$pid"; then
			rm "$t/$1/pid"
			{ wait "$pid" || status=$?; } 2>/dev/null
			return "$status" # in a trap, a bare return would give the status before it
		fi
		sleep 0.05
	done
	return 124
}

# daemon_stop NAME: a clean stop, and only that.
daemon_stop() {
	local status=0

	kill -TERM "$(cat "$t/$1/pid")" || fail "daemon $1 was dead already"
	daemon_reap "$1" || status=$?
	[ "$status" = 0 ] || fail "daemon $1 stopped with status $status"
}

daemon_kill() {
	kill -KILL "$(cat "$t/$1/pid")" || fail "daemon $1 was dead already"
	daemon_reap "$1" || :
}

# wait_settled NAME [SECONDS]
wait_settled() {
	ctl "$1" wait --state settled --timeout "${2:-30}"
}

# wait_up NAME [SECONDS]
wait_up() {
	ctl "$1" wait --state up --timeout "${2:-30}"
}

# traffic_is NAME on|off: of its first peer.
traffic_is() {
	[ "$(ctl "$1" status --json | jq -r '.peers[0].traffic')" = "$2" ]
}

# plan_is_empty NAME: the kernel holds what is wanted. A path may have changed just now.
plan_is_empty() {
	ctl "$1" plan | grep '^nothing to change'
}

# --- Leaks: packets of the sites' networks, in clear, on an underlay link of a gateway

# leak_watch_start NAME [FILTER]: one tcpdump for each interface that is neither a lane nor the
# LAN. Packets between own network and elsewhere are no leak; any other site's address is one.
# The capture also takes a packet to the discard port, which leak_watch_stop sends: seeing it
# proves that everything before it was seen.
leak_watch_start() {
	local name=$1 idx dev filter dir=$t/$1/leak

	idx=$(cat "$t/$name/idx")
	filter=${2:-"(src net 10.0.0.0/8 and not src net 10.$idx.0.0/16)
		or (dst net 10.0.0.0/8 and not dst net 10.$idx.0.0/16)
		or (src net fd00::/16 and not src net fd00:$idx::/32)
		or (dst net fd00::/16 and not dst net fd00:$idx::/32)"}
	rm -rf "$dir"
	mkdir "$dir"
	for dev in $(in_gw "$name" ls /sys/class/net); do
		case $dev in
		lo | lan0 | wgs*) continue ;;
		esac
		ip netns exec "gw-$name" tcpdump -Z root -nlq --immediate-mode -i "$dev" \
			"($filter) or (udp dst port 9 and dst host 192.0.2.254)" \
			>"$dir/$dev" 2>"$dir/$dev.err" </dev/null &
		echo $! >"$dir/$dev.pid"
		eventually 10 grep -q "listening on" "$dir/$dev.err"
	done
}

leak_watch_stop() {
	local pid dir=$t/$1/leak

	in_gw "$1" bash -c 'echo end >/dev/udp/192.0.2.254/9'
	eventually 10 grep -q "192\.0\.2\.254\.9:" "$dir/eth0" ||
		fail "the leak watch of $1 is blind"
	for pid in "$dir"/*.pid; do
		kill -TERM "$(cat "$pid")"
		wait "$(cat "$pid")" || :
		rm "$pid"
	done
}

# leak_none NAME: stops a watch that still runs; fails, and shows the packets, if there were any.
leak_none() {
	local leaks dir=$t/$1/leak

	[ ! -e "$dir/eth0.pid" ] || leak_watch_stop "$1"
	# tcpdump ends an interrupted line with an empty one.
	leaks=$(cd "$dir" && grep -v -e '192\.0\.2\.254\.9:' -e '^$' --exclude='*.err' -- * |
		head -n 20) || :
	if [ -n "$leaks" ]; then
		printf '%s\n' "$leaks"
		fail "$1 leaked in clear"
	fi
	say "ok - nothing of the sites left $1 in clear"
}

# --- The end

# print_state: what one wants to see of every site when a case has failed.
print_state() {
	local name

	for name in $(sites); do
		echo "--- site $name"
		if [ -e "$t/$name/pid" ]; then
			timeout 5 ip netns exec "gw-$name" wgscalectl \
				--runtime-dir "$t/$name/run" status 2>&1 || :
		fi
		if [ -e "$t/$name/log" ]; then
			tail -n 30 "$t/$name/log"
		fi
	done
}

# stop_all: every daemon; fails when one was dead, does not stop cleanly, or reported a bug.
stop_all() {
	local name pid status bad=0

	for name in $(sites); do
		[ -e "$t/$name/pid" ] || continue
		pid=$(cat "$t/$name/pid")
		if ! is_running "$pid"; then
			wait "$pid" && status=0 || status=$?
			say "FAIL: daemon $name died with status $status"
			bad=1
			continue
		fi
		kill -TERM "$pid"
		daemon_reap "$name" && status=0 || status=$?
		if [ "$status" != 0 ]; then
			say "FAIL: daemon $name stopped with status $status"
			kill -KILL "$pid" 2>/dev/null || :
			bad=1
		fi
	done
	for name in $(sites); do
		[ -e "$t/$name/log" ] || continue
		cp "$t/$name/log" "${VM_OUT:-/tmp}/$name.log"
		if grep -E 'ERROR: [A-Za-z]+Sanitizer|runtime error: ' "$t/$name/log"; then
			bad=1
		fi
	done
	return "$bad"
}

at_exit() {
	local status=$? pids

	trap - EXIT ERR
	set +eE
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		print_state
	fi
	if ! stop_all && [ "$status" = 0 ]; then
		print_state
		status=1
	fi
	mapfile -t pids < <(jobs -p)
	[ "${#pids[@]}" = 0 ] || kill -KILL "${pids[@]}" 2>/dev/null
	exit "$status"
}

if [[ $- != *i* ]]; then
	set -eEuo pipefail
	trap at_exit EXIT
	trap 'say "line $LINENO of ${BASH_SOURCE##*/}: status $?: ${BASH_COMMAND%%$'\''\n'\''*}"' ERR
fi
