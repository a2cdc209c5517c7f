#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Flows are spread evenly, and both directions of a flow share a tunnel: as counted and captured on
# the lane devices, whatever our own hash says; `where` has to agree with what was captured.
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# Fullest tunnel against the mean. 20,000 random flows over eight fair tunnels: a deviation of 2 %.
flows=20000
limit=1.10

# capture_start NAME: every packet of the site hosts on a lane device, one line each.
capture_start() {
	local dir=$t/$1

	ip netns exec "gw-$1" tcpdump -Z root -i any -s 128 -B 16384 -nqlt --immediate-mode \
		'tcp portrange 7001-7004 or udp portrange 7001-7004' \
		>"$dir/capture" 2>"$dir/capture.err" </dev/null &
	echo $! >"$dir/capture.pid"
	eventually 20 grep -q "listening on" "$dir/capture.err"
}

capture_stop() {
	local dir=$t/$1

	kill -TERM "$(cat "$dir/capture.pid")"
	wait "$(cat "$dir/capture.pid")" || :
	check "the capture of $1 is complete" grep "^0 packets dropped by kernel" "$dir/capture.err"
}

# same_tunnel: from the flows, the tunnels ("turin DEVICE milan DEVICE") and both captures. Prints
# "FLOW turin DEVICE milan DEVICE" for each flow; status 1 unless each was seen in both directions
# at both sites, on one device at each, and these are the ends of one tunnel.
same_tunnel() {
	awk '
		FILENAME == ARGV[1] {
			flow[$0] = 1
			key[$1, $2 "." $3, $4 "." $5] = $0 SUBSEP "there"
			key[$1, $4 "." $5, $2 "." $3] = $0 SUBSEP "back"
			next
		}
		FILENAME == ARGV[2] { tunnel[$2, $4] = 1; next }
		$1 ~ /^wgs/ {
			sub(/:$/, "", $6)
			k = ($7 == "UDP," ? "udp" : $7) SUBSEP $4 SUBSEP $6
			if (!(k in key))
				next
			site = FILENAME == ARGV[3] ? "turin" : "milan"
			split(key[k], part, SUBSEP)
			at = part[1] SUBSEP site SUBSEP part[2]
			if (at in seen && seen[at] != $1) {
				print "moved: " part[1], part[2], "at " site ": " seen[at], $1
				bad++
			}
			seen[at] = $1
		}
		END {
			for (f in flow) {
				turin = seen[f, "turin", "there"]
				milan = seen[f, "milan", "there"]
				back = seen[f, "turin", "back"] " " seen[f, "milan", "back"]
				if ((turin, milan) in tunnel && turin " " milan == back) {
					print f, "turin", turin, "milan", milan
					continue
				}
				print "torn: " f, "there", turin, milan, "back", back
				bad++
			}
			exit bad > 0
		}' "$t/flows" "$t/tunnels" "$t/turin/capture" "$t/milan/capture"
}

# where_agrees: with a line of same_tunnel, there at turin and back at milan.
where_agrees() {
	local out back

	out=$(ctl turin where "$2" "$4" "$1" "$3" "$5" --json | jq -r '.out.device, .back.device')
	back=$(ctl milan where "$4" "$2" "$1" "$5" "$3" --json | jq -r '.out.device, .back.device')
	[ "$out" = "$7"$'\n'"$7" ] && [ "$back" = "$9"$'\n'"$9" ]
}

# counted: packets of the burst on each lane device of turin, "DEVICE PACKETS" a line.
counted() {
	in_gw turin nft -j list chain inet count forward | jq -r '.nftables[].rule? // empty |
		[.expr[] | .match?.right // empty, .counter?.packets // empty] | "\(.[0]) \(.[-1])"'
}

# evenness: the fullest one divided by the mean.
evenness() {
	awk '$2 > most { most = $2 }
		{ sum += $2 }
		END { printf "%.3f\n", most * NR / sum }'
}

two_sites_up 8
lan_echo milan 7001 7002 7003 7004

# --- Evenness. What arrives is counted, and dropped, by the host: any address below is its own. None
# of the sources is an address of the gateway or a broadcast: these would be dropped as spoofed.
in_gw turin nft -f - <<END
table inet count {
	chain forward {
		type filter hook forward priority 0
$(printf '\t\toifname wgs%d udp length 8 counter\n' 0 1 2 3 4 5 6 7)
	}
}
END
in_gw milan ip route add 10.2.128.0/17 via 10.2.0.2
in_gw milan ip route add fd00:2:0:8000::/64 via fd00:2::2
in_lan milan ip route add local 10.2.128.0/17 dev lo
in_lan milan ip route add local fd00:2:0:8000::/64 dev lo
in_lan milan nft -f - <<END
table inet count {
	counter arrived {}
	chain prerouting {
		type filter hook prerouting priority raw
		udp length 8 counter name arrived drop
	}
}
END
check "milan's host answers" lan_ping turin milan
check "and by IPv6" lan_ping6 turin milan
in_lan turin manyflows burst 10.1.128.0/17 10.2.128.0/17 $((flows / 2))
in_lan turin manyflows burst fd00:1:0:8000::/64 fd00:2:0:8000::/64 $((flows / 2))
counted
arrived=$(in_lan milan nft -j list counter inet count arrived |
	jq '.nftables[].counter?.packets // empty')
say "$arrived of $flows arrived"
check "all flows left by a lane" test "$(counted | awk '{ n += $2 } END { print n }')" = $flows
check "all arrived" test "$arrived" = $flows
even=$(counted | evenness)
say "the fullest of eight tunnels has $even times the mean"
check "evenly" awk -v even="$even" -v limit=$limit 'BEGIN { exit !(even <= limit && even >= 1) }'
counters=$(in_gw turin nft -j list map inet wgscale b-milan | jq -r '
	[.nftables[].map?.elem // empty | .[][0] | objects | .elem.counter.packets] |
	"\(length) \(add)"')
check "1024 buckets counted them, too: $counters" \
	awk -v flows=$flows '{ exit !($1 == 1024 && $2 >= flows) }' <<<"$counters"

# --- Both directions on the same tunnel
peer_json turin milan '.detail[] | "turin \(.device) milan wgs\(.theirs)"' >"$t/tunnels"
capture_start turin
capture_start milan
for dst in 10.2.0.2 fd00:2::2; do
	for proto in tcp udp; do
		in_lan turin manyflows echo $proto $dst 125 200 7001 7002 7003 7004 >>"$t/flows"
	done
done
check "500 flows" test "$(sort -u "$t/flows" | wc -l)" = 500
eventually 10 same_tunnel >"$t/found" || : # captures lag behind
capture_stop turin
capture_stop milan
check "both directions of all on one tunnel" same_tunnel
sort -k 7,7 "$t/found" | awk '{ n[$7]++ } END { for (d in n) print d, n[d] }' | sort
check "on all eight" test "$(awk '{ print $7 }' "$t/found" | sort -u | wc -l)" = 8
while read -r line; do
	# shellcheck disable=SC2086 # words are meant
	check "where $line" where_agrees $line
done < <(for proto in 'tcp 10' 'udp 10' 'tcp fd' 'udp fd'; do
	grep -m 3 "^$proto" "$t/found"
done)
