"""`gitprov add` for data that lies elsewhere, or is hashed elsewhere: its options, and the way."""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

import click

from gitprov.config.remotes import check_endpoint
from gitprov.errors import UsageError
from gitprov.ops.add import add as add_artifacts
from gitprov.ops.added import AddedArtifact

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from gitprov.cli.progress import Meter
    from gitprov.model.pointer import ArtifactKind
    from gitprov.workspace import Workspace

F = TypeVar("F", bound=Callable[..., Any])

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class FarOptions(TypedDict):
    """What was given on the command line."""

    as_path: str | None
    copy: bool
    executor: str | None
    endpoint: str | None
    region: str | None
    profile: str | None
    instance_metadata: bool
    jobs: int


def far_options(command: F) -> F:
    """Adds the options."""
    options = (
        click.option(
            "--as", "as_path", metavar="PATH", help="What data at a URL is to be called here."
        ),
        click.option(
            "--copy", is_flag=True, help="Bring the bytes into the store, too, not only digests."
        ),
        click.option(
            "--executor",
            metavar="dask://HOST:PORT",
            help="Let the workers of this Dask cluster read and hash.",
        ),
        click.option("--endpoint", metavar="URL", help="The server, if not the cloud's own."),
        click.option("--region", metavar="R", help="The region of the bucket."),
        click.option("--profile", metavar="P", help="The section of ~/.aws/credentials to use."),
        click.option(
            "--instance-metadata", is_flag=True, help="Ask the cloud machine for its own role."
        ),
        click.option(
            "-j",
            "--jobs",
            type=click.IntRange(1, 64),
            default=8,
            show_default=True,
            help="Objects that travel here at once.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def add_anywhere(
    ws: "Workspace",
    paths: Sequence[str],
    far: FarOptions,
    *,
    kind: "ArtifactKind | None",
    stage: bool,
    meter: "Meter",
) -> list[AddedArtifact]:
    """Adds what is on disk, or what lies at a URL.

    Raises:
        UsageError: options that do not belong together.
    """
    urls = [path for path in paths if _URL.match(path)]
    if not urls:
        _refuse_options(far)
    elif len(paths) > 1 or far["as_path"] is None:
        raise UsageError(
            "one URL at a time, and --as says what it is to be called here",
            hint=f"gitprov add {_shown(urls[0])} --as data",
        )
    with contextlib.ExitStack() as stack:
        executor: Executor | None = None
        if far["executor"] is not None:
            from gitprov.platform.dask_executor import executor_of

            executor = stack.enter_context(executor_of(far["executor"]))
        if not urls:
            copy = far["copy"] or executor is None
            return add_artifacts(
                ws, paths, kind=kind, stage=stage, progress=meter, executor=executor, copy=copy
            )
        return [_add_url(ws, urls[0], far, executor, kind=kind, stage=stage, meter=meter)]


def _add_url(
    ws: "Workspace",
    url: str,
    far: FarOptions,
    executor: "Executor | None",
    *,
    kind: "ArtifactKind | None",
    stage: bool,
    meter: "Meter",
) -> AddedArtifact:
    from gitprov.ops.add_objects import Far, add_objects
    from gitprov.store.source import Address
    from gitprov.store.source_object import object_url

    given = {"profile": far["profile"], "region": far["region"]}
    options = {name: value for name, value in given.items() if value}
    if far["endpoint"] is not None:
        options["endpoint"] = check_endpoint(far["endpoint"])
    if far["instance_metadata"]:
        options["instance_metadata"] = "true"
    address = Address(str(object_url(url)), tuple(sorted(options.items())))
    how = Far(dict(os.environ), executor, far["copy"], far["jobs"])
    path = far["as_path"] or ""
    return add_objects(ws, address, path, how, kind=kind, stage=stage, progress=meter)


def _refuse_options(far: FarOptions) -> None:
    names = ("endpoint", "region", "profile", "instance_metadata")
    given = [name for name in names if far[name]]  # type: ignore[literal-required]
    if given or far["as_path"] is not None:
        option = "as" if far["as_path"] is not None else given[0].replace("_", "-")
        raise UsageError(
            f"--{option} goes with a URL", hint="gitprov add s3://BUCKET/PREFIX --as data"
        )


def _shown(url: str) -> str:
    """A URL without what may be secret in it."""
    from gitprov.store.source_object import object_url

    return str(object_url(url))
