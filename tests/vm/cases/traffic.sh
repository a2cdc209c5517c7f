#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# All kinds of traffic over eight tunnels at once: every byte of every flow arrives, and every
# tunnel has its share of the flows, by WireGuard's counters and by nf_tables'.
# check: 6.1
# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

# lane_packets NAME: what each lane chain has marked, "CHAIN PACKETS" a line.
lane_packets() {
	in_gw "$1" nft -j list table inet wgscale | jq -r '.nftables[].rule? // empty |
		select(.chain | startswith("lane")) |
		"\(.chain) \([.expr[].counter?.packets // 0] | add)"'
}

# least COLUMN LINES: the smallest number in that column.
least() {
	awk -v column="$1" '
		NR == 1 || $column < least { least = $column }
		END { print least + 0 }' <<<"$2"
}

# transfers NAME: "DEVICE KEY RECEIVED SENT" a line.
transfers() {
	in_gw "$1" wg show all transfer
}

# fragments NAME FAMILY: counted on the way to the site's host.
fragments() {
	in_gw "$1" nft -j list counter inet count "$2" | jq '.nftables[].counter?.packets // empty'
}

two_sites_up 8
lan_echo milan 7001 7002
in_gw milan nft -f - <<END
table inet count {
	counter v4 {}
	counter v6 {}
	chain forward {
		type filter hook forward priority 0
		iifname "wgs*" ip frag-off & 0x3fff != 0 counter name v4
		iifname "wgs*" exthdr frag exists counter name v6
	}
}
END

for to in turin:milan milan:turin; do
	check "ICMP ${to/:/ to }" answered_all lan_ping ${to/:/ } -c 10 -i 0.05 -W 5
	check "ICMPv6 ${to/:/ to }" answered_all lan_ping6 ${to/:/ } -c 10 -i 0.05 -W 5
done
# The first packets teach both hosts the size of the path.
lan_ping turin milan -s 4000 -c 2 -i 0.2 >/dev/null || :
lan_ping6 turin milan -s 4000 -c 2 -i 0.2 >/dev/null || :
check "fragmented ICMP" answered_all lan_ping turin milan -s 4000 -c 5 -i 0.1 -W 5
check "fragmented ICMPv6" answered_all lan_ping6 turin milan -s 4000 -c 5 -i 0.1 -W 5
check "they came as fragments" test "$(fragments milan v4)" -gt 10 -a "$(fragments milan v6)" -gt 10

transfers turin | sort >$t/before.turin
transfers milan | sort >$t/before.milan
for dst in 10.2.0.2 fd00:2::2; do
	check "64 TCP flows to $dst" in_lan turin manyflows echo tcp $dst 64 16384 7001 7002
	check "64 UDP flows to $dst" in_lan turin manyflows echo udp $dst 64 1000 7001 7002
	check "fragmented UDP to $dst" in_lan turin manyflows echo udp $dst 16 4000 7001 7002
done
for name in turin milan; do
	lanes=$(lane_packets $name)
	moved=$(transfers $name | sort | join -j 2 $t/before.$name - |
		awk '{ print $2, $6 - $3, $7 - $4 }')
	printf '%s:\n%s\n%s\n' $name "$lanes" "$moved"
	check "$name marked packets for all lanes" test "$(wc -l <<<"$lanes")" = 8 -a \
		"$(least 2 "$lanes")" -gt 50
	check "all tunnels of $name moved a TCP flow, both ways" \
		test "$(wc -l <<<"$moved")" = 8 -a "$(least 2 "$moved")" -gt 16384 -a \
		"$(least 3 "$moved")" -gt 16384
done
for name in turin milan; do
	check "no tunnel of $name ever went down" not grep -q 'was up' "$t/$name/log"
done
