#!/bin/sh
# Puts torch and its friends, which the tests of the tracker train with, into a cached folder: several GB; never fails.
# Nothing is done, or printed, for what is there. Tests that miss it are skipped and say so.
set -u

PYTHON=${PYTHON:-.venv/bin/python}
PACKAGES="torch==2.9.1 safetensors==0.8.0 transformers==5.24.0 accelerate==1.15.0 lightning==2.6.6 mlflow-skinny==3.17.2 \
opacus==1.6.0 pandas==3.1.1 pyarrow==26.0.1"
NEEDED_GB=12

command -v "$PYTHON" >/dev/null 2>&1 || { echo "gitprov services: torch is missing: there is no $PYTHON"; exit 0; }

what="torch"
. "$(dirname "$0")/services_common.sh"

# Whether a folder holds the packages, and shares no package in another version with the virtual environment: tests
# have both on their path. importlib-metadata is let off: mlflow wants an older one than the constraints name, and
# works with the newer one.
complete() {
    [ -d "$1" ] && "$PYTHON" - "$1" "$PACKAGES" <<'CHECK'
import importlib.metadata, re, site, sys

def versions(folders):
    found = importlib.metadata.distributions(path=folders)
    return {re.sub("[-_.]+", "-", item.name).lower(): item.version for item in found}

there, ours = versions([sys.argv[1]]), versions(site.getsitepackages())
wanted = dict(package.split("==") for package in sys.argv[2].split())
shared = there.keys() & ours.keys() - {"importlib-metadata"}
sys.exit(
    any(there.get(name) != version for name, version in wanted.items())
    or any(there[name] != ours[name] for name in shared)
)
CHECK
}

complete "$FOLDER/torch" && keep torch "$PACKAGES" && exit 0

free=$(df -Pk "$FOLDER" | awk 'NR == 2 { print int($4 / 1048576) }')
if [ "${free:-0}" -lt "$NEEDED_GB" ]; then
    say "torch is missing: $FOLDER has ${free:-0} GB free, and installing it takes $NEEDED_GB"
    exit 0
fi

say "installing torch and what trains with it, once; this takes some minutes and 8 GB"
grep -v '^importlib-metadata==' constraints.txt >"$work/constraints.txt"
mkdir "$work/tmp"
# pip unpacks into TMPDIR first, and /tmp is often too small for this.
# shellcheck disable=SC2086 # the packages are words
if TMPDIR="$work/tmp" "$PYTHON" -m pip install --disable-pip-version-check --no-compile --target "$work/torch" \
    --constraint "$work/constraints.txt" $PACKAGES >"$work/torch.log" 2>&1; then
    rm -rf "$FOLDER/torch" "$FOLDER/torch.version" && mv "$work/torch" "$FOLDER/torch" && keep torch "$PACKAGES"
else
    say "torch is missing: $(grep -m 1 '^ERROR' "$work/torch.log")"
fi
exit 0
