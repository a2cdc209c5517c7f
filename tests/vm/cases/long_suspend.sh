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

order=$t/order
gcc -D_GNU_SOURCE -O1 -Wall -o "$order" "$REPO/tests/vm/order.c"

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
ip netns exec right "$order" receive 7000 >$t/received &
receiver=$!
eventually 10 grep -q ready $t/received
for cpu in 0 1; do
	ip netns exec left "$order" send 10.9.0.2 7000 $cpu $cpu 200 3600 >/dev/null &
	senders+=" $!"
done
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
kill $flippers $senders
kill "$receiver"
wait "$receiver" || :
say "flow received lost reordered duplicated: $(grep -v -e end -e ready $t/received | paste -sd '|')"
check "none reordered or twice" test \
	"$(awk 'NF == 5 { n += $4 + $5 } END { print n + 0 }' $t/received)" = 0
check "the module goes" eventually 20 rmmod wireguard
