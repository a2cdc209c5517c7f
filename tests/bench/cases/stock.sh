#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The kernel's own module, to compare with the vanilla mode of ours.
# timeout: 1800
# smp: 1
# shellcheck source=../../vm/lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=../net.sh
. "$REPO/tests/bench/net.sh"

describe
module_load stock
net_up 4
for variant in plain softirq threaded; do
	row $variant 4
done
