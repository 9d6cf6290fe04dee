#!/bin/sh
# Writes constraints.txt anew: exact versions of all that `.[dev]` and the build need, and no registry's address.
set -eu

uv=.venv/bin/uv
{
    echo "# Exact versions of everything a developer's environment holds. Made by 'make constraints'."
    printf 'editables\nhatchling\nuv\n' |
        "$uv" pip compile --quiet --universal --python-version 3.11 --upgrade --extra dev \
            --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-package gitprov pyproject.toml -
} >constraints.txt.new
mv constraints.txt.new constraints.txt
