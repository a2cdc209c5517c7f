#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# An underlay of IPv6 alone, and a name as the endpoint. Name service is dead when milan starts,
# and comes; then turin comes back with another address, which only its name tells.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# name_is ADDRESS: what vpn.turin.test resolves to from now on.
name_is() {
	echo "$1 vpn.turin.test" >"$t/hosts"
	[ -z "${dns-}" ] || kill -HUP "$dns"
}

# status_says NAME WORDS
status_says() {
	ctl "$1" status turin | grep -qF "$2"
}

# at ADDRESS: milan has turin's tunnels there.
at() {
	! in_gw milan wg show all endpoints | cut -f 3 | grep -vF "[$1]:"
}

topo_init
site_add turin 1
site_add milan 2
for name in turin milan; do
	ip -n gw-$name -4 addr flush dev eth0
	mkdir -p /etc/netns/gw-$name
	printf '%s\n' 'nameserver 2001:db8::fe' 'options timeout:1 attempts:1' \
		>/etc/netns/gw-$name/resolv.conf
done
# The files alone would do in tests, but they are the machine's.
echo 'hosts: dns' >/etc/nsswitch.conf
ip -n wan -4 addr flush dev br0

site_config turin <<END
site: turin
secret-file: site.secret
lanes: 2
endpoint: vpn.turin.test
networks: [10.1.0.0/16, "fd00:1::/32"]
peers:
  milan:
END
site_config milan <<END
site: milan
secret-file: site.secret
lanes: 2
networks: [10.2.0.0/16, "fd00:2::/32"]
peers:
  turin:
END
secret turin
secret milan
cards_exchange turin milan
daemon_start turin
daemon_start milan
check "milan settles without name service" wait_settled milan
check "it says what it lacks" eventually 20 status_says milan "cannot resolve vpn.turin.test"
ctl milan status turin

name_is 2001:db8::1
ip netns exec wan dnsmasq -k --no-resolv --no-hosts --addn-hosts="$t/hosts" --bind-interfaces \
	--listen-address=2001:db8::fe --user=root --pid-file= --local-ttl=1 >"$t/dnsmasq" 2>&1 &
dns=$!
check "with name service it comes up by itself" wait_up milan 60
check "turin, too" wait_up turin 30
check "over IPv6" at 2001:db8::1
check "the problem is gone" not status_says milan "cannot resolve"
check "the MTU is that of an IPv6 path" \
	test "$(ctl milan --json status | jq '.peers[0].mtu')" = 1420
check "IPv4 inside" lan_ping milan turin
check "IPv6 inside" lan_ping6 milan turin
check "a large ping" lan_ping turin milan -s 4000

# turin moves and forgets: it has no endpoint of milan, so that only milan can call.
daemon_stop turin
for device in $(in_gw turin wg show interfaces); do
	in_gw turin ip link del "$device"
done
in_gw turin ip addr del 2001:db8::1/64 dev eth0
in_gw turin ip addr add 2001:db8::77/64 dev eth0 nodad
in_gw turin ip route replace default via inet6 2001:db8::fe
in_gw turin ip -6 route replace default via 2001:db8::fe
name_is 2001:db8::77
daemon_start turin
check "milan finds turin at its new address" eventually 100 at 2001:db8::77
check "and is up" wait_up milan 60
check "traffic" eventually 10 lan_ping milan turin
check "and back" eventually 10 lan_ping turin milan
check "nothing is left to change" eventually 20 plan_is_empty milan
