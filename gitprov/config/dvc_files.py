"""What DVC's files name: the outputs in `*.dvc` and `dvc.lock`, each with its MD5.

They come from whoever can push. Nothing in them is followed: a path has to lie inside the
repository, and what is not a plain file or folder that DVC keeps in its cache is left, with the
reason.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, cast

from gitprov.config import YamlLimits, load_yaml
from gitprov.core.canonical import Json
from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError, UsageError

MAX_DVC_BYTES = 1 << 20
"""A larger `.dvc`, `dvc.yaml` or `dvc.lock` is refused before it is parsed."""

LOCK, PIPELINE, ENDING = b"dvc.lock", b"dvc.yaml", b".dvc"

_LIMITS = YamlLimits(text=MAX_DVC_BYTES, scalar=64 << 10, depth=64)
_MAX_OUTS = 10_000
_MAX_SHOWN = 200
_MD5 = re.compile(r"([0-9a-f]{32})(\.dir)?", re.ASCII)
_ELSEWHERE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]:[\\/]|/")
_OUT_SECTIONS = ("outs", "metrics", "plots")


@dataclass(frozen=True, slots=True)
class DvcOut:
    """One output that DVC keeps in its cache.

    Attributes:
        path: the file or folder, in the repository.
        md5: 32 hexadecimal digits, of the file, or of the list of a folder's files.
        is_dir: whether it is a folder.
        is_exec: whether the file is executable.
        is_old: named as DVC 2 did: the MD5 of a text does not see carriage returns, and the cache
            has another layout.
        source: the file that names it.
    """

    path: RepoPath
    md5: str
    is_dir: bool
    is_exec: bool
    is_old: bool
    source: RepoPath

    @property
    def at(self) -> RepoPath:
        """Where it lies in the repository."""
        return self.path


class LeftOut(NamedTuple):
    """An output that cannot be taken over.

    Attributes:
        path: what it is called: from the repository's top, or as DVC writes it where that says
            nothing of a place in the repository.
        source: the file that names it.
        why: one sentence.
        wrong: whether it should have been taken over.
        at: where it lies in the repository, None where it does not.
    """

    path: str
    source: RepoPath
    why: str
    wrong: bool
    at: RepoPath | None = None


Found = DvcOut | LeftOut


def is_dvc_file(name: bytes) -> bool:
    """Whether a file of this name names outputs."""
    return name == LOCK or (name.endswith(ENDING) and len(name) > len(ENDING))


def dvc_outs(where: RepoPath, data: bytes, pipeline: bytes | None = None) -> list[Found]:
    """Returns what a `.dvc` file or a `dvc.lock` names.

    Args:
        where: the file.
        data: its bytes.
        pipeline: the bytes of the `dvc.yaml` beside a lock, None when there is none.

    Raises:
        MalformedError: it is not what DVC writes.
    """
    document = _load(where, data)
    if where.name == LOCK:
        return list(_lock(where, document, pipeline))
    folder = _below(where.parent, document.get("wdir", "."))
    outs = _items(document.get("outs", []), where)
    return [_out(where, folder, out) for out in outs]


def _load(where: RepoPath, data: bytes) -> Mapping[str, Json]:
    try:
        return load_yaml(data.decode("utf-8"), what=str(where), limits=_LIMITS)
    except UnicodeDecodeError:
        raise MalformedError(f"{where} is not UTF-8") from None
    except UsageError as exc:
        raise MalformedError(str(exc)) from None


def _items(value: Json, where: RepoPath) -> list[Mapping[str, Json]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"{where}: its outs are no list of mappings")
    if len(value) > _MAX_OUTS:
        raise MalformedError(f"{where} has more than {_MAX_OUTS} outs")
    return cast("list[Mapping[str, Json]]", value)


def _lock(where: RepoPath, document: Mapping[str, Json], pipeline: bytes | None) -> Iterator[Found]:
    stages = document.get("stages", {})
    if not isinstance(stages, dict) or not str(document.get("schema", "")).startswith("2."):
        raise MalformedError(
            f"{where} is no lock of DVC 2 or 3", hint="a newer DVC rewrites it: dvc commit"
        )
    places = _pipeline(where.parent / PIPELINE, pipeline)
    for name, stage in cast("Mapping[object, Json]", stages).items():
        if not isinstance(name, str) or not isinstance(stage, dict):
            raise MalformedError(f"{where}: the stage {name!r:.80} is no mapping with a name")
        # A stage of a loop is called `name@item`.
        place = places.get(name) or places.get(name.partition("@")[0]) or _Place()
        folder = _below(where.parent, place.wdir)
        for out in _items(stage.get("outs", []), where):
            if place.is_template:
                path = show(str(out.get("path", "")).encode("utf-8", "replace"))[:_MAX_SHOWN]
                yield LeftOut(path, where, f"the wdir of the stage {name:.80} is a template", True)
            elif isinstance(out.get("path"), str) and out["path"] in place.uncached:
                yield _out(where, folder, {**out, "cache": False})
            else:
                yield _out(where, folder, out)


class _Place(NamedTuple):
    """Where a stage runs, and which of its outputs git keeps."""

    wdir: Json = "."
    uncached: frozenset[str] = frozenset()

    @property
    def is_template(self) -> bool:
        return isinstance(self.wdir, str) and "${" in self.wdir


def _pipeline(where: RepoPath, data: bytes | None) -> dict[str, _Place]:
    """What a lock does not say of its stages; only DVC's own `dvc.yaml` does."""
    stages = _load(where, data or b"").get("stages")
    places: dict[str, _Place] = {}
    for name, stage in stages.items() if isinstance(stages, dict) else ():
        if isinstance(stage, dict) and isinstance(stage.get("do"), dict):
            stage = stage["do"]  # of a loop
        if isinstance(stage, dict):
            places[name] = _Place(stage.get("wdir") or ".", frozenset(_uncached(stage)))
    return places


def _uncached(stage: Mapping[str, Json]) -> Iterator[str]:
    for section in _OUT_SECTIONS:
        listed = stage.get(section)
        for item in listed if isinstance(listed, list) else ():
            for path, flags in item.items() if isinstance(item, dict) else ():
                if isinstance(flags, dict) and flags.get("cache") is False:
                    yield path


def _below(folder: RepoPath, wdir: Json) -> RepoPath:
    if not isinstance(wdir, str):
        raise MalformedError(f"a wdir in {folder} is no text")
    return _joined(folder, wdir)


def _joined(folder: RepoPath, text: str) -> RepoPath:
    """Joins a path as DVC writes it to a folder of the repository.

    Raises:
        MalformedError: it leads out of the repository, or has a name that is refused.
    """
    parts = list(folder.parts)
    try:
        given = text.encode()
    except UnicodeEncodeError:
        raise MalformedError(f"the path {text!r:.80} is no Unicode text") from None
    for part in given.split(b"/"):
        if part == b"..":
            if not parts:
                raise MalformedError(f"{show(given)[:_MAX_SHOWN]} leads out of the repository")
            parts.pop()
        elif part not in {b"", b"."}:
            parts.append(part)
    return RepoPath.parse(b"/".join(parts))


def _out(where: RepoPath, folder: RepoPath, out: Mapping[str, Json]) -> Found:
    path, md5 = out.get("path"), out.get("md5")
    if not isinstance(path, str) or not path:
        return LeftOut("?", where, "an output has no path", True)
    shown = show(path.encode("utf-8", "replace"))[:_MAX_SHOWN]
    if "remote" in out or _ELSEWHERE.match(path):
        return LeftOut(shown, where, "it lies outside the repository", False)
    try:
        at = _joined(folder, path)
    except MalformedError as exc:
        return LeftOut(shown, where, str(exc), True)
    if not at.raw:
        return LeftOut(shown, where, "it is the whole repository", True)
    shown = str(at)[:_MAX_SHOWN]
    if out.get("cache") is False:
        return LeftOut(shown, where, "git keeps it, DVC does not", False, at)
    if out.get("files") is not None:
        return LeftOut(shown, where, "a cloud keeps its versions, not DVC's cache", True, at)
    if md5 is None:
        return LeftOut(shown, where, "it has no MD5 yet; `dvc commit` writes it", True, at)
    found = _MD5.fullmatch(md5) if isinstance(md5, str) else None
    if found is None or out.get("hash", "md5") != "md5":
        return LeftOut(shown, where, "it is not named by an MD5", True, at)
    is_exec = out.get("isexec") is True
    is_dir = found[2] is not None
    return DvcOut(at, found[1], is_dir, is_exec and not is_dir, "hash" not in out, where)
