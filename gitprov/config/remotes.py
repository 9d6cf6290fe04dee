"""The section `remotes`: where a team's data lies, and how this clone reaches it.

A tracked file may say where: then a fresh clone needs no set-up. What chooses credentials or sends
them elsewhere (profile, endpoint, the machine's own role) is this clone's affair, and so are
folders, which lie elsewhere on every machine. No file holds a credential.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Self, cast
from urllib.parse import urlsplit

from gitprov.config.remote_url import RemoteUrl
from gitprov.core.canonical import Json
from gitprov.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@:/+ -]{0,127}", re.ASCII)
_LOCAL = {"local": True}
"""Marks what only the clone's own configuration may say."""

_TRACKED = ".gitprov.yaml"
_OWN = "this clone's config.yaml"


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """One remote.

    Attributes:
        name: what it is called here.
        url: its address, which holds no secret.
        endpoint: the server of an object store that is not the cloud's own: MinIO, Ceph, R2.
        region: of an object store.
        profile: the section of ~/.aws/credentials whose keys are used.
        instance_metadata: whether the machine's own role may be asked for credentials (on EC2).
        shared: whether the address comes from the tracked file, so from whoever can push: ask
            before anything is sent there for the first time.
    """

    name: str
    url: str = ""
    endpoint: str | None = field(default=None, metadata=_LOCAL)
    region: str | None = None
    profile: str | None = field(default=None, metadata=_LOCAL)
    instance_metadata: bool = field(default=False, metadata=_LOCAL)
    shared: bool = False

    @property
    def can_be_written(self) -> bool:
        """Whether data can be pushed there; a web server only hands out what it serves."""
        return not self.url.startswith(("http://", "https://"))

    def options(self) -> dict[str, str]:
        """Returns what `store.transports.open_transport` takes beside the address."""
        given = {"endpoint": self.endpoint, "region": self.region, "profile": self.profile}
        options = {key: value for key, value in given.items() if value is not None}
        if self.instance_metadata:
            options["instance_metadata"] = "true"
        return options


KEYS = tuple(item.name for item in fields(RemoteConfig) if item.name not in {"name", "shared"})
"""What a file may say about a remote."""


@dataclass(frozen=True, slots=True)
class RemotesConfig:
    """All remotes, by name.

    Attributes:
        remotes: those that have an address, in the order of the files, the tracked one first.
        default: the one that is meant when none is named, if a file says so.
    """

    remotes: Mapping[str, RemoteConfig] = field(default_factory=dict)
    default: str | None = None

    @classmethod
    def of(
        cls, tracked: Mapping[str, Json], local: Mapping[str, Json], default: str | None = None
    ) -> Self:
        """Reads the section of both files; key by key, what the local one says wins.

        Raises:
            UsageError: an unknown key, a wrong value, or something a tracked file may not say.
        """
        remotes = _section({}, tracked, tracked=True)
        remotes = _section(remotes, local, tracked=False)
        # What a clone says about a shared remote stays when a revision without it is checked out.
        return cls({name: one for name, one in remotes.items() if one.url}, default)

    def meant(self, *, writing: bool = False) -> str | None:
        """Returns the name of the remote that is meant when none is named: the default or only one.

        Args:
            writing: whether data is to be sent there: a web server is never meant then.
        """
        able = [one.name for one in self.remotes.values() if one.can_be_written or not writing]
        if self.default is not None and (self.default in able or self.default not in self.remotes):
            return self.default
        return able[0] if len(able) == 1 else None

    def chosen(self, name: str | None = None, *, writing: bool = False) -> RemoteConfig:
        """Returns the remote of a name; without one that which is meant.

        Args:
            name: what it is called.
            writing: whether data is to be sent there.

        Raises:
            UsageError: there is no such remote, none is meant, or it can only be read.
        """
        if not self.remotes:
            raise UsageError(
                "no remote is known",
                hint="gitprov remote add NAME URL; of folders, each clone names its own",
            )
        wanted = name or self.meant(writing=writing)
        if wanted is None:
            raise self._none_meant(writing=writing)
        if wanted not in self.remotes:
            what = f"there is no remote {wanted!r:.80}"
            raise UsageError(
                what if name else f"{what}, which remote_default names",
                hint=f"known: {', '.join(self.remotes)}",
            )
        chosen = self.remotes[wanted]
        if writing and not chosen.can_be_written:
            raise UsageError(
                f"{wanted} can only be read: {chosen.url} is a web server",
                hint="write to the folder or bucket that it serves",
            )
        return chosen

    def _none_meant(self, *, writing: bool) -> UsageError:
        able = [one for one in self.remotes.values() if one.can_be_written or not writing]
        if not able:
            return UsageError(
                f"no remote can be written to: {next(iter(self.remotes.values())).url} is a web "
                "server, which can only be read",
                hint="name the folder or bucket that it serves: gitprov remote add NAME URL",
            )
        return UsageError(
            "there are several remotes, and none is the default",
            hint="name one, or: gitprov remote default NAME; known: "
            + ", ".join(one.name for one in able),
        )


def check_remote_name(name: str) -> str:
    """Returns a name that a remote may have.

    Raises:
        UsageError: it has other characters than those that need no quotes anywhere.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r:.80} is no name of a remote",
            hint="a small letter or a digit, then also . _ and -, 63 characters at most",
        )
    return name


def check_endpoint(value: str) -> str:
    """Returns the address of an object store's server.

    Raises:
        UsageError: it is none, or holds a password.
    """
    try:
        parts = urlsplit(value)
        good = (
            parts.scheme in {"http", "https"}
            and parts.hostname is not None
            and parts.port != 0
            and parts.username is None
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        good = False
    if not good or not value.isprintable() or " " in value:
        raise UsageError(
            "an endpoint is an address that begins with http:// or https:// and holds no secret"
        )
    return value.rstrip("/")


def _section(
    remotes: Mapping[str, RemoteConfig], value: Mapping[str, Json], *, tracked: bool
) -> dict[str, RemoteConfig]:
    file = _TRACKED if tracked else _OWN
    result = dict(remotes)
    for name, given in value.items():
        check_remote_name(str(name))
        if not isinstance(given, dict):
            raise UsageError(f"{file}: remotes.{name} must be a mapping with a url")
        result[name] = _remote(result.get(name, RemoteConfig(name)), given, file, tracked=tracked)
    return result


def _remote(
    remote: RemoteConfig, given: Mapping[str, Json], file: str, *, tracked: bool
) -> RemoteConfig:
    local = {item.name for item in fields(RemoteConfig) if item.metadata.get("local")}
    changes: dict[str, object] = {}
    for key, value in given.items():
        name = f"remotes.{remote.name}.{key}"
        if key not in KEYS:
            raise UsageError(f"{file} has the unknown key {name}", hint=f"known: {', '.join(KEYS)}")
        if tracked and key in local:
            raise UsageError(
                f"{file} may not set {name}: a tracked file chooses no credentials, and not where "
                "they are sent",
                hint=f"say it for this clone: gitprov remote add {remote.name} …",
            )
        changes[key] = _checked(name, key, value, file)
        if key == "url":
            changes["shared"] = tracked
            if tracked:
                _check_shared(name, cast("str", changes["url"]), remote.name)
    return replace(remote, **changes)  # type: ignore[arg-type]  # each is checked above


def _check_shared(name: str, text: str, remote: str) -> None:
    """A tracked file comes from whoever can push."""
    url = RemoteUrl.parse(text)
    if url.scheme == "file":
        raise UsageError(
            f"{_TRACKED} may not set {name} to a folder: a tracked file cannot choose folders",
            hint=f"say it for this clone: gitprov remote add {remote} FOLDER",
        )
    if url.names_a_server:
        raise UsageError(
            f"{_TRACKED} may not set {name} to {url.protocol}://: a tracked file cannot choose "
            "which server is shown a password",
            hint=f"say it for this clone: gitprov remote add {remote} {url}",
        )


def _checked(name: str, key: str, value: Json, file: str) -> object:
    if key == "instance_metadata":
        if not isinstance(value, bool):
            raise UsageError(f"{file}: {name} must be true or false, not {value!r:.80}")
        return value
    if not isinstance(value, str):
        raise UsageError(f"{file}: {name} must be a text")
    try:
        if key == "url":
            return str(RemoteUrl.parse(value))
        if key == "endpoint":
            return check_endpoint(value)
    except UsageError as exc:
        raise UsageError(f"{file}: {name}: {exc}", hint=exc.hint) from None
    if not _WORD.fullmatch(value):
        raise UsageError(f"{file}: {name} must be a name, not {value!r:.80}")
    return value
