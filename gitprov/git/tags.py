"""Annotated tags: the same once more, on another commit."""

import re

from gitprov.git.repo import Repository

_SIGNATURE = re.compile(
    rb"^-----BEGIN (?:PGP SIGNATURE|PGP MESSAGE|SSH SIGNATURE|SIGNED MESSAGE)-----", re.MULTILINE
)


def moved_tag(data: bytes, name: str, commit: str) -> bytes:
    """Returns a tag object with the tagger, date and message of another one.

    A signature is left out: the bytes under it change.

    Args:
        data: the raw tag object that is there.
        name: what the new one is called, without `refs/tags/`.
        commit: what it points to.
    """
    head, _, message = data.partition(b"\n\n")
    lines = [f"object {commit}\ntype commit\ntag {name}".encode("utf-8", "surrogateescape")]
    lines += [line for line in head.split(b"\n") if line.startswith(b"tagger ")][:1]
    signatures = [found.start() for found in _SIGNATURE.finditer(message)]
    return b"\n".join(lines) + b"\n\n" + message[: signatures[-1] if signatures else None]


def write_tag(repo: Repository, data: bytes) -> str:
    """Writes a tag object, to which nothing points yet; returns its id."""
    # Literally: what an old git wrote, a tag without a tagger, is taken as it is.
    options = ("-t", "tag", "-w", "--literally", "--stdin")
    return repo.git.run("hash-object", *options, input=data).decode("ascii").strip()
