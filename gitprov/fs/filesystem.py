"""fsspec's `gitprov://`: the files of a revision for pandas, pyarrow, dask and their like."""

import contextlib
import os
import posixpath
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, UsageError
from gitprov.fs.files import ReadOnlyError, repo_path_of, wrapped
from gitprov.fs.session import Session, session_of
from gitprov.ops.revision_tree import Node, NoSuchPathError

Info = dict[str, Any]


class GitprovFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A repository's artifacts, and what git tracks beside them, at one revision; read-only.

    A path is from the top of the repository: `gitprov://data/train.csv`. What is read is verified
    as `gitprov.open` says. A filesystem may be used by several threads, after a fork, and may be
    pickled; a revision is looked up once, so that all who share one see the same commit.

    Attributes:
        commit: the commit whose files it has; None for what the worktree's pointers name now.

    Example:
        >>> pandas.read_parquet("gitprov://data/train.parquet", storage_options={"rev": "v1.0"})
    """

    protocol = "gitprov"
    root_marker = ""
    cachable = False  # `repo=None` and a branch mean something else later; sessions are shared

    def __init__(
        self,
        repo: str | os.PathLike[str] | None = None,
        rev: str | None = None,
        remote: str | None = None,
        keep: bool | None = None,
        **options: Any,
    ) -> None:
        """Opens a repository; the arguments are those of `gitprov.open`.

        Raises:
            UsageError: there is no such repository or revision.
        """
        super().__init__(**options)
        self._session: Session = session_of(repo, remote, rev, keep=keep)
        self._options = options
        self.commit = self._session.pin(rev)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Takes the folder and the commit along, not names that mean something else elsewhere."""
        session = self._session
        where = (session.place, self.commit, session.remote, session.keep)
        return _again, (type(self), where, self._options)

    @property
    def fsid(self) -> str:
        """What tells this filesystem from others."""
        return f"gitprov-{self._session.place}-{self.commit}"

    # ------------------------------------------------------------ what is there

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Lists a folder; of a file, the file itself."""
        node = self._find(path)
        if node.kind == "d":
            children = self._session.children(node, self.commit)
            found = [self._info(self._followed(child)) for child in children]
        else:
            found = [self._info((node, None))]
        return found if detail else [info["name"] for info in found]

    def info(self, path: str, **_: Any) -> Info:
        """Returns name, size (bytes), type, and of data `digest`: BLAKE3, of a folder its root."""
        where = self._path(path)
        node = self._session.find(where, self.commit, follow=False)
        return self._info(self._followed(node))

    def ukey(self, path: str) -> str:
        """Returns what changes when a file does."""
        info = self.info(path)
        return str(info.get("digest") or info.get("oid") or self.fsid)

    def checksum(self, path: str) -> int:
        """Returns the same as a number."""
        return int.from_bytes(self.ukey(path).encode(), "big")

    def exists(self, path: str, **_: Any) -> bool:
        """Whether there is something; raises when that cannot be told."""
        try:
            self._find(path)
        except NoSuchPathError:
            return False
        return True

    def _find(self, path: str) -> Node:
        return self._session.find(self._path(path), self.commit)

    def _path(self, path: str) -> RepoPath:
        return repo_path_of(self._strip_protocol(path))

    def _followed(self, node: Node) -> tuple[Node, Node | None]:
        """A node, and what it leads to when it is a symlink; itself when that is nothing."""
        if node.kind != "l":
            return node, None
        try:
            return node, self._session.find(node.path, self.commit)
        except UsageError:
            return node, node

    def _info(self, found: tuple[Node, Node | None]) -> Info:
        node, target = found
        seen = target or node
        info: Info = {
            "name": os.fsdecode(node.path.raw),
            "size": 0 if seen.kind == "d" else seen.size,
            "type": {"d": "directory", "f": "file", "x": "file"}.get(seen.kind, "other"),
        }
        if target is not None:
            info["islink"] = True
            info["destination"] = self._session.link_target(node, self.commit)
            if seen.kind == "d":
                info["type"] = "link"  # whoever walks would go in circles
        if seen.kind == "x":
            info["executable"] = True
        if seen.digest:
            info["digest"] = str(Digest(seen.digest))
        elif seen.oid:
            info["oid"] = seen.oid
        return info

    # ------------------------------------------------------------ reading

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        if mode != "rb":
            _refuse(path)
        node = self._find(path)
        return wrapped(self._session.open(node), node)

    def open(self, path: str, mode: str = "rb", *args: Any, **options: Any) -> Any:
        """Opens a file for reading, as bytes or as text."""
        if set(mode) & set("wax+"):
            _refuse(path)
        return super().open(path, mode, *args, **options)

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Returns a file's bytes, or a part of them; negative numbers count from the end."""
        with self._open(path) as file:
            return _part(file, file.size, start, end)

    def cat(self, path: Any, recursive: bool = False, on_error: str = "raise", **_: Any) -> Any:
        """Returns the bytes of a file, or of several by name: of all in a folder if `recursive`.

        Small ones that the store lacks come many at once. An error is about one file: the others
        are had where `on_error` is "return", which puts it in its place, or "omit".
        """
        paths = self.expand_path(path, recursive=recursive)
        if isinstance(path, str) and paths == [self._strip_protocol(path)] and not recursive:
            return self.cat_file(path)
        if recursive:
            paths = [one for one in paths if self.info(one)["type"] == "file"]
        failed = self._bring(paths)
        found: dict[str, Any] = {}
        for one in paths:
            try:
                if one in failed:
                    raise failed[one]
                found[one] = self.cat_file(one)
            except (GitprovError, OSError) as exc:
                if on_error == "raise":
                    raise
                if on_error == "return":
                    found[one] = exc
        return found

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Returns ranges of files; each file is opened once."""
        del max_gap  # chunks are joined where they lie side by side, whatever the caller thinks
        count = len(paths)
        firsts = starts if isinstance(starts, list) else [starts] * count
        lasts = ends if isinstance(ends, list) else [ends] * count
        if len(firsts) != count or len(lasts) != count:
            raise ValueError("as many starts and ends as paths are needed")
        failed = self._bring(dict.fromkeys(paths))
        found: list[Any] = []
        with contextlib.ExitStack() as stack:
            files: dict[str, Any] = {}
            for path, start, end in zip(paths, firsts, lasts, strict=True):
                try:
                    if path in failed:
                        raise failed[path]
                    if path not in files:
                        files[path] = stack.enter_context(self._open(path))
                    found.append(_part(files[path], files[path].size, start, end))
                except (GitprovError, OSError) as exc:
                    if on_error != "return":
                        raise
                    found.append(exc)
        return found

    def get_file(self, rpath: str, lpath: Any = None, **options: Any) -> None:
        """Copies a file to the disk; nothing is left there when it turns out to be wrong."""
        if isfilelike(lpath) or options.get("outfile") is not None or self.isdir(rpath):
            super().get_file(rpath, lpath, **options)
            return
        path = os.fspath(lpath)
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        temporary = f"{path}.gitprov-tmp-{os.getpid()}"
        try:
            super().get_file(rpath, temporary, **options)
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)

    def _bring(self, paths: Any) -> dict[str, GitprovError]:
        """Fetches many at once; returns those for which the remote would be waited for again."""
        nodes: dict[str, Node] = {}
        for path in paths:
            with contextlib.suppress(GitprovError):  # whoever reads it is told
                node = self._find(path)
                if node.kind in {"f", "x"}:
                    nodes[path] = node
        failed = self._session.bring([*nodes.values()])
        return {path: failed[node] for path, node in nodes.items() if node in failed}

    # ------------------------------------------------------------ writing

    def _refused(self, path: Any = "", *_: Any, **__: Any) -> NoReturn:
        """Refuses: a commit's data does not change."""
        _refuse(path)

    mkdir = makedirs = rmdir = rm = rm_file = _rm = cp_file = copy = mv = _refused
    put = put_file = pipe = pipe_file = touch = write_text = start_transaction = _refused


def _part(file: Any, size: int, start: int | None, end: int | None) -> bytes:
    first, last, _ = slice(start, end).indices(size)
    file.seek(first)
    return bytes(file.read(max(0, last - first)))


def _refuse(path: Any) -> NoReturn:
    where = path if isinstance(path, str) else ""
    raise ReadOnlyError(
        f"gitprov://{posixpath.normpath(where) if where else ''} can only be read",
        hint="write into the worktree, then gitprov add",
    )


def _again(
    cls: type[GitprovFileSystem], where: Sequence[Any], options: dict[str, Any]
) -> GitprovFileSystem:
    place, commit, remote, keep = where
    return cls(place, commit, remote, keep, **options)
