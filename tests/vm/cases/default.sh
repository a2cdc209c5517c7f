#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# Networks that hold more than the peer: a hub with transit for all sites and for the Internet.
# Spoke a takes the default route, b all sites, c all sites and is reached at an address that lies
# in its own networks. Each keeps its own LAN, its underlay and the way to the hub.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

gw_ping() {
	in_gw "$1" ping -n -c 1 -W 2 "$2"
}

host_ping() {
	in_lan "$1" ping -n -c 1 -W 2 "$2"
}

# takes NAME PREFIX: the kernel sends it to a lane.
takes() {
	in_gw "$1" ip route get "$2" | grep -q "dev wgs"
}

takes_not() {
	! takes "$1" "$2"
}

# keeps_own NAME: what must never enter a tunnel.
keeps_own() {
	local idx

	idx=$(cat "$t/$1/idx")
	gw_ping "$1" "10.$idx.0.2" && gw_ping "$1" "fd00:$idx::2" &&
		host_ping "$1" "10.$idx.0.1" && host_ping "$1" "192.0.2.$idx" &&
		gw_ping "$1" 192.0.2.254 && gw_ping "$1" 2001:db8::fe &&
		takes_not "$1" 192.0.2.1
}

both_pings() {
	lan_ping "$1" "$2" && lan_ping6 "$1" "$2"
}

# spoke NAME IDX NETWORKS ENDPOINTS ACCEPT
spoke() {
	site_add "$1" "$2"
	secret "$1"
	site_config "$1" <<-END
		site: $1
		secret-file: site.secret
		lanes: 2
		networks: [$3]
		endpoint: [$4]
		peers:
		  hub: {accept: [$5]}
	END
}

topo_init
site_add hub 1
secret hub
site_config hub <<END
site: hub
secret-file: site.secret
lanes: 3
networks: [10.1.0.0/16, "fd00:1::/32", 198.51.100.0/24]
transit: [10.0.0.0/8, "fd00::/16", 0.0.0.0/0, "::/0"]
endpoint: [192.0.2.1]
peers:
  a:
  b:
  c: {accept: [10.4.0.0/16, "fd00:4::/32", 203.0.113.0/24]}
END
spoke a 2 '10.2.0.0/16, "fd00:2::/32"' 192.0.2.2 '0.0.0.0/0, "::/0", 10.0.0.0/8, "fd00::/16"'
spoke b 3 '10.3.0.0/16, "fd00:3::/32"' '"2001:db8::3"' '10.0.0.0/8, "fd00::/16"'
spoke c 4 '10.4.0.0/16, "fd00:4::/32", 203.0.113.0/24' 203.0.113.4 '10.0.0.0/8, "fd00::/16"'

# The Internet behind the hub; c's public network, of which its gateway has an address.
in_lan hub ip addr add 198.51.100.1/32 dev lo
in_lan hub ip addr add 192.0.0.9/32 dev lo
in_lan hub ip addr add 2001:db9::1/128 dev lo nodad
in_gw hub ip route add 198.51.100.0/24 via 10.1.0.2
in_gw hub ip route add 192.0.0.9 via 10.1.0.2
in_gw hub ip route add 2001:db9::/32 via fd00:1::2
in_gw c ip addr add 203.0.113.4/32 dev eth0
in_lan c ip addr add 203.0.113.9/32 dev lo
in_gw c ip route add 203.0.113.9 via 10.4.0.2
in_gw c ip route replace 192.0.2.0/24 dev eth0 src 203.0.113.4
in_gw hub ip route add 203.0.113.4 via 192.0.2.4
ip -n wan route add 203.0.113.4 via 192.0.2.4
# A network on the underlay that is not connected to a: only its route by name leads there.
ip -n wan addr add 192.0.1.1/32 dev lo

cards_exchange hub a b c
for name in hub a b c; do
	check "$name: files" ctl $name check
	daemon_start $name
done
leak_watch_start a
for name in hub a b c; do
	check "$name settles" wait_settled $name 60
done
for name in hub a b c; do
	check "$name is up" wait_up $name 60
done
ctl hub status
ctl a status hub

# What stays where it is.
for name in a b c; do
	check "$name keeps its LAN, its own addresses, its underlay" keeps_own $name
done

check "a reaches the hub at its outer address" gw_ping a 192.0.2.1

# What goes through the hub.
for from in a b c; do
	for to in hub a b c; do
		[ $from = $to ] || check "$from to $to" both_pings $from $to
	done
done
check "the gateways themselves, through the hub" gw_ping b 10.4.0.2
check "a spoke's gateway by its inner address" host_ping a 10.3.0.1

# The default route, for a alone.
check "a's LAN reaches the Internet" host_ping a 198.51.100.1
check "and by IPv6" host_ping a 2001:db9::1
check "a's gateway, too" gw_ping a 192.0.0.9
check "a takes the default route" takes a 192.0.1.1
check "b does not" takes_not b 192.0.1.1
check "b's gateway has it in clear" gw_ping b 192.0.1.1
# The endpoint of c lies in c's networks: what the hub sends to it is inner, but its own tunnel.
check "the hub finds c at an address behind it" \
	grep -q "203.0.113.4:" <(in_gw hub wg show all endpoints)
check "that address, through the tunnel" takes hub 203.0.113.4
check "it answers the hub's LAN" host_ping hub 203.0.113.4
check "and a host beside it" host_ping hub 203.0.113.9
check "and from a, by the default route" host_ping a 203.0.113.9

for name in hub a b c; do
	check "$name has nothing left to change" eventually 20 plan_is_empty $name
	check "$name is up still" wait_up $name 5
done
leak_none a
