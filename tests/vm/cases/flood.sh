#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# A tunnel loaded beyond what its way can take: congestion is no failover. Then a peer, and then a
# lane, is removed while another peer's traffic floods that lane from outside: nobody waits for
# rtnl, and the other peers' flows go on.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# config NAME IDX LANES PEER...
config() {
	site_config "$1" <<-END
		site: $1
		secret-file: site.secret
		lanes: $3
		endpoint: 192.0.2.$2
		networks: [10.$2.0.0/16, "fd00:$2::/32"]
		peers:
		$(printf '  %s:\n' "${@:4}")
	END
}

# flood FROM SPORT TO DPORT: one UDP flow, as fast as it leaves, until flood_stop. It is nice,
# because all gateways share these CPUs with what looks at them.
flood() {
	# shellcheck disable=SC2016 # Perl's variables
	ip netns exec "lan-$1" nice -n 19 perl -MIO::Socket::INET -e '
		my $s = IO::Socket::INET->new(Proto => "udp", LocalPort => $ARGV[0],
			PeerAddr => $ARGV[1], PeerPort => $ARGV[2]) or die;
		my $data = "x" x 1000;
		while (1) { $s->send($data) }' "$2" "10.$(cat "$t/$3/idx").0.2" "$4" &
	floods+=($!)
}

flood_stop() {
	kill "${floods[@]}"
	wait "${floods[@]}" 2>/dev/null || :
	floods=()
}

# flood_port LANE: a source port with which a flow from rome enters turin by that lane.
flood_port() {
	local port

	for ((port = 9000; port < 9100; port++)); do
		if [ "$(ctl turin --json where 10.3.0.2 10.1.0.2 udp $port 9 | jq .out.lane)" = "$1" ]; then
			echo $port
			return
		fi
	done
	return 1
}

# rtnl_watch: until rtnl_worst, which prints the longest in ms, times a change that needs rtnl, in
# a namespace of its own: there is one rtnl for the whole machine.
rtnl_watch() {
	# shellcheck disable=SC2016 # Perl's variables
	ip netns exec rtnl perl -MSocket -MTime::HiRes=clock_gettime,CLOCK_MONOTONIC,sleep -e '
		use constant SIOCSIFMTU => 0x8922;
		$| = 1;
		socket(my $s, AF_INET, SOCK_DGRAM, 0) or die;
		for (my $mtu = 60000;; $mtu ^= 1) {
			my $start = clock_gettime(CLOCK_MONOTONIC);
			my $request = pack("a16 l x20", "lo", $mtu);
			ioctl($s, SIOCSIFMTU, $request) or die "SIOCSIFMTU: $!";
			printf "%d\n", (clock_gettime(CLOCK_MONOTONIC) - $start) * 1000;
			sleep 0.01;
		}' >"$t/rtnl" &
	rtnl=$!
	eventually 20 test -s "$t/rtnl"
}

rtnl_worst() {
	kill "$rtnl"
	wait "$rtnl" 2>/dev/null || :
	sort -n "$t/rtnl" | tail -n 1
}

# rtnl_free WHAT WORST: no longer than it took before, for want of CPUs, and 2 s.
rtnl_free() {
	say "rtnl while $1: $2 ms at most, of $(wc -l <"$t/rtnl") changes"
	check "nobody waits for rtnl" test "$2" -lt $((base + 2000))
}

# lan_packets NAME rx|tx: of the site's host, so far.
lan_packets() {
	in_lan "$1" cat "/sys/class/net/eth0/statistics/$2_packets"
}

# narrow LANE: the way of the tunnel that turin's flows on this lane take to milan, and back, holds a
# hundred packets a second: less than a flood is on any machine.
narrow() {
	local theirs

	theirs=$(peer_json turin milan ".detail[] | select(.lane == $1) | .theirs")
	ip netns exec wan nft -f - <<-END
		table bridge narrow {
			chain forward {
				type filter hook forward priority 0
				oifname "w-milan" udp dport $((21820 + theirs)) limit rate over 100/second drop
				oifname "w-turin" udp dport $((21820 + $1)) limit rate over 100/second drop
			}
		}
	END
}

# none_down: no tunnel has stopped carrying.
none_down() {
	! grep -E 'tunnel [0-9]+ .*: down, was' "$t"/*/log
}

# received DEVICE: packets turin has received on it.
received() {
	in_gw turin ip -s -j link show "$1" | jq '.[0].stats64.rx.packets'
}

# entries: how many peer entries turin's lanes have.
entries() {
	in_gw turin wg show all peers | wc -l
}

# entries_are COUNT
entries_are() {
	[ "$(entries)" = "$1" ]
}

floods=() idx=0
topo_init
ns_add rtnl
for name in turin milan rome; do
	site_add $name $((++idx))
	secret $name
done
config turin 1 4 milan rome
config milan 2 4 turin
config rome 3 4 turin
cards_exchange turin milan rome
for name in turin milan rome; do
	daemon_start $name
done
for name in turin milan rome; do
	check "$name is up" wait_up $name 90
done

# Saturation of one tunnel, both directions; rome is a bystander.
narrow "$(ctl turin --json where 10.1.0.2 10.2.0.2 udp 9000 9001 | jq .out.lane)"
sent=$(lan_packets turin tx) arrived=$(lan_packets milan rx)
flood turin 9000 milan 9001
flood milan 9001 turin 9000
rtnl_watch
end=$((SECONDS + 20)) pings=0
while [ $SECONDS -lt $end ]; do
	eventually 20 lan_ping turin rome >/dev/null || fail "rome is not reached"
	pings=$((pings + 1))
	sleep 1
done
ctl turin status milan
sent=$(($(lan_packets turin tx) - sent)) arrived=$(($(lan_packets milan rx) - arrived))
say "pings of rome: $pings; turin's host sent $sent packets, $arrived arrived"
check "more was sent than the tunnel takes" test $((arrived * 4)) -lt $((sent * 3))
base=$(rtnl_worst)
flood_stop
ip netns exec wan nft delete table bridge narrow
say "rtnl while a tunnel is saturated: $base ms at most"
check "no tunnel went down for it" none_down
check "milan is reached" eventually 10 lan_ping turin milan
check "all carry" wait_up turin 60

# milan goes while rome floods one of its lanes from outside.
flood rome "$(flood_port 3)" turin 9
before=$(received wgs3)
config turin 1 4 rome
rtnl_watch
check "milan is removed" ctl turin reload --force
check "turin is settled" wait_settled turin 60
sleep 5
worst=$(rtnl_worst)
say "flooded lane: $(($(received wgs3) - before)) packets meanwhile"
check "the flood was on that lane" test "$(received wgs3)" -gt $((before + 1000))
rtnl_free "a peer is removed" "$worst"
# On the flooded lane the entry stays until the flood pauses, which a slow machine may do by itself.
check_not "what is left of it allows nothing" grep -F 10.2.0.0/16 \
	<(in_gw turin wg show all allowed-ips)
check_not "milan is gone" lan_ping milan turin
check "rome's other flows go on" lan_ping rome turin -c 3 -i 0.2 -W 3
flood_stop
check "on quiet lanes the entries are removed" eventually 60 entries_are 4

# The lane itself.
flood rome "$(flood_port 3)" turin 9
config turin 1 3 rome
rtnl_watch
check "a lane is removed" ctl turin reload
sleep 3
worst=$(rtnl_worst)
flood_stop
rtnl_free "a lane is removed" "$worst"
check "it is gone" test "$(in_gw turin wg show interfaces | wc -w)" = 3
check "rome's other tunnels carry" eventually 30 lan_ping rome turin
check "turin has nothing to change" eventually 20 plan_is_empty turin
