# SPDX-License-Identifier: GPL-2.0-only OR MIT
#
# gcheap's build. `make help` lists the targets. Everything is made under build/; sources are only read.
#
# This file owns how each part is compiled and linked. What has to be installed first is scripts/setup's affair, virtual
# machines are vm/run's, and running and counting tests is selftests/run's.

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDEXPANSION:

ifeq ($(origin O),command line)
$(error there is no O=: everything is made under build/ of this tree. For a second build folder take a git worktree)
endif

# Names as words of the shell, whatever is in them.
quote = '$(subst ','\'',$(1))'

VERSION := $(shell cat VERSION)
SOVERSION := 0
B := build

PREFIX ?= /usr/local
DESTDIR ?=
INCLUDEDIR ?= $(PREFIX)/include
LIBDIR ?= $(PREFIX)/lib
BINDIR ?= $(PREFIX)/bin
MANDIR ?= $(PREFIX)/share/man
UDEVDIR ?= /usr/lib/udev/rules.d
SRCDIR ?= /usr/src

CFLAGS ?= -O2 -g
WERROR ?= -Werror
PYTHON ?= python3

# make V=1 shows the commands.
ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n' $(1) $(patsubst $(B)/%,%,$(2))
endif

.PHONY: all help lib module tools examples bench-programs device-bench-programs tests kselftests sparse run check check-all check-kernels check-bare check-debug check-kcsan soak bench install install-lib install-module uninstall uninstall-lib uninstall-module clean
all: lib module tools examples

help:
	@echo 'make                 library, modules for the installed kernel headers, tools, examples'
	@echo 'make run             installs what is missing, builds, runs the examples on /dev/gcheap in a VM'
	@echo 'make check           installs what is missing, builds, tests: what to run before a commit; ends with the count'
	@echo 'make check-all       everything: all kernels, also those that look for errors; hours'
	@echo 'make check-kernels   kselftests and examples on each kernel, a line for each at the end'
	@echo 'make check-debug     of these, what needs /dev/gcheap, on a kernel with KASAN, lockdep, kmemleak; builds that first'
	@echo 'make check-kcsan     what runs in several threads, on a kernel with KCSAN; builds that first'
	@echo 'make check-bare      make run and make check on a bare Debian 12 made in a folder; needs root'
	@echo 'make soak            heaps at work in a full memory cgroup: [SOAK_MINUTES=30] [SOAK_SEED=] [SOAK_LIMIT=128] [SOAK_KERNEL=6.12]'
	@echo 'make bench           benchmarks beside the peers; those of the module: scripts/bench-device'
	@echo 'make lib | module [KDIR=...] | tools | examples | tests | kselftests | sparse'
	@echo 'make bench-programs | device-bench-programs'
	@echo 'make install         [DESTDIR=] [PREFIX=/usr/local]: install-lib, below PREFIX, and install-module, the source for DKMS'
	@echo '                     and the udev rule, in /usr'
	@echo 'make uninstall       removes what make install has put there, with the same options'
	@echo 'make clean'
	@echo '                     V=1 shows the commands of any of these; CC=clang builds all but the module with clang.'
	@echo '                     There is no O=: everything is made under build/ of the tree (a git worktree is a second one)'

# ---- flavours: the same sources, compiled for different ends --------------------------------------------------
#
# normal is what programs link with. The others keep all symbols and are for tests. A new one is a line here and in
# `flavours`.

# clang's -Wextra has an opinion on static_assert() without words, and what gcc says of fences it does not know.
flags_clang := -Wno-c2x-extensions -Wno-unknown-warning-option
is_clang := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

flavours := normal asan tsan fuzz
flags_normal := $(CFLAGS)
flags_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
flags_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread -Wno-tsan
# libFuzzer comes with clang alone.
flags_fuzz := $(flags_asan) -fsanitize=fuzzer-no-link $(flags_clang)
cc_fuzz := clang-14

base_flags := -std=gnu11 -fvisibility=hidden -fno-strict-aliasing -fPIC -pthread -Wall -Wextra $(WERROR) \
	$(if $(is_clang),$(flags_clang)) -DGCHEAP_VERSION='"$(VERSION)"' -MMD -MP
# Sources of the library see each other and common/, and lib/backend takes the core's headers by their path; the core and
# its tests see common/, and nothing of the library; examples, tools and benchmarks see what any program would.
flags_internal := -Ilib -Ilib/include -Icommon -Iuapi
flags_core := -Ikmod/core -Icommon -Iuapi
flags_public := -Ilib/include
views := internal core public

# Made anew when a flag or the compiler changes: all that is compiled depends on it. So when liburing comes or goes,
# which the library does without.
has_liburing := $(shell printf '\043if __has_include(<liburing.h>)\nliburing\n\043endif\n' | $(CC) -E -P -x c - 2>&1)
flags_stamp := $(B)/.flags
flags_now := $(shell $(CC) -dumpfullversion -dumpmachine 2>&1 | tr '\n' ' ') $(base_flags) \
	$(foreach name,$(views) $(flavours),$(flags_$(name))) $(has_liburing)
ifneq ($(file <$(flags_stamp)),$(strip $(flags_now)))
$(shell mkdir -p $(B))
$(file >$(flags_stamp),$(strip $(flags_now)))
endif

define object_rule
$(B)/obj/$(1)/$(2)/%.o: %.c $(flags_stamp)
	$$(call say,CC,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(or $$(cc_$(1)),$$(CC)) $$(base_flags) $$(flags_$(1)) $$(flags_$(2)) -c -o $$@ $$<
endef
$(foreach flavour,$(flavours),$(foreach view,$(views),$(eval $(call object_rule,$(flavour),$(view)))))

# $(call objects,FLAVOUR,VIEW,SOURCES)
objects = $(3:%.c=$(B)/obj/$(1)/$(2)/%.o)

# $(call program,OUTPUT,FLAVOUR,OBJECTS,LIBRARIES): a rule that links a program. Libraries that are files are also
# prerequisites.
define program
$(1): $(3) $(filter %.a %.so,$(4))
	$$(call say,LINK,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)$$(or $$(cc_$(2)),$$(CC)) $$(flags_$(2)) -pthread -o $$@ $(3) $(4) $$(LDFLAGS)
endef

# Programs are made anew when the list of their sources changes.
define source_list
ifneq ($$(file <$(B)/.sources-$(1)),$$(strip $(2)))
$$(file >$(B)/.sources-$(1),$$(strip $(2)))
endif
endef

# ---- the library ---------------------------------------------------------------------------------------------

lib_sources := $(sort $(wildcard lib/*.c lib/*/*.c))
core_sources := $(sort $(wildcard common/*.c kmod/core/*.c))
$(eval $(call source_list,library,$(lib_sources) $(core_sources)))

# $(call library_objects,FLAVOUR)
library_objects = $(call objects,$(1),internal,$(lib_sources)) $(call objects,$(1),core,$(core_sources))

static_lib := $(B)/lib/libgcheap.a
shared_lib := $(B)/lib/libgcheap.so
asan_lib := $(B)/asan/libgcheap.a
tsan_lib := $(B)/tsan/libgcheap.a

lib: $(static_lib) $(shared_lib)

# One object in which only the interface has names that others can see.
$(B)/lib/gcheap.o: $(call library_objects,normal) $(B)/.sources-library
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(LD) -r -o $@.all $(filter %.o,$^)
	$(Q)objcopy --wildcard --keep-global-symbol='gcheap_*' $@.all $@
	$(Q)rm -f $@.all

$(static_lib): $(B)/lib/gcheap.o
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcsD $@ $<

$(shared_lib).$(SOVERSION): $(call library_objects,normal) lib/libgcheap.map $(B)/.sources-library
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(flags_normal) -shared -pthread -Wl,-soname,$(@F) -Wl,--version-script=lib/libgcheap.map \
		-Wl,-z,defs -Wl,-z,now -Wl,-z,relro -o $@ $(filter %.o,$^) $(LDFLAGS)

$(shared_lib): $(shared_lib).$(SOVERSION)
	$(Q)ln -sf $(<F) $@

define sanitized_lib
$(B)/$(1)/libgcheap.a: $(call library_objects,$(1)) $(B)/.sources-library
	$$(call say,AR,$$@)
	$$(Q)mkdir -p $$(@D)
	$$(Q)rm -f $$@
	$$(Q)$$(AR) rcsD $$@ $$(filter %.o,$$^)
endef
$(foreach flavour,$(filter-out normal,$(flavours)),$(eval $(call sanitized_lib,$(flavour))))

# ---- the module ----------------------------------------------------------------------------------------------

ifdef KDIR
module_dirs := $(KDIR)
else
# The supported series that scripts/setup has fetched, and the running kernel when its headers are installed.
module_dirs := $(shell . scripts/common.sh; for kernel in $$(kernels_here); do \
	echo "$$(kernel_dir $$kernel)/build"; done) \
	$(wildcard /lib/modules/$(shell uname -r)/build)
endif

# $(call release,KDIR): the kernel release that modules built there are for.
release = $(or $(shell sed -n 's/^.define UTS_RELEASE "\(.*\)"/\1/p' $(1)/include/generated/utsrelease.h),$(error \
	no configured kernel in $(1)))
modules := $(foreach dir,$(module_dirs),$(B)/module/$(call release,$(dir))/gcheap.ko)

module:
	$(if $(strip $(module_dirs)),,@echo 'no kernel headers here: run scripts/setup build, or give KDIR=' >&2; exit 1)
	+$(Q)$(foreach dir,$(module_dirs),scripts/build-module $(dir) $(B)/module/$(call release,$(dir)) && \
		echo '  MODULE  $(B)/module/$(call release,$(dir))/gcheap.ko' &&) true

sparse:
	+$(Q)$(foreach dir,$(module_dirs),scripts/build-module --sparse $(dir) $(B)/sparse/$(call release,$(dir)) &&) true

# ---- tools, examples, benchmarks: NAME.c is a program, and so is a folder NAME/ of sources --------------------

# $(call programs,FOLDER): the names
programs = $(sort $(basename $(notdir $(wildcard $(1)/*.c))) $(notdir $(patsubst %/,%,$(dir $(wildcard $(1)/*/*.c)))))
# $(call program_sources,FOLDER,NAME)
program_sources = $(wildcard $(1)/$(2).c $(1)/$(2)/*.c)
# $(call extra_libraries,SOURCES): from a line `/* link: -lgc */` in them
extra_libraries = $(shell sed -n 's|^/\* link: \(.*\) \*/$$|\1|p' $(1))

tool_programs := $(call programs,tools)
example_programs := $(call programs,examples)
bench_names := $(filter-out core device,$(call programs,bench))
core_bench_names := $(basename $(notdir $(wildcard bench/core/*.c)))
device_bench_names := $(basename $(notdir $(filter-out bench/device/device_bench.c,$(wildcard bench/device/*.c))))

$(foreach folder,tools examples bench,$(foreach name,$(call programs,$(folder)),$(eval $(call program,\
	$(B)/$(folder)/$(name),normal,$(call objects,normal,public,$(call program_sources,$(folder),$(name))),\
	$(static_lib) $(call extra_libraries,$(call program_sources,$(folder),$(name))) -lm))))

# What the module does beside what plain Linux does: each of these speaks to /dev/gcheap itself, in a VM.
$(foreach name,$(device_bench_names),$(eval $(call program,$(B)/bench/device/$(name),normal,\
	$(call objects,normal,core,bench/device/$(name).c bench/device/device_bench.c),\
	$(call extra_libraries,bench/device/$(name).c) -lm)))

# The core alone, with the port of its tests.
$(foreach name,$(core_bench_names),$(eval $(call program,$(B)/bench/core/$(name),normal,\
	$(call objects,normal,core,bench/core/$(name).c selftests/core/port_test.c $(core_sources)),)))

tools: $(tool_programs:%=$(B)/tools/%)
examples: $(example_programs:%=$(B)/examples/%)
# The peer that is written in Go, with the Go that scripts/setup peers has unpacked, if there is one.
goroot := $(wildcard $(or $(GCHEAP_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/gcheap)/peers/go/goroot)
go_peer := $(if $(goroot),$(B)/bench/go-peer)

$(B)/bench/go-peer: bench/go/go-peer.go
	@mkdir -p $(@D)
	@echo '  GO      bench/go-peer'
	$(Q)GOROOT=$(goroot) GOCACHE=$(abspath $(B))/go-cache GOTOOLCHAIN=local GOENV=off GOFLAGS= GO111MODULE=off \
		$(goroot)/bin/go build -o $@ $<

bench-programs: $(bench_names:%=$(B)/bench/%) $(core_bench_names:%=$(B)/bench/core/%) $(go_peer)
device-bench-programs: $(device_bench_names:%=$(B)/bench/device/%)

# ---- tests ---------------------------------------------------------------------------------------------------
#
# core: asan, with a port of its own and without the library. library: asan, and normal with the static library (VMs) and
# the shared one (this machine).
# gcheap: kselftests, built by their own Makefile as they are in a kernel tree. fuzz: libFuzzer targets of the core, with
# the port of its tests where they bring none.

core_tests := $(basename $(notdir $(wildcard selftests/core/test_*.c)))
library_tests := $(basename $(notdir $(wildcard selftests/library/test_*.c)))
helpers = $(filter-out selftests/$(1)/test_%,$(wildcard selftests/$(1)/*.c))
test_sources = selftests/$(1)/$(2).c $(call helpers,$(1))

$(foreach test,$(core_tests),$(eval $(call program,$(B)/asan/selftests/core/$(test),asan,\
	$(call objects,asan,core,$(call test_sources,core,$(test)) $(core_sources)),-lcmocka)))
$(foreach test,$(library_tests),$(eval $(call program,$(B)/asan/selftests/library/$(test),asan,\
	$(call objects,asan,internal,$(call test_sources,library,$(test))),$(asan_lib) -lcmocka \
	$(call extra_libraries,selftests/library/$(test).c))))
$(foreach test,$(library_tests),$(eval $(call program,$(B)/selftests/library/$(test),normal,\
	$(call objects,normal,internal,$(call test_sources,library,$(test))),$(static_lib) -lcmocka \
	$(call extra_libraries,selftests/library/$(test).c))))
$(foreach test,$(library_tests),$(eval $(call program,$(B)/selftests/library-shared/$(test),normal,\
	$(call objects,normal,internal,$(call test_sources,library,$(test))),\
	$(shared_lib) -lcmocka $(call extra_libraries,selftests/library/$(test).c) $$(shared_rpath))))

# What runs in several threads, for the sanitizer of races between them.
tsan_tests := test_arenas_model test_threads test_markers test_marker_threads test_mark_overflow test_mark_roots test_mutation test_tune test_walk \
	test_hooks test_pins test_finalizers test_weak test_holders test_ephemerons test_weak_maps test_heap_each \
	test_finalizer_thread test_specials_model
$(foreach test,$(tsan_tests),$(eval $(call program,$(B)/tsan/selftests/library/$(test),tsan,\
	$(call objects,tsan,internal,$(call test_sources,library,$(test))),$(tsan_lib) -lcmocka \
	$(call extra_libraries,selftests/library/$(test).c))))

fuzz_targets := $(basename $(notdir $(wildcard selftests/fuzz/fuzz_*.c)))
fuzz_sources_fuzz_gc_program := common/gc_program.c
fuzz_sources_fuzz_type_add := selftests/core/port_test.c $(core_sources)

# What sees the library is linked with it.
fuzz_view_fuzz_typed_pointers := internal
fuzz_libraries_fuzz_typed_pointers := $(B)/fuzz/libgcheap.a

$(foreach target,$(fuzz_targets),$(eval $(call program,$(B)/fuzz/$(target),fuzz,\
	$(call objects,fuzz,$(or $(fuzz_view_$(target)),core),selftests/fuzz/$(target).c $(fuzz_sources_$(target))),\
	$(fuzz_libraries_$(target)) -fsanitize=fuzzer)))

# Heaps with a model of what is in them, in a full memory cgroup: for a moment in `make check`, for long in `make soak`.
$(eval $(call program,$(B)/selftests/soak/soak,normal,\
	$(call objects,normal,internal,$(wildcard selftests/soak/*.c)),$(static_lib)))

tests: $(B)/selftests/soak/soak $(core_tests:%=$(B)/asan/selftests/core/%) $(library_tests:%=$(B)/asan/selftests/library/%) \
	$(library_tests:%=$(B)/selftests/library/%) $(library_tests:%=$(B)/selftests/library-shared/%) kselftests \
	$(tsan_tests:%=$(B)/tsan/selftests/library/%) \
	$(fuzz_targets:%=$(B)/fuzz/%)

shared_rpath = '-Wl,-rpath,$$ORIGIN/../../lib'

# A place that looks like tools/testing/selftests of a kernel tree.
# The paths in its make are relative to it, as the tree's own may have spaces.
kselftest_place := $(B)/kselftest/tools/testing/selftests
kselftest_top := ../../../../../..
kselftests:
	$(Q)scripts/mirror-kselftests $(kselftest_place)
	$(Q)mkdir -p $(B)/selftests/gcheap
	+$(Q)LOCAL_HDRS=$(kselftest_top)/uapi/linux/gcheap.h $(MAKE) -s -C $(kselftest_place)/gcheap \
		selfdir=.. OUTPUT=$(kselftest_top)/$(B)/selftests/gcheap KHDR_INCLUDES=-I$(kselftest_top)/uapi USERCFLAGS=-Werror

# ---- the commands --------------------------------------------------------------------------------------------
#
# What is missing has to be installed before the lists above are made, so the rest is done by another make.

# That make has a job for each CPU, unless the caller has said how many: then the two share the caller's job server.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

run:
	$(Q)scripts/setup run
	$(Q)$(MAKE) $(jobs) all
	$(Q)scripts/run-examples

check:
	$(Q)scripts/setup check bench
	$(Q)$(PYTHON) selftests/run

check-kernels:
	$(Q)scripts/setup check bench
	$(Q)$(PYTHON) selftests/run --kernels

check-all:
	$(Q)scripts/setup check bench debug
	$(Q)$(PYTHON) selftests/run --all

check-debug check-kcsan:
	$(Q)scripts/setup check bench debug
	$(Q)$(PYTHON) selftests/run --kernel $(@:check-%=%)

# A clone of the last commit, so nothing of this tree is built.
check-bare:
	$(Q)selftests/check-bare

SOAK_MINUTES ?= 30
SOAK_SEED ?=
SOAK_LIMIT ?= 128
SOAK_KERNEL ?= 6.12
soak:
	$(Q)scripts/setup run
	$(Q)$(MAKE) $(jobs) module $(B)/selftests/soak/soak
	+$(Q)vm/run --kernel $(SOAK_KERNEL) --time $$(($(SOAK_MINUTES) * 60 + 600)) --env GCHEAP_BACKEND=device -- \
		$(B)/selftests/soak/soak $$(($(SOAK_MINUTES) * 60)) $(or $(SOAK_SEED),$$(date +%s)) $(SOAK_LIMIT)

bench:
	$(Q)scripts/setup build bench peers
	$(Q)$(MAKE) $(jobs) bench-programs
	$(Q)scripts/run-bench $(bench_names:%=$(B)/bench/%)

# ---- installation --------------------------------------------------------------------------------------------

# $(call to,FOLDER[/FILE]...): where these go, as words of the shell.
to = $(call quote,$(DESTDIR)$(1))
# $(call in_pc,PATH): a path in gcheap.pc, where a space has a backslash; as a script of sed wants it.
empty :=
space := $(empty) $(empty)
in_pc = $(subst |,\|,$(subst &,\&,$(subst $(space),\\ ,$(subst \,\\\\,$(1)))))

dkms_dir = $(SRCDIR)/gcheap-$(VERSION)
man_pages = $(wildcard Documentation/man/*.[1-9])
man_page = $(MANDIR)/man$(patsubst .%,%,$(suffix $(1)))/$(notdir $(1))
public_headers = $(notdir $(wildcard lib/include/*.h))

# What is installed names these folders, so they cannot depend on where make was run.
check_folders = $(foreach name,PREFIX INCLUDEDIR LIBDIR BINDIR MANDIR UDEVDIR SRCDIR,$(if $(filter /%,$(firstword $($(name)))),,\
	$(error $(name) has to be a path from the root, not '$($(name))')))

# install-lib is all that lies below PREFIX, install-module what makes others build and find the module.
install: install-lib install-module

install-lib: lib tools
	$(check_folders)install -d $(call to,$(INCLUDEDIR)) $(call to,$(LIBDIR)/pkgconfig)
	install -m 644 lib/include/*.h $(call to,$(INCLUDEDIR))
	install -D -m 644 uapi/linux/gcheap.h $(call to,$(INCLUDEDIR)/linux/gcheap.h)
	install -m 644 $(static_lib) $(call to,$(LIBDIR))
	install -m 755 $(shared_lib).$(SOVERSION) $(call to,$(LIBDIR))
	ln -sf libgcheap.so.$(SOVERSION) $(call to,$(LIBDIR)/libgcheap.so)
	sed -e $(call quote,s|@PREFIX@|$(call in_pc,$(PREFIX))|; s|@INCLUDEDIR@|$(call in_pc,$(INCLUDEDIR))|; \
		s|@LIBDIR@|$(call in_pc,$(LIBDIR))|; s|@VERSION@|$(VERSION)|) \
		tools/gcheap.pc.in >$(call to,$(LIBDIR)/pkgconfig/gcheap.pc)
	install -D -m 644 tools/valgrind/gcheap.supp $(call to,$(PREFIX)/share/gcheap/gcheap.supp)
	$(if $(tool_programs),install -d $(call to,$(BINDIR)) && \
		install -m 755 $(tool_programs:%=$(B)/tools/%) $(call to,$(BINDIR)))
	$(foreach page,$(man_pages),install -D -m 644 $(page) $(call to,$(call man_page,$(page))) &&) true
	$(if $(DESTDIR),,$(if $(filter /usr /usr/local,$(PREFIX)),ldconfig))

install-module:
	$(check_folders)install -D -m 644 tools/udev/60-gcheap.rules $(call to,$(UDEVDIR)/60-gcheap.rules)
	rm -rf $(call to,$(dkms_dir))
	install -d $(call to,$(dkms_dir))
	cp -r --parents Kbuild VERSION LICENSE LICENSES uapi common kmod $(call to,$(dkms_dir))
	sed 's|@VERSION@|$(VERSION)|' tools/dkms/dkms.conf.in >$(call to,$(dkms_dir)/dkms.conf)
	$(if $(DESTDIR),,getent group gcheap >/dev/null || groupadd --system gcheap)

# What install has put there, and nothing else: folders and the group may be others' too.
uninstall: uninstall-lib uninstall-module

uninstall-lib:
	$(check_folders)rm -f $(foreach file,$(public_headers) linux/gcheap.h,$(call to,$(INCLUDEDIR)/$(file))) \
		$(foreach file,libgcheap.a libgcheap.so libgcheap.so.$(SOVERSION) pkgconfig/gcheap.pc,$(call to,$(LIBDIR)/$(file))) \
		$(call to,$(PREFIX)/share/gcheap/gcheap.supp) $(foreach name,$(tool_programs),$(call to,$(BINDIR)/$(name))) \
		$(foreach page,$(man_pages),$(call to,$(call man_page,$(page))))

uninstall-module:
	$(check_folders)rm -f $(call to,$(UDEVDIR)/60-gcheap.rules)
	rm -rf $(call to,$(dkms_dir))

clean:
	rm -rf '$(B)'

-include $(shell [ ! -d $(B)/obj ] || find $(B)/obj -name '*.d')
