"""Small pieces of English that the checks share."""

from collections.abc import Sequence

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
