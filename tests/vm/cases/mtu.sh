#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# The inner MTU belongs to the peer: milan behind a path of 1372, rome at the default, both on the
# same lanes of turin. Path MTU errors, MSS and big transfers, either way and by either protocol.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# site NAME IDX PEER: {...}...
site() {
	site_add "$1" "$2"
	secret "$1"
	site_config "$1" <<-END
		site: $1
		secret-file: site.secret
		lanes: 3
		endpoint: 192.0.2.$2
		networks: [10.$2.0.0/16, "fd00:$2::/32"]
		peers:
		$(printf '  %s\n' "${@:3}")
	END
}

# passes TO SIZE: an IPv4 packet of that size from turin's host, not to be fragmented; passes6.
passes() {
	lan_ping turin "$1" -M "do" -s $(($2 - 28))
}

passes6() {
	lan_ping6 turin "$1" -M "do" -s $(($2 - 48))
}

# told TO SIZE MTU: the gateway answers a packet of that size with an error that names the MTU.
# Learnt path MTUs are forgotten first, or the host itself would refuse it.
told() {
	in_lan turin ip route flush cache
	grep -q "^From 10.1.0.1 .*mtu = $3)" <(passes "$1" "$2")
}

told6() {
	in_lan turin ip -6 route flush cache
	grep -q "^From fd00:1::1 .*mtu=$3" <(passes6 "$1" "$2")
}

# mss_of FROM TO: what the other host gets to see in the SYNs of IPv4 and IPv6.
mss_of() {
	local cap=$t/$2/syn idx

	idx=$(cat "$t/$2/idx")
	ip netns exec "lan-$2" tcpdump -Z root -nlv --immediate-mode -i eth0 -c 2 \
		'tcp[tcpflags] & (tcp-syn | tcp-ack) == tcp-syn or
		 (ip6 and ip6[6] == 6 and ip6[53] & 0x12 == 2)' >"$cap" 2>"$cap.err" &
	eventually 10 grep -q "listening on" "$cap.err" >&2
	in_lan "$1" timeout 20 bash -c "</dev/tcp/10.$idx.0.2/5201"
	in_lan "$1" timeout 20 bash -c "</dev/tcp/fd00:$idx::2/5201"
	wait $!
	grep -o 'mss [0-9]*' "$cap" | cut -d ' ' -f 2 | paste -sd ' '
}

# transfer FROM TO [-R]: 2 MB whose TCP works out the path by itself.
transfer() {
	in_lan "$1" timeout 60 iperf3 -c "$2" -n 2M "${@:3}"
}

topo_init
site turin 1 'milan: {mtu: 1372}' rome:
site milan 2 'turin: {mtu: 1372}'
site rome 3 turin:
cards_exchange turin milan rome
for name in turin milan rome; do
	daemon_start $name
	lan_serve $name
done
for name in turin milan rome; do
	check "$name is up" wait_up $name 60
done
check "the MTUs in use" test "$(ctl turin --json status | jq -c '[.peers[].mtu]')" = "[1372,1440]"
check "the devices have the larger one" test \
	"$(in_gw turin ip -j link show type wireguard | jq -c '[.[].mtu] | unique')" = "[1440]"

for six in "" 6; do
	check "IPv${six:-4}: 1372 bytes to milan" passes$six milan 1372
	check "IPv${six:-4}: 1373 bytes are refused, naming 1372" told$six milan 1373 1372
	check "IPv${six:-4}: 1440 bytes to rome" passes$six rome 1440
	check "IPv${six:-4}: 1441 bytes are refused, naming 1440" told$six rome 1441 1440
done
in_lan turin ip route flush cache
in_lan turin ip -6 route flush cache

check "MSS to milan" test "$(mss_of turin milan)" = "1332 1312"
check "MSS to rome" test "$(mss_of turin rome)" = "1400 1380"
check "MSS from milan" test "$(mss_of milan turin)" = "1332 1312"

for peer in milan rome; do
	idx=$(cat "$t/$peer/idx")
	for to in "10.$idx.0.2" "fd00:$idx::2"; do
		check "a transfer to $to" transfer turin "$to"
		check "and back" transfer turin "$to" -R
	done
	# One packet each teaches the hosts the size of the path there, and back.
	check "a fragmented ping to $peer" eventually 30 lan_ping turin $peer -s 5000 -c 4 -i 0.3
	check "by IPv6" eventually 30 lan_ping6 turin $peer -s 5000 -c 4 -i 0.3
done

# Only the other end knows: milan's packets are cut to turin's size by the SYN's MSS.
site_config milan <<END
site: milan
secret-file: site.secret
lanes: 3
endpoint: 192.0.2.2
networks: [10.2.0.0/16, "fd00:2::/32"]
peers: {turin: {}}
END
check "milan forgets its MTU" ctl milan reload
check "it has the default" test "$(ctl milan --json status | jq .peers[0].mtu)" = 1440
check "turin's MTU holds for SYNs from milan" test "$(mss_of milan turin)" = "1332 1312"
check "a transfer back still works" transfer turin 10.2.0.2 -R
for name in turin milan rome; do
	check "$name has nothing left to change" eventually 20 plan_is_empty $name
done
