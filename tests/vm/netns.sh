#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after pair.sh: upstream's own self-test of WireGuard, out of the kernel's source.

# netns_test: runs it; its output is netns.out in the case's folder.
netns_test() {
	local status=0

	bash "$WGS_SOURCE/tools/testing/selftests/wireguard/netns.sh" >"$VM_OUT/netns.out" 2>&1 ||
		status=$?
	tail -n 3 "$VM_OUT/netns.out"
	say "netns.sh: exit $status"
	return "$status"
}
