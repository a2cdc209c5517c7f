#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# The test machine itself, booted by systemd: units, readiness, journal and sandboxing are real,
# and a unit enabled before the boot is started by it.
# init: systemd
# preboot: yes
# timeout: 300
# check: no

unit=/etc/systemd/system/wgscale-test.service

if [ "${1-}" = preboot ]; then
	cat >$unit <<-'END'
		[Unit]
		DefaultDependencies=no
		Before=network-pre.target
		Wants=network-pre.target
		[Service]
		Type=notify
		NotifyAccess=all
		ExecStart=/bin/sh -c 'echo started; systemd-notify --ready; exec sleep infinity'
		ProtectSystem=strict
		PrivateTmp=yes
		[Install]
		WantedBy=sysinit.target
	END
	systemctl enable wgscale-test.service
	exit
fi

# shellcheck source=../lib.sh
. "$REPO/tests/vm/lib.sh"

check "systemd is PID 1" grep -qx systemd /proc/1/comm
check "it is not taken for a container" not systemd-detect-virt --container
check "the boot has ended" timeout 30 systemctl is-system-running --wait
check "a unit enabled before the boot runs" systemctl is-active wgscale-test.service
check "the journal has what it said" eventually 10 bash -c \
	'journalctl -u wgscale-test.service -o cat | grep -qx started'
check "the machine's own services do not run" not systemctl -q is-active postgresql.service
check "a unit can be stopped" systemctl stop wgscale-test.service
check "a transient unit runs in a sandbox" systemd-run --wait -q -p ProtectSystem=strict \
	-p PrivateTmp=yes -p CapabilityBoundingSet=CAP_NET_ADMIN -- sh -c '! touch /etc/sandbox'
modprobe wireguard
check "a sandboxed unit may do what the daemon does" systemd-run --wait -q \
	-p CapabilityBoundingSet=CAP_NET_ADMIN -- ip link add wg0 type wireguard
systemctl list-units --no-pager --plain --no-legend --type=service --state=running
systemd-analyze time || :
