#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Every variant at 1, 2, 4 and 8 tunnels, by a clock that counts instructions.
# timeout: 3600
# module: yes
# smp: 1
# shellcheck source=../../vm/lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../net.sh
. "$REPO/tests/bench/net.sh"

describe
floor
module_load ours
# shellcheck disable=SC2086,SC2153 # words, of the parameters
largest=$(printf '%s\n' $TUNNELS | sort -n | tail -n 1)
net_up "$largest"
for tunnels in $TUNNELS; do
	for variant in plain softirq threaded inline; do
		row $variant "$tunnels"
	done
done
