#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# The net under the module: a wg-quick tunnel of somebody else carries traffic through installation,
# upgrade, rollback, a build for another kernel, one that is broken, and enforced signatures.
# module: yes
# check: no
# shellcheck source=../pair.sh
. "$REPO/tests/vm/lib.sh"
. "$REPO/tests/vm/pair.sh"

modules=/lib/modules/$KVER
config=/etc/wireguard/wg0.conf

# lean_modules: a tree of the few modules that this case needs, since a depmod of all takes minutes.
lean_modules() {
	local lean=$t/lean module path

	mkdir -p "$lean"
	cp "$modules"/modules.{order,builtin,builtin.modinfo} "$lean"
	for module in veth wireguard; do
		modprobe -C /dev/null --show-depends "$module"
	done | awk '{ print $2 }' | sort -u | while read -r path; do
		mkdir -p "$lean/${path%/*}"
		cp "$path" "$lean/${path%/*}"
	done
	cp -r "$lean$modules/." "$lean/"
	rm -r "${lean:?}/lib"
	mount --bind "$lean" "$modules"
	depmod "$KVER"
}

# tunnel_up / tunnel_down: by wg-quick at the left, by hand at the right; and every module goes.
tunnel_up() {
	ip netns exec left wg-quick up wg0 2>&1
	pair_device right 0
	pair_peer right 0
}

tunnel_down() {
	ip netns exec left wg-quick down wg0 2>&1
	ip -n right link del wg0
	modprobe -r wireguard
}

carries() {
	left ping -n -c 3 -i 0.2 -W 3 10.9.0.2
}

# is OURS|STOCK: which module is loaded.
is() {
	if [ "$1" = ours ]; then
		test -e /sys/module/wireguard/parameters/default_inline
	else
		test -e /sys/module/wireguard && test ! -e /sys/module/wireguard/parameters/default_inline
	fi
}

# reloaded WHICH DESC: the tunnel goes down and up, as at a boot.
reloaded() {
	tunnel_down >/dev/null
	tunnel_up >$t/up || fail "wg-quick: $(cat $t/up)"
	check "$2: the $1 module is loaded" is "$1"
	check "$2: the tunnel carries" eventually 10 carries
}

make_in() {
	make -s -C "$REPO" O=$t/build KVER="$KVER" "$@"
}

lean_modules
mkdir -p "$t/build/module/$KVER" "${config%/*}"
cp "$WGS_MODULE" "$t/build/module/$KVER/wireguard.ko"
modprobe veth
pair_wire
for side in left right; do
	(umask 077 && wg genkey >$pair_key.$side.0)
done
(umask 077 && cat >$config) <<END
[Interface]
PrivateKey = $(cat $pair_key.left.0)
ListenPort = 21820
Address = 10.9.0.1/24
[Peer]
PublicKey = $(wg pubkey <$pair_key.right.0)
AllowedIPs = 10.9.0.0/24
Endpoint = 192.0.2.2:21820
PersistentKeepalive = 25
END

tunnel_up >/dev/null
check "without us" is stock
check "the tunnel carries" eventually 10 carries
check "installed" make_in install-module
check "the tunnel carries on" carries
check "with the module it had" is stock
reloaded ours "after an installation"
check "installed again, in use" make_in install-module
check "the tunnel carries on" carries
reloaded ours "after an upgrade"

# A build for another build of this kernel, as after a security update of the same name.
objcopy --dump-section .modinfo=$t/modinfo "$modules/updates/wgscale-wireguard.ko"
sed -i 's/built_for=#1/built_for=#0/' $t/modinfo
objcopy --update-section .modinfo=$t/modinfo "$modules/updates/wgscale-wireguard.ko"
reloaded stock "a build for another kernel"
check "the kernel's log says why" eventually 5 \
	grep -q 'wgscale: inline module is for kernel build "#0' <(dmesg)

head -c 10000 "$WGS_MODULE" >"$modules/updates/wgscale-wireguard.ko"
reloaded stock "a broken build"
make_in install-module
reloaded ours "built again"

rm "$modules/updates/wgscale-wireguard.ko"
depmod "$KVER"
reloaded stock "no build for this kernel"
check "the kernel's log says why" grep -q "wgscale: no inline module for this kernel" <(dmesg)
make_in install-module
reloaded ours "built again"

check "removed, in use" make_in uninstall-module
check "the tunnel carries on" carries
reloaded stock "after a rollback"
check "nothing of it is left" test -z "$(find "$modules" /usr/local/lib -name '*wgscale*')"

make_in install-module
echo 1 >/sys/module/module/parameters/sig_enforce
reloaded stock "with enforced signatures"
check "the kernel's log says why" grep -q "wgscale: inline module cannot be loaded" <(dmesg)
tunnel_down >/dev/null
