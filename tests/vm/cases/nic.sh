#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The test machine's network cards: multi-queue, with RSS that can be set, and UDP flows that
# spread over the queues.
# net: nic
# smp: 4
# timeout: 240
# check: no
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# busy_queues: how many receive queues of nic1 had more than a few interrupts.
busy_queues() {
	awk '/virtio3-input/ {
		sum = 0
		for (i = 2; i <= 5; i++)
			sum += $i
		if (sum > 20)
			n++
	} END { print n + 0 }' /proc/interrupts
}

has_rss() {
	ethtool -x "$1" | awk '
		/^ *[0-9]+: / { entries += NF - 1 }
		split($1, bytes, ":") == 40 { key = 1 }
		END { exit !(entries == 128 && key) }'
}

ip netns add other
nic_up nic0
nic_up nic1 other
ip addr add 198.18.0.1/24 dev nic0
ip -n other addr add 198.18.0.2/24 dev nic1
check "four queues" grep -q "^Combined:[[:space:]]*4" <(ethtool -l nic0 | sed '1,/^Current/d')
check "a table of 128 entries and a key of 40 bytes" has_rss nic0
check "the table can be set" ethtool -X nic0 weight 1 1 2 0
check "UDP ports are hashed" grep -q "src port" <(ethtool -n nic0 rx-flow-hash udp4)
check "the wire carries packets" eventually 5 ping -n -c 1 -W 1 198.18.0.2
ip netns exec other iperf3 -s -D
eventually 10 is_served other
iperf3 -u -b 2M -l 1000 -P 16 -c 198.18.0.2 -t 2 >"$VM_OUT/iperf3"
say "$(busy_queues) of 4 queues were busy"
check "flows spread over the queues" test "$(busy_queues)" -ge 3
