#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
#
# Upstream's self-test on the module, every peer vanilla.
# module: yes
# long: yes
# shellcheck source=../netns.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"
. "$REPO/tests/vm/netns.sh"

load_module
hold_code
netns_test
check "the module goes" eventually 20 rmmod wireguard
