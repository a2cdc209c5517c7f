#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
#
# The demonstration as it runs in the guest of ../vm/run, or below ./run with NATIVE=1: it does what
# it tells, and fails when anything it tells did not happen. Numbers are the kernel's counters, or
# those of iperf3, ping and tcpdump; tables are what wgscalectl prints.
# shellcheck source=../vm/lib.sh
. "$REPO/tests/vm/lib.sh"

say() {
	echo "  $*"
}

if [ "$KERNEL" = native ]; then
	topo_defaults() { :; }

	# Each namespace by itself; the machine's own defaults are not ours.
	ns_add() {
		ip netns add "$1"
		ip -n "$1" link set lo up
		ip netns exec "$1" sysctl -qw \
			net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
			net.ipv6.conf.default.accept_ra=0
	}
fi

# --- Telling

step=0 titled=''

# title WORDS: a heading; how long each step took is in $VM_OUT/steps.
title() {
	local up

	read -r up _ </proc/uptime
	[ -z "$titled" ] || echo "$up $titled" >>"$VM_OUT/steps"
	titled=$*
	[ $# = 0 ] || printf '\n== %d. %s\n' $((step += 1)) "$*"
}

# tell <<WORDS: one paragraph.
tell() {
	echo
	tr '\n' ' ' | fold -s -w 80 | sed 's/ *$//'
	printf '\n\n'
}

# wgs SITE ARGUMENT...: the command as an operator there types it, and what it prints.
wgs() {
	local name=$1

	shift
	echo "$name\$ wgscalectl $*"
	ctl "$name" "$@" 2>&1 | folded
}

# folded: long lines for this terminal.
folded() {
	fold -s -w "$width" | sed 's/ *$//'
}

# tunnels SITE PEER: the same for the table of tunnels, which is wider than many terminals.
tunnels() {
	local table

	table=$(ctl "$1" status "$2")
	echo "$1\$ wgscalectl status $2"
	if [ "$(wc -L <<<"$table")" -le "$width" ]; then
		echo "$table"
		return
	fi
	awk '/^TUNNEL/ { from = index($0, "LOSS") + 4; to = index($0, "SENT") + 4 }
		from { $0 = substr($0, 1, from - 1) substr($0, to) }
		{ print }' <<<"$table"
	echo "(To fit here, without its columns RX, TX, RECEIVED and SENT.)"
}

# --- The kernel's counters

# packets SITE: of each lane, "DEVICE SENT RECEIVED" a line.
packets() {
	ip -n "gw-$1" -s -j link show type wireguard |
		jq -r '.[] | "\(.ifname) \(.stats64.tx.packets) \(.stats64.rx.packets)"' | sort
}

# moved SITE BEFORE: the same, of what came after the lines BEFORE.
moved() {
	join <(echo "$2") <(packets "$1") | awk '{ print $1, $4 - $2, $5 - $3 }'
}

# bars LINES
bars() {
	awk 'NR == FNR { if ($2 > max) max = $2; next }
		{ n = max ? int($2 * 40 / max + 0.5) : 0; bar = sprintf("%*s", n, "")
		gsub(/ /, "#", bar); printf "  %s %7d out %7d in  %s\n", $1, $2, $3, bar }' \
		<(echo "$1") <(echo "$1")
}

# busy LINES: lanes that sent at least a fiftieth of all.
busy() {
	awk '{ sent[NR] = $2; all += $2 }
		END { for (i in sent) n += sent[i] * 50 >= all; print n + 0 }' <<<"$1"
}

# --- A stream of pings from the host of turin to one of milan, 20 a second

stream_start() {
	ip netns exec lan-turin stdbuf -oL ping -n -D -i 0.05 -w 300 "$1" >"$t/ping-$1" &
	echo $! >"$t/ping-$1.pid"
	eventually 20 stream_has "$1" 10
}

# stream_has ADDRESS COUNT: answers so far.
stream_has() {
	[ "$(grep -c 'bytes from' "$t/ping-$1")" -ge "$2" ]
}

# stream_goes_on ADDRESS SECONDS: as many answers more as that time takes.
stream_goes_on() {
	local have

	have=$(grep -c 'bytes from' "$t/ping-$1" || :)
	eventually $((20 + 2 * $2)) stream_has "$1" $((have + 20 * $2))
}

stream_stop() {
	local pid

	pid=$(cat "$t/ping-$1.pid")
	kill -INT "$pid"
	wait "$pid" || :
}

# stream_result ADDRESS: "SENT LOST SILENCE", up to the last answer; the silence in tenths of
# seconds.
stream_result() {
	awk '/bytes from/ && match($0, /icmp_seq=[0-9]+/) {
			seq = substr($0, RSTART + 9, RLENGTH - 9) + 0
			if (!seen[seq]++) n++
			if (seq > last) last = seq
			now = substr($1, 2) + 0
			if (before && now - before > gap) gap = now - before
			before = now
		}
		END { printf "%d %d %.1f\n", last, last - n, gap }' "$t/ping-$1"
}

# --- Questions

# tunnel_is SITE PEER TUNNEL STATE
tunnel_is() {
	[ "$(ctl "$1" --json status "$2" | jq -r ".peers[0].detail[$3].state")" = "$4" ]
}

# share_of SITE PEER TUNNEL: buckets
share_of() {
	ctl "$1" --json status "$2" | jq ".peers[0].detail[$3].buckets"
}

carries() {
	[ "$(share_of "$@")" -gt 0 ]
}

carries_none() {
	[ "$(share_of "$@")" = 0 ]
}

has_tunnels() {
	[ "$(ctl "$1" --json status "$2" | jq '.peers[0] | "\(.usable)/\(.tunnels)"')" = "\"$3/$3\"" ]
}

# way SRC DST PROTO [PORTS]: "TUNNEL LANE", out of turin.
way() {
	ctl turin --json where "$@" | jq -r '.out | "\(.tunnel) \(.lane)"'
}

# --- The steps

# site_of NAME IDX PEER IDX: its site file.
site_of() {
	site_config "$1" <<-END
		site: $1
		secret-file: site.secret
		lanes: 8
		endpoint: 192.0.2.$2
		networks: [10.$2.0.0/16, "fd00:$2::/32"]
		peers:
		  $3: {accept: [10.$4.0.0/16, "fd00:$4::/32"]}
	END
}

make_sites() {
	title "Two sites"
	tell <<-END
		Source, two gateways, drain, and a wide area between them: network namespaces under
		Linux $(uname -r), on $cpus. Each gateway runs
		its own wgscaled. Each lane is a WireGuard device with a UDP port of its own.
	END
	cat <<'END'
  source         gateway turin                  gateway milan         drain
 +----------+   +-------------+   wide area    +-------------+   +----------+
 | 10.1.0.2 |---| 10.1.0.1    |                |    10.2.0.1 |---| 10.2.0.2 |
 +----------+   |   wgs0 ...  |== 8 tunnels ===|  ... wgs0   |   +----------+
                |        wgs7 |== UDP 21820 ===| wgs7        |
                |   192.0.2.1 |== to 21827 ====| 192.0.2.2   |
                +-------------+                +-------------+
END
	topo_init
	site_add turin 1
	site_add milan 2
	lan_serve milan

	title "What an operator does"
	tell <<-END
		Make a secret, write a site file, exchange cards. The secret stays where it is; a card
		is everything public about a site. (What is below /run/t in here is in /etc/wgscale,
		/run/wgscale and /var/lib/wgscale on a gateway.)
	END
	echo "turin\$ wgscalectl keygen site.secret"
	(cd $t/turin/etc && wgscalectl keygen site.secret 2>&1) | folded
	secret milan 2>/dev/null
	site_of turin 1 milan 2
	site_of milan 2 turin 1
	echo "turin\$ cat site.yaml"
	cat $t/turin/etc/site.yaml
	echo "turin\$ wgscalectl card >turin.yaml        # and this goes to milan's peers.d/"
	echo "milan\$ wgscalectl card >milan.yaml        # and this to turin's"
	cards_exchange turin milan
	wgs turin check
	check "milan did the same, and its files are fine, too" ctl milan check
}

start_daemons() {
	title "Both daemons start"
	tell <<-END
		They make the lanes, and rules and maps that spread connections over them. A tunnel
		carries traffic when its handshake is done and a probe through it was answered.
	END
	daemon_start turin
	daemon_start milan
	check "turin: what it wants is in the kernel, and all tunnels are up" wait_up turin 120
	check "milan, too" wait_up milan 120
	check "a host of turin reaches one of milan" eventually 10 lan_ping turin milan
	wgs turin status
	tunnels turin milan
	check "eight tunnels of eight" has_tunnels turin milan 8
}

spread_flows() {
	local before rows

	title "64 connections over eight tunnels"
	tell <<-END
		iperf3 opens 64 TCP connections, each of the same small rate, from source to drain. A
		hash of addresses and ports gives each a tunnel, and its answers the same one. These
		are packets by the kernel's counters of turin's devices (ip -s link):
	END
	before=$(packets turin)
	check "64 connections have moved data" sixty_four
	rows=$(moved turin "$before")
	bars "$rows"
	tell <<-END
		Nothing makes them equal: a tunnel has eight of 64 on average, seldom exactly eight.
	END
	check "at least six of the eight tunnels have a fair share" test "$(busy "$rows")" -ge 6
}

sixty_four() {
	in_lan turin timeout 60 iperf3 -J -c 10.2.0.2 -P 64 -b 80K -l 1000 -t 3 >$t/64 &&
		jq -e '[.end.streams[] | select(.receiver.bytes > 0)] | length == 64' $t/64
}

follow_flow() {
	local pid out back seen dev

	title "Where does one connection go?"
	tell <<-END
		The tool says it beforehand, from the same hash and map. Then the connection is made,
		and tcpdump -i any on turin's gateway says on which lanes its packets were.
	END
	wgs turin where 10.1.0.2 10.2.0.2 tcp 40000 5201
	read -r out back < <(ctl turin --json where 10.1.0.2 10.2.0.2 tcp 40000 5201 |
		jq -r '"\(.out.device) \(.back.device)"')
	ip netns exec gw-turin tcpdump -Z root -i any -nqtl --immediate-mode "tcp port 40000" \
		>$t/seen 2>$t/seen.err </dev/null &
	pid=$!
	eventually 20 grep -q "listening on" $t/seen.err
	in_lan turin timeout 60 iperf3 -c 10.2.0.2 --cport 40000 -n 64K -l 4K >/dev/null
	eventually 10 grep -q "^wgs.* In" $t/seen
	kill -TERM $pid
	wait $pid || :
	echo
	awk '/^wgs/ { n[$1 "  " $2]++ } END { for (i in n) printf "  %-9s %4d packets\n", i, n[i] }' \
		$t/seen | sort -r
	seen=$(awk '/^wgs/ { print $2, $1 }' $t/seen | sort -u)
	check "it went out by $out, its answers came by $back, and by no other device" \
		test "$seen" = "In $back"$'\n'"Out $out"
}

lose_tunnel() {
	local tunnel lane port other=3 dead sent lost gap o_sent o_lost o_gap

	title "A tunnel dies on the way"
	read -r tunnel lane < <(way 10.1.0.2 10.2.0.2 icmp)
	port=$((21820 + lane))
	while [ "$(way 10.1.0.2 10.2.0.$other icmp | cut -d ' ' -f 1)" = "$tunnel" ]; do
		[ $((other += 1)) -lt 60 ] || fail "all addresses use tunnel $tunnel"
	done
	ip -n lan-milan addr add 10.2.0.$other/24 dev eth0
	tell <<-END
		Two pings run, 20 packets a second each: to 10.2.0.2 through tunnel $tunnel, to 10.2.0.$other
		through another one. Then the wide area begins to drop UDP port $port of turin,
		as a firewall or a provider might: tunnel $tunnel is dead, and nobody is told.
	END
	stream_start 10.2.0.2
	stream_start 10.2.0.$other
	udp_port_block turin $port
	check "turin finds out by itself" eventually 60 tunnel_is turin milan "$tunnel" down
	check "and has moved its connections to the others" \
		eventually 10 carries_none turin milan "$tunnel"
	check "the ping goes on, around it" stream_goes_on 10.2.0.2 1
	wgs turin status
	tunnels turin milan
	read -r sent lost gap < <(stream_result 10.2.0.2)

	udp_port_unblock turin $port
	echo
	echo "The way is free again."
	check "the tunnel is trusted again after a while" eventually 60 tunnel_is turin milan "$tunnel" up
	check "and takes its connections back" eventually 20 carries turin milan "$tunnel"
	check "everything is up" wait_up turin 60
	check "on milan's side, too" wait_up milan 60
	check "both pings go on" stream_goes_on 10.2.0.$other 1
	stream_goes_on 10.2.0.2 1
	stream_stop 10.2.0.2
	stream_stop 10.2.0.$other
	dead=$lost
	read -r sent lost gap < <(stream_result 10.2.0.2)
	read -r o_sent o_lost o_gap < <(stream_result 10.2.0.$other)
	tell <<-END
		Through the dead tunnel: $lost of $sent packets lost, $gap s of silence, then it was
		somewhere else. Through the other one: $o_lost of $o_sent lost, at most $o_gap s apart.
	END
	check "something was lost, so the tunnel was really dead" test "$dead" -gt 0
	check "the silence was bounded" awk "BEGIN { exit !($gap < 20) }"
	check "nothing was lost on the way back" test "$lost" -le "$dead"
	check "nothing was lost in the other tunnel" test "$o_lost" = 0
}

kill_daemon() {
	local before pid sent lost gap status=0

	title "The daemon dies"
	tell <<-END
		kill -9, the worst that can happen to wgscaled. Tunnels, rules and maps are the
		kernel's, and stay. A ping runs again, 20 packets a second.
	END
	before=$(ip -n gw-turin -o link show type wireguard | cut -d : -f 1,2)
	stream_start 10.2.0.2
	pid=$(cat "$t/turin/pid")
	echo "turin\$ kill -9 $pid        # wgscaled"
	daemon_kill turin 2>/dev/null # bash's own remark about it
	wgs turin status || status=$?
	check "it is really gone" test $status = 3
	check "the ping goes on without it" stream_goes_on 10.2.0.2 3
	echo "turin\$ wgscaled"
	daemon_start turin
	check "a new one starts, and finds everything as it should be" wait_up turin 120
	check "with the same devices" test "$before" = \
		"$(ip -n gw-turin -o link show type wireguard | cut -d : -f 1,2)"
	check "the ping goes on under it" stream_goes_on 10.2.0.2 1
	stream_stop 10.2.0.2
	read -r sent lost gap < <(stream_result 10.2.0.2)
	tell <<-END
		$lost of $sent packets lost, at most $gap s apart.
	END
	check "nothing was lost" test "$lost" = 0
}

# throughput: eight TCP connections for four seconds; sets mbps and used.
throughput() {
	local before

	before=$(packets turin)
	in_lan turin timeout 60 iperf3 -J -c 10.2.0.2 -P 8 -t 4 >$t/iperf ||
		fail "iperf3: $(jq -r .error $t/iperf)"
	mbps=$(jq '.end.sum_received.bits_per_second / 1e6 | floor' $t/iperf)
	used=$(busy "$(moved turin "$before")")
}

compare_lanes() {
	local mbps used name eight

	title "Eight lanes, one lane"
	tell <<-END
		iperf3 -P 8: eight TCP connections at full speed, first over eight tunnels. Then both
		site files say "lanes: 1", the cards are exchanged again, both daemons reload, and the
		same goes through a single tunnel, as with wg0.
	END
	throughput
	eight="$mbps $used"
	check "eight connections share more than one tunnel" test "$used" -gt 1
	for name in turin milan; do
		echo "$name\$ sed -i 's/lanes: 8/lanes: 1/' site.yaml"
		sed -i 's/lanes: 8/lanes: 1/' "$t/$name/etc/site.yaml"
	done
	cards_exchange turin milan
	wgs turin reload
	wgs milan reload
	check "one tunnel is left, and it is up" eventually 60 has_tunnels turin milan 1
	check "at both ends" eventually 60 has_tunnels milan turin 1
	wgs turin status
	throughput
	check "eight connections share it" test "$used" = 1
	# shellcheck disable=SC2086 # two words
	printf '\n  lanes   tunnels used   Mb/s\n  %5d   %12s   %4s\n  %5d   %12s   %4s\n' \
		8 ${eight#* } ${eight% *} 1 "$used" "$mbps"
	tell <<-END
		This is not a benchmark. $cpus do the work of both
		gateways, both hosts and the wide area, and no network card is involved. More tunnels
		can only put idle CPUs to work; where there are none, as in an emulated machine, it says
		nothing which number is larger. What is shown: the same connections run over one tunnel
		or over several. What that gains has to be measured on two real gateways with many
		cores, and is not promised here.
	END
	check "both were measured" test "$mbps" -gt 0 -a "${eight% *}" -gt 0
}

last_words() {
	local name

	for name in turin milan; do
		daemon_stop $name
	done
	title "What it means"
	tell <<-END
		Two sites share eight ordinary WireGuard tunnels as if they were one. Each connection
		stays in one tunnel, in order; many connections use many tunnels, and so, on a real
		gateway, many CPUs. A dead tunnel costs seconds for the connections in it, nothing for
		the others; a dead daemon costs nothing, as long as no tunnel dies meanwhile. One
		connection is still one tunnel's work, and gets no faster.
	END
	cat <<-'END'
		  README.md, "A packet's way"               how a packet finds its tunnel
		  README.md, "Two gateways, step by step"   the same on two machines
		  README.md, "Moving from wg0"              next to a tunnel that you have
		  README.md, "Limits of this version"       before you rely on it
		  tests/vm/run --shell                      a shell in such a machine; try

		    topo_init; site_add turin 1; site_add milan 2; secret turin; secret milan
		    site_file turin 8 milan; site_file milan 8 turin; sites_up turin milan
		    ctl turin status milan; lan_ping turin milan
	END
}

width=${COLUMNS:-80}
[ "$width" -ge 80 ] || width=80
cpus="$(nproc) CPUs"
[ "$(systemd-detect-virt -v 2>/dev/null)" != qemu ] || cpus+=" that QEMU emulates in software"
: >"$VM_OUT/steps"

make_sites
start_daemons
spread_flows
follow_flow
lose_tunnel
kill_daemon
compare_lanes
last_words
title
