#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# Peers that run plain WireGuard: paris with two kernel devices, both with a probe address, and
# lyon with wireguard-go and none, so that only its handshakes tell whether it lives.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# peer_is NAME PEER STATE
peer_is() {
	[ "$(ctl "$1" --json status "$2" | jq -r '.peers[0].state')" = "$3" ]
}

# tunnel_is NAME PEER INDEX STATE
tunnel_is() {
	[ "$(ctl "$1" --json status "$2" | jq -r ".peers[0].detail[$3].state")" = "$4" ]
}

# has_buckets NAME PEER INDEX COUNT
has_buckets() {
	[ "$(ctl "$1" --json status "$2" | jq ".peers[0].detail[$3].buckets")" = "$4" ]
}

# plain_peer NAME DEVICE PORT LANE: the device has turin's lane as its only peer.
plain_peer() {
	in_gw "$1" wg set "$2" listen-port "$3" private-key "$t/$1/$2.key" \
		peer "$(in_gw turin wg show "wgs$4" public-key)" endpoint "192.0.2.1:$((21820 + $4))" \
		allowed-ips 10.1.0.0/16,fd00:1::/32 persistent-keepalive 5
	in_gw "$1" ip link set "$2" up mtu 1420
}

# A probe is answered on the way it came; IPv4 goes over both, IPv6 (no multipath) over one.
paris_routes() {
	in_gw paris ip route replace 10.1.0.0/16 nexthop dev wg0 nexthop dev wg1
	in_gw paris ip -6 route replace fd00:1::/32 dev wg0
	in_gw paris ip route replace 10.1.0.0/16 dev wg0 table 100
	in_gw paris ip route replace 10.1.0.0/16 dev wg1 table 101
}

# A TUN device of its own: the process is the tunnel.
lyon_start() {
	LOG_LEVEL=error ip netns exec gw-lyon wireguard-go -f wglyon >"$t/lyon/wireguard-go" 2>&1 &
	lyon=$!
	eventually 20 test -S /var/run/wireguard/wglyon.sock
	plain_peer lyon wglyon 51830 0
	in_gw lyon ip route replace 10.1.0.0/16 dev wglyon
	in_gw lyon ip -6 route replace fd00:1::/32 dev wglyon
}

lyon_kill() {
	kill -KILL "$lyon"
	wait "$lyon" 2>/dev/null || :
	rm -f /var/run/wireguard/wglyon.sock
}

# received NAME DEVICE: bytes of its peer.
received() {
	in_gw "$1" wg show "$2" transfer | cut -f 2
}

topo_init
site_add turin 1
site_add paris 2
site_add lyon 3
modprobe tun
umask 077
for key in paris/wg0 paris/wg1 lyon/wglyon; do
	wg genkey >"$t/$key.key"
done

site_config turin <<END
site: turin
secret-file: site.secret
lanes: 4
endpoint: 192.0.2.1
networks: [10.1.0.0/16, "fd00:1::/32"]
peers:
  paris: {mtu: 1420}
  lyon: {mtu: 1420}
END
secret turin
cat >"$t/turin/etc/peers.d/paris.yaml" <<END
card: 1
site: paris
endpoints: [192.0.2.2]
lanes:
  - port: 51820
    key: $(wg pubkey <"$t/paris/wg0.key")
    probe: 10.2.0.1
  - port: 51821
    key: $(wg pubkey <"$t/paris/wg1.key")
    probe: 10.2.0.3
networks: [10.2.0.0/16, "fd00:2::/32"]
END
cat >"$t/turin/etc/peers.d/lyon.yaml" <<END
card: 1
site: lyon
endpoints: ["2001:db8::3"]
lanes: [{port: 51830, key: $(wg pubkey <"$t/lyon/wglyon.key")}]
networks: [10.3.0.0/16, "fd00:3::/32"]
END
check "the hand-written cards are fine" ctl turin check
daemon_start turin
check "turin settles" wait_settled turin
check "nothing of paris before it is there" peer_is turin paris down

in_gw paris ip link add wg0 type wireguard
in_gw paris ip link add wg1 type wireguard
in_gw paris ip addr add 10.2.0.3/32 dev lo
in_gw paris ip rule add from 10.2.0.1 lookup 100
in_gw paris ip rule add from 10.2.0.3 lookup 101
plain_peer paris wg0 51820 0
plain_peer paris wg1 51821 1
paris_routes
lyon_start
check "paris is up, by its probes" eventually 40 peer_is turin paris up
check "lyon is up, by its handshake" eventually 40 peer_is turin lyon up
ctl turin status paris
ctl turin status lyon

for peer in paris lyon; do
	check "IPv4 to $peer" lan_ping turin $peer -c 2 -i 0.2
	check "IPv6 to $peer" lan_ping6 turin $peer -c 2 -i 0.2
	check "IPv4 from $peer" lan_ping $peer turin -c 2 -i 0.2
	check "IPv6 from $peer" lan_ping6 $peer turin -c 2 -i 0.2
done
check "a ping by the gateway itself" in_gw turin ping -n -c 1 -W 2 10.3.0.2

lan_serve paris
lan_serve lyon
for to in 10.2.0.2 10.3.0.2; do
	check "TCP to $to" in_lan turin timeout 60 iperf3 -c $to -P 32 -n 1M
	check "TCP from $to" in_lan turin timeout 60 iperf3 -R -c $to -P 2 -n 1M
done
check "the flows are spread over both tunnels of paris" \
	test "$(received paris wg0)" -gt 150000 -a "$(received paris wg1)" -gt 150000
check "a tunnel that cannot be probed is not congested for it" tunnel_is turin lyon 0 up
check "it has lost no probes" \
	test "$(ctl turin --json status lyon | jq '.peers[0].detail[0].loss_percent')" = 0

# One of two: its buckets move. Both: the peer is down. Then they return.
in_gw paris ip link set wg1 down
check "a dead tunnel is noticed by its probe" eventually 15 tunnel_is turin paris 1 down
check "the other tunnel carries all" eventually 5 has_buckets turin paris 0 1024
check "the peer is degraded" peer_is turin paris degraded
check "traffic goes on" lan_ping turin paris -c 3 -i 0.2
in_gw paris ip link set wg0 down
check "without any tunnel the peer is down" eventually 15 peer_is turin paris down
check_not "and nothing arrives" lan_ping turin paris
in_gw paris ip link set wg0 up
in_gw paris ip link set wg1 up
paris_routes
check "paris comes back" eventually 60 peer_is turin paris up
check "with its traffic" eventually 10 lan_ping turin paris
check "and IPv6" eventually 10 lan_ping6 turin paris

# It speaks from its IPv4 address; its card has another one.
check "lyon has roamed" grep -F 192.0.2.3:51830 <(in_gw turin wg show wgs0 endpoints)
check_not "an endpoint that answers is left alone" grep "wg.peer.set .*endpoint=" "$t/turin/log"

lyon_kill
check_not "lyon is dead" lan_ping turin lyon
lyon_start
check "wireguard-go comes back by itself" eventually 40 lan_ping turin lyon
check "and IPv6" eventually 10 lan_ping6 lyon turin
check "turin settled all the time" wait_settled turin
