"""Starts the benchmark: `python bench/run.py --help`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

if __name__ == "__main__":
    # A script's own folder comes first on its path; the package `bench` lies one above it.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    sys.exit(importlib.import_module("bench.main").main())
