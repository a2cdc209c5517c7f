#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The NIC of the underlay hashes UDP ports while tunnels use it, so that they spread over its
# queues; what it hashed before comes back on `down`, also when the daemon was killed.
# net: nic
# timeout: 240
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

fields() {
	in_gw turin ethtool -n eth1 rx-flow-hash udp4
}

hashes_ports() {
	fields | grep -q "src port"
}

topo_init
site_add turin 1
ip link set nic0 netns gw-turin name eth1
ip -n gw-turin addr add 198.18.0.1/24 dev eth1
ip -n gw-turin link set eth1 up
ip -n gw-turin link add link eth1 name eth1.7 type vlan id 7
ip -n gw-turin addr add 198.18.7.1/24 dev eth1.7
ip -n gw-turin link set eth1.7 up
in_gw turin ethtool -N eth1 rx-flow-hash udp4 sd
check_not "at first the ports are not hashed" hashes_ports

wg genkey | wg pubkey >"$t/key"
cat >$t/turin/etc/peers.d/paris.yaml <<END
card: 1
site: paris
endpoints: [198.18.7.2]
lanes: [{port: 51820, key: "$(cat "$t/key")"}]
networks: [10.2.0.0/16]
END
site_config turin <<END
site: turin
secret-file: site.secret
lanes: 2
networks: [10.1.0.0/16]
peers:
  paris:
END
secret turin
daemon_start turin
wait_settled turin
check "below the VLAN, UDP ports are hashed" hashes_ports
in_gw turin ethtool -N eth1 rx-flow-hash udp4 sd
daemon_kill turin
daemon_start turin
wait_settled turin
check "they are again after a crash" eventually 5 hashes_ports
daemon_kill turin
ctl turin down --yes
check_not "what was there before is back" hashes_ports
