#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by ./kernel, ./kernel-debug and ./module: Debian's packages, unpacked and never installed.
# $what is who speaks.

# unavailable MESSAGE: nothing is wrong with the checkout, but there is nothing to test with.
unavailable() {
	echo "$what: $*" >&2
	exit 77
}

# need TOOL...
need() {
	local tool

	for tool in "$@"; do
		command -v "$tool" >/dev/null || unavailable "$tool is not installed; see tests/deps"
	done
}

# download DIR PACKAGE...: their .deb files.
download() {
	local package dir=$1

	shift
	for package in "$@"; do
		apt-cache show "$package" >/dev/null 2>&1 ||
			unavailable "$package is not in the package index; run apt-get update"
	done
	echo "$what: fetching $*" >&2
	(cd "$dir" && apt-get -qq -o APT::Sandbox::User=root download "$@" >&2) ||
		unavailable "cannot download $*; is there a network? run apt-get update"
}
