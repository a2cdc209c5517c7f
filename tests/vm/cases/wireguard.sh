#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The test machine itself: two sites joined by hand with the stock WireGuard, and the parts of
# nf_tables the daemon builds on. When this fails, no other case means anything.
# timeout: 240
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# tunnel NAME IDX OTHER_IDX: one WireGuard device towards the other site.
tunnel() {
	in_gw "$1" ip link add wg0 type wireguard
	in_gw "$1" wg set wg0 listen-port 51820 private-key "$t/$1/key" \
		peer "$(wg pubkey <"$t/$4/key")" endpoint "192.0.2.$3:51820" \
		allowed-ips "10.$3.0.0/16,fd00:$3::/32"
	in_gw "$1" ip link set wg0 up mtu 1420
	in_gw "$1" ip route add "10.$3.0.0/16" dev wg0
	in_gw "$1" ip route add "fd00:$3::/32" dev wg0
}

# inner_bytes NAME: what its tunnel has received.
inner_bytes() {
	in_gw "$1" wg show wg0 transfer | cut -f 2
}

check "the case runs on the kernel it was asked for" grep -qF "$KERNEL." /proc/sys/kernel/osrelease
check "this kernel's modules are at /lib/modules" modprobe wireguard
check "a module can be added" touch "/lib/modules/$KVER/added"
check "root is writable" touch /etc/written

topo_init
site_add left 1
site_add right 2
check "IPv4 underlay" in_gw left ping -n -c 1 -W 2 192.0.2.2
check "IPv6 underlay" in_gw left ping -n -c 1 -W 2 2001:db8::2
check_not "the sites are apart without a tunnel" lan_ping left right

leak_watch_start left
leak_watch_start right
umask 077
wg genkey >"$t/left/key"
wg genkey >"$t/right/key"
tunnel left 1 2 right
tunnel right 2 1 left
check "IPv4 through the tunnel" eventually 10 lan_ping left right
check "IPv6 through the tunnel" eventually 10 lan_ping6 right left

lan_serve right
in_lan left iperf3 -c 10.2.0.2 -t 2 -f m >"$VM_OUT/iperf3"
say "iperf3: $(awk '/receiver/ { print $7, $8 }' "$VM_OUT/iperf3")"
check "the traffic was in the tunnel" test "$(inner_bytes right)" -gt 100000
leak_none left
leak_none right

udp_port_block right 51820
check_not "a blocked port stops the tunnel" lan_ping left right
udp_port_unblock right 51820
check "an unblocked port lets it go on" eventually 10 lan_ping left right

in_gw left ip route del 10.2.0.0/16 dev wg0
leak_watch_start left
lan_ping left right || :
leak_watch_stop left
check "the leak watch sees a leak" grep -q "10.1.0.2 > 10.2.0.2" "$t/left/leak/eth0"

in_gw left nft -f - <<'END'
table inet t {
	map buckets {
		typeof numgen inc mod 1024 : verdict
		counter
		elements = { 0 : goto lane0, 1 : goto lane1 }
	}
	set sampled {
		typeof ip saddr . ip daddr . th sport . th dport
		size 4096
		flags dynamic,timeout
		timeout 10s
		counter
	}
	map nets {
		typeof ip daddr : verdict
		flags interval
		elements = { 10.2.0.0/16 : goto peer }
	}
	chain lane0 {
		meta mark set meta mark & 0xe01fffff | 0x00200000
	}
	chain lane1 {
		meta mark set meta mark & 0xe01fffff | 0x00400000
	}
	chain peer {
		ip frag-off & 0x3fff != 0 jhash ip saddr . ip daddr mod 1024 seed 0x1234 vmap @buckets
		numgen inc mod 64 0 add @sampled { ip saddr . ip daddr . th sport . th dport }
		jhash ip saddr . ip daddr . th sport . th dport mod 1024 seed 0x1234 vmap @buckets
	}
	chain pre {
		type filter hook prerouting priority dstnat + 10
		ip daddr vmap @nets
	}
	chain out {
		type route hook output priority mangle
		ct state established
		ip daddr vmap @nets
	}
}
END
check "jhash, numgen and verdict maps load and list" in_gw left nft list ruleset
check "nft lists in JSON" in_gw left nft -j list ruleset
check "the rule with the hash does not break packets" in_gw left ping -n -c 1 -W 2 192.0.2.2
