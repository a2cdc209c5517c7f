#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# A gateway boots whose site file is gone, under traffic from the first packet: nothing leaves in
# clear, and then traffic flows.
# init: systemd
# preboot: yes
# timeout: 300
# check: no
# shellcheck source=../boot.sh
. "$REPO/tests/vm/boot.sh"

if [ "${1-}" = preboot ]; then
	boot_prepare missing
	exit
fi
boot_watch degraded
