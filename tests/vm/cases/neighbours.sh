#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# init: systemd
# preboot: yes
# timeout: 600
#
# The units below a real systemd: the guard before the network, the daemon in its sandbox ready,
# reloaded, refused, degraded; and neighbours that restart leave what is ours alone, or it comes
# back. Turin is the machine itself, milan a namespace.
# check: no

# shellcheck source=../booted.sh
. "$REPO/tests/vm/booted.sh"

turin_config() {
	cat >/etc/wgscale/site.yaml <<-END
		site: turin
		secret-file: site.secret
		lanes: 4
		endpoint: 192.0.2.1
		networks: [10.1.0.0/16, "fd00:1::/32"]
		peers:
		  milan: $*
	END
}

# A card needs no daemon: milan's files are made before the boot, too.
prepare_sites() {
	local milan=/var/lib/test-milan

	mkdir -p /etc/wgscale/peers.d $milan/peers.d $milan/lib
	turin_config
	cat >$milan/site.yaml <<-END
		site: milan
		secret-file: site.secret
		lanes: 4
		endpoint: 192.0.2.2
		networks: [10.2.0.0/16, "fd00:2::/32"]
		peers:
		  turin:
	END
	wgscalectl keygen /etc/wgscale/site.secret
	wgscalectl keygen $milan/site.secret
	wgscalectl --config $milan/site.yaml --state-dir $milan/lib card \
		>/etc/wgscale/peers.d/milan.yaml
	mkdir -p /var/lib/wgscale
	wgscalectl card >$milan/peers.d/turin.yaml
}

if [ "${1-}" = preboot ]; then
	set -e
	units_install
	prepare_sites
	systemctl enable wgscale-guard.service
	exit
fi

# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

show() {
	systemctl show "$1" -P "$2"
}

main_status() {
	[ "$(show wgscaled ActiveState)/$(show wgscaled ExecMainStatus)" = "$1" ]
}

# ours: rules and routes, without those of neighbours.
ours() {
	ip rule | grep -E '^(1[2-4][0-9][0-9]):'
	ip -6 rule | grep -E '^(1[2-4][0-9][0-9]):'
	for i in 21820 21821 21822 21823 21824; do
		ip route show table $i
		ip -6 route show table $i
	done
	ip -o -4 addr show | grep -o 'wgs.*'
	nft -s list ruleset | grep -E 'table|chain'
}

unchanged() {
	diff /run/t/ours <(ours)
}

both_ways() {
	in_lan milan ping -n -c 1 -W 1 10.1.0.2 && in_lan turin ping -n -c 1 -W 1 10.2.0.2
}

journal_has() {
	journalctl -u wgscaled -o json | jq -e -s "$1"
}

say "--- the boot"
check "the boot has ended" timeout 60 systemctl is-system-running --wait
check "the guard ran" systemctl is-active wgscale-guard.service
check "the guard's table is there" nft list table inet wgscale_guard
check "with the network of the peer" grep -q 10.2.0.0/16 <(nft list ruleset)
check "and the unreachable route" grep -q '^unreachable 10.2.0.0/16' <(ip route show table 21820)
check "no daemon yet" not systemctl -q is-active wgscaled
check "the guard was ready before network-pre.target" test \
	"$(show wgscale-guard ActiveEnterTimestampMonotonic)" -le \
	"$(show network-pre.target ActiveEnterTimestampMonotonic)"

say "--- the daemon"
topo_init
turin_links
turin_up
site_add milan 2
cp -a /var/lib/test-milan/{site.yaml,site.secret,peers.d} "$t/milan/etc/"
daemon_start milan
check "start" systemctl start wgscaled
check "active" systemctl is-active wgscaled
check "up" wgscalectl wait --state up --timeout 60
check "milan is up" wait_up milan
check "packets" both_ways
check "it runs in a sandbox" test "$(grep CapEff "/proc/$(show wgscaled MainPID)/status" | cut -f 2)" != 000001ffffffffff
check "the status line" grep -qE 'turin: 4 lanes' <(show wgscaled StatusText)
check "the socket belongs to the group" test "$(stat -c %G /run/wgscale/control.sock)" = wgscale
check "journal: the peer and the lane are fields" eventually 10 journal_has \
	'map(select(.WGSCALE_PEER == "milan" and .WGSCALE_LANE != null)) | length > 0'
check "loose rp_filter was set within the sandbox" test "$(cat /proc/sys/net/ipv4/conf/wgs0/rp_filter)" = 2
check "no failure in the journal" not journal_has 'map(select(.PRIORITY == "3" or (.MESSAGE | test("^failed")))) | length > 0'

turin_config '{mtu: 1300}'
check "systemctl reload" systemctl reload wgscaled
check "reloaded" grep -q 'mtu 1300' <(ip link show wgs0)
echo "nonsense: 1" >>/etc/wgscale/site.yaml
check "systemctl reload with a broken file fails" not systemctl reload wgscaled
check "and it runs on" systemctl is-active wgscaled
check "packets" both_ways

say "--- neighbours"
turin_config '{mtu: 1300}'
ours >/run/t/ours
cat >/etc/systemd/network/50-lan.network <<END
[Match]
Name=lan0
[Network]
Address=10.1.0.1/24
Address=fd00:1::1/64
LinkLocalAddressing=no
ConfigureWithoutCarrier=yes
END
check "networkd starts" systemctl start systemd-networkd
check "all is as before" eventually 30 unchanged
check "networkd restarts" systemctl restart systemd-networkd
check "all is as before" eventually 30 unchanged
check "settled" wgscalectl wait --state settled --timeout 30
check "packets" eventually 20 both_ways
printf '%s\n' '#!/usr/sbin/nft -f' 'flush ruleset' 'table inet filter {' '}' >/etc/nftables.conf
check "nftables.service starts" systemctl start nftables
check "nftables.service reloads" systemctl reload nftables
check "our tables come back" eventually 30 nft list table inet wgscale_guard
check "settled" wgscalectl wait --state settled --timeout 30
check "theirs stays" nft list table inet filter
check "packets" eventually 20 both_ways
systemctl stop nftables systemd-networkd systemd-networkd.socket

say "--- restarts"
main=$(show wgscaled MainPID)
kill -KILL "$main"
check "killed: it is started again" eventually 30 main_status active/0
check "another process" test "$(show wgscaled MainPID)" != "$main"
check "settled" wgscalectl wait --state settled --timeout 60
echo "nonsense: 1" >>/etc/wgscale/site.yaml
check "a broken file: it starts on what was accepted last" systemctl restart wgscaled
check "and says so" wgscalectl wait --state degraded --timeout 30
check "in the journal as an error" journal_has 'map(select(.PRIORITY == "3")) | length > 0'
check "packets" eventually 30 both_ways
check "the watchdog is on" test "$(show wgscaled WatchdogUSec)" != 0
check "and was quiet" not grep -qi 'watchdog timeout' <(journalctl -u wgscaled)
check "what was accepted could always be stored" not journal_has \
	'map(select(.MESSAGE | test("^cannot"))) | length > 0'
systemctl stop wgscaled
mv /var/lib/wgscale /var/lib/wgscale.away
check "nothing accepted: it does not start" not systemctl start wgscaled
check "exit status 78" test "$(show wgscaled ExecMainStatus)" = 78
restarts=$(show wgscaled NRestarts)
sleep 4
check "and is not tried again" test "$(show wgscaled ActiveState)/$(show wgscaled NRestarts)" = "failed/$restarts"
check "the rules of before still stand" nft list table inet wgscale_guard
journalctl -u wgscaled -u wgscale-guard -o short-monotonic --no-pager | tail -n 30
