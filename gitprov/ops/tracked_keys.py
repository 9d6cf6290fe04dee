"""Refuses private keys in files that git tracks: whoever reads the repository could spend them."""

import re
from collections.abc import Iterable, Iterator, Sequence

from gitprov.core.paths import show
from gitprov.core.wif import PREFIXES, decode_wif, encode_wif
from gitprov.errors import MalformedError, UsageError
from gitprov.git.command import GitError, split_nul
from gitprov.workspace import Workspace

KEY_TEXT = re.compile(
    rb"(?i:private[_-]?key|secret[_-]?key|gitprov_[a-z]{1,32}_key|wallet[_-]?key|eth[a-z]{0,32}_key)"
    rb"[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:0x)?[0-9a-fA-F]{64}(?![0-9a-fA-F])"
)
"""A private key of Ethereum's kind, by the name before it: 64 digits alone may be any digest."""

_WIF_TEXT = re.compile(
    rb"(?<![1-9A-HJ-NP-Za-km-z])[5KLc9][1-9A-HJ-NP-Za-km-z]{50,51}(?![1-9A-HJ-NP-Za-km-z])"
)
_KEYSTORE = re.compile(rb"\"[cC]rypto\"\s{0,8}:\s{0,8}\{.{0,1000}?\"ciphertext\"", re.DOTALL)
_LOOKS_LIKE = (
    r"(private[_-]?key|secret[_-]?key|gitprov_[a-z]+_key)"
    r"[\"']?[[:space:]]*[:=][[:space:]]*[\"']?(0x)?[0-9a-f]{64}"
)
_CONFIGURATIONS = (
    *("*.yaml", "*.yml", "*.json", "*.toml", "*.ini", "*.cfg", "*.conf", "*.txt", "*.py", "*.sh"),
    *(".env", ".env*", "*.env", "*.ipynb", "*.md"),
)
_FOUND = 20


def key_kinds(data: bytes) -> Iterator[str]:
    """Gives what kinds of coin keys a file holds, in words."""
    if KEY_TEXT.search(data):
        yield "a private key"
    if any(_is_wif(found.group()) for found in _WIF_TEXT.finditer(data)):
        yield "a private key of Bitcoin (WIF)"
    if _KEYSTORE.search(data):
        yield "an encrypted keystore"


def refuse_tracked_keys(ws: Workspace, secrets: Sequence[bytes]) -> None:
    """Refuses keys that a tracked file of the worktree holds, in any of their spellings.

    The patterns go to git through a pipe: a process list shows none of them.

    Args:
        ws: the workspace.
        secrets: 32 bytes each.

    Raises:
        UsageError: a file holds one; the file is named, the key is not.
    """
    if ws.repo.worktree is None or not secrets:
        return
    spellings = [text for secret in secrets for text in _spellings(secret)]
    found = _grep(ws, ("-F", "-i", "-f", "-"), "\n".join(spellings).encode() + b"\n")
    if found:
        raise _refused(found)


def refuse_likely_keys(ws: Workspace) -> None:
    """Refuses what looks like a private key in tracked files of the kinds that hold settings.

    Raises:
        UsageError: a file holds something that looks like one.
    """
    if ws.repo.worktree is None:
        return
    found = _grep(ws, ("-E", "-i", "-e", _LOOKS_LIKE), None, _CONFIGURATIONS)
    if found:
        raise _refused(found)


def _grep(
    ws: Workspace, options: Iterable[str], given: bytes | None, paths: Iterable[str] = ()
) -> list[bytes]:
    done = ws.repo.git.call(
        *("grep", "--no-color", "-l", "-z", "-I", *options, "--", *paths), input=given
    )
    if done.returncode not in {0, 1}:
        raise GitError("grep", done.returncode, done.stderr)
    return split_nul(done.stdout)


def _refused(paths: Sequence[bytes]) -> UsageError:
    names = ", ".join(show(path) for path in paths[:_FOUND])
    return UsageError(
        f"{names} is tracked by git and holds a private key",
        hint="take it out and replace the key: `gitprov key new`; who has read it can spend it",
    )


def _spellings(secret: bytes) -> list[str]:
    return [secret.hex(), *{encode_wif(secret, chain) for chain in PREFIXES}]


def _is_wif(text: bytes) -> bool:
    try:
        decode_wif(text.decode("ascii"))
    except MalformedError:
        return False
    return True
