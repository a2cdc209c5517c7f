#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# milan is behind a router that masquerades; turin never learns an endpoint but by being called.
# The router reboots with other ports, then with another address. Inside, turin's hosts are reached
# from, and masqueraded by, their gateway: replies take their flow's own tunnel.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# nat_ports FIRST-LAST: the router forgets all it knew, and maps to these ports from now on.
nat_ports() {
	ip netns exec nat nft -f - <<-END
		table ip nat
		delete table ip nat
		table ip nat {
			chain post {
				type nat hook postrouting priority srcnat
				oifname "wan0" meta l4proto { tcp, udp } masquerade to :$1
			}
		}
	END
	ip netns exec nat conntrack -F 2>/dev/null
}

# seen_at PATTERN: turin has all of milan's tunnels there.
seen_at() {
	! in_gw turin wg show all endpoints | cut -f 3 | grep -vE "^$1\$"
}

# flow_out NAME SRC DST SPORT DPORT KEY: of the way a UDP flow takes: its device or tunnel.
flow_out() {
	ctl "$1" --json where "$2" "$3" udp "$4" "$5" | jq -r ".out.$6"
}

# lane_packets NAME: sent packets of each lane device, one line each.
lane_packets() {
	in_gw "$1" ip -s -j link show type wireguard | jq -r '.[] | [.ifname, .stats64.tx.packets] | @tsv'
}

# echo_flow SRC_PORT DST [SOURCE]: a UDP flow of 100 packets from milan's host, each answered;
# prints the device by which most of turin's answers left.
echo_flow() {
	lane_packets turin >"$t/lanes.before"
	# shellcheck disable=SC2016 # Perl's variables
	in_lan milan perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "10.2.0.2:$ARGV[0]",
			PeerAddr => "$ARGV[1]:7") or die;
		my $got = 0;
		for (1 .. 100) {
			my $in = "";
			$s->send("x");
			vec($in, fileno($s), 1) = 1;
			$got++ if select($in, undef, undef, 2) && defined $s->recv($in, 100);
		}
		exit($got < 95)' "$1" "$2"
	lane_packets turin | paste "$t/lanes.before" - | awk '{ print $4 - $2, $1 }' | sort -n |
		tail -n 1 >"$t/lanes.most"
	cat "$t/lanes.most" >&2
	awk '$1 >= 95 { print $2 }' "$t/lanes.most"
}

# answers_there SPORT: what milan sends, and its answers, take the same tunnel.
answers_there() {
	local device

	device=$(flow_out turin 10.1.0.2 10.2.0.2 7 "$1" device)
	[ "$(flow_out turin 10.1.0.2 10.2.0.2 7 "$1" tunnel)" = \
		"$(flow_out milan 10.2.0.2 10.1.0.2 "$1" 7 tunnel)" ] &&
		[ "$(echo_flow "$1" 10.1.0.2)" = "$device" ]
}

# masqueraded: flows that the rule in turin's gateway has taken.
masqueraded() {
	in_gw turin nft -j list table ip hide |
		jq '[.nftables[].rule.expr[]?.counter.packets? // empty] | add'
}

topo_init
site_add turin 1
site_add milan 2

# The router takes milan's place in the wide area; milan gets a private address.
ns_add nat
ip -n wan link del w-milan
ip -n wan link add w-milan type veth peer name wan0 netns nat
ip -n wan link set w-milan master br0 up
ip -n nat link add lan0 type veth peer name eth0 netns gw-milan
ip -n nat -batch - <<'END'
addr add 192.0.2.200/24 dev wan0
link set wan0 up
addr add 192.168.77.1/24 dev lan0
link set lan0 up
END
ip -n gw-milan -batch - <<'END'
addr add 192.168.77.2/24 dev eth0
link set eth0 up
route add default via 192.168.77.1
END
ip netns exec nat sysctl -qw net.ipv4.ip_forward=1
nat_ports 40000-40999

site_config turin <<END
site: turin
secret-file: site.secret
lanes: 4
endpoint: 192.0.2.1
networks: [10.1.0.0/16, "fd00:1::/32"]
peers:
  milan:
END
site_config milan <<END
site: milan
secret-file: site.secret
lanes: 4
networks: [10.2.0.0/16, "fd00:2::/32"]
peers:
  turin:
END
secret turin
secret milan
cards_exchange turin milan
check_not "milan's card has no endpoint" grep -q endpoint "$t/turin/etc/peers.d/milan.yaml"
daemon_start turin
check "turin settles" wait_settled turin
check "turin waits for milan to call" \
	grep -q "waiting for the peer to call" <(ctl turin status milan)
leak_watch_start turin
daemon_start milan
check "turin is up" wait_up turin 60
check "milan is up" wait_up milan 60
ctl turin status milan
check "turin sees mapped ports" seen_at '192\.0\.2\.200:40[0-9]{3}'
check "IPv4 out of the NAT" lan_ping milan turin -c 2 -i 0.2
check "and into it" lan_ping turin milan -c 2 -i 0.2
check "IPv6 inside" lan_ping6 turin milan -c 2 -i 0.2

# Packets of milan's probes find the new mapping; turin answers to where they come from.
nat_ports 50000-50999
check "after a reboot of the router: other ports" eventually 40 seen_at '192\.0\.2\.200:50[0-9]{3}'
check "turin to milan" eventually 30 lan_ping turin milan
check "all tunnels carry" wait_up turin 60
ip -n nat addr del 192.0.2.200/24 dev wan0
ip -n nat addr add 192.0.2.201/24 dev wan0
check "after a new address of the router" eventually 40 seen_at '192\.0\.2\.201:50[0-9]{3}'
check "turin to milan again" eventually 30 lan_ping turin milan
check "all tunnels carry again" wait_up turin 60
check "milan agrees" wait_up milan 60
check "turin has nothing to change" eventually 20 plan_is_empty turin

# turin's LAN sees turin's gateway instead of milan's hosts.
# shellcheck disable=SC2016 # Perl's variables
ip netns exec lan-turin perl -MIO::Socket::INET -e '
	my $s = IO::Socket::INET->new(Proto => "udp", LocalAddr => "10.1.0.2:7") or die;
	$s->send($_) while defined $s->recv($_, 100);' &
in_gw turin nft -f - <<'END'
table ip hide {
	chain post {
		type nat hook postrouting priority srcnat
		oifname "lan0" ip saddr 10.2.0.0/16 counter snat to 10.1.0.1
	}
}
END
check "the echo answers" eventually 10 echo_flow 6999 10.1.0.2
for port in 7001 7002 7003; do
	check "answers to a masqueraded client leave by its flow's tunnel" answers_there $port
done
check "each was masqueraded" test "$(masqueraded)" -ge 4

# Its own hosts behind its one inner address, too.
in_gw turin nft add rule ip hide post oifname '"wgs*"' ip saddr 10.1.0.2 counter \
	snat to 10.1.0.1
check "a host behind the gateway's inner address" lan_ping turin milan -c 2 -i 0.2
leak_none turin
