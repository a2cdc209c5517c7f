#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases after lib.sh: small UDP and TCP flows between the hosts of two sites, one or
# more for each tunnel, that notice every loss (./flows.c), and snapshots of what a gateway's
# kernel holds. Owns /run/t/flows*.

flows=$t/flows
flows_port=7000

# A slow machine stalls, and then much is under way at once: the queues of veth must hold it.
flows_build() {
	sysctl -qw net.core.netdev_max_backlog=100000
	gcc -D_GNU_SOURCE -O1 -Wall -o "$flows" "$REPO/tests/vm/flows.c"
}

# flows_serve NAME: the echo on the host of a site.
flows_serve() {
	in_lan "$1" "$flows" serve $flows_port &
	eventually 10 is_echoing "lan-$1" >/dev/null
}

is_echoing() {
	[ -n "$(ip netns exec "$1" ss -Hltn "sport = :$flows_port")" ]
}

# flows_ports FROM TO: prints "SPORT TUNNEL LANE THEIRS", for each tunnel the first port whose flow
# takes it.
flows_ports() {
	local from=$1 to=$2 pairs

	pairs=$(ctl "$from" status "$to" --json |
		jq -r '.peers[0].detail[] | "\(.index) \(.lane) \(.theirs)"')
	# One shell for all questions: a process costs 0.1 s and more here.
	in_gw "$from" bash -c '
		for ((port = 20000; port < 20200 && ${#have[@]} < $5; port++)); do
			way=$(wgscalectl --runtime-dir "$1" where "$2" "$3" udp $port "$4" --json)
			[[ $way =~ \"out\":\ *\{[^}]*\"tunnel\":\ *([0-9]+) ]] || exit
			[ -z "${have[BASH_REMATCH[1]]-}" ] || continue
			have[BASH_REMATCH[1]]=1
			echo "$port ${BASH_REMATCH[1]}"
		done' bash "$t/$from/run" "10.$(cat "$t/$from/idx").0.2" "10.$(cat "$t/$to/idx").0.2" \
		$flows_port "$(wc -l <<<"$pairs")" |
		while read -r port tunnel; do
			echo "$port $(grep "^$tunnel " <<<"$pairs")"
		done
}

# flows_start FROM TO INTERVAL_MS SPORT...: running, all of them connected, when this returns.
flows_start() {
	local from=$1 to=$2

	shift 2
	ip netns exec "lan-$from" "$flows" run "10.$(cat "$t/$to/idx").0.2" $flows_port "$@" \
		>"$flows.out" 2>&1 &
	echo $! >"$flows.pid"
	eventually 20 grep -qx running "$flows.out"
}

# flows_stop: then $flows.out has a line for each flow, see ./flows.c.
flows_stop() {
	local pid

	pid=$(cat "$flows.pid")
	kill -TERM "$pid"
	wait "$pid"
	sed -i 1d "$flows.out"
}

# drops: what the kernel says it has dropped since boot, by namespace; to find out who did it.
drops() {
	local ns

	for ns in $(ip netns list | cut -d ' ' -f 1); do
		# shellcheck disable=SC2016 # Perl's variables, and jq's
		ip netns exec "$ns" bash -c '
			ip -s -j link | jq -r ".[] | .ifname as \$dev | .stats64 | to_entries[] |
				.key as \$way | .value | to_entries[] |
				select((.key | test(\"drop|error\")) and .value > 0) |
				\"\(\$dev) \(\$way) \(.key): \(.value)\""
			nstat -az | grep -E "Discard|NoRoute|bufErrors|OutDestUnreach|BacklogDrop" |
				grep -vE " 0 +0.0"' | sed "s/^/$ns: /"
	done
	perl -lane '$n += hex $F[1]; END { print "backlogs: $n packets dropped" if $n }' \
		/proc/net/softnet_stat
}

# flows_intact [SPORT...]: these flows, or all of them, lost no packet, not even for TCP to mend.
flows_intact() {
	awk -v ports=" $* " '
		ports != "  " && !index(ports, " " $1 " ") { next }
		{ n++ }
		!$2 || $3 || !$5 || $6 != $5 || $8 { bad = 1; print "lost:", $0 }
		END { print n " flows"; exit bad || !n }' "$flows.out" && return
	drops
	return 1
}

# flows_alive: no connection was lost, and all that TCP sent came back.
flows_alive() {
	awk '{ n++ }
		!$5 || $6 != $5 || $8 { bad = 1; print "dead:", $0 }
		END { exit bad || !n }' "$flows.out"
}

# flows_report WORDS: figures for the log: packets, losses, longest silence.
flows_report() {
	say "$* $(awk '{ n++; s += $2; l += $3; r += $7; if ($4 > g) g = $4 }
		END { printf "%d flows, %d datagrams, %d lost, longest silence %d ms, " \
			"%d TCP retransmissions", n, s, l, g, r }' "$flows.out")"
}

# --- Snapshots, by the kernel's own tools

# kernel_state NAME: rules, all routes, nftables, WireGuard without what moves by itself.
kernel_state() {
	in_gw "$1" bash -c '
		ip rule
		ip -6 rule
		ip route show table all | sort
		ip -6 route show table all | sed "s/ expires [0-9]*sec//" | sort
		nft -s list ruleset | tr ",{" "\n\n" | tr -d " \t" | sort
		wg show all dump' | awk -F '\t' '
		NF == 5 { print $1, $3, $4, $5; next }
		NF == 9 { print $1, $2, $3, $9; n = split($5, a, ",")
			for (i = 1; i <= n; i++) print $1, $2, a[i]; next }
		{ print }'
}

# links_state NAME: the devices, their addresses and MTUs.
links_state() {
	in_gw "$1" ip -o link | sed -E 's/^[0-9]+: //' | sort
	in_gw "$1" ip -o addr | sed -E 's/^[0-9]+: //' | sort
}

# same FILE CMD...: the command still prints what the file has.
same() {
	local file=$1

	shift
	diff "$file" <("$@")
}
