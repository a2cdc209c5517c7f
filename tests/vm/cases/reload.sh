#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 500
#
# The configuration changes under flows in every tunnel: peers, prefixes, lanes, MTU. Tunnels that
# stay lose nothing; what is refused changes nothing.
# check: 6.12
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

# turin_config LANES PEER...: a peer is "NAME: SETTINGS"; of milan's three networks two are taken.
turin_config() {
	local lanes=$1 peer

	shift
	site_config turin <<-END
		site: turin
		secret-file: site.secret
		lanes: $lanes
		endpoint: 192.0.2.1
		networks: [10.1.0.0/16, "fd00:1::/32"]
		peers:
	END
	for peer in "$@"; do
		echo "  $peer" >>"$t/turin/etc/site.yaml"
	done
}

reload() {
	check "reload: $*" ctl turin reload "${@:2}"
}

# refused WORDS PATTERN [ARGUMENTS]: exit code 1, and it says why.
refused() {
	local words=$1 pattern=$2 out status=0

	shift 2
	out=$(ctl turin reload "$@" 2>&1) || status=$?
	check "$words: exit code 1" test $status = 1
	check "$words: it says why" grep -qE "$pattern" <<<"$out"
	check "$words: nothing has changed" same "$t/turin/want" kernel_state turin
	ctl turin status --json | jq -e .settled >/dev/null || fail "$words: not settled"
}

tunnels() {
	ctl turin status milan --json | jq -r '.peers[0].detail[] | "\(.lane) \(.theirs)"' | sort
}

# carries N: both ends have that many tunnels with each other, and all carry.
carries() {
	[ "$(ctl turin status --json | jq '.peers[] | select(.id == "milan") | .usable')" = "$1" ] &&
		[ "$(ctl milan status --json | jq '.peers[0].usable')" = "$1" ]
}

# confirm_is VALUE: seconds until what runs is undone, or null.
confirm_is() {
	[ "$(ctl turin status --json | jq .confirm_s)" = "$1" ]
}

in_dumps() {
	kernel_state turin | grep -F "$1"
}

mtu_is() {
	in_gw turin ip route show table 21821 | grep '^10\.2\.0\.0/16' | grep "mtu $1 "
}

leaving() {
	ctl turin status --json | jq .leaving
}

none_leaving() {
	[ "$(leaving)" = 0 ]
}

harmless() {
	in_gw turin wg show all dump | awk -F '\t' -v key="$1" \
		'NF == 9 && $2 == key && $5 != "(none)" { bad = 1 } END { exit bad }'
}

gone() {
	! in_gw turin wg show all peers | grep -F "$1" && [ "$(leaving)" = 0 ]
}

# exchange_lanes N: turin's new card reaches milan, and both reload, one after the other. Flows on
# pairs of lanes that stay lose nothing; the others go on elsewhere.
exchange_lanes() {
	local sport lane theirs stay=()

	tunnels >"$t/before"
	flows_ports turin milan >"$t/ports"
	mapfile -t ports < <(cut -d ' ' -f 1 "$t/ports")
	flows_start turin milan 20 "${ports[@]}"
	turin_config "$1" "milan: {accept: [10.2.0.0/16, \"fd00:2::/32\"]}"
	card turin >"$t/milan/etc/peers.d/turin.yaml"
	reload "$1 lanes"
	check "$1 lanes: milan reloads" ctl milan reload
	check "$1 lanes: $1 tunnels carry" eventually 60 carries "$1"
	check "$1 lanes: settled" wait_settled turin
	sleep 1 # some more packets the new way
	flows_stop
	flows_report "$1 lanes:"
	tunnels >"$t/after"
	while read -r sport _ lane theirs; do
		! grep -qx "$lane $theirs" "$t/after" || stay+=("$sport")
	done <"$t/ports"
	say "$1 lanes: $(wc -l <"$t/before") tunnels before, ${#stay[@]} of them stay"
	check "$1 lanes: most tunnels stay" test "${#stay[@]}" -ge 3
	check "$1 lanes: no packet is lost on those that stay" flows_intact "${stay[@]}"
	check "$1 lanes: no connection is lost" flows_alive
}

topo_init
flows_build
site_add turin 1
site_add milan 2
site_add paris 3
site_add lyon 4
for name in turin milan paris lyon; do
	secret $name
done
turin_config 8 "milan:"
for name in milan paris lyon; do
	idx=$(cat "$t/$name/idx")
	lanes=$([ $name = milan ] && echo 8 || echo 2)
	site_config $name <<-END
		site: $name
		secret-file: site.secret
		lanes: $lanes
		endpoint: 192.0.2.$idx
		networks: [10.$idx.0.0/16, "fd00:$idx::/32", 10.$((200 + idx)).0.0/16]
		peers:
		  turin:
	END
done
cards_exchange turin milan paris lyon
daemon_start turin
daemon_start milan
check "turin is up" wait_up turin
check "milan is up" wait_up milan
flows_serve milan
flows_ports turin milan >"$t/ports"
mapfile -t ports < <(cut -d ' ' -f 1 "$t/ports")
check "a flow for each tunnel" test "${#ports[@]}" = 8

say "--- changes that are none of the tunnels'"
flows_start turin milan 20 "${ports[@]}"
for name in paris lyon; do
	card $name >"$t/turin/etc/peers.d/$name.yaml"
done
daemon_start paris
turin_config 8 "milan:" "paris:" "lyon:"
reload "two more peers"
check "the new peer answers" eventually 30 lan_ping turin paris
check "a network of milan's" in_dumps 10.202.0.0/16
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"]}' "paris:" "lyon:"
reload "a prefix less"
check "the network is gone" not in_dumps 10.202.
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1300}' "paris:" "lyon:"
kill -HUP "$(cat "$t/turin/pid")"
check "SIGHUP: the MTU is what it should be" eventually 20 mtu_is 1300
check "SIGHUP: settled" wait_settled turin
flows_stop
flows_report "peers, prefixes, MTU:"
check "no packet was lost" flows_intact

say "--- refused"
# What held the prefix that went is gone, too.
check "nothing is leaving" eventually 60 none_leaving
kernel_state turin >"$t/turin/want"
cp -a "$t/turin/etc" "$t/turin/etc.good"
echo "  nice: {mut: 1300}" >>"$t/turin/etc/site.yaml"
refused "an unknown key" 'site\.yaml:[0-9]+:[0-9]+:.*mut'
cp "$t/turin/etc.good/site.yaml" "$t/turin/etc/"
sed -i '$d' "$t/turin/etc/peers.d/paris.yaml"
refused "a card cut short" 'paris\.yaml'
cp "$t/turin/etc.good/peers.d/paris.yaml" "$t/turin/etc/peers.d/"
echo "table-base: 30000" >>"$t/turin/etc/site.yaml"
refused "other numbers" 'table-base'
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1300}'
refused "most peers gone" 'more than half.*--force'
sed -i '/^peers:/,$d' "$t/turin/etc/site.yaml"
refused "all peers gone" 'every peer.*--force'

say "--- unless confirmed"
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1280}' "paris:" "lyon:"
reload "to be confirmed" --confirm 10
check "another MTU" mtu_is 1280
check "it goes back by itself" eventually 40 mtu_is 1300
check "settled" wait_settled turin
check "as before" eventually 10 same "$t/turin/want" kernel_state turin
reload "to be confirmed again" --confirm 10
check "confirm" ctl turin confirm
sleep 12
check "confirmed: it stays" mtu_is 1280
check "nothing is waited for" confirm_is null
# A restart does not confirm, neither before the time is over nor after it.
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1290}' "paris:" "lyon:"
reload "to be confirmed once more" --confirm 30
daemon_kill turin
daemon_start turin
check "killed and started: settled" wait_settled turin
check "it is still to be confirmed" not confirm_is null
check "what was loaded runs" mtu_is 1290
check "it goes back by itself" eventually 60 mtu_is 1280
check "and says so" grep -q "not confirmed" <(ctl turin status)
daemon_stop turin
daemon_start turin
check "started again: settled" wait_settled turin
check "it stays with what was before" mtu_is 1280
check "and says so" grep -q "not confirmed" <(ctl turin status)
reload "for good"
check "what the file says" mtu_is 1290
check "nothing is waited for" confirm_is null
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1280}' "paris:" "lyon:"
reload "as before"

say "--- a peer goes"
key=$(sed -n 's/.*"key": *"\([^"]*\)".*/\1/p' <(ctl turin status paris --json | jq . | tr ',' '\n') | head -n 1)
check "paris has entries" grep -qF "$key" <(in_gw turin wg show all peers)
lane=$(ctl turin status paris --json | jq -r --arg key "$key" \
	'.peers[0].detail[] | select(.key == $key) | .device')
flows_start turin milan 20 "${ports[@]}"
turin_config 8 'milan: {accept: [10.2.0.0/16, "fd00:2::/32"], mtu: 1280}'
check "with --force" ctl turin reload --force
check "its entry on lane $lane was made inert first" \
	grep -qF "wg.peer.inert dev=$lane peer=$key" "$t/turin/log"
check "if it is still there, it allows nothing" harmless "$key"
check "its networks are gone" not in_dumps 10.3.
flows_stop
flows_report "peers gone:"
check "no packet was lost" flows_intact
check "its entries go once the lanes are quiet" eventually 60 gone "$key"

say "--- lanes"
exchange_lanes 6
check "six devices" test "$(in_gw turin wg show interfaces | wc -w)" = 6
exchange_lanes 8
check "eight devices" test "$(in_gw turin wg show interfaces | wc -w)" = 8
