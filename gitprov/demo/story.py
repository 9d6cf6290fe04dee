"""`gitprov demo`: the steps in their order, told on a stage that only this run sees."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable

import click

from gitprov.demo import building, tampering
from gitprov.demo.stage import Stage, StoryStopped

STEPS: tuple[tuple[str, Callable[[Stage], None]], ...] = (
    ("Real data: scikit-learn's handwritten digits as PNG files", building.write_data),
    ("A model is trained on what is on disk", building.train),
    ("A repository with gitprov in it", building.start),
    ("Data and model go into the store, their pointers into git", building.add),
    ("git commit: the hook records code, data and model", building.commit),
    ("Five images and the training change: a second commit", building.change),
    ("The policy says whose log counts", building.pin),
    ("git push: the hook signs the log and pushes the notes", building.push),
    ("A colleague clones, restores the data and verifies", building.clone),
    ("A proof about one image, checked outside of any repository", building.prove),
    ("Tampering: one bit of one image in the store", tampering.store),
    ("Tampering: one pixel of one image in the worktree", tampering.worktree),
    ("Tampering: one hex digit of one note", tampering.note),
    ("Tampering: one commit of the history, with the notes copied over", tampering.history),
    ("Tampering: the same, with new records in the forger's own log", tampering.forged_log),
    ("Everything holds again", tampering.finish),
)
"""Every step with its title, in order; each goes on where the one before has ended."""


def run_demo(*, keep: bool) -> bool:
    """Plays the story and returns whether every step did what it says.

    Args:
        keep: whether the repositories stay for people to look at.
    """
    began = time.monotonic()
    top = os.path.realpath(tempfile.mkdtemp(prefix="gitprov-demo-"))
    try:
        stage = Stage(top, ascii_only=not _shows_utf8())
        stage.show(f"The whole story of gitprov in {len(STEPS)} steps, in {top}")
        told = _tell(stage)
        _close(stage, told, seconds=time.monotonic() - began)
    finally:
        if not keep:
            shutil.rmtree(top, ignore_errors=True)
    if keep:
        stage.show(f"The repositories are in {top}")
    return told == len(STEPS) and not stage.failures


def _tell(stage: Stage) -> int:
    """Returns how many steps came to their end."""
    for number, (title, step) in enumerate(STEPS, start=1):
        stage.title(number, title)
        try:
            step(stage)
        except StoryStopped:
            return number - 1
    return len(STEPS)


def _close(stage: Stage, told: int, *, seconds: float) -> None:
    stage.show()
    if told < len(STEPS):
        stage.show(f"The story stopped in step {told + 1} of {len(STEPS)}.")
    for sentence in stage.failures:
        stage.show(click.style(f"✗ {sentence}", fg="red"))
    good = stage.claims - len(stage.failures)
    stage.show(f"{told} steps, {good} of {stage.claims} claims held, {seconds:.1f} s")


def _shows_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
