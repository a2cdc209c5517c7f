#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: yes
# timeout: 900
#
# The daemon is killed at 50 random moments of start, reload and stop, under flows in every tunnel:
# no connection is lost, and the next start settles and then has nothing to change.
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../flows.sh
. "$REPO/tests/vm/flows.sh"

RANDOM=${SEED:-1}
kills=50

turin_config() {
	site_config turin <<-END
		site: turin
		secret-file: site.secret
		lanes: 4
		endpoint: 192.0.2.1
		networks: [10.1.0.0/16, "fd00:1::/32"]
		peers:
		  milan: {mtu: $1}
	END
}

# A random time up to this many milliseconds.
pause() {
	sleep "$(printf '0.%03d' $((RANDOM * $1 / 32768)))"
}

kill_now() {
	kill -KILL "$(cat "$t/turin/pid")" 2>/dev/null || :
	daemon_reap turin 2>/dev/null || :
}

during_start() {
	daemon_start turin
	pause 999
	kill_now
}

during_reload() {
	local ctl

	daemon_start turin
	wait_settled turin
	turin_config $((1300 + RANDOM % 100))
	ctl turin reload >/dev/null 2>&1 &
	ctl=$!
	pause 500
	kill_now
	wait $ctl || :
}

during_stop() {
	daemon_start turin
	wait_settled turin
	kill -TERM "$(cat "$t/turin/pid")"
	pause 50
	kill_now
}

flows_build
two_sites_up 4
flows_serve milan
flows_ports turin milan >"$t/ports"
mapfile -t ports < <(cut -d ' ' -f 1 "$t/ports")
check "a flow for each tunnel" test "${#ports[@]}" = 4
flows_start turin milan 50 "${ports[@]}"
daemon_stop turin
for ((i = 1; i <= kills; i++)); do
	case $((RANDOM % 3)) in
	0) how=start ;;
	1) how=reload ;;
	2) how=stop ;;
	esac
	say "$i: killed during $how"
	during_"$how"
done
daemon_start turin
check "turin settles" wait_settled turin
check "turin is up" wait_up turin
check "nothing to change" plan_is_empty turin
flows_stop
flows_report "$kills kills:"
check "no connection was lost" flows_alive
check "no packet was lost" flows_intact
