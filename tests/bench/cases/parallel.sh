#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# CPUs that really work at the same time, and therefore noise: the variants alternate within the
# life of the flows, and each round begins with another one. The senders pause for the switch: the
# programs that make it would wait long for a CPU.
# timeout: 3600
# module: yes
# shellcheck source=../../vm/lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../net.sh
. "$REPO/tests/bench/net.sh"

variants=(softirq threaded inline)
describe
module_load ours
net_up 4
for ((round = 1; round <= ROUNDS; round++)); do
	for tunnels in 1 2 4; do
		way_up tunnel $tunnels
		flows_start $tunnels
		for ((i = 0; i < ${#variants[@]}; i++)); do
			variant=${variants[(i + round) % ${#variants[@]}]}
			flows_say stop
			variant_set "$variant"
			flows_say go
			window "$variant" $tunnels "$round"
		done
		flows_stop
	done
done
