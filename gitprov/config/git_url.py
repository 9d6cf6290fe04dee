"""The address of another git repository: read strictly, and never with a secret in it.

It stands in tracked files (docs/formats.md section 14), in messages and on git's command line: so
what git would take for an option or for a command to run is refused wherever it comes from.
"""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from gitprov.errors import UsageError

KNOWN = "https://, http://, ssh://, file://, USER@HOST:PATH, or the path of a folder"

MAX_URL_CHARS = 1000

_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)
_STARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_HELPER = re.compile(r"[A-Za-z0-9+.-]*::")
_SCP = re.compile(r"(?:([^/@:]+)@)?([^/@:]+):(?!/?-|[^/]*@[^/]*:)([^:].*)")
_SCHEMES = ("https", "http", "ssh", "file")


@dataclass(frozen=True, slots=True)
class GitUrl:
    """An address. `str(parse(text)) == text`.

    Attributes:
        text: as it was given.
        is_path: whether it is the path of a folder on this machine, not a URL.
    """

    text: str
    is_path: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads an address; git's own rule tells `HOST:PATH` from a path: a colon before a slash.

        Raises:
            UsageError: it cannot be used; the sentence shows no part of it that may be secret.
        """
        if not text or text.startswith("-"):
            raise UsageError(
                "the address of a repository is empty or begins with '-'", hint=f"known: {KNOWN}"
            )
        if not text.isprintable() or len(text) > MAX_URL_CHARS:
            raise UsageError(
                "the address of a repository holds a character that nobody sees, or is too long"
            )
        if _HELPER.match(text):
            raise UsageError(
                "an address with '::' would make git run a program of that name",
                hint=f"known: {KNOWN}",
            )
        scheme = _STARTS.match(text)
        if scheme is not None:
            _check_url(scheme[1], text)
            return cls(text, is_path=False)
        if ":" not in text.partition("/")[0]:
            return cls(text, is_path=True)
        found = _SCP.fullmatch(text)
        if found is None or (found[1] and not _USER.fullmatch(found[1])):
            raise UsageError(
                "this is no address of a repository",
                hint=f"known: {KNOWN}; a folder with a colon in its name is written ./a:b",
            )
        _check_host(found[2])
        return cls(text, is_path=False)

    def __str__(self) -> str:
        return self.text


def _check_url(scheme: str, text: str) -> None:
    if scheme not in _SCHEMES:
        raise UsageError(f"repositories at {scheme}:// are not known", hint=f"known: {KNOWN}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise UsageError(f"the address of a repository is no URL: {exc}") from None
    if parts.password is not None or (parts.username is not None and scheme != "ssh"):
        raise UsageError(
            "the address of a repository may hold no password, no token and no user of a web "
            "server",
            hint="git's credential helper knows them: leave out what stands before the @",
        )
    if parts.query or parts.fragment:
        raise UsageError(
            "the address of a repository ends with its path: what follows ? or # may be secret"
        )
    if scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
            raise UsageError("file:// takes the path of a folder here: file:///path")
        return
    if parts.username is not None and not _USER.fullmatch(parts.username):
        raise UsageError("the user in the address of a repository is no user's name")
    _check_host(parts.hostname or "")
    if port == 0 or parts.path.strip("/") in {"", "."}:
        raise UsageError("the address of a repository ends with its path on the server")


def _check_host(host: str) -> None:
    # `-oProxyCommand=…` would be an option for ssh.
    if not _HOST.fullmatch(host):
        raise UsageError("the host in the address of a repository is no name of a host")
