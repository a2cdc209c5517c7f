#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Two sites are joined by a plain wg0 tunnel. wgscale comes beside it in standby, takes the
# traffic over, one end after the other, gives it back, and goes without a trace.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

# The old way; turin's is wg-quick's where that is installed.
wg0_add() {
	local name=$1 idx=$2 other=$3 key

	key=$(wg genkey)
	echo "$key" >"$t/$name/wg0.key"
	cat >"$t/$name/wg0.head" <<-END
		[Interface]
		PrivateKey = $key
		ListenPort = 51820
	END
	cat >"$t/$other/wg0.peer" <<-END
		[Peer]
		PublicKey = $(wg pubkey <<<"$key")
		AllowedIPs = 10.$idx.0.0/16, fd00:$idx::/32
		Endpoint = 192.0.2.$idx:51820
	END
}

wg0_up() {
	local name=$1 idx=$2 other=$3

	cat "$t/$name/wg0.head" "$t/$name/wg0.peer" >"$t/$name/wg0.conf"
	chmod 600 "$t/$name/wg0.conf"
	if [ "$name" = turin ] && command -v wg-quick >/dev/null; then
		in_gw "$name" wg-quick up "$t/$name/wg0.conf"
		return
	fi
	in_gw "$name" ip link add wg0 type wireguard
	in_gw "$name" wg setconf wg0 "$t/$name/wg0.conf"
	in_gw "$name" ip link set wg0 mtu 1420 up
	in_gw "$name" ip route add "10.$other.0.0/16" dev wg0
	in_gw "$name" ip -6 route add "fd00:$other::/32" dev wg0
}

foreign_add() {
	in_gw "$1" ip rule add pref 500 fwmark 0x77 table 77
	in_gw "$1" ip route add 203.0.113.0/24 via 192.0.2.254 table 77
	in_gw "$1" nft -f - <<-'END'
		table inet neighbour {
			set s { type ipv4_addr; elements = { 203.0.113.1 } }
			chain forward { type filter hook forward priority 0; ip daddr @s counter drop; }
		}
	END
}

# Counters of packets out of wg0 and of all lanes.
packets() {
	local which=$1 n=0 path

	for path in $(in_gw turin bash -c "ls -d /sys/class/net/$which"); do
		n=$((n + $(in_gw turin cat "$path/statistics/tx_packets")))
	done
	echo $n
}

# carried_by WHICH: ten pings take this way and only this.
carried_by() {
	local before after other=wg0

	[ "$1" != wg0 ] || other='wgs*'
	before=$(packets wg0)
	lan_ping turin milan -c 20 -i 0.02 >/dev/null && lan_ping6 turin milan >/dev/null || return
	after=$(packets wg0)
	say "$1: wg0 sent $((after - before))"
	if [ "$1" = wg0 ]; then
		[ $((after - before)) -ge 20 ]
	else
		[ $((after - before)) -le 5 ]
	fi
}

# The table of the flows is not looked at: everything that names the peer's networks is.
no_trace_of_networks() {
	! in_gw turin nft list ruleset | grep -E '10\.2\.|fd00:2:' &&
		! in_gw turin ip route show table all | grep -E '10\.2\.' | grep -v 'dev wg0' &&
		! in_gw turin ip -6 route show table all | grep -E 'fd00:2:' | grep -v 'dev wg0' &&
		in_gw turin ip route get 10.2.0.2 | grep 'dev wg0' &&
		in_gw turin ip route get fd00:2::2 | grep 'dev wg0'
}

tunnels_up() {
	[ "$(ctl "$1" status --json | jq '.peers[0].usable')" = 4 ]
}

state_is() {
	[ "$(ctl "$1" status --json | jq -r '.peers[0].traffic')" = "$2" ]
}

all_state() {
	kernel_state turin
	links_state turin
}

topo_init
flows_build
site_add turin 1
site_add milan 2
wg0_add turin 1 milan
wg0_add milan 2 turin
wg0_up turin 1 2
wg0_up milan 2 1
foreign_add turin
for name in turin milan; do
	secret $name
	idx=$(cat "$t/$name/idx")
	other=$([ $name = turin ] && echo milan || echo turin)
	site_config $name <<-END
		site: $name
		secret-file: site.secret
		lanes: 4
		endpoint: 192.0.2.$idx
		networks: [10.$idx.0.0/16, "fd00:$idx::/32"]
		peers:
		  $other: {traffic: off}
	END
done
cards_exchange turin milan
check "the old tunnel carries" eventually 10 carried_by wg0
all_state >"$t/turin/before"
flows_serve milan
flows_start turin milan 20 20000 20001 20002 20003

daemon_start turin
daemon_start milan
check "turin settles" wait_settled turin
check "milan settles" wait_settled milan
check "the tunnels are up" eventually 30 tunnels_up turin
check "at both ends" eventually 30 tunnels_up milan
check "turin says up" wait_up turin
check "standby: nothing says where the networks are" no_trace_of_networks
check "standby: the old tunnel carries" carried_by wg0

check "turin is active" ctl turin activate milan
check "one end is active: traffic flows" lan_ping turin milan -c 3 -i 0.1
check "milan is active" ctl milan activate turin
check "active: the new tunnels carry" carried_by wgs
daemon_stop turin
daemon_start turin
check "turin settles again" wait_settled turin
check "activation survives a restart" state_is turin on
check "active: the new tunnels carry" carried_by wgs
check "milan is in standby" ctl milan standby turin
check "one end in standby: traffic flows" lan_ping turin milan -c 3 -i 0.1
check "turin is in standby" ctl turin standby milan
check "standby: nothing says where the networks are" no_trace_of_networks
check "standby: the old tunnel carries" carried_by wg0
flows_stop
flows_report "there and back:"
check "no connection was lost" flows_alive

check "down" ctl turin down --yes
check "down: all is as before the first start" eventually 10 same "$t/turin/before" all_state
daemon_stop turin
check "the daemon has stopped: as before" same "$t/turin/before" all_state
daemon_start turin
check "turin settles" wait_settled turin
check "turin is active" ctl turin activate milan
daemon_kill turin
check "down without the daemon" ctl turin down --yes
check "down without the daemon: as before the first start" same "$t/turin/before" all_state
check "the old tunnel carries" carried_by wg0
