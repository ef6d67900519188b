#!/usr/bin/env bash
# Installs with apt-get what is missing for `make test`, or only for `make demo` when that is its argument.
# Works as root, or through sudo.
set -eu

# The demo builds the programs and an init, and unpacks Debian's kernel. The nest is QEMU; the rest builds guests and kernels, and packs and
# reads what tests compare with.
demo=(ca-certificates make gcc libc6-dev xz-utils)
kernel=(build-essential flex bison libelf-dev libssl-dev bc cpio kmod linux-libc-dev)
tests=(qemu-system-x86 zstd acpica-tools bash-completion bzip2 e2fsck-static e2fsprogs dmidecode fish groff lz4 lzop man-db mmdebstrap passt zsh)

wanted=("${demo[@]}")
[ "${1:-}" = demo ] || wanted+=("${kernel[@]}" "${tests[@]}")

export PATH=$PATH:/usr/local/go/bin

missing=()
for p in "${wanted[@]}"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)" = installed ] || missing+=("$p")
done
if [ ${#missing[@]} -gt 0 ]; then
	as_root=()
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || { echo "install-deps: not root, and there is no sudo; as root: apt-get install ${missing[*]}" >&2; exit 1; }
		as_root=(sudo)
	fi
	export DEBIAN_FRONTEND=noninteractive
	echo "install-deps: installing ${missing[*]}"
	"${as_root[@]}" apt-get update -qq
	"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi
command -v go >/dev/null || { echo "install-deps: no Go here; https://go.dev/dl has it (1.21 or later: it fetches the version that go.mod names)" >&2; exit 1; }
