# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts of the tree share: where things are kept, which kernels are supported, how to stop with a message.
# Sourced, never run. Nothing here changes the machine.

# The tree this file is in, and the folder outside it that keeps downloads (kernel images, files of linux-source).
# shellcheck disable=SC2034  # used by those who source this
gcheap_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
gcheap_cache=${GCHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gcheap}

# The kernels that the module is built for and tested on. Each is named by Debian's series, and stands for the release
# that was the series' newest when scripts/setup fetched it. `newest` is the newest that later suites of Debian have;
# it is not there when the machine's mirrors do not have it.
# shellcheck disable=SC2034  # used by those who source this
gcheap_kernels=(6.1 6.12 newest)

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

note() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# kernel_dir SERIES: the folder in the cache with all there is of a kernel: `release`, `version` (of Debian's packages),
# `vmlinuz`, `modules` (names of the few that the guest needs to talk to its host, in order, and the modules themselves),
# and `build`, the folder that modules are built against. scripts/setup makes those of Debian's kernels,
# scripts/build-debug-kernel makes `debug` and `kcsan`.
kernel_dir() {
	echo "$gcheap_cache/kernels/$1"
}

# kernels_here: those of gcheap_kernels that are in the cache.
kernels_here() {
	local kernel

	for kernel in "${gcheap_kernels[@]}"; do
		[ ! -e "$(kernel_dir "$kernel")/format" ] || echo "$kernel"
	done
}
