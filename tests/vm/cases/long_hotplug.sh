#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
# smp: 4
#
# CPUs come and go while both gateways switch modes, also those that vanilla work is confined to:
# nothing gets stuck, and no packet comes twice.
# module: yes
# long: yes
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/numbered.sh"

rounds=${HOTPLUG_ROUNDS:-40}

online() {
	echo "$2" >"/sys/devices/system/cpu/cpu$1/online"
}

load_module
hold_code
pair_wire
pair_tunnel 0
receiver_start
left wgs cpus 2-3 wg0
right wgs cpus 1,3 wg0
for side in left right; do
	ip netns exec $side wgs flip 3600 0.001 >/dev/null &
	flippers+=" $!"
done
# CPU 0 stays; a sender's CPU may go, and the sender goes on elsewhere.
senders_start 200 3600 "0 1 2"
for ((i = 0; i < rounds; i++)); do
	cpu=$((1 + RANDOM % 3))
	online $cpu 0
	[ $((i % 3)) != 0 ] || online $((cpu % 3 + 1)) 0
	check "round $i: the tunnel carries" eventually 20 left ping -n -c 1 -W 2 10.9.0.2
	for cpu in 1 2 3; do
		online $cpu 1
	done
done
# shellcheck disable=SC2086 # several
kill $flippers "${senders[@]}"
pair_mode inline
check "the last switch is complete" eventually 5 test "$(counter left '.peers[0].in_force')" = inline
check "the tunnel carries" left ping -n -c 5 -i 0.2 -W 2 10.9.0.2
check "the mask is as it was" test "$(counter left '.devices[0].cpus')" = 2-3
receiver_end
say "flow received lost reordered duplicated: $(flows | paste -sd '|')"
check "all senders were heard" test "$(flows | wc -l)" = 3
# A flow whose sender was moved to another CPU may be reordered then; twice is never.
check "none twice" test "$(flows | awk '{ n += $5 } END { print n + 0 }')" = 0
