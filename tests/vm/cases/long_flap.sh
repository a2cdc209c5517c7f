#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: yes
# timeout: 600
#
# The way of one tunnel flaps for two minutes, off and on for two seconds each: the flows of the
# others do not notice, those of this one are soon elsewhere, and it does not go up and down all
# the time.
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

flows=64
seconds=120

# That of milan's lane 3, in the words of each log.
declare -A tunnel=([turin]="to their 3)" [milan]="(lane 3 to")

# changes NAME TEXT: of that tunnel's state, in the log since it began to flap.
changes() {
	tail -n +"$(cat "$t/$1/lines")" "$t/$1/log" | grep -F "${tunnel[$1]}" | grep -c "$2" || :
}

two_sites_up 8
lan_echo milan 7001
leak_watch_start turin
leak_watch_start milan
in_lan turin manyflows stream $((seconds + 10)) 10.2.0.2 $flows 7001 >"$t/stream" &
stream=$!
flow_devices turin 7001 $flows | sort >"$t/devices"
check "the devices of all flows are known" test "$(wc -l <"$t/devices")" = $flows
sick=$(peer_json turin milan '.detail[] | select(.theirs == 3) | .device')
for name in turin milan; do
	wc -l <"$t/$name/log" >"$t/$name/lines"
done
say "$sick flaps"
for ((i = 0; i < seconds / 4; i++)); do
	udp_port_block milan 21823
	sleep 2
	udp_port_unblock milan 21823
	sleep 2
done
say "it has flapped"
wait $stream
sort "$t/stream" | join - "$t/devices" |
	awk -v sick="$sick" '{ print ($5 == sick ? "sick" : "well"), $0 }' >"$t/result"
awk '{ n[$1]++; sent[$1] += $3; lost[$1] += $4; if ($5 > run[$1]) run[$1] = $5 }
	END { for (k in n) print k ":", n[k], "flows,", sent[k], "packets,", lost[k],
		"lost, at most", run[k] + 0, "in a row" }' "$t/result"
for name in turin milan; do
	say "$name: $(changes $name ', was ') changes," \
		"$(changes $name ': up, was ') times up, $(changes $name ': down, was ') times down"
done
check "no flow of another tunnel lost a packet" \
	test "$(awk '$1 == "well" { n += $4 } END { print n }' "$t/result")" = 0
# 5 packets a second: 3 s until it is noticed, and as much again for a slow test machine.
check "the flows of this one were moved in time" \
	test "$(awk '$1 == "sick" && $5 > 30' "$t/result" | wc -l)" = 0
check "and kept away" \
	awk '$1 == "sick" { sent += $3; lost += $4 } END { exit !(lost < sent / 4) }' "$t/result"
for name in turin milan; do
	check "$name does not flap along" test "$(changes $name ': up, was ')" -le 8
done
check "turin is up again" wait_up turin 90
check "milan is up again" wait_up milan 90
leak_none turin
leak_none milan
