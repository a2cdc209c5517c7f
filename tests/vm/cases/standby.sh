#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Two sites are joined by a tunnel of wg-quick's. wgscale comes beside it in standby, takes the
# traffic over, one end after the other, gives it back, and goes without a trace.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"
# shellcheck source=../migrate.sh
. "$REPO/tests/vm/migrate.sh"

foreign_add() {
	in_gw "$1" ip rule add pref 500 fwmark 0x77 table 77
	in_gw "$1" ip route add 203.0.113.0/24 via 192.0.2.254 table 77
	in_gw "$1" nft -f - <<-'END'
		table inet neighbour {
			set s { type ipv4_addr; elements = { 203.0.113.1 } }
			chain forward { type filter hook forward priority 0; ip daddr @s counter drop; }
		}
	END
}

all_state() {
	kernel_state turin
	links_state turin
}

restart() {
	daemon_stop turin
	daemon_start turin
	check "turin settles again" wait_settled turin
	check "activation survives a restart" traffic_is turin on
	check "active: the new tunnels carry" carried_by wgs
}

topo_init
flows_build
site_add turin 1
site_add milan 2
wg0_files turin milan
wg0_quick turin
wg0_quick milan
foreign_add turin
all_state >"$t/turin/before"
flows_serve milan
flows_start turin milan 20 20000 20001 20002 20003
there_and_back restart
flows_stop
flows_report "there and back:"
check "no connection was lost" flows_alive

check "down" ctl turin down --yes
check "down: all is as before the first start" eventually 10 same "$t/turin/before" all_state
check "down: no tunnel is said to carry" not tunnels_up turin
daemon_stop turin
check "the daemon has stopped: as before" same "$t/turin/before" all_state
daemon_start turin
check "turin settles" wait_settled turin
check "turin is active" ctl turin activate milan
daemon_kill turin
check "down without the daemon" ctl turin down --yes
check "down without the daemon: as before the first start" same "$t/turin/before" all_state
check "the old tunnel carries" carried_by wg0
