#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
#
# Upstream's self-test on the module, while a task flips every peer's mode at random.
# module: yes
# long: yes
# shellcheck source=../netns.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/netns.sh"

load_module
hold_code
wgs walk 3600 0.005 >"$VM_OUT/flips" &
flipper=$!
netns_test
# Whoever is in one of its namespaces at the end, netns.sh kills.
kill "$flipper" 2>/dev/null || :
flips=$(awk '{ n += $1 } END { print n + 0 }' "$VM_OUT/flips")
check "many switches: $flips" test "$flips" -gt 1000
check "the module goes" eventually 20 rmmod wireguard
