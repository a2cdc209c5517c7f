#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# The machine goes to sleep and wakes up under traffic, in each mode and while modes are switched:
# keys are forgotten, as upstream does it, and the tunnel carries again by itself.
# module: yes
# long: yes
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/numbered.sh"

# sleeps: as far as the kernel goes without its devices, which could not all wake up again here.
# Programs are frozen, and whoever wants to know is told.
sleeps() {
	echo freezer >/sys/power/pm_test
	echo 1 >/sys/module/suspend/parameters/pm_test_delay
	echo freeze >/sys/power/state
}

handshake() {
	left wg show wg0 latest-handshakes | cut -f 2
}

load_module
pair_wire
pair_tunnel 0
receiver_start
senders_start 200 3600 "0 1"
for mode in vanilla inline flipped; do
	if [ $mode = flipped ]; then
		for side in left right; do
			ip netns exec $side wgs flip 3600 0.001 >/dev/null &
			flippers+=" $!"
		done
	else
		pair_mode $mode
	fi
	for round in 1 2 3; do
		sleep 1
		before=$(handshake)
		check "$mode, $round: sleeps" sleeps
		check "the tunnel carries" eventually 20 left ping -n -c 1 -W 2 10.9.0.2
		check "with new keys" test "$(handshake)" -gt "$before"
	done
done
# shellcheck disable=SC2086 # several
kill $flippers "${senders[@]}"
receiver_end
say "flow received lost reordered duplicated: $(flows | paste -sd '|')"
check "none reordered or twice" test \
	"$(flows | awk '{ n += $4 + $5 } END { print n + 0 }')" = 0
check "the module goes" eventually 20 rmmod wireguard
