#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by the cases boot_*: turin boots, with systemd and the units as shipped, while its LAN and
# turin itself already send to milan's networks. From before the boot on, a capture at the other end
# of turin's uplink sees each packet that leaves. The last check takes everything of ours away: then
# the capture has to see packets, or it could see nothing.
#
#	boot_prepare good|broken|missing	before the boot: what its configuration is
#	boot_watch STATE			after it: turin comes to that state, and nothing leaked

# shellcheck source=lib.sh
. "$REPO/tests/vm/lib.sh"
# shellcheck source=booted.sh
. "$REPO/tests/vm/booted.sh"

capture=$t/turin/uplink

# away COMMAND...: in the background, and not a job of this shell: it outlives the preboot phase.
away() {
	setsid "$@" </dev/null >>"$t/away" 2>&1 &
	disown
}

# knock [NAMESPACE]: UDP to milan's host, IPv4 and IPv6, 25 times a second each, answered or not.
knock() {
	# shellcheck disable=SC2016 # Perl's variables
	away ip netns exec "$1" perl -MSocket -MTime::HiRes=sleep -e '
		socket(my $s4, PF_INET, SOCK_DGRAM, 0) or die;
		socket(my $s6, PF_INET6, SOCK_DGRAM, 0) or die;
		my $to4 = pack_sockaddr_in(7001, inet_aton("10.2.0.2"));
		my $to6 = pack_sockaddr_in6(7001, Socket::inet_pton(AF_INET6, "fd00:2::2"));
		while (1) {
			send($s4, "knock", 0, $to4);
			send($s6, "knock", 0, $to6);
			sleep 0.04;
		}'
}

captures_listen() {
	[ "$(grep -c "listening on" "$t/away")" = 2 ]
}

turin_files() {
	cat >/etc/wgscale/site.yaml <<-'END'
		site: turin
		lanes: 4
		endpoint: 192.0.2.1
		networks: [10.1.0.0/16, "fd00:1::/32"]
		peers:
		  milan:
	END
	wgscalectl keygen /etc/wgscale/site.secret
}

# accepted_once: a daemon has run on these files: not here, so that nothing of it is left.
accepted_once() {
	local pid

	ns_add once
	mkdir -p "$t/once"
	setsid ip netns exec once wgscaled --runtime-dir "$t/once" >"$t/once/log" 2>&1 &
	pid=$!
	eventually 60 wgscalectl --runtime-dir "$t/once" wait --state settled --timeout 60
	check "the configuration was accepted" eventually 30 test -e /var/lib/wgscale/accepted
	kill -TERM $pid
	wait $pid
	ip netns delete once
}

boot_prepare() {
	units_install
	networkd_files
	topo_init
	turin_links
	site_add milan 2
	turin_files
	secret milan
	site_file milan 4 turin
	wgscalectl card >"$t/milan/etc/peers.d/turin.yaml"
	card milan >/etc/wgscale/peers.d/milan.yaml
	case $1 in
	good) ;;
	broken)
		accepted_once
		echo "peers: [" >>/etc/wgscale/site.yaml
		;;
	missing)
		accepted_once
		rm /etc/wgscale/site.yaml
		;;
	esac
	away ip netns exec gw-milan wgscaled --config "$t/milan/etc/site.yaml" \
		--state-dir "$t/milan/lib" --runtime-dir "$t/milan/run"
	away ip netns exec wan tcpdump -Z root -nltq --immediate-mode -i w-turin -w "$capture" \
		'net 10.0.0.0/8 or net fd00::/8 or udp dst port 9'
	away ip netns exec lan-turin tcpdump -Z root -nlqtt --immediate-mode -i eth0 \
		'icmp[icmptype] == icmp-unreach or icmp6[icmp6type] == icmp6-destinationunreach'
	eventually 20 captures_listen >/dev/null
	knock lan-turin
	knock gw-turin
	systemctl enable wgscaled.service systemd-networkd.service
}

# leaked: what of the sites has left the uplink in clear, so far.
leaked() {
	tcpdump -nqr "$capture" 'net 10.0.0.0/8 or net fd00::/8' 2>/dev/null
}

leaked_any() {
	[ "$(leaked | wc -l)" -gt 10 ]
}

leaked_nothing() {
	local seen

	# Seen: so everything before it was seen.
	echo end >/dev/udp/192.0.2.254/9
	eventually 20 eval 'tcpdump -nqr "$capture" "udp dst port 9" 2>/dev/null | grep -q .'
	seen=$(leaked)
	echo "$seen" | head -n 10
	[ -z "$seen" ]
}

# refused_before: in seconds since boot, when the LAN was first told that milan is unreachable.
refused_before() {
	local first boot

	first=$(grep -m 1 unreachable "$t/away" | cut -d ' ' -f 1)
	boot=$(awk '/^btime/ { print $2 }' /proc/stat)
	[ -n "$first" ] && awk -v first="$first" -v boot="$boot" -v end="$1" \
		'BEGIN { printf "refused at %.1f s, daemon ready at %.1f s\n", first - boot, end
			exit !(first - boot < end + 1) }'
}

milan_answers() {
	in_lan turin ping -n -c 1 -W 1 10.2.0.2 && in_lan turin ping -n -c 1 -W 1 fd00:2::2
}

# comes_to STATE: or says what it lacks.
comes_to() {
	wgscalectl wait --state "$1" --timeout 60 && return
	wgscalectl status
	wgscalectl status milan
	grep -v unreachable "$t/away"
	ip -br addr
	return 1
}

boot_watch() {
	local ready

	check "the guard ran" systemctl is-active wgscale-guard
	check "the daemon is started by the boot" eventually 90 systemctl is-active wgscaled
	ready=$(systemctl show wgscaled -P ActiveEnterTimestampMonotonic)
	check "turin is $1" comes_to "$1"
	check "milan answers the LAN" eventually 60 milan_answers
	check "before the daemon was ready, the LAN was refused" \
		eval 'refused_before $((ready / 1000000)) | tee /dev/stderr'
	check "nothing has left in clear" leaked_nothing
	check "stop" systemctl stop wgscaled
	check "still nothing" leaked_nothing
	check "down" wgscalectl down --yes
	check "in clear once all is gone: the capture sees it" eventually 20 leaked_any
}
