#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# Three sites with 8, 4 and 2 lanes, each a peer of the others: all reach all, and the two ends of
# each pair of sites agree which lane belongs to which, and where it is.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# mirrored A B N: N tunnels, and what A calls lane>theirs is what B calls theirs>lane.
mirrored() {
	local ours theirs

	ours=$(peer_json "$1" "$2" '.detail[] | "\(.lane)>\(.theirs)"' | sort)
	theirs=$(peer_json "$2" "$1" '.detail[] | "\(.theirs)>\(.lane)"' | sort)
	echo "$1>$2:" $ours
	echo "$2>$1, reversed:" $theirs
	[ "$(wc -l <<<"$ours")" = "$3" ] && [ "$ours" = "$theirs" ]
}

# keys_right A B N: what status calls the key and port of a tunnel's far end is, in the kernels, the
# peer entry here, with its endpoint and a handshake, and the lane there. Prints the N tunnels.
keys_right() {
	local right

	right=$(awk -F '\t' '
		FILENAME == ARGV[1] && NF == 5 { key[$1] = $3; port[$1] = $4 }
		FILENAME == ARGV[2] && NF > 5 { endpoint[$1, $2] = $4; handshake[$1, $2] = $6 }
		FILENAME == ARGV[3] && key[$2] == $3 && endpoint[$1, $3] ~ ":" port[$2] "$" &&
			handshake[$1, $3] { print $1, $2, endpoint[$1, $3] }
		' <(in_gw "$2" wg show all dump) <(in_gw "$1" wg show all dump) \
		<(peer_json "$1" "$2" '.detail[] | "\(.device)\twgs\(.theirs)\t\(.key)"'))
	printf '%s\n' "$right"
	[ "$(wc -l <<<"$right")" = "$3" ]
}

topo_init
site_add turin 1
site_add milan 2
site_add paris 3
for name in turin milan paris; do
	secret $name
done
site_file turin 8 milan paris
site_file milan 4 turin paris
site_file paris 2 turin milan
sites_up turin milan paris
for name in turin milan paris; do
	ctl $name status
	lan_echo $name 7001
done

for way in turin:milan milan:turin turin:paris paris:turin milan:paris paris:milan; do
	from=${way%:*} to=${way#*:}
	check "$from to $to" answered_all lan_ping $from $to -c 3 -i 0.1 -W 5
	check "$from to $to, IPv6" answered_all lan_ping6 $from $to -c 3 -i 0.1 -W 5
	check "TCP" in_lan $from manyflows echo tcp "10.$(cat "$t/$to/idx").0.2" 16 3000 7001
	check "TCP, IPv6" in_lan $from manyflows echo tcp "fd00:$(cat "$t/$to/idx")::2" 16 3000 7001
done
for pair in turin:milan:4 turin:paris:2 milan:paris:2; do
	IFS=: read -r one other n <<<"$pair"
	check "$one and $other pair $n lanes alike" mirrored $one $other $n
	check "$one has the right keys of $other" keys_right $one $other $n
	check "$other has the right keys of $one" keys_right $other $one $n
done
check "turin has an entry per tunnel" test "$(in_gw turin wg show all peers | wc -l)" = 6
check "milan has an entry per tunnel" test "$(in_gw milan wg show all peers | wc -l)" = 6
check "paris has an entry per tunnel" test "$(in_gw paris wg show all peers | wc -l)" = 4
check "a lane without a tunnel has its device, too" \
	test "$(in_gw turin wg show interfaces | wc -w)" = 8
