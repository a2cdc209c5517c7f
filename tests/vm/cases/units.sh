#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The units as they are shipped, on a booted systemd: the guard is there before the network, the
# daemon works in its sandbox, is started again after a crash, and not after a refused
# configuration; the secret can be an encrypted credential.
# init: systemd
# preboot: yes
# timeout: 300
# check: 6.12

# shellcheck source=../booted.sh
. "$REPO/tests/vm/booted.sh"

if [ "${1-}" = preboot ]; then
	set -e
	units_install
	mkdir /root/milan
	cat >/root/milan/site.yaml <<-END
		site: milan
		lanes: 4
		networks: [10.2.0.0/16, "fd00:2::/32"]
	END
	cat >/etc/wgscale/site.yaml <<-END
		site: turin
		lanes: 4
		networks: [10.1.0.0/16]
		threaded: on
		peers: {milan: }
	END
	wgscalectl keygen /root/milan/site.secret
	wgscalectl keygen /etc/wgscale/site.secret
	wgscalectl --config /root/milan/site.yaml --state-dir /root/milan card \
		>/etc/wgscale/peers.d/milan.yaml
	systemctl enable wgscaled.service
	exit
fi

# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

active_since() { systemctl show -P ActiveEnterTimestampMonotonic "$1"; }
main_pid() { systemctl show -P MainPID wgscaled; }
inside() { nsenter -t "$(main_pid)" -m -- "$@"; }
lanes() { wg show interfaces | wc -w; }
settled() { wgscalectl wait --state settled --timeout 60; }

check "the units are sound" systemd-analyze verify --man=no wgscaled.service wgscale-guard.service
check "the guard has run" systemctl is-active wgscale-guard
check "before network-pre.target" \
	test "$(active_since wgscale-guard)" -lt "$(active_since network-pre.target)"
check "the daemon is started by the boot" eventually 60 systemctl is-active wgscaled
check "after the guard" test "$(active_since wgscale-guard)" -lt "$(active_since wgscaled)"
check "it settles" settled

check "devices" test "$(lanes)" = 4
check "rp_filter is written" grep -qx 2 /proc/sys/net/ipv4/conf/wgs3/rp_filter
check "threaded is written" grep -qx 1 /sys/class/net/wgs3/threaded
check "the socket is the group's" \
	test "$(stat -c %U:%G:%a /run/wgscale/control.sock)" = root:wgscale:660
check "the state is root's" test "$(stat -c %U:%G:%a /var/lib/wgscale)" = root:root:700
check_not "other settings of the kernel are closed" \
	inside sh -c 'echo x >/proc/sys/kernel/core_pattern'
check_not "/etc is closed" inside touch /etc/wgscale/x
check "three capabilities" grep -q '^CapBnd:	0*3001$' "/proc/$(main_pid)/status"
check "reload" systemctl reload wgscaled

pid=$(main_pid)
kill -SEGV "$pid"
check "a crash is mended" eventually 20 bash -c \
	"systemctl is-active -q wgscaled && [ \$(systemctl show -P MainPID wgscaled) != $pid ]"
check "it settles" settled
check "stop" systemctl stop wgscaled
check "the devices stay" test "$(lanes)" = 4
check "the guard stays" nft list table inet wgscale_guard

sysctl -qw net.ipv6.conf.default.disable_ipv6=1
check "down" wgscalectl down --yes
check "start" systemctl start wgscaled
check "it settles" settled
check "IPv6 is on where new devices have none" eval 'ip -6 addr show dev wgs0 | grep -q fe80'

cp /etc/wgscale/site.yaml /root/site.yaml
echo 'nonsense: 1' >>/etc/wgscale/site.yaml
check_not "reload is refused" systemctl reload wgscaled
check "a restart goes by the accepted one" systemctl restart wgscaled
check "and says so" eval 'wgscalectl status | grep -q "last accepted"'
systemctl stop wgscaled
mv /var/lib/wgscale/accepted /root/accepted
check_not "with nothing to go by it does not start" systemctl start wgscaled
sleep 4
check "status 78" test "$(systemctl show -P ExecMainStatus wgscaled)" = 78
check "and is not tried again" test "$(systemctl show -P ActiveState wgscaled)" = failed
cp /root/site.yaml /etc/wgscale/site.yaml
mv /root/accepted /var/lib/wgscale/

key=$(wg show wgs0 public-key)
install -d -m 700 /etc/credstore.encrypted
systemd-creds setup
systemd-creds encrypt --name=site.secret /etc/wgscale/site.secret \
	/etc/credstore.encrypted/wgscale.secret
rm /etc/wgscale/site.secret
check "start with a credential" systemctl start wgscaled
check "it settles" settled
check "the same keys" test "$(wg show wgs0 public-key)" = "$key"
check "check with a credential" systemd-run -q --pipe --wait \
	-p LoadCredentialEncrypted=site.secret:wgscale.secret wgscalectl check
check "the guard does without" systemctl restart wgscale-guard
