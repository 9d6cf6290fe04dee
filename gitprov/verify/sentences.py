"""Small pieces of English that the checks share."""

from collections.abc import Sequence
from datetime import UTC, datetime

MAX_NAMED = 20
"""So many files are named in one sentence; the rest is counted."""


def count(number: int, noun: str) -> str:
    """Returns "1 file", "2 files"."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str], *, limit: int = MAX_NAMED) -> str:
    """Returns "a, b and 3 more"."""
    text = ", ".join(names[:limit])
    return f"{text} and {len(names) - limit:,} more" if len(names) > limit else text


def short(commit: str) -> str:
    """Returns a commit id as people read it."""
    return commit[:12]


_UNITS = ((86_400 * 365, "year"), (86_400, "day"), (3600, "hour"), (60, "minute"))


def utc(seconds: int) -> str:
    """Returns a time as people and spreadsheets read it: `2026-11-26 07:41 UTC`."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, ValueError, OSError):
        return f"{seconds} seconds after 1970"


def ago(seconds: int, now: int) -> str:
    """Returns a time with its age: `2026-11-26 07:41 UTC (3 hours ago)`."""
    if not now:
        return utc(seconds)
    age = now - seconds
    if age < 0:
        return f"{utc(seconds)} (in the future, by the clock here)"
    for length, noun in _UNITS:
        if age >= length:
            return f"{utc(seconds)} ({count(age // length, noun)} ago)"
    return f"{utc(seconds)} (just now)"
