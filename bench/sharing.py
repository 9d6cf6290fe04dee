"""What each tool is called with to send data to a remote and to bring it into a fresh clone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

    from bench.measure import Runner

ACCESS, SECRET = "bench", "bench-secret"
BUCKET = "bench"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a remote lies.

    Attributes:
        name: what the page calls it.
        folder: what is kept there lies in here, whoever serves it.
        port: of the S3 server on loopback; None for a folder.
        for_annex: whether there is also a server at port 80, whose region is the host's name: that
            is what this git-annex signs, whatever it is told.
    """

    name: str
    folder: Path
    port: int | None = None
    for_annex: bool = False

    @property
    def endpoint(self) -> str:
        """The S3 server's address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The remote's address as most tools take it."""
        return str(self.folder) if self.port is None else f"s3://{BUCKET}/{self.folder.name}"


class Sharing(ABC):
    """How a tool shares data. Every measured command is a whole process."""

    @abstractmethod
    def connect(self, run: Runner, place: Place, *, clone: bool) -> None:
        """Tells a repository, or a fresh clone of it, where the remote is."""

    @property
    @abstractmethod
    def push(self) -> tuple[str, ...]:
        """The command that sends the data of the current commit."""

    @property
    @abstractmethod
    def pull(self) -> tuple[str, ...]:
        """The command that brings it, into the worktree too."""


class GitprovSharing(Sharing):
    """This tool."""

    @override
    def connect(self, run: Runner, place: Place, *, clone: bool) -> None:
        more = () if place.port is None else ("--endpoint", place.endpoint, "--region", "us-east-1")
        run("gitprov", "remote", "add", "bench", place.url, *more)

    @property
    @override
    def push(self) -> tuple[str, ...]:
        return ("gitprov", "push")

    @property
    @override
    def pull(self) -> tuple[str, ...]:
        return ("gitprov", "pull")


class DvcSharing(Sharing):
    """DVC."""

    @override
    def connect(self, run: Runner, place: Place, *, clone: bool) -> None:
        cache = run.folder.parent / ("site-cache-of-clone" if clone else "site-cache")
        run("dvc", "config", "--local", "core.site_cache_dir", str(cache))
        run("dvc", "remote", "add", "--local", "--default", "bench", place.url)
        if place.port is not None:
            run("dvc", "remote", "modify", "--local", "bench", "endpointurl", place.endpoint)

    @property
    @override
    def push(self) -> tuple[str, ...]:
        return ("dvc", "push", "--quiet")

    @property
    @override
    def pull(self) -> tuple[str, ...]:
        return ("dvc", "pull", "--quiet")


class LfsSharing(Sharing):
    """git-lfs to a bare repository, by its own transfer of files. It has no S3 without a server."""

    @override
    def connect(self, run: Runner, place: Place, *, clone: bool) -> None:
        if clone:
            run("git", "lfs", "install", "--local", "--skip-smudge")
        else:
            run("git", "init", "--quiet", "--bare", str(place.folder))
        run("git", "remote", "add", "bench", f"file://{place.folder}")
        run("git", "config", "remote.lfsdefault", "bench")

    @property
    @override
    def push(self) -> tuple[str, ...]:
        return ("git", "push", "--quiet", "bench", "HEAD:main")

    @property
    @override
    def pull(self) -> tuple[str, ...]:
        return ("git", "lfs", "pull", "bench")


class AnnexSharing(Sharing):
    """git-annex with a special remote."""

    @override
    def connect(self, run: Runner, place: Place, *, clone: bool) -> None:
        run("git", "config", "annex.security.allowed-ip-addresses", "127.0.0.1")
        if clone:
            run("git", "annex", "init", "--quiet", "clone")
            more = (f"directory={place.folder}",) if place.port is None else ()
            run("git", "annex", "enableremote", "bench", *more)
        elif place.port is None:
            folder = ("type=directory", f"directory={place.folder}", "encryption=none")
            run("git", "annex", "initremote", "bench", *folder)
        else:
            server = (
                *("type=S3", "host=127.0.0.1", "port=80", "protocol=http"),
                *("requeststyle=path", f"bucket={BUCKET}", f"fileprefix={place.folder.name}/"),
                *("encryption=none", "signature=v4", "datacenter=us-east-1"),
            )
            run("git", "annex", "initremote", "bench", *server)

    @property
    @override
    def push(self) -> tuple[str, ...]:
        return ("git", "annex", "copy", "--quiet", "--fast", "--to", "bench", ".")

    @property
    @override
    def pull(self) -> tuple[str, ...]:
        return ("git", "annex", "get", "--quiet", "--from", "bench", ".")


SHARING: dict[str, Sharing] = {
    "gitprov": GitprovSharing(),
    "dvc": DvcSharing(),
    "git-lfs": LfsSharing(),
    "git-annex": AnnexSharing(),
}
