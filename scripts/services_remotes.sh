#!/bin/sh
# Puts the S3 server and the sshd that tests start into a cached folder; never fails.
# Nothing is done, or printed, for what is there. Tests that miss it are skipped and say so.
set -u

FOLDER=${GITPROV_SERVICES:-${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/gitprov/services}
VERSITYGW=v1.8.0

say() { echo "gitprov services: $*"; }

mkdir -p "$FOLDER/bin" 2>/dev/null || { say "no S3 server: $FOLDER cannot be made"; exit 0; }

# Two of us at once would build everything twice. The lock ends with this shell, whatever ends it.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$FOLDER/lock" && flock 9
fi

# On the same file system as what is kept, so that nobody ever finds half a program.
work=$(mktemp -d "$FOLDER/work.XXXXXX") || exit 0
clean() { chmod -R u+w "$work" && rm -rf "$work"; }
trap clean EXIT
trap 'exit 130' INT TERM

has() { [ "$(cat "$FOLDER/$1.version" 2>/dev/null)" = "$2" ]; }
keep() { printf '%s\n' "$2" >"$FOLDER/$1.version"; }

go_program() { # name version package replacement…
    name=$1 version=$2 package=$3
    shift 3
    has "$name" "$version" && [ -x "$FOLDER/bin/$name" ] && return 0
    command -v go >/dev/null 2>&1 || { say "$name is missing: there is no go"; return 0; }
    say "building $name $version, once; this takes some minutes"
    # A module of our own: `go install` refuses programs whose go.mod replaces something.
    mkdir "$work/$name"
    if (
        cd "$work/$name" && go mod init services &&
            for replacement in "$@"; do go mod edit -replace "$replacement" || exit 1; done &&
            go get "$package@$version" &&
            go build -trimpath -ldflags='-s -w' -o "$work/$name/built" "$package"
    ) >"$work/$name.log" 2>&1; then
        mv "$work/$name/built" "$FOLDER/bin/$name" && keep "$name" "$version"
    else
        say "$name is missing: $(tail -n 1 "$work/$name.log")"
    fi
}

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
exit 0
