#!/bin/sh
# Makes the virtual environment that every make target uses. Safe to repeat.
# PYTHON: the interpreter to start from; VENV: the folder to make.
set -eu

PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

fail() {
    echo "gitprov set-up: $1" >&2
    exit 1
}

command -v git >/dev/null 2>&1 || fail "git is missing: install it first (Debian: apt-get install git)."
command -v "$PYTHON" >/dev/null 2>&1 || fail "$PYTHON is missing: gitprov needs Python 3.11 or newer."
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$PYTHON" -V) is too old: gitprov needs Python 3.11 or newer (make PYTHON=python3.12 …)."
"$PYTHON" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "this Python cannot make virtual environments (Debian: apt-get install python3-venv)."

if [ ! -x "$VENV/bin/python" ]; then
    echo "gitprov set-up: making $VENV"
    "$PYTHON" -m venv "$VENV"
fi
[ -x "$VENV/bin/uv" ] || "$VENV/bin/python" -m pip install --quiet --constraint constraints.txt uv

install() {
    # The build back end is pinned too, so that an install next year is the install of today.
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" \
        --constraint constraints.txt --build-constraint constraints.txt --editable '.[dev]'
}

echo "gitprov set-up: installing the packages of constraints.txt"
# uv is quick but does not read pip's configuration; where only pip knows the way to a registry, pip does it.
install || {
    echo "gitprov set-up: uv could not do it, trying pip"
    "$VENV/bin/python" -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
}
