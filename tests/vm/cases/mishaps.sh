#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# What goes wrong around a good gateway: probes that are let through late, a key file that cannot be
# read, an address or an endpoint that comes to lie within a peer's network, decisions while a reload
# waits for its confirmation, other numbers, a device of somebody else. No packet of a peer's network leaves in clear for it.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

log_has() {
	[ "$(grep -c "$1" "$t/turin/log")" = "$2" ]
}

# answered COUNT: so many tunnels know how long an answer takes.
answered() {
	[ "$(peer_json turin milan '[.detail[] | select(.rtt_us)] | length')" = "$1" ]
}

# third_down: the tunnel to milan's lane 2.
third_down() {
	[ "$(peer_json turin milan '.detail[] | select(.theirs == 2) | .state')" = down ]
}

# pinged: every tunnel answers, as the daemon's own ping tells.
pinged() {
	ctl turin ping milan --json | jq -e '.tunnels | length == 4 and all(.received == .sent)'
}

status_has() {
	ctl turin status | grep -E "$1"
}

# reload_refused WORDS PATTERN [ARGUMENTS]
reload_refused() {
	local out status=0

	out=$(ctl turin reload "${@:3}" 2>&1) || status=$?
	check "$1: refused" test $status = 1
	check "$1: it says why" grep -E "$2" <<<"$out"
	check "$1: traffic goes on" lan_ping turin milan
}

# kept WORDS: milan cannot be reached, and nothing has left in clear.
kept() {
	check_not "$1: milan cannot be reached" lan_ping turin milan
	check "$1: IPv4 is unreachable" grep -q '^unreachable 10.2.0.0/16' \
		<(in_gw turin ip route show table 21820)
	leak_none turin
}

mtu_is() {
	in_gw turin ip link show wgs0 | grep -q "mtu $1 "
}

milan='milan: {preshared-key-file: psk}'
topo_init
site_add turin 1
site_add milan 2
wg genpsk >"$t/psk"
for name in turin milan; do
	secret $name
	install -m 600 "$t/psk" "$t/$name/etc/psk"
done
site_file turin 4 "$milan"
site_file milan 4 'turin: {preshared-key-file: psk}'
say "--- probes are let through late"
for name in turin milan; do
	in_gw $name nft -f - <<-'END'
		table inet late {
			chain input {
				type filter hook input priority 0
				iifname "wgs*" icmpv6 type echo-request drop
			}
		}
	END
done
cards_exchange turin milan
daemon_start turin
daemon_start milan
check "turin judges by handshakes" eventually 90 log_has 'judged by handshakes' 4
in_gw turin nft delete table inet late
in_gw milan nft delete table inet late
check "turin has answers" eventually 30 answered 4
check "turin is up" wait_up turin 60
check "milan is up" wait_up milan 60
udp_port_block milan 21822
check "a loss is noticed soon" eventually 20 third_down
udp_port_unblock milan 21822
check "turin is up again" wait_up turin 60
leak_watch_start turin
check "milan answers" lan_ping turin milan
check "and every tunnel answers to ping" pinged

say "--- the preshared key"
daemon_stop turin
chmod 644 "$t/turin/etc/psk"
daemon_start turin
check "started with a key that others may read: settled" wait_settled turin
check "it says so" status_has 'psk.*chmod 600'
kept "psk"
leak_watch_start turin
chmod 600 "$t/turin/etc/psk"
check "with the right mode" ctl turin reload
check "milan answers" eventually 30 lan_ping turin milan

say "--- overlaps"
cp -a "$t/turin/etc" "$t/turin/etc.good"
cat >"$t/turin/etc/peers.d/lyon.yaml" <<END
card: 1
site: lyon
endpoints: [10.2.9.9]
lanes: [{port: 51820, key: $(wg genkey | wg pubkey)}]
networks: [10.9.0.0/16]
END
site_file turin 4 "$milan" lyon
reload_refused "an endpoint within milan's network" "left out.*clear"
rm "$t/turin/etc/peers.d/lyon.yaml"
cp "$t/turin/etc.good/site.yaml" "$t/turin/etc/"
in_gw turin ip link add office type dummy
in_gw turin ip addr add 10.2.7.1/24 dev office
in_gw turin ip link set office up
reload_refused "an address within milan's network" "left out.*clear"
daemon_stop turin
daemon_start turin
check "started with that address: settled" wait_settled turin
kept "overlap"
check "the other network goes on" eventually 10 lan_ping6 turin milan
leak_watch_start turin
echo "peers: [" >>"$t/turin/etc/site.yaml"
daemon_stop turin
daemon_start turin
check "started with a broken file, too: settled" wait_settled turin
check "on what was accepted last" status_has 'last accepted'
kept "overlap, fallen back"
cp "$t/turin/etc.good/site.yaml" "$t/turin/etc/"
check "the file as it was" ctl turin reload
check_not "milan cannot be reached still" lan_ping turin milan
check "what is connected is reached" in_lan turin ping -n -c 1 -W 1 10.2.7.1
in_gw turin ip link delete office
leak_watch_start turin
check "the address is gone" ctl turin reload
check "milan answers" eventually 30 lan_ping turin milan

say "--- decisions while a confirmation is waited for"
check "standby" ctl turin standby milan
site_file turin 4 "${milan%\}}, mtu: 1300}"
check "a reload to be confirmed" ctl turin reload --confirm 10
check "activate" ctl turin activate milan
check "it goes back" eventually 30 not mtu_is 1300
check "settled" wait_settled turin
check "activate stands" traffic_is turin on
check "milan answers" eventually 10 lan_ping turin milan
cp "$t/turin/etc.good/site.yaml" "$t/turin/etc/"
check "the file as it was" ctl turin reload
leak_none turin

say "--- other numbers"
check "down" ctl turin down --yes
echo "table-base: 31000" >>"$t/turin/etc/site.yaml"
check "not with a way back" grep -q 'table-base.*without --confirm' \
	<(ctl turin reload --confirm 5 2>&1)
check "reload" ctl turin reload
daemon_kill turin
daemon_start turin
check "killed and started: settled" wait_settled turin
check "the new table" grep -q '^unreachable 10.2.0.0/16' \
	<(in_gw turin ip route show table 31000)
check "it runs on what the file says" not status_has 'last accepted'
check "milan answers" eventually 30 lan_ping turin milan

say "--- a device of somebody else"
check "down" ctl turin down --yes
daemon_stop turin
rm -r "$t/turin/lib/accepted"
in_gw turin ip link add wgs0 type dummy
daemon_start turin
check "it says what is in the way" eventually 30 status_has wgs0
check_not "ping is refused" pinged
check "the daemon lives" status_has turin
in_gw turin ip link delete wgs0
check "out of the way: settled" eventually 60 wait_settled turin
check "milan answers" eventually 30 lan_ping turin milan

say "--- down, after the numbers were edited"
daemon_stop turin
echo "rule-base: 2000" >>"$t/turin/etc/site.yaml"
check "down without the daemon" ctl turin down --yes
check_not "no rule is left" grep -E '^1[2-4][0-9][0-9]:' <(in_gw turin ip rule)
daemon_start turin
check "with other numbers: settled" wait_settled turin
check "there are the new rules" grep -q '^2001:' <(in_gw turin ip rule)
check "milan answers" eventually 30 lan_ping turin milan
