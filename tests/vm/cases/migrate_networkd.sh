#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Turin's old tunnel is systemd-networkd's, with its links: wgscale takes over and gives back, and
# networkd may restart meanwhile. Milan's is wg-quick's.
# init: systemd
# preboot: yes
# timeout: 400
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../booted.sh
. "$REPO/tests/vm/booted.sh"
# shellcheck source=../migrate.sh
. "$REPO/tests/vm/migrate.sh"

# networkd_wg0: of turin's wg-quick file.
networkd_wg0() {
	local dir=/etc/systemd/network

	cat >$dir/60-wg0.netdev <<-END
		[NetDev]
		Name=wg0
		Kind=wireguard
		[WireGuard]
		ListenPort=51820
		PrivateKey=$(cat "$t/turin/wg0.key")
		[WireGuardPeer]
		$(sed 1d "$t/turin/wg0.peer")
	END
	cat >$dir/60-wg0.network <<-'END'
		[Match]
		Name=wg0
		[Route]
		Destination=10.2.0.0/16
		[Route]
		Destination=fd00:2::/32
	END
	chgrp systemd-network $dir/60-wg0.netdev
	chmod 640 $dir/60-wg0.netdev
}

networkd_restarts() {
	check "networkd restarts" systemctl restart systemd-networkd
	check "active: the new tunnels carry" eventually 20 carried_by wgs
	check "the old tunnel is still there" in_gw turin wg show wg0 peers
	check "turin is settled" wait_settled turin
}

if [ "${1-}" = preboot ]; then
	units_install
	networkd_files
	topo_init
	turin_links
	site_add milan 2
	wg0_files turin milan
	networkd_wg0
	systemctl enable systemd-networkd
	exit
fi

check "networkd has made wg0" eventually 60 in_gw turin wg show wg0 peers
wg0_quick milan
there_and_back networkd_restarts
