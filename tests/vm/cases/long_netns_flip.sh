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
netns_flip >"$VM_OUT/flips" &
flipper=$!
netns_test
kill "$flipper"
flips=$(awk '{ n += $1 } END { print n + 0 }' "$VM_OUT/flips")
check "many switches: $flips" test "$flips" -gt 1000
check "the module goes" eventually 20 rmmod wireguard
