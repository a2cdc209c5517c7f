#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# A site changes and the other one still holds its old card: with another number of lanes, with
# another secret, with fewer networks. What both still agree on carries all the traffic, `status`
# says who is stale, and a new card mends it.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

flows=64

# carrying NAME PEER: "OURS>THEIRS" of the tunnels that carry.
carrying() {
	peer_json "$1" "$2" '.detail[] | select(.carries) | "\(.lane)>\(.theirs)"' | sort
}

# common: the tunnels of both site files, as turin names them.
common() {
	comm -12 <(peer_json turin milan '.detail[] | "\(.lane)>\(.theirs)"' | sort) \
		<(peer_json milan turin '.detail[] | "\(.theirs)>\(.lane)"' | sort)
}

# only_common: exactly these carry, at both ends.
only_common() {
	[ "$(common)" = "$(carrying turin milan)" ] &&
		[ "$(common)" = "$(carrying milan turin | sed 's/\(.*\)>\(.*\)/\2>\1/' | sort)" ]
}

none_carries() {
	[ -z "$(carrying turin milan)$(carrying milan turin)" ]
}

no_problem() {
	peer_json "$1" "$2" '.problems[]'
	[ "$(peer_json "$1" "$2" '.problems | length')" = 0 ]
}

# mentions NAME PEER TEXT: in what people see.
mentions() {
	ctl "$1" status | grep -F "$3"
}

# all_delivered WHAT
all_delivered() {
	local dst

	for dst in 10.2.0.2 fd00:2::2; do
		check "$1: UDP to $dst" in_lan turin manyflows echo udp $dst 64 500 7001
		check "$1: TCP to $dst" in_lan turin manyflows echo tcp $dst 32 5000 7001
	done
}

# new_card: milan gets turin's, and all is well.
new_card() {
	card turin >"$t/milan/etc/peers.d/turin.yaml"
	ctl milan reload
	check "turin is up" wait_up turin 60
	check "milan is up" wait_up milan 60
	check "turin has no problem" eventually 5 no_problem turin milan
	check "milan has no problem" eventually 5 no_problem milan turin
}

two_sites_up 8
lan_echo milan 7001
leak_watch_start turin
leak_watch_start milan

# --- Six lanes instead of eight
in_lan turin manyflows stream 20 10.2.0.2 $flows 7001 >"$t/stream" &
stream=$!
flow_devices turin 7001 $flows >"$t/devices"
check "the devices of all flows are known" test "$(wc -l <"$t/devices")" = $flows
peer_json turin milan '.detail[] | "\(.device) \(.lane)>\(.theirs)"' | sort >"$t/before"
site_file turin 6 milan
ctl turin reload
check "what both agree on carries" eventually 30 only_common
common >"$t/common"
say "tunnels of both ends: $(tr '\n' ' ' <"$t/common")"
check "half of them at least" test "$(wc -l <"$t/common")" -ge 4
wait $stream
# Flows of the tunnels that are still there must not have lost a packet.
join -1 2 -2 1 <(sort -k 2 "$t/devices") "$t/before" |
	awk 'FILENAME == ARGV[1] { common[$1] = 1; next } { print $2, $1, $3 in common }' \
		"$t/common" - | sort >"$t/kept"
sort "$t/stream" | join - "$t/kept" >"$t/result"
awk '{ n[$6]++; if ($3) hurt[$6]++; if ($4 > longest[$6]) longest[$6] = $4; lost[$6] += $3 }
	END { for (k in n) print (k == 1 ? "kept:" : "gone:"), n[k] " flows,", hurt[k] + 0, "hurt,",
		lost[k] + 0, "packets lost, longest run", longest[k] }' "$t/result"
check "all flows are accounted for" test "$(wc -l <"$t/result")" = $flows
check "no flow of a tunnel that is left was hurt" \
	test "$(awk '$6 == 1 && $3' "$t/result" | wc -l)" = 0
# 5 packets a second: 3 s until it is noticed, and as much again for a slow test machine.
check "those of the others were moved in time" test "$(awk '$4 > 30' "$t/result" | wc -l)" = 0
all_delivered "six lanes"
check "turin says who is stale" mentions turin milan "milan holds a stale card of this site"
check "milan says who is stale" mentions milan turin "our card of turin is stale"
new_card
check "six tunnels" test "$(carrying milan turin | wc -l)" = 6

# --- Another secret: nothing at all can be exchanged
rm "$t/turin/etc/site.secret"
secret turin
ctl turin reload
check "nothing carries" eventually 30 none_carries
check_not "no packet" lan_ping turin milan
check_not "no packet, IPv6" lan_ping6 milan turin
ctl turin status
ctl milan status
# Milan cannot know; turin remembers what milan said of its card.
check "turin says who is stale" mentions turin milan "milan holds a stale card of this site"
check "milan says that nothing is heard" mentions milan turin "silent for"
new_card
all_delivered "new secret"

# --- One network more, which milan's card of turin does not have
in_gw turin ip addr add 10.101.0.1/24 dev lan0
in_lan turin ip addr add 10.101.0.2/24 dev eth0
sed -i 's,10.1.0.0/16,&\, 10.101.0.0/16,' "$t/turin/etc/site.yaml"
ctl turin reload
check "turin says who is stale" eventually 10 mentions turin milan "milan holds a stale card"
check "milan says who is stale" eventually 10 mentions milan turin "our card of turin is stale"
check "the other networks are not affected" answered_all lan_ping turin milan -c 10 -i 0.05 -W 5
check "nor by IPv6" answered_all lan_ping6 milan turin -c 10 -i 0.05 -W 5
check_not "the new network is not known yet" lan_ping turin milan -I 10.101.0.2
new_card
check "now it is" lan_ping turin milan -I 10.101.0.2 -c 3 -i 0.2
leak_none turin
leak_none milan
