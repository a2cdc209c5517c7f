#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by cases with "init: systemd": the units as they are shipped, and the machine itself as
# the gateway of turin, in the topology of lib.sh. What has to happen before the boot needs no lib.

# units_install: with the programs of this build. Copied, as the sandbox hides /tmp and homes,
# where the checkout may be.
units_install() {
	local path

	install -t /usr/local/sbin "$BUILD/wgscaled"
	install -t /usr/local/bin "$BUILD/wgscalectl"
	for path in "$REPO"/systemd/*.service.in; do
		sed -e 's,@SBINDIR@,/usr/local/sbin,g' -e 's,@BINDIR@,/usr/local/bin,g' "$path" \
			>"/etc/systemd/system/$(basename "$path" .in)"
	done
	mkdir -p /etc/systemd/network
	cp "$REPO/systemd/10-wgscale.network" /etc/systemd/network/
	systemd-sysusers "$REPO/systemd/wgscale.sysusers"
	systemd-tmpfiles --create "$REPO/systemd/wgscale.tmpfiles"
}

# turin_links: the links of site_add for turin, with this namespace as the gateway: down, and
# without addresses there, so that a boot can configure them; up at their other ends.
turin_links() {
	ip netns attach gw-turin 1
	mkdir -p "$t/turin/etc/peers.d" "$t/turin/lib" "$t/turin/run"
	echo 1 >"$t/turin/idx"
	ns_add lan-turin
	ip -n wan link add w-turin type veth peer name eth0 netns gw-turin
	ip -n wan link set w-turin master br0 up
	ip link add lan0 type veth peer name eth0 netns lan-turin
	ip -n lan-turin -batch - <<-'END'
		addr add 10.1.0.2/24 dev eth0
		addr add fd00:1::2/64 dev eth0 nodad
		link set eth0 up
		route add default via 10.1.0.1
		route add default via inet6 fd00:1::1 dev eth0
	END
}

# turin_up: and configures them.
turin_up() {
	ip -batch - <<-'END'
		addr add 192.0.2.1/24 dev eth0
		addr add 2001:db8::1/64 dev eth0 nodad
		link set eth0 up
		route add default via 192.0.2.254
		route add default via inet6 2001:db8::fe
		addr add 10.1.0.1/24 dev lan0
		addr add fd00:1::1/64 dev lan0 nodad
		link set lan0 up
	END
	sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# networkd_files: lets systemd-networkd do that instead. There is no udev here, for which it waits
# where /sys can be written to.
networkd_files() {
	mkdir -p /etc/systemd/system/systemd-networkd.service.d
	printf '%s\n' '[Service]' 'ReadOnlyPaths=/sys' \
		>/etc/systemd/system/systemd-networkd.service.d/no-udev.conf
	cat >/etc/systemd/network/50-eth0.network <<-'END'
		[Match]
		Name=eth0
		[Network]
		Address=192.0.2.1/24
		Address=2001:db8::1/64
		Gateway=192.0.2.254
		Gateway=2001:db8::fe
		IPv6AcceptRA=no
	END
	cat >/etc/systemd/network/50-lan0.network <<-'END'
		[Match]
		Name=lan0
		[Network]
		Address=10.1.0.1/24
		Address=fd00:1::1/64
		IPv6AcceptRA=no
		ConfigureWithoutCarrier=yes
	END
	printf '%s\n' net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
		net.ipv6.conf.default.accept_dad=0 >/etc/sysctl.d/50-forward.conf
}
