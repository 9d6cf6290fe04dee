"""A repository lives through what people do to it; a plain dictionary says what must be there."""

import shutil
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.conftest import SOAK
from tests.support.cli import Ended, gitprov, ok
from tests.support.repos import git, make_repo

# With GITPROV_SOAK=1 the same tests go deeper, and `make soak` picks them by this mark.
pytestmark = [pytest.mark.soak] if SOAK else []


class File(NamedTuple):
    """What a path holds."""

    kind: str
    text: str


Files = dict[str, File]

BRANCHES = ("main", "other")
PATHS = ("a", "b", "d/a", "d/b", "d/e/a", "f/a")
FOLDERS = ("d", "d/e", "f")
# Of the same size, so that only what is looked at closely tells them apart; one is large.
TEXTS = ("one", "two", "six", "x" * (300 << 10))

paths = st.sampled_from(PATHS)
parts = st.sampled_from(PATHS + FOLDERS)
texts = st.sampled_from(TEXTS)


def read_back(folder: Path) -> Files | None:
    """Returns what is on disk, None when nothing is."""
    if not folder.exists():
        return None
    found: Files = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = File("l", str(path.readlink()))
        elif path.is_file():
            executable = path.stat().st_mode & stat.S_IXUSR
            found[name] = File("x" if executable else "f", path.read_text())
        else:
            assert any(path.iterdir()), f"{path} is left over"
    return found


def is_below(path: str, part: str) -> bool:
    """Whether a path is the part or lies in it."""
    return path == part or path.startswith(part + "/")


def spliced(old: Mapping[str, File], part: str, new: Mapping[str, File]) -> Files:
    """Returns the old files with the part taken from the new ones."""
    return {
        **{path: file for path, file in old.items() if not is_below(path, part)},
        **{path: file for path, file in new.items() if is_below(path, part)},
    }


class Repository(RuleBasedStateMachine):
    """The rules are what people do; `pointer`, `known` and `commits` are the model.

    Attributes:
        pointer: the files that the pointer in the worktree stands for, None without one.
        known: the files that were added or checked out here last, None when that was forgotten.
        commits: the files of each commit, by its id.
    """

    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="gitprov-machine-"))
        self.repo = make_repo(self.top / "repo")
        self.data = self.repo / "data"
        ok(self.repo, "init", "--no-hooks")
        git(self.repo, "add", "--all")
        git(self.repo, "commit", "--quiet", "-m", "begin")
        git(self.repo, "branch", "other")
        self.pointer: Files | None = None
        self.known: Files | None = None
        self.commits: dict[str, Files | None] = {}
        self.heads: dict[str, Files | None] = dict.fromkeys(BRANCHES)
        self.branch = "main"
        self.stashed: list[Files | None] = []

    # ------------------------------------------------------------ changing files

    @initialize(contents=st.dictionaries(paths, texts, min_size=2))
    def begin(self, contents: dict[str, str]) -> None:
        self.data.mkdir()
        for path, text in contents.items():
            self.write(path, text)
        self.add()

    @rule(path=paths, text=texts)
    def write(self, path: str, text: str) -> None:
        target = self.data / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_text(text)

    @rule(path=paths, other=paths)
    def link(self, path: str, other: str) -> None:
        target = self.data / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.symlink_to("../" * path.count("/") + other)

    @rule(path=paths)
    def toggle_executable(self, path: str) -> None:
        target = self.data / path
        if target.is_file() and not target.is_symlink():
            target.chmod(target.stat().st_mode ^ 0o111)

    @rule(part=parts)
    def delete(self, part: str) -> None:
        target = self.data / part
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink(missing_ok=True)
        # An empty folder would be part of the artifact.
        for above in target.relative_to(self.data).parents[:-1]:
            folder = self.data / above
            if folder.exists() and not any(folder.iterdir()):
                folder.rmdir()

    # ------------------------------------------------------------ gitprov's verbs

    @property
    def disk(self) -> Files:
        return read_back(self.data) or {}

    @precondition(lambda self: self.data.exists())
    @rule()
    def add(self) -> None:
        before = self.pointer
        added = ok(self.repo, "add", "data", "--json").json["artifacts"][0]
        self.pointer = self.known = self.disk
        assert added["files"] == len(self.disk)
        expected = "unchanged" if before == self.pointer else "modified"
        assert added["state"] == ("added" if before is None else expected)

    @precondition(lambda self: self.pointer is not None and self.data.exists())
    @rule(part=parts)
    def add_part(self, part: str) -> None:
        assert self.pointer is not None
        disk = self.disk
        after = spliced(self.pointer, part, disk)
        if not any(is_below(path, part) for path in (*self.pointer, *disk)):
            assert gitprov(self.repo, "add", f"data/{part}").code == 2
            return
        # A folder above that becomes empty would stay in the artifact.
        for above in Path(part).parents[:-1]:
            if not any(is_below(path, above.as_posix()) for path in after):
                return
        ok(self.repo, "add", f"data/{part}")
        self.pointer, self.known = after, spliced(self.known or {}, part, disk)

    @precondition(lambda self: self.pointer is not None)
    @rule()
    def remove(self) -> None:
        ok(self.repo, "remove", "data")
        self.pointer = self.known = None

    @precondition(lambda self: self.pointer is not None)
    @rule(part=st.none() | parts, force=st.booleans())
    def checkout(self, part: str | None, force: bool) -> None:
        assert self.pointer is not None
        want = self.pointer
        where = "data" if part is None else f"data/{part}"
        if part is not None and not any(is_below(path, part) for path in want):
            assert gitprov(self.repo, "checkout", where).code == 2
            return
        before = read_back(self.data)
        after, conflicts = self.restored(before or {}, want, part, force=force)
        ended = gitprov(self.repo, "checkout", where, *(["--force"] if force else []))
        if conflicts:
            assert ended.code == 2, ended
            assert read_back(self.data) == before
            return
        assert ended.code == 0, ended
        assert self.disk == after
        self.known = want if part is None else spliced(self.known or {}, part, want)

    def restored(
        self, before: Files, want: Files, part: str | None, *, force: bool
    ) -> tuple[Files, bool]:
        """What has to be on disk after a checkout, and whether it has to be refused."""
        after = dict(before)
        conflicts = False
        for path in {*before, *want}:
            if part is not None and not is_below(path, part):
                continue
            have, new, known = before.get(path), want.get(path), (self.known or {}).get(path)
            if have == new or (have is not None and new is None and known is None and not force):
                continue
            if have is not None and have != known and not force:
                conflicts = True
            elif new is None:
                del after[path]
            else:
                after[path] = new
        return after, conflicts

    @rule()
    def collect(self) -> None:
        ok(self.repo, "gc", "--yes", "--grace", "0")

    # ------------------------------------------------------------ git's

    @rule()
    def commit(self) -> None:
        git(self.repo, "commit", "--quiet", "--allow-empty", "-m", "change")
        self.commits[git(self.repo, "rev-parse", "HEAD")] = self.pointer
        self.heads[self.branch] = self.pointer

    @rule(branch=st.sampled_from(BRANCHES))
    def switch(self, branch: str) -> None:
        self.commit()
        git(self.repo, "switch", "--quiet", branch)
        self.branch = branch
        self.take(self.heads[branch])

    def take(self, pointer: Files | None) -> None:
        """Git has brought a pointer."""
        self.pointer = pointer
        if pointer is not None and self.known is None:
            # Now gitprov cannot tell deleted from never here, and says so; not so this model.
            ok(self.repo, "checkout", "--force")
            self.known = pointer

    @rule()
    def stash(self) -> None:
        if self.pointer == self.heads[self.branch]:
            return
        # Two stashes of the same content in the same second would be one commit.
        git(self.repo, "stash", "push", "--quiet", "-m", str(len(self.stashed)))
        self.stashed.insert(0, self.pointer)
        self.take(self.heads[self.branch])

    # ------------------------------------------------------------ what must hold

    @invariant()
    def status_agrees(self) -> None:
        listed = ok(self.repo, "status", "--json").json["artifacts"]
        if self.pointer is None:
            assert listed == []
            return
        (found,) = listed
        assert found["files"] == len(self.pointer)
        assert found["missing"] == []
        assert found["problem"] is None
        disk = read_back(self.data)
        if disk is None:
            assert found["state"] == "absent"
            return
        said = {change["path"]: change["how"] for change in found["changes"]}
        expected = {}
        for path in {*disk, *self.pointer}:
            have, want = disk.get(path), self.pointer.get(path)
            if have != want:
                expected[path] = "added" if want is None else "deleted" if have is None else "other"
        assert {p: how if how in expected.values() else "other" for p, how in said.items()} == (
            expected
        )
        assert found["state"] == ("modified" if expected else "clean")

    def teardown(self) -> None:
        try:
            self.everything_is_kept()
        finally:
            shutil.rmtree(self.top)

    def everything_is_kept(self) -> None:
        self.commit()
        ok(self.repo, "gc", "--yes", "--grace", "0")
        ok(self.repo, "fsck")
        ok(self.repo, "record", "--all")
        revisions: dict[str, Files | None] = dict(self.commits)
        revisions |= {f"stash@{{{n}}}": files for n, files in enumerate(self.stashed)}
        for revision, files in revisions.items():
            git(self.repo, "checkout", "--quiet", "--force", "--detach", revision)
            if files is not None:
                ok(self.repo, "checkout", "--force")
                assert self.disk == files
        # Records are for commits on branches; HEAD counts as one.
        git(self.repo, "checkout", "--quiet", "--force", self.branch)
        if self.heads[self.branch] is not None:
            ok(self.repo, "checkout", "--force")
        ended: Ended = gitprov(self.repo, "verify", "--all")
        assert ended.code in (0, 3), ended  # log heads are not signed here
        assert "FAIL" not in ended.out


TestRepository = Repository.TestCase
TestRepository.settings = settings(
    max_examples=300 if SOAK else 25,
    stateful_step_count=60 if SOAK else 20,
    report_multiple_bugs=False,
    # Every step starts processes: shrinking takes minutes, and a run is short enough to read.
    phases=tuple(Phase) if SOAK else (Phase.generate,),
)
