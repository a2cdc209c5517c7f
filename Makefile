# SPDX-License-Identifier: GPL-2.0-only
# wgscale: one Makefile, no configure. Quiet unless V=1. `make help` lists the targets.

VERSION  = 0.1
CC       = gcc
AR       = ar
O       ?= build
V       ?= 0
Q        = $(if $(filter 1,$(V)),,@)
say      = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(2)')

OPT     ?= -O2 -g
WARN     = -Wall -Wextra -Werror -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wformat=2 \
	   -Wvla -Wswitch-enum -Wno-unused-parameter
HARDEN   = -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fstack-clash-protection -fPIE \
	   -fcf-protection
CPPFLAGS = -D_GNU_SOURCE -DWGSCALE_VERSION='"$(VERSION)"' -Idaemon -I$(O)
CFLAGS   = -std=gnu11 $(OPT) $(WARN) $(HARDEN) -pthread
LDFLAGS  = -pie -Wl,-z,relro,-z,now -pthread

# The pure core: no system calls, clock, logging; links with libyaml and libsodium alone.
CORE     = arena text addr diag key config config_net config_yaml card keys pair flow map site \
	   world want want_nft plan nft_rule health toeplitz override
# One kernel interface each.
ADAPTERS = nl nl_events wg mode rtnl rtnl_encode nft nft_expr nft_set nft_txn sysctl ethtool ethtool_nic kernel
# Files and the rest of the outside, shared by daemon and control tool.
SHARED   = state carried unconfirmed override_file
EDGES    = main lifecycle guard gateway monitor endpoints reconcile watch worker control \
	   service modes log probe resolve
CTL      = main client render table commands offline

CORE_O   = $(CORE:%=$(O)/daemon/%.o)
ADAPT_O  = $(ADAPTERS:%=$(O)/daemon/%.o)
SHARED_O = $(SHARED:%=$(O)/daemon/%.o)
EDGE_O   = $(EDGES:%=$(O)/daemon/%.o)
CTL_O    = $(CTL:%=$(O)/ctl/%.o)

CORE_LIBS  = -lyaml -lsodium
KERN_LIBS  = -lmnl -lnftnl
ALL_LIBS   = $(CORE_LIBS) $(KERN_LIBS) -ljansson -lev -lsystemd

UNIT     = $(patsubst tests/unit/%.c,$(O)/tests/unit/%,$(wildcard tests/unit/*.c))

all: $(O)/wgscaled $(O)/wgscalectl

$(O)/wgscaled: $(EDGE_O) $(SHARED_O) $(ADAPT_O) $(O)/libcore.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(ALL_LIBS)

$(O)/wgscalectl: $(CTL_O) $(SHARED_O) $(ADAPT_O) $(O)/libcore.a
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(CORE_LIBS) $(KERN_LIBS) -ljansson

$(O)/libcore.a: $(CORE_O)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# The description of the control interface, as a C string.
$(O)/varlink_text.h: daemon/io.wgscale.varlink
	$(call say,GEN,$@)
	$(Q)mkdir -p $(@D) && sed 's,[\\"],\\&,g; s,.*,"&\\n",' $< > $@

$(O)/daemon/control.o: $(O)/varlink_text.h

$(O)/%.o: %.c
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# A unit test says what it links besides the core in a line "// link: daemon/x.o ... -lfoo". What
# several of them share is a prerequisite of all: of many sources, gcc notes one's headers only.
$(O)/tests/unit/%: tests/unit/%.c $(wildcard tests/*.[ch] tests/unit/*.h) $(O)/libcore.a \
		$(SHARED_O) $(ADAPT_O) $(EDGE_O) $(CTL_O)
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) -Itests $(CFLAGS) -MMD -MP -o $@ $< \
		$$(sed -n 's,^// link: ,,p' $< | sed -E 's,\b(daemon|ctl)/,$(O)/\1/,g') \
		$(O)/libcore.a $(CORE_LIBS) -lcmocka $(LDFLAGS)

-include $(shell find $(O) -type f -name '*.d' 2>/dev/null)

# ---- tests ----

# The two commands for a fresh machine. They build only after what they need is installed.
check: deps-check
	@$(MAKE) --no-print-directory all lint analyze unit bench-selftest
	@VM_SLOW=2 tests/run $(if $(shell tests/deps vm >/dev/null 2>&1 && [ "$$(id -u)" = 0 ] && echo yes), \
		--vm "-j 2 --check") $(sort $(UNIT))

demo: deps-demo
	@$(MAKE) --no-print-directory all
	@BUILD=$(abspath $(O)) tests/demo/run

# Every case on every kernel, and campaigns: hours, not minutes.
check-long: deps-check
	@$(MAKE) --no-print-directory all lint analyze unit
	@VM_SLOW=2 PROPERTY_RUNS=10000 tests/run --vm "-j 2" $(sort $(UNIT))
	@VM_SLOW=2 tests/run --vm "-j 2 --long"

# What tunnels cost in each mode: minutes to an hour; see tests/bench/run for what can be set.
bench: deps-bench
	@BUILD=$(abspath $(O)) tests/bench/run

# Its tables of recorded numbers.
bench-selftest:
	$(call say,TEST,tests/bench/report.py)
	$(Q)tests/bench/selftest

# The module on kernels that check themselves: an hour to build them, once, and then hours.
DEBUG_KERNELS = 6.1-debug 6.12-debug
DEBUG_CASES   = module long_netns_vanilla long_netns_inline long_netns_flip long_removal
check-debug: deps-debug all
	@bad=0; for kernel in $(DEBUG_KERNELS); do \
		VM_SLOW=6 BUILD=$(abspath $(O)) tests/vm/run -k $$kernel $(DEBUG_CASES) || bad=1; \
	done; exit $$bad

unit: $(UNIT)

lint: $(O)/libcore.a $(O)/varlink_text.h
	$(call say,LINT,)
	$(Q)tests/lint $(O)/libcore.a "$(CORE)" "$(ADAPTERS)"

# The compiler's own path analysis, of the core.
analyze: $(CORE:%=$(O)/analyze/%.ok)
$(O)/analyze/%.ok: daemon/%.c
	$(call say,ANALYZE,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(CPPFLAGS) $(CFLAGS) -fanalyzer -MMD -MP -MF $@.d -MT $@ \
		-c -o /dev/null $< && touch $@

deps-check:
	@tests/deps build check
	@tests/deps vm || echo "going on without the tests in virtual machines"

deps-debug:
	@tests/deps build vm debug

deps-demo:
	@tests/deps build vm

deps-bench:
	@tests/deps vm bench

# ---- the kernel module ----

# See module/README.md: headers of the kernel and its source have to be there.
KVER         ?= $(shell uname -r)
MODULE        = $(O)/module/$(KVER)/wireguard.ko

module: $(MODULE)

$(MODULE): $(wildcard module/*.[ch] module/patches/*/*) module/prepare module/Makefile
	$(call say,MODULE,$@)
	$(Q)$(MAKE) --no-print-directory -C module KVER=$(KVER) OUT=$(abspath $(@D)) V=$(V)

# ---- installation ----

PREFIX       ?= /usr/local
SBINDIR      ?= $(PREFIX)/sbin
BINDIR       ?= $(PREFIX)/bin
MANDIR       ?= $(PREFIX)/share/man
LIBDIR       ?= $(PREFIX)/lib
UNITDIR      ?= $(LIBDIR)/systemd/system
SYSUSERSDIR  ?= $(LIBDIR)/sysusers.d
TMPFILESDIR  ?= $(LIBDIR)/tmpfiles.d
NETWORKDIR   ?= $(LIBDIR)/systemd/network
MODPROBEDIR  ?= $(LIBDIR)/modprobe.d
MODULEDIR    ?= /lib/modules/$(KVER)/updates
DKMSDIR      ?= /usr/src/wgscale-$(VERSION)
# NetworkManager reads no other place of programs.
NMCONFDIR    ?= /usr/lib/NetworkManager/conf.d
DOCDIR       ?= $(PREFIX)/share/doc/wgscale

UNITS        = wgscaled.service wgscale-guard.service
INSTALLED    = $(SBINDIR)/wgscaled $(BINDIR)/wgscalectl $(UNITS:%=$(UNITDIR)/%) \
	       $(SYSUSERSDIR)/wgscale.conf $(TMPFILESDIR)/wgscale.conf \
	       $(NETWORKDIR)/10-wgscale.network $(NMCONFDIR)/wgscale.conf \
	       $(MANDIR)/man8/wgscaled.8 $(MANDIR)/man1/wgscalectl.1 $(MANDIR)/man5/wgscale.yaml.5 \
	       $(DOCDIR)/site.yaml $(DOCDIR)/card.yaml

# What the folders are called in a file *.in: every name, wherever it stands.
FILL = sed 's,@SBINDIR@,$(SBINDIR),g; s,@BINDIR@,$(BINDIR),g; s,@LIBDIR@,$(LIBDIR),g; \
	s,@DKMSDIR@,$(DKMSDIR),g; s,@VERSION@,$(VERSION),g'

# Site files, cards and secrets are the operator's: neither made nor removed here.
install: all
	install -D -m 0755 $(O)/wgscaled $(DESTDIR)$(SBINDIR)/wgscaled
	install -D -m 0755 $(O)/wgscalectl $(DESTDIR)$(BINDIR)/wgscalectl
	@for unit in $(UNITS); do \
		install -d $(DESTDIR)$(UNITDIR) && \
		$(FILL) systemd/$$unit.in > $(DESTDIR)$(UNITDIR)/$$unit || exit 1; done
	install -D -m 0644 systemd/wgscale.sysusers $(DESTDIR)$(SYSUSERSDIR)/wgscale.conf
	install -D -m 0644 systemd/wgscale.tmpfiles $(DESTDIR)$(TMPFILESDIR)/wgscale.conf
	install -D -m 0644 systemd/10-wgscale.network $(DESTDIR)$(NETWORKDIR)/10-wgscale.network
	install -D -m 0644 systemd/wgscale-networkmanager.conf $(DESTDIR)$(NMCONFDIR)/wgscale.conf
	install -D -m 0644 daemon/wgscaled.8 $(DESTDIR)$(MANDIR)/man8/wgscaled.8
	install -D -m 0644 ctl/wgscalectl.1 $(DESTDIR)$(MANDIR)/man1/wgscalectl.1
	install -D -m 0644 daemon/wgscale.yaml.5 $(DESTDIR)$(MANDIR)/man5/wgscale.yaml.5
	install -D -m 0644 etc/site.yaml $(DESTDIR)$(DOCDIR)/site.yaml
	install -D -m 0644 etc/peers.d/paris.yaml $(DESTDIR)$(DOCDIR)/card.yaml

uninstall:
	rm -f $(INSTALLED:%=$(DESTDIR)%)
	rmdir --ignore-fail-on-non-empty $(DESTDIR)$(DOCDIR) 2>/dev/null || true

# The net under the module: whatever becomes of it, the stock one is loaded.
install-loader:
	install -D -m 0755 module/load-wireguard $(DESTDIR)$(LIBDIR)/wgscale/load-wireguard
	install -d $(DESTDIR)$(MODPROBEDIR)
	$(FILL) module/wgscale-modprobe.conf.in > $(DESTDIR)$(MODPROBEDIR)/wgscale.conf

# For one kernel; install-dkms is for all, and those to come. It is in use once no WireGuard device
# is left and the module is loaded again, at the latest after a reboot.
install-module: $(MODULE) install-loader
	install -d $(DESTDIR)$(MODULEDIR)
	strip --strip-debug -o $(DESTDIR)$(MODULEDIR)/wgscale-wireguard.ko $(MODULE)
	$(if $(DESTDIR),,depmod $(KVER))

install-dkms: install-loader
	install -d $(DESTDIR)$(DKMSDIR)
	cp -r module/Makefile module/prepare module/*.[ch] module/patches $(DESTDIR)$(DKMSDIR)/
	$(FILL) module/dkms.conf.in > $(DESTDIR)$(DKMSDIR)/dkms.conf
	$(if $(DESTDIR),,dkms remove wgscale/$(VERSION) --all >/dev/null 2>&1 || true)
	$(if $(DESTDIR),,dkms add wgscale/$(VERSION) && dkms install wgscale/$(VERSION) -k $(KVER))

# A module that is loaded stays until it is unloaded, or the machine boots again.
uninstall-module:
	$(if $(DESTDIR),,! command -v dkms >/dev/null || dkms remove wgscale/$(VERSION) --all || true)
	rm -rf $(DESTDIR)$(DKMSDIR)
	rm -f $(DESTDIR)$(MODPROBEDIR)/wgscale.conf $(DESTDIR)$(LIBDIR)/wgscale/load-wireguard \
		$(DESTDIR)$(MODULEDIR)/wgscale-wireguard.ko
	rmdir $(DESTDIR)$(LIBDIR)/wgscale 2>/dev/null || true
	$(if $(DESTDIR),,depmod $(KVER))

clean:
	$(Q)rm -rf $(O)

help:
	@echo "make            wgscaled and wgscalectl, in $(O)/"
	@echo "make demo       two gateways in a virtual machine, real traffic, a short story"
	@echo "make check      within half an hour: units, and the main cases in virtual machines"
	@echo "make check-long every case on every kernel, and the campaigns: hours"
	@echo "make bench      throughput and cost of each mode, in virtual machines: tables, CSV, SVG"
	@echo "make check-debug the module on kernels that check themselves (KASAN, lockdep): hours"
	@echo "make lint analyze unit   the parts of check that need no virtual machine"
	@echo "make install    DESTDIR, PREFIX, UNITDIR and more; uninstall undoes it"
	@echo "make module     the kernel module for KVER (this kernel), in $(O)/module/KVER/"
	@echo "make install-module, install-dkms   for KVER; for all kernels. uninstall-module undoes both"
	@echo "V=1 shows the commands, O=DIR builds elsewhere, DEPS=no installs no packages"

.PHONY: all check demo check-long check-debug bench bench-selftest unit lint analyze deps-check deps-demo \
	deps-bench deps-debug module install uninstall \
	install-loader install-module install-dkms uninstall-module clean help
.DELETE_ON_ERROR:
.SECONDARY:
