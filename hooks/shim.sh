#!/bin/sh
# gitprov-hook v1 (`gitprov uninstall` takes this file away; edits to it are lost)
# Finds gitprov and hands over; nothing else. A hook that was here before is <hook>.legacy beside it.
hook=@HOOK@
python=@PYTHON@

# When another tool has renamed this file to <hook>.legacy, that name is not ours to run.
case $0 in
*.legacy) GITPROV_HOOKS_DIR= ;;
*/*) GITPROV_HOOKS_DIR=${0%/*} ;;
*) GITPROV_HOOKS_DIR=. ;;
esac
export GITPROV_HOOKS_DIR

# -P: the folder that git starts us in is the repository's; its files must not pose as modules.
# -c and not -m: Python's own machinery for -m costs 4 ms of every commit.
start='import sys; from gitprov.__main__ import main; sys.exit(main())'
if [ -x "$python" ]; then
    exec "$python" -P -c "$start" hook "$hook" "$@"
fi
if command -v gitprov >/dev/null 2>&1; then
    exec gitprov hook "$hook" "$@"
fi

if [ -n "$GITPROV_HOOKS_DIR" ] && [ -x "$GITPROV_HOOKS_DIR/$hook.legacy" ]; then
    "$GITPROV_HOOKS_DIR/$hook.legacy" "$@" || exit
fi
echo >&2 "gitprov: This repository is configured for gitprov, but 'gitprov' was not found on your path. Install it and run 'gitprov install', or, if you no longer wish to use gitprov, remove this hook by deleting '$0'."
case $hook in
pre-*) exit 1 ;;
esac
exit 0
