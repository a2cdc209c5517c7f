#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# Neighbours on the same gateway: others' nf_tables tables, rules, routes, mark bits and devices
# are the same bytes after start, reload and down; whoever holds our names or ports is named.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# site NAME IDX PEER
site() {
	site_add "$1" "$2"
	secret "$1"
	config "$1" "$2" "$3" 21820
}

# config NAME IDX PEER PORT_BASE [LANES]
config() {
	site_config "$1" <<-END
		site: $1
		secret-file: site.secret
		lanes: ${5:-4}
		port-base: $4
		endpoint: 192.0.2.$2
		networks: [10.$2.0.0/16, "fd00:$2::/32", 10.64.$2.0/24]
		peers:
		  $3:
	END
}

# others: all that is not ours in turin's gateway, as text. What comes and goes (counters, times of
# addresses) is not printed by these commands, or cut out.
others() {
	local table family

	in_gw turin nft -s list tables | while read -r _ family table; do
		case $table in
		wgscale | wgscale_guard) ;;
		*) in_gw turin nft -s -a list table "$family" "$table" ;;
		esac
	done
	for family in -4 -6; do
		in_gw turin ip $family rule show | grep -vE '^(1[234][0-9]{2}):'
		in_gw turin ip $family route show table all |
			grep -vE 'table 218[2-9][0-9]|dev wgs|^ff00::/8'
	done
	in_gw turin ip -o link show | grep -v ': wgs' | sed 's/state .*//'
	in_gw turin ip -o addr show | grep -v ': wgs'
	in_gw turin sysctl net.ipv4.ip_forward net.ipv4.conf.all.rp_filter \
		net.ipv4.conf.lan0.rp_filter net.ipv4.conf.eth0.rp_filter
}

# same: nothing of others' has changed.
same() {
	others >"$t/others.now"
	diff -u "$t/others.before" "$t/others.now"
}

# status_says NAME WORDS
status_says() {
	ctl "$1" status | grep -qF "$2"
}

# ours: how many lane devices there are.
ours() {
	in_gw turin ls /sys/class/net | grep -c '^wgs' || :
}

# marked: packets that came to postrouting with, and without, the neighbour's mark bit.
marked() {
	in_gw turin nft -j list table inet neighbour |
		jq -r '[.nftables[].rule.expr[]?.counter.packets? // empty] | @tsv'
}

topo_init
site_add milan 2
site turin 1 milan
secret milan
config milan 2 turin 21820
cards_exchange turin milan

# The neighbours: a table that marks and looks at its mark, a firewall, rules and routes around
# ours in preference and number, WireGuard of somebody else, a VRF with a LAN of its own.
in_gw turin nft -f - <<'END'
table inet neighbour {
	chain pre {
		type filter hook prerouting priority mangle
		ip daddr 10.2.0.0/16 meta mark set meta mark | 0x1
	}
	chain post {
		type filter hook postrouting priority srcnat
		ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/16 meta mark & 0x1 == 0x1 counter
		ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/16 meta mark & 0x1 == 0x0 counter
	}
}
table inet filter {
	set friends {
		type ipv4_addr
		flags interval
		elements = { 10.0.0.0/8, 192.0.2.0/24 }
	}
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		ip saddr @friends accept
	}
}
table ip wgscalex {
	chain c {
	}
}
END
for family in -4 -6; do
	in_gw turin ip $family rule add pref 1199 fwmark 0x40000000/0x40000000 lookup 500
	in_gw turin ip $family rule add pref 1500 iif lan0 lookup 21800
done
in_gw turin ip route add 10.2.0.0/16 via 192.0.2.254 table 500
in_gw turin ip route add 198.51.100.0/24 via 192.0.2.254 table 21800
in_gw turin ip route add unreachable 10.2.99.0/24 metric 5000
in_gw turin ip route add 10.2.0.0/16 via 192.0.2.254 metric 7 proto static
in_gw turin ip link add wg0 type wireguard
in_gw turin wg set wg0 listen-port 51820
in_gw turin ip link set wg0 up
vrf=no
if modprobe vrf 2>/dev/null; then
	vrf=yes
	ns_add lan-red
	in_gw turin ip link add red type vrf table 77
	in_gw turin ip link set red up
	in_gw turin ip link add red0 type veth peer name eth0 netns lan-red
	in_gw turin ip link set red0 master red
	in_gw turin ip addr add 10.64.1.1/24 dev red0
	in_gw turin ip link set red0 up
	ip -n lan-red addr add 10.64.1.2/24 dev eth0
	ip -n lan-red link set eth0 up
	ip -n lan-red route add default via 10.64.1.1
	in_gw turin ip route add 10.64.1.0/24 dev red0
fi

others >"$t/others.before"
check "there is something to compare" test "$(wc -l <"$t/others.before")" -gt 60

# Names and ports that others hold.
in_gw turin ip link add wgs3 type dummy
daemon_start turin
check "a device wgs3 of somebody else is named, with the way out" eventually 20 \
	grep -q "a device named wgs3 exists.*ip link del wgs3" "$t/turin/log"
check "in the status, too" eventually 20 status_says turin "a device named wgs3 exists"
check "and changes nothing" test "$(ours)" = 1
check "it is somebody else's still" grep -q dummy <(in_gw turin ip -d link show wgs3)
check "neighbours" same
in_gw turin ip link del wgs3
config turin 1 milan 51818
check_not "a port of another WireGuard device is refused" ctl turin reload
check "with its holder" grep -q "UDP port 51820 of lane 2 is taken by the WireGuard device wg0" \
	<(ctl turin reload 2>&1)
config turin 1 milan 21820

check "the way free, a reload is enough" ctl turin reload
daemon_start milan
check "turin is up" wait_up turin 60
check "neighbours after the start" same
check "the other way (a static route) is not taken" lan_ping turin milan -c 3 -i 0.2
check "IPv6" lan_ping6 turin milan -c 3 -i 0.2
check "mark bits of others survive" test "$(marked)" = "3	0"
if [ $vrf = yes ]; then
	check "a host in a VRF reaches the peer" ip netns exec lan-red ping -n -c 1 -W 2 10.2.0.2
fi

config turin 1 milan 21820 2
check "fewer lanes" ctl turin reload
check "two lanes" test "$(ours)" = 2
check "neighbours after a reload" same
check "traffic" eventually 30 lan_ping turin milan

check "down" ctl turin down --yes
check "no lane" test "$(ours)" = 0
check "neighbours after down" same
check_not "no table of ours" grep -qE ' wgscale(_guard)?$' <(in_gw turin nft list tables)
check "up again" ctl turin reload
check "traffic again" eventually 30 lan_ping turin milan
check "neighbours at the end" same
