# Sourced by services_*.sh, never run: the cached folder, the lock on it, and how things get into it.
# Whoever sources it sets `what`, which says what will be missing when the folder cannot be made.
# shellcheck shell=sh disable=SC2034,SC2154

FOLDER=${GITPROV_SERVICES:-${XDG_CACHE_HOME:-${HOME:-/dev/null}/.cache}/gitprov/services}

say() { echo "gitprov services: $*"; }

mkdir -p "$FOLDER/bin" 2>/dev/null || { say "no $what: $FOLDER cannot be made"; exit 0; }

# Two of us at once would build everything twice. The lock ends with this shell, whatever ends it.
if command -v flock >/dev/null 2>&1; then
    exec 9>"$FOLDER/lock" && flock 9
fi

# On the same file system as what is kept, so that nobody ever finds half a program.
work=$(mktemp -d "$FOLDER/work.XXXXXX") || exit 0
clean() { chmod -R u+w "$work" && rm -rf "$work"; } # go makes what it downloads read-only
trap clean EXIT
trap 'exit 130' INT TERM

has() { [ "$(cat "$FOLDER/$1.version" 2>/dev/null)" = "$2" ]; }
keep() { printf '%s\n' "$2" >"$FOLDER/$1.version"; }

npm_packages() { # folder shown package@version…
    name=$1 shown=$2
    shift 2
    has "$name" "$*" && [ -d "$FOLDER/$name/node_modules" ] && return 0
    command -v npm >/dev/null 2>&1 || { say "$shown missing: there is no npm"; return 0; }
    say "installing $*, once"
    mkdir "$work/$name"
    if (cd "$work/$name" && npm install --no-audit --no-fund --no-save --ignore-scripts --prefix . "$@") \
        >"$work/$name.log" 2>&1; then
        rm -rf "${FOLDER:?}/$name" && mv "$work/$name" "$FOLDER/$name" && keep "$name" "$*"
    else
        say "$shown missing: $(grep -m 1 "npm err" "$work/$name.log")"
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
