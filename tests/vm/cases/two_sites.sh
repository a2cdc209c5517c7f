#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# The main job: two gateways, each with a site file and the other's card, carry all kinds of
# traffic over eight tunnels, spread by flow, both directions of a flow on the same tunnel.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

topo_init
site_add turin 1
site_add milan 2

site_config turin <<END
site: turin
secret-file: site.secret
lanes: 8
endpoint: 192.0.2.1
networks: [10.1.0.0/16, "fd00:1::/32"]
peers:
  milan:
END
site_config milan <<END
site: milan
secret-file: site.secret
lanes: 8
endpoint: 192.0.2.2
networks: [10.2.0.0/16, "fd00:2::/32"]
peers:
  turin:
END
secret turin
secret milan
cards_exchange turin milan
check "the site file and card are fine" ctl turin check
leak_watch_start turin
leak_watch_start milan
daemon_start turin
daemon_start milan
check "turin settles" wait_settled turin
check "milan settles" wait_settled milan
check "turin is up" wait_up turin
check "milan is up" wait_up milan
ctl turin status
ctl turin status milan

check "eight devices" test "$(in_gw turin wg show interfaces | wc -w)" = 8
check "no plan is left" plan_is_empty turin
check "IPv4" lan_ping turin milan -c 3 -i 0.2
check "IPv6" lan_ping6 turin milan -c 3 -i 0.2
check "from the other side" lan_ping milan turin -c 3 -i 0.2
check "a large fragmented ping" lan_ping turin milan -s 4000
# The first one teaches the sender the size of the path.
check "a large fragmented IPv6 ping" lan_ping6 turin milan -s 4000 -c 3 -i 0.2
check "a ping by the gateway itself" in_gw turin ping -n -c 1 -W 1 10.2.0.2
check "to the gateway itself" in_gw turin ping -n -c 1 -W 1 10.2.0.1
leak_none turin
leak_none milan
