#!/bin/sh
# Installs the Debian packages that some tests like to have, where that can be done; never fails.
# Tests that miss one are skipped and say so.
set -u

missing() {
    command -v fiu-run >/dev/null 2>&1 || echo fiu-utils      # makes the n-th write or fsync fail
    command -v mkfs.btrfs >/dev/null 2>&1 || echo btrfs-progs # a file system with reflinks
    command -v mkfs.xfs >/dev/null 2>&1 || echo xfsprogs      # another one
    command -v b3sum >/dev/null 2>&1 || echo b3sum            # somebody else's BLAKE3
    command -v zsh >/dev/null 2>&1 || echo zsh                # shells that are asked to complete
    command -v fish >/dev/null 2>&1 || echo fish
}

PATH=$PATH:/usr/sbin:/sbin
packages=$(missing)
[ -n "$packages" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "gitprov tests: installing" $packages
    export DEBIAN_FRONTEND=noninteractive
    for package in $packages; do # one by one: an old Debian may lack one of them
        apt-get install -qq -y "$package" >/dev/null 2>&1 </dev/null && continue
        apt-get update -qq >/dev/null 2>&1 </dev/null
        apt-get install -qq -y "$package" >/dev/null 2>&1 </dev/null || true
    done
    packages=$(missing)
fi
[ -z "$packages" ] || echo "gitprov tests: some tests will be skipped, these Debian packages are missing:" $packages
exit 0
