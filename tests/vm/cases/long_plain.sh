#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: yes
# timeout: 600
#
# A plain peer without a probe address dies: only the age of its last handshake can tell, and that
# takes WireGuard's three minutes. Then it lives again.
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# paris_is STATE
paris_is() {
	[ "$(ctl turin --json status paris | jq -r '.peers[0].state')" = "$1" ]
}

topo_init
site_add turin 1
site_add paris 2
umask 077
wg genkey >"$t/paris/key"
site_config turin <<END
site: turin
secret-file: site.secret
lanes: 2
networks: [10.1.0.0/16]
peers:
  paris:
END
secret turin
cat >"$t/turin/etc/peers.d/paris.yaml" <<END
card: 1
site: paris
endpoints: [192.0.2.2]
lanes: [{port: 51820, key: $(wg pubkey <"$t/paris/key")}]
networks: [10.2.0.0/16]
END
daemon_start turin
check "turin settles" wait_settled turin
in_gw paris ip link add wg0 type wireguard
in_gw paris wg set wg0 listen-port 51820 private-key "$t/paris/key" \
	peer "$(in_gw turin wg show wgs0 public-key)" allowed-ips 10.1.0.0/16
in_gw paris ip link set wg0 up
in_gw paris ip route add 10.1.0.0/16 dev wg0
check "paris is up" eventually 60 paris_is up
check "traffic" lan_ping turin paris
dead=$SECONDS
in_gw paris ip link set wg0 down
check "paris is dead, and it is noticed" eventually 260 paris_is down
say "after $((SECONDS - dead)) s"
check "not before a handshake could be late" test $((SECONDS - dead)) -ge 60
in_gw paris ip link set wg0 up
in_gw paris ip route add 10.1.0.0/16 dev wg0
check "it lives again" eventually 120 paris_is up
check "with its traffic" eventually 10 lan_ping turin paris
