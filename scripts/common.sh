# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# What the scripts of the tree share: where things are kept, which kernels are supported, how to stop with a message.
# Sourced, never run. Nothing here changes the machine.

# The tree this file is in, and the folder outside it that keeps downloads (kernel images, files of linux-source).
# shellcheck disable=SC2034  # used by those who source this
gcheap_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
gcheap_cache=${GCHEAP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/gcheap}

# The kernels that the module is built for and tested on. Each is named by Debian's series, and stands for whatever
# release the series' header package brings.
# shellcheck disable=SC2034  # used by those who source this
gcheap_kernels=(6.1 6.12)

die() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

note() {
	printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# kernel_package KIND SERIES: Debian's meta package (KIND: image or headers) of a kernel series, cloud flavour.
kernel_package() {
	case $2 in
	6.1) echo "linux-$1-cloud-amd64" ;;
	*) echo "linux-$1-$2-cloud-amd64" ;;
	esac
}

# kernel_headers SERIES: "RELEASE VERSION" of the series' installed headers, e.g. "6.1.0-56-cloud-amd64 6.1.192-2".
# Fails when they are not installed.
kernel_headers() {
	dpkg-query -W -f '${db:Status-Status} ${Depends}\n' "$(kernel_package headers "$1")" 2>/dev/null |
		sed -nE 's/^installed linux-headers-([^ ]+) \(= ([^)]+)\).*/\1 \2/p' | grep .
}

# kernel_release SERIES: the release alone. The kernel `debug` is one that was built into the cache.
kernel_release() {
	local headers

	if [ "$1" = debug ]; then
		cat "$gcheap_cache/kernels/debug/release" 2>/dev/null
		return
	fi
	headers=$(kernel_headers "$1") || return 1
	echo "${headers% *}"
}

# kernel_build_dir SERIES: the folder that modules for this kernel are built against.
kernel_build_dir() {
	local release

	if [ "$1" = debug ]; then
		echo "$gcheap_cache/kernels/debug/build"
		return
	fi
	release=$(kernel_release "$1") || return 1
	echo "/usr/src/linux-headers-$release"
}

# kernel_image_dir SERIES: the folder with `vmlinuz` and the few modules that the guest needs to talk to its host.
kernel_image_dir() {
	local release

	if [ "$1" = debug ]; then
		echo "$gcheap_cache/kernels/debug"
		return
	fi
	release=$(kernel_release "$1") || return 1
	echo "$gcheap_cache/kernels/$release"
}
