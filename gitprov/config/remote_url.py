"""The address of a remote: read once, strictly, and never with a secret in it.

Addresses stand in configuration files, in messages and in the output of commands, so an address
that could hold a password or a signed query is refused wherever it comes from.
"""

import re
from dataclasses import dataclass
from typing import Literal, Self, cast
from urllib.parse import SplitResult, unquote, urlsplit

from gitprov.core.paths import printable
from gitprov.errors import UsageError

Scheme = Literal["file", "s3", "gs", "az", "http", "https", "ssh", "fsspec"]

SERVERS = ("ftp", "hdfs", "root", "smb", "webdav", "webhdfs")
"""Reached through fsspec: the address names a server, which is shown a password."""

SERVICES = (
    *("abfs", "adl", "box", "dbfs", "dropbox", "gdrive", "hf", "lakefs", "oci", "oss", "tos"),
)
"""Reached through fsspec: the address names a bucket or a folder of a service that is known."""

SCHEMES = (
    "s3:// gs:// az:// http:// https:// ssh:// sftp:// file://, or the path of a folder; through "
    f"fsspec {' '.join(f'{one}://' for one in sorted((*SERVERS, *SERVICES)))}"
)

_MAX_URL = 1000
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9a-fA-F:]*:[0-9a-fA-F:.]*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}", re.ASCII)
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}", re.ASCII)
_FSSPEC_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?", re.ASCII)
_FSSPEC_PATH = re.compile(r"[A-Za-z0-9._~/+=@-]*", re.ASCII)
_STARTS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """An address in its parts. `parse(str(url)) == url`.

    Attributes:
        scheme: how it is reached; `sftp` is read as `ssh`, and `fsspec` knows many more.
        host: the server, or the bucket or container of an object store; "" for a folder.
        path: of a folder and of ssh from the root; else the prefix without a slash at either end.
        user: of ssh and of a server that fsspec reaches.
        port: where one is named.
        protocol: what fsspec calls it; "" for all that needs no fsspec.
    """

    scheme: Scheme
    host: str
    path: str
    user: str | None = None
    port: int | None = None
    protocol: str = ""

    @property
    def names_a_server(self) -> bool:
        """Whether a server is named that is shown a password: a tracked file may not do that."""
        return self.protocol in SERVERS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads an address.

        Raises:
            UsageError: it cannot be used; the sentence shows no part of it that may be secret.
        """
        if not text or text.startswith("-"):
            raise UsageError(
                "the address of a remote is empty or begins with '-'", hint=f"known: {SCHEMES}"
            )
        if not text.isprintable() or len(text) > _MAX_URL:
            raise UsageError(
                "the address of a remote holds a character that nobody sees, or is too long"
            )
        if text.startswith("/"):
            return cls("file", "", _folder(text))
        scheme = _STARTS.match(text)
        if scheme is None:
            raise UsageError(
                f"{text!r:.80} is no address of a remote: the path of a folder begins with /",
                hint=f"known: {SCHEMES}",
            )
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as exc:
            raise UsageError(f"the address of a remote is no URL: {exc}") from None
        return cls._of(scheme[1].lower(), parts, port)

    @classmethod
    def _of(cls, scheme: str, parts: SplitResult, port: int | None) -> Self:
        _refuse_secrets(scheme, parts)
        host = parts.hostname or ""
        if scheme == "file":
            if parts.netloc not in {"", "localhost"}:
                raise UsageError("file:// takes the path of a folder here: file:///path")
            return cls("file", "", _folder(unquote(parts.path)))
        if scheme in {"http", "https"}:
            _check_host(host)
            return cls(cast("Scheme", scheme), host, _prefix(parts.path), None, port)
        if scheme in {"ssh", "sftp"}:
            _check_host(host)
            if parts.username is not None and not _USER.fullmatch(parts.username):
                raise UsageError("the user in the address of a remote is no user's name")
            return cls("ssh", host, _folder(unquote(parts.path)), parts.username, port)
        if scheme in {"s3", "gs", "az"}:
            # netloc, since `hostname` would turn capitals into small letters.
            if not _BUCKET.fullmatch(parts.netloc):
                raise UsageError(
                    f"{scheme}:// is followed by the name of a bucket: {scheme}://BUCKET/PREFIX"
                )
            return cls(cast("Scheme", scheme), parts.netloc, _prefix(parts.path))
        if scheme in SERVERS or scheme in SERVICES:
            return cls._through_fsspec(scheme, parts, port)
        raise UsageError(f"remotes of the kind {scheme}:// are not known", hint=f"known: {SCHEMES}")

    @classmethod
    def _through_fsspec(cls, scheme: str, parts: SplitResult, port: int | None) -> Self:
        # fsspec looks for `::`, `*`, `?`, `[` and more in what it is given.
        if not _FSSPEC_PATH.fullmatch(parts.path):
            raise UsageError(f"the path of {scheme}:// holds another character than A-Z0-9._~/+=@-")
        host = parts.netloc if scheme in SERVICES else parts.hostname or ""
        if not _FSSPEC_HOST.fullmatch(host):
            raise UsageError(f"{printable(host)[:80]!r} names no place of {scheme}://")
        if parts.username is not None and not _USER.fullmatch(parts.username):
            raise UsageError("the user in the address of a remote is no user's name")
        return cls("fsspec", host, _prefix(parts.path), parts.username, port, scheme)

    def __str__(self) -> str:
        if self.scheme == "file":
            return self.path
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port is not None else ""
        # A space is fine in a path of ssh; what would end the path of a URL is written as it was.
        path = self.path.replace("%", "%25").replace("?", "%3F").replace("#", "%23")
        slash = "/" if path and not path.startswith("/") else ""
        return f"{self.protocol or self.scheme}://{user}{host}{port}{slash}{path}"


def _refuse_secrets(scheme: str, parts: SplitResult) -> None:
    if parts.password is not None or (parts.username is not None and scheme not in _WITH_USER):
        raise UsageError(
            "the address of a remote may hold no password and no token",
            hint="they come from the environment, a profile or an agent: docs/tutorial.md",
        )
    if parts.query or parts.fragment:
        raise UsageError(
            "the address of a remote ends with its path: what follows ? or # may be secret"
        )


_WITH_USER = {"ssh", "sftp", *SERVERS}


def _check_host(host: str) -> None:
    # Only what a host can be named: `-oProxyCommand=…` would be an option for whoever is handed it.
    if not _HOST.fullmatch(host):
        raise UsageError(f"{printable(host)[:80]!r} is no name of a host")


def _folder(path: str) -> str:
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not path.startswith("/") or ".." in parts or not parts or not path.isprintable():
        raise UsageError("a remote's folder is named from / on, without '..': /path/of/folder")
    return "/" + "/".join(parts)


def _prefix(path: str) -> str:
    parts = [part for part in unquote(path).split("/") if part]
    if any(part in {".", ".."} for part in parts) or not unquote(path).isprintable():
        raise UsageError("the path in the address of a remote holds '.' or '..'")
    return "/".join(parts)
