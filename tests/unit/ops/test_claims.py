"""Sizes and counts that no digest stands for are held against what is there."""

import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from gitprov.core.digest import Digest
from gitprov.errors import MalformedError, VerificationError
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.pointer import Pointer
from gitprov.ops.add import add
from gitprov.ops.anchor import anchor_log
from gitprov.ops.evidence_artifacts import ArtifactLooker
from gitprov.ops.fsck import fsck
from gitprov.ops.init import init
from gitprov.ops.prove import prove
from gitprov.ops.record import compute_record, record_commits
from gitprov.ops.restore import checkout
from gitprov.ops.staged import check_staged
from gitprov.ops.status import status
from gitprov.ops.weights import weights_read
from gitprov.store.base import StoreWriter
from gitprov.verify.evidence import ArtifactEvidence
from gitprov.workspace import Workspace
from tests.support.repos import commit, git, make_repo, write

CONTENT = b"hi"


class Lie(NamedTuple):
    """A pointer that says what is not so, what is at its path, and what is to be said of it."""

    pointer: Pointer
    sentence: str
    prove: str | None


def _folder(writer: StoreWriter, entries: list[Entry]) -> Manifest:
    manifest = Manifest.of(entries)
    writer.add_manifest(manifest.root.raw, manifest.to_bytes())
    return manifest


def _flat(writer: StoreWriter, size: int = len(CONTENT)) -> Manifest:
    digest = Digest.of(CONTENT).raw
    writer.add_known(digest, CONTENT)
    return _folder(writer, [Entry(b"a", "f", digest, size)])


def _dir(manifest: Manifest, **said: int) -> Pointer:
    return replace(
        Pointer("data", "data", "dir", manifest.root, manifest.size, 1),
        **said,  # type: ignore[arg-type]
    )


def _size_of_dir(writer: StoreWriter) -> Lie:
    sentence = "the pointer says size 3, and it is 2"
    return Lie(_dir(_flat(writer), size=3), sentence, "size 3 of data, and it is 2")


def _files_of_dir(writer: StoreWriter) -> Lie:
    sentence = "the pointer says files 7, and there are 1"
    return Lie(_dir(_flat(writer), files=7), sentence, None)  # a proof does not count files


def _size_of_subfolder(writer: StoreWriter) -> Lie:
    sub = Entry(b"sub", "d", _flat(writer).root.raw, 999)
    sentence = "the manifest says size 999 of sub, and it is 2"
    return Lie(_dir(_folder(writer, [sub])), sentence, "size 999 of sub, and it is 2")


def _size_of_file(writer: StoreWriter) -> Lie:
    _flat(writer)
    pointer = Pointer("data", "data", "file", Digest.of(CONTENT), 6, 1)
    return Lie(pointer, "the pointer says size 6, and it is 2", "size 6 of data, and it is 2")


LIES = [_size_of_dir, _files_of_dir, _size_of_subfolder, _size_of_file]
Make = Callable[[StoreWriter], Lie]


def _lying(repo: Path, make: Make) -> Lie:
    """Makes a repository whose pointer lies, committed past all hooks; its data is checked out."""
    make_repo(repo)
    with Workspace.open(str(repo)) as ws:
        init(ws, hooks=False)
        with ws.store.writer() as writer:
            lie = make(writer)
    write(repo, {"data.prov": lie.pointer.to_bytes(), ".gitignore": "/data\n"})
    git(repo, "add", "--all")
    commit(repo)
    if lie.pointer.type == "file":
        (repo / "data").write_bytes(CONTENT)
    else:
        below = repo / "data" / ("sub" if "sub" in lie.sentence else "")
        below.mkdir(parents=True)
        (below / "a").write_bytes(CONTENT)
    return lie


def _look(repo: Path, *, deep: bool = False, require: bool = False) -> ArtifactEvidence:
    with Workspace.open(str(repo)) as ws:
        head = ws.repo.resolve("HEAD")
        (leaf,) = compute_record(ws, head).artifacts
        looker = ArtifactLooker(ws, deep=deep, progress=None, hash_store=require)
        return looker.look(head, leaf)


def _away(repo: Path) -> None:
    shutil.rmtree(repo / "data", ignore_errors=True)
    (repo / "data").unlink(missing_ok=True)


@pytest.mark.parametrize("make", LIES)
def test_verify_says_what_is_stated_wrongly_of_what_is_checked_out(
    tmp_path: Path, make: Make
) -> None:
    lie = _lying(tmp_path, make)
    assert _look(tmp_path).misstated == (lie.sentence,)
    assert _look(tmp_path, deep=True).misstated == (lie.sentence,)


@pytest.mark.parametrize("make", LIES)
def test_verify_says_what_is_stated_wrongly_of_what_only_the_store_has(
    tmp_path: Path, make: Make
) -> None:
    lie = _lying(tmp_path, make)
    _away(tmp_path)
    assert _look(tmp_path).misstated == (lie.sentence,)
    assert _look(tmp_path, require=True).misstated == (lie.sentence,)


@pytest.mark.parametrize("make", LIES)
def test_status_calls_it_broken_and_fsck_names_it(tmp_path: Path, make: Make) -> None:
    lie = _lying(tmp_path, make)
    for _ in range(2):
        with Workspace.open(str(tmp_path)) as ws:
            (found,) = status(ws)
            assert (found.state, found.problem, found.is_clean) == ("broken", lie.sentence, False)
            (problem,) = fsck(ws).problems
            assert (problem.kind, problem.detail) == ("pointer", f"data: {lie.sentence}")
        _away(tmp_path)


@pytest.mark.parametrize("make", LIES)
def test_a_commit_of_such_a_pointer_is_refused(tmp_path: Path, make: Make) -> None:
    lie = _lying(tmp_path, make)
    git(tmp_path, "rm", "--quiet", "--cached", "data.prov")
    git(tmp_path, "commit", "--quiet", "-m", "Without")
    git(tmp_path, "add", "data.prov")
    for _ in range(2):
        with Workspace.open(str(tmp_path)) as ws:
            problems = [problem.message for problem in check_staged(ws)]
        assert len(problems) == 1
        assert problems[0].startswith(("the staged pointer of data is wrong", "data is not what"))
        _away(tmp_path)
    assert problems == [f"the staged pointer of data is wrong: {lie.sentence}"]


@pytest.mark.parametrize("make", LIES)
def test_no_proof_is_made_that_cannot_hold(tmp_path: Path, make: Make) -> None:
    lie = _lying(tmp_path, make)
    path = {"file": "data", "dir": "data/a"}[lie.pointer.type]
    path = "data/sub/a" if "sub" in lie.sentence else path
    with Workspace.open(str(tmp_path)) as ws:
        record_commits(ws, [ws.repo.resolve("HEAD")])
        anchor_log(ws)
        if lie.prove is None:
            prove(ws, str(tmp_path / path), "HEAD")
        else:
            with pytest.raises(VerificationError, match=lie.prove):
                prove(ws, str(tmp_path / path), "HEAD")


def test_a_file_with_a_wrong_size_in_a_manifest_is_named(tmp_path: Path) -> None:
    def make(writer: StoreWriter) -> Lie:
        return Lie(_dir(_flat(writer, 3)), "the manifest says size 3 of a, and it is 2", None)

    lie = _lying(tmp_path, make)
    assert _look(tmp_path).misstated == (lie.sentence,)
    with Workspace.open(str(tmp_path)) as ws:
        assert [one.problem for one in status(ws)] == [lie.sentence]
    _away(tmp_path)
    assert _look(tmp_path, require=True).misstated == (lie.sentence,)
    with Workspace.open(str(tmp_path)) as ws, pytest.raises(MalformedError, match="manifest's"):
        checkout(ws, ["data"])


def test_two_sizes_of_one_file_cannot_both_be_true(tmp_path: Path) -> None:
    def make(writer: StoreWriter) -> Lie:
        digest = Digest.of(CONTENT).raw
        _flat(writer)
        manifest = _folder(writer, [Entry(b"a", "f", digest, 2), Entry(b"b", "f", digest, 9)])
        return Lie(_dir(manifest, files=2), "", None)

    _lying(tmp_path, make)
    _away(tmp_path)
    wrong = _look(tmp_path, require=True).misstated
    assert wrong == ("the manifest says size 9 of b, and it is 2",)


def test_a_pointer_with_a_wrong_size_is_told_from_a_manifest_by_checkout(tmp_path: Path) -> None:
    _lying(tmp_path, _size_of_file)
    _away(tmp_path)
    with Workspace.open(str(tmp_path)) as ws, pytest.raises(MalformedError, match="the pointer's"):
        checkout(ws, ["data"])


def _safetensors() -> bytes:
    header = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    return len(header).to_bytes(8, "little") + header + bytes(8)


def _model(repo: Path, content: bytes, weights: Digest, name: str = "m.safetensors") -> None:
    """A model whose pointer has a weights root; its bytes are in the store and on disk."""
    make_repo(repo)
    write(repo, {name: content})
    with Workspace.open(str(repo)) as ws:
        init(ws, hooks=False)
        add(ws, [str(repo / name)], kind="model")
    pointer = Pointer.parse((repo / f"{name}.prov").read_bytes())
    (repo / f"{name}.prov").write_bytes(replace(pointer, weights=weights).to_bytes())
    git(repo, "add", "--all")
    commit(repo)


def _empty_store(repo: Path) -> None:
    shutil.rmtree(repo / ".git/gitprov/packs")
    (repo / ".git/gitprov/index.db").unlink()


def test_deep_compares_a_models_weights_root_in_store_and_worktree(tmp_path: Path) -> None:
    content = _safetensors()
    _model(tmp_path, content, Digest.of(b"lie"))
    true_root = weights_read(io.BytesIO(content).read, len(content))
    sentence = f"the pointer says weights {Digest.of(b'lie')}, and its tensors give {true_root}"
    assert _look(tmp_path, deep=True).misstated == (sentence,)
    assert _look(tmp_path).misstated == ()
    (tmp_path / "m.safetensors").rename(tmp_path / "away")
    assert _look(tmp_path, deep=True).misstated == (sentence,)
    assert _look(tmp_path, require=True).misstated == (sentence,)
    (tmp_path / "away").rename(tmp_path / "m.safetensors")
    _empty_store(tmp_path)
    assert _look(tmp_path, deep=True).misstated == (sentence,)


def test_deep_says_that_a_text_has_no_weights(tmp_path: Path) -> None:
    _model(tmp_path, b"a text, and no model at all", Digest.of(b"lie"))
    sentence = f"the pointer says weights {Digest.of(b'lie')}, and it is no safetensors file"
    assert _look(tmp_path, deep=True).misstated == (sentence,)


@pytest.mark.parametrize("name", ["m.safetensors", "m.bin"])
def test_deep_passes_a_true_weights_root(tmp_path: Path, name: str) -> None:
    content = _safetensors()
    root = weights_read(io.BytesIO(content).read, len(content))
    assert root is not None
    _model(tmp_path, content, root, name)
    found = _look(tmp_path, deep=True)
    assert (found.state, found.rehashed, found.misstated) == ("clean", True, ())
    _empty_store(tmp_path)
    assert _look(tmp_path, deep=True).misstated == ()


def test_what_add_writes_states_nothing_wrongly(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"data/a/1": "one", "data/b/1": "one", "data/b/c/2": "two", "data/empty": ""})
    (repo / "data/link").symlink_to("a/1")
    with Workspace.open(str(repo)) as ws:
        init(ws, hooks=False)
        add(ws, [str(repo / "data")])
    commit(repo)
    for _ in range(2):
        for deep in (False, True):
            assert _look(repo, deep=deep).misstated == ()
        with Workspace.open(str(repo)) as ws:
            assert [one.problem for one in status(ws)] == [""]
            assert fsck(ws).problems == ()
        _away(repo)
