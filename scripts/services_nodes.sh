#!/bin/sh
# Puts the nodes that tests and `gitprov devnet` start into a cached folder, in exact versions; never fails.
# Nothing is done, or printed, for what is there. Tests that miss one are skipped and say so.
set -u

FOLDER=${GITPROV_SERVICES:-${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/gitprov/services}
ANVIL=1.7.1
SOLC=0.8.37
BTCD=v0.26.2
KUBO=v0.43.1

say() { echo "gitprov services: $*"; }

mkdir -p "$FOLDER/bin" 2>/dev/null || { say "no nodes: $FOLDER cannot be made"; exit 0; }

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

npm_packages() {
    has npm "$ANVIL $SOLC" && [ -d "$FOLDER/npm/node_modules/solc" ] && return 0
    command -v npm >/dev/null 2>&1 || { say "anvil and solc are missing: there is no npm"; return 0; }
    say "installing anvil $ANVIL and solc $SOLC, once"
    mkdir "$work/npm"
    if (cd "$work/npm" && npm install --no-audit --no-fund --no-save --ignore-scripts --prefix . \
        "@foundry-rs/anvil@$ANVIL" "solc@$SOLC") >"$work/npm.log" 2>&1; then
        rm -rf "$FOLDER/npm" && mv "$work/npm" "$FOLDER/npm" && keep npm "$ANVIL $SOLC"
    else
        say "anvil and solc are missing: $(grep -m 1 "npm err" "$work/npm.log")"
    fi
}

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

npm_packages
go_program btcd "$BTCD" github.com/btcsuite/btcd
# This kubo names a fork of go-libp2p that nobody serves; the release fits these two.
go_program ipfs "$KUBO" github.com/ipfs/kubo/cmd/ipfs \
    github.com/quic-go/quic-go=github.com/quic-go/quic-go@v0.60.0 \
    github.com/quic-go/webtransport-go=github.com/quic-go/webtransport-go@v0.11.1
exit 0
