#!/bin/sh
# Puts the servers that remotes are tested on into a cached folder: S3 (versitygw), Google's store (fake-gcs-server),
# Azure's (Azurite) and sshd; never fails. Nothing is done, or printed, for what is there. Tests that miss one are
# skipped and say so.
set -u

VERSITYGW=v1.8.0
FAKE_GCS=v1.56.1
AZURITE=3.35.0

what="servers for remotes"
. "$(dirname "$0")/services_common.sh"

sshd() { # unpacked beside the others, not installed: no service starts, no account is made
    [ -x "$FOLDER/sshd/usr/sbin/sshd" ] && return 0
    [ -x /usr/sbin/sshd ] && return 0
    command -v apt-get >/dev/null 2>&1 || { say "sshd is missing: there is no apt-get"; return 0; }
    say "unpacking Debian's sshd, once"
    mkdir -p "$work/sshd/debs"
    if (
        cd "$work/sshd/debs" || exit 1
        packages="openssh-server openssh-sftp-server libwrap0"
        # shellcheck disable=SC2086
        apt-get download $packages || { apt-get update && apt-get download $packages; } || exit 1
        for deb in *.deb; do dpkg -x "$deb" "$work/sshd" || exit 1; done
    ) >"$work/sshd.log" 2>&1; then
        rm -rf "$work/sshd/debs" && mv "$work/sshd" "$FOLDER/sshd"
    else
        say "sshd is missing: $(grep -m 1 '^E:' "$work/sshd.log")"
    fi
}

sshd
go_program versitygw "$VERSITYGW" github.com/versity/versitygw/cmd/versitygw
go_program fake-gcs-server "$FAKE_GCS" github.com/fsouza/fake-gcs-server
npm_packages azurite "Azurite is" "azurite@$AZURITE"
exit 0
