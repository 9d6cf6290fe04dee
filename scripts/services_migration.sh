#!/bin/sh
# Puts DVC and git-lfs, whose repositories tests import, into a cached folder; never fails.
# Nothing is done, or printed, for what is there. Tests that miss one are skipped and say so.
set -u

PYTHON=${PYTHON:-.venv/bin/python}
DVC=3.67.1 # as in bench/peers.py

what="DVC and no git-lfs"
. "$(dirname "$0")/services_common.sh"

dvc() { # a virtual environment of its own, started as `dvc/bin/python -m dvc`: that may be moved
    has dvc "$DVC" && "$FOLDER/dvc/bin/python" -c 'import dvc' 2>/dev/null && return 0
    command -v "$PYTHON" >/dev/null 2>&1 || { say "DVC is missing: there is no $PYTHON"; return 0; }
    say "installing DVC $DVC, once; this takes a minute"
    if {
        "$PYTHON" -m venv "$work/dvc" &&
            "$work/dvc/bin/python" -m pip install --disable-pip-version-check --quiet "dvc==$DVC"
    } >"$work/dvc.log" 2>&1; then
        rm -rf "$FOLDER/dvc" "$FOLDER/dvc.version" && mv "$work/dvc" "$FOLDER/dvc" && keep dvc "$DVC"
    else
        say "DVC is missing: $(grep -m 1 '^ERROR' "$work/dvc.log" || tail -n 1 "$work/dvc.log")"
    fi
}

git_lfs() { # unpacked, not installed: nobody's git is changed
    [ -x "$FOLDER/bin/git-lfs" ] && return 0
    command -v git-lfs >/dev/null 2>&1 && return 0
    command -v apt-get >/dev/null 2>&1 || { say "git-lfs is missing: there is no apt-get"; return 0; }
    say "unpacking Debian's git-lfs, once"
    mkdir "$work/lfs"
    if (
        cd "$work/lfs" || exit 1
        apt-get download git-lfs || { apt-get update && apt-get download git-lfs; } || exit 1
        dpkg -x git-lfs_*.deb unpacked
    ) >"$work/lfs.log" 2>&1; then
        mv "$work/lfs/unpacked/usr/bin/git-lfs" "$FOLDER/bin/git-lfs"
    else
        say "git-lfs is missing: $(grep -m 1 '^E:' "$work/lfs.log" || tail -n 1 "$work/lfs.log")"
    fi
}

git_lfs
dvc
exit 0
