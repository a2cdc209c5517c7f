#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: yes
# timeout: 900
#
# Six idle minutes: no tunnel goes down, and the first packet of every flow after them arrives.
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

two_sites_up 8
lan_echo milan 7001
check "traffic before" in_lan turin manyflows echo udp 10.2.0.2 64 500 7001
for name in turin milan; do
	wc -l <"$t/$name/log" >"$t/$name/lines"
done
sleep 360 # this is the test
for dst in 10.2.0.2 fd00:2::2; do
	check "first packets to $dst" in_lan turin manyflows echo udp $dst 64 500 7001
	check "TCP to $dst" in_lan turin manyflows echo tcp $dst 64 5000 7001
done
check "and from the other side" answered_all lan_ping milan turin -c 5 -i 0.1 -W 5
for name in turin milan; do
	check_not "$name changed nothing" \
		grep . <(tail -n +$(($(cat "$t/$name/lines") + 1)) "$t/$name/log")
	in_gw $name wg show all latest-handshakes
	check "the sessions of $name are fresh" test "$(in_gw $name wg show all latest-handshakes |
		awk -v now="$(date +%s)" 'now - $3 < 180' | wc -l)" = 8
done
