#!/bin/sh
# Takes the five-minute tour of README.md and prints README.md anew with what the commands really said;
# `tour.sh --write` puts that in its place. tests/e2e/test_readme.py compares the two.
#
# Between <!-- tour --> and <!-- /tour --> every ```sh block is run, one after the other in one shell that
# starts in an empty folder; the ```text block that follows gets the output.
set -eu

readme=$(cd "$(dirname "$0")/.." && pwd)/README.md
command -v gitprov >/dev/null 2>&1 || {
    echo "tour.sh: gitprov is not on the path (PATH=.venv/bin:\$PATH)" >&2
    exit 1
}

top=$(mktemp -d)
trap 'rm -rf "$top"' EXIT
trap 'exit 1' HUP INT TERM
mkdir "$top/empty" "$top/said"

# The user's git settings must not show.
for name in $(env | sed -n 's/^\(GIT_[A-Z_]*\)=.*/\1/p'); do
    unset "$name"
done
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL="$top/gitconfig" LC_ALL=C.UTF-8 PYTHONIOENCODING=utf-8
git config --global user.name "Ada Lovelace"
git config --global user.email ada@example.org
git config --global advice.detachedHead false

# shellcheck disable=SC2016  # the script that awk writes expands $SAID, not this one
awk '
    /^<!-- tour -->/ { tour = 1 }
    /^<!-- \/tour -->/ { tour = 0 }
    block && /^```$/ { print "} >\"$SAID/" count "\" 2>&1"; block = 0; next }
    block { print; next }
    tour && /^```sh$/ { block = 1; count++; print "{" }
' "$readme" >"$top/script"
(cd "$top/empty" && SAID="$top/said" sh "$top/script" </dev/null) || true

# Where the tour was taken is nobody's concern.
sed -i.bak "s#$top/empty#/home/ada#g" "$top"/said/*

awk -v said="$top/said" '
    /^<!-- tour -->/ { tour = 1 }
    /^<!-- \/tour -->/ { tour = 0 }
    skipping && !/^```$/ { next }
    tour && /^```sh$/ { count++ }
    { skipping = 0; print }
    tour && /^```text$/ {
        while ((getline line < (said "/" count)) > 0) { sub(/[ \t]+$/, "", line); print line }
        skipping = 1
    }
' "$readme" >"$top/README.md"

case ${1-} in
--write) cat "$top/README.md" >"$readme" ;;
*) cat "$top/README.md" ;;
esac
