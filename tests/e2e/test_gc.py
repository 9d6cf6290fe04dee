import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import ok, refused
from tests.support.repos import clone, commit, git, make_repo, write


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose main branch has one version of a dataset."""
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks")
    put(repo, "first")
    commit(repo, message="first")
    return repo


def put(repo: Path, text: str) -> None:
    """Adds a version of the dataset: a small file, a large one and a folder."""
    write(repo, {"data/small": text, "data/large": text * 60_000, "data/sub/file": text + "!"})
    ok(repo, "add", "data")


def collect(repo: Path, *options: str) -> int:
    """Collects without grace, checks the store, and returns how many blobs went."""
    removed = ok(repo, "gc", "--yes", "--json", *(options or ("--grace", "0"))).json["removed"]
    ok(repo, "fsck")
    assert isinstance(removed, int)
    return removed


def drop_from_disk(repo: Path) -> None:
    """Makes sure that the worktree's own pointer and data keep nothing alive."""
    git(repo, "reset", "--quiet", "--hard")
    ok(repo, "checkout", "--force")


def assert_has(repo: Path, text: str, pointer: str) -> None:
    """The version of that pointer can be restored."""
    (repo / "data.prov").write_text(pointer + "\n")
    ok(repo, "checkout", "--force", "data")
    assert (repo / "data/small").read_text() == text
    assert (repo / "data/large").read_text() == text * 60_000
    assert (repo / "data/sub/file").read_text() == text + "!"


def test_what_nothing_names_is_removed_and_the_rest_stays(repo: Path) -> None:
    for number in range(5):
        put(repo, f"never committed {number}")
    drop_from_disk(repo)
    dry = ok(repo, "gc", "--grace", "0", "--json").json
    assert (dry["acted"], dry["removed"]) == (False, 25)
    assert ok(repo, "gc", "--grace", "0", "--dry-run", "--json").json["removed"] == 25
    assert collect(repo) == 25
    assert collect(repo) == 0
    assert_has(repo, "first", git(repo, "show", "HEAD:data.prov"))
    objects = repo / ".git/gitprov/objects"
    assert sum(len(list(folder.iterdir())) for folder in objects.iterdir()) == 1


def on_branch(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "-b", "other")
    put(repo, "kept")
    commit(repo, message="kept")
    git(repo, "checkout", "--quiet", "main")


def on_tag(repo: Path) -> None:
    on_branch(repo)
    git(repo, "tag", "-a", "-m", "kept", "v1", "other")
    git(repo, "branch", "--quiet", "-D", "other")


def in_history(repo: Path) -> None:
    put(repo, "kept")
    commit(repo, message="kept")
    put(repo, "later")
    commit(repo, message="later")


def in_index(repo: Path) -> None:
    put(repo, "kept")
    git(repo, "show", "HEAD:data.prov")
    (repo / "data.prov").write_text(git(repo, "show", "HEAD:data.prov") + "\n")


def in_stash(repo: Path) -> None:
    put(repo, "kept")
    git(repo, "stash", "--quiet")


def in_older_stash(repo: Path) -> None:
    put(repo, "kept")
    git(repo, "stash", "--quiet")
    for number in range(2):
        put(repo, f"later {number}")
        git(repo, "stash", "--quiet")


def in_untracked_part_of_stash(repo: Path) -> None:
    write(repo, {"fresh/data/small": "kept", "fresh/data/large": "kept" * 60_000})
    write(repo, {"fresh/data/sub/file": "kept!"})
    ok(repo, "add", "--no-stage", "fresh/data")
    git(repo, "stash", "--quiet", "--include-untracked")


def on_detached_head_of_worktree(repo: Path) -> None:
    tree = repo.parent / "tree"
    git(repo, "worktree", "add", "--quiet", "--detach", tree)
    put(tree, "kept")
    commit(tree, message="kept")


def in_index_of_worktree(repo: Path) -> None:
    tree = repo.parent / "tree"
    git(repo, "worktree", "add", "--quiet", "--detach", tree)
    put(tree, "kept")
    git(tree, "show", ":data.prov")
    shutil.rmtree(tree / "data")
    (tree / "data.prov").unlink()


def on_disk_of_worktree(repo: Path) -> None:
    tree = repo.parent / "tree"
    git(repo, "worktree", "add", "--quiet", "--detach", tree)
    write(tree, {"data/small": "kept", "data/large": "kept" * 60_000, "data/sub/file": "kept!"})
    ok(tree, "add", "--no-stage", "data")


def under_another_name(repo: Path) -> None:
    put(repo, "kept")
    text = (repo / "data.prov").read_text()
    drop_from_disk(repo)
    commit(repo, {"backup/old-pointer.txt": text}, message="kept")


def on_disk_and_ignored(repo: Path) -> None:
    write(repo, {".gitignore": "scratch/\n/data\n"})
    write(repo, {"scratch/data/small": "kept", "scratch/data/large": "kept" * 60_000})
    write(repo, {"scratch/data/sub/file": "kept!"})
    ok(repo, "add", "--no-stage", "scratch/data")


def in_rebase(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "--detach")
    commit(repo, {"code": "mine"}, message="mine")
    put(repo, "kept")
    commit(repo, message="kept")
    mine = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "--quiet", "main")
    commit(repo, {"code": "theirs"}, message="theirs")
    git(repo, "checkout", "--quiet", mine)
    git(repo, "rebase", "--quiet", "main", check=False)
    assert (repo / ".git/rebase-merge").is_dir()
    git(repo, "checkout", "--quiet", "--force", "HEAD", "--", ".")


def in_autostash(repo: Path) -> None:
    commit(repo, {"code": "base"}, message="base")
    git(repo, "checkout", "--quiet", "-b", "topic")
    commit(repo, {"code": "mine"}, message="mine")
    git(repo, "checkout", "--quiet", "main")
    commit(repo, {"code": "theirs"}, message="theirs")
    git(repo, "checkout", "--quiet", "topic")
    put(repo, "kept")
    git(repo, "rebase", "--autostash", "main", check=False)
    assert (repo / ".git/rebase-merge/autostash").is_file()


def in_merge(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "-b", "other")
    put(repo, "kept")
    commit(repo, {"code": "other"}, message="kept")
    git(repo, "checkout", "--quiet", "main")
    commit(repo, {"code": "main"}, message="main")
    git(repo, "merge", "other", check=False)
    git(repo, "branch", "-D", "other")
    assert (repo / ".git/MERGE_HEAD").is_file()
    git(repo, "read-tree", "HEAD")


def in_bisect_of_worktree(repo: Path) -> None:
    tree = repo.parent / "tree"
    git(repo, "worktree", "add", "--quiet", "--detach", tree)
    put(tree, "kept")
    commit(tree, message="kept")
    git(tree, "bisect", "start", "--no-checkout", "HEAD", "main")
    git(tree, "checkout", "--quiet", "--force", "main", "--detach")


KEPT: list[Callable[[Path], None]] = [
    on_branch,
    on_tag,
    in_history,
    in_index,
    in_stash,
    in_older_stash,
    in_untracked_part_of_stash,
    on_detached_head_of_worktree,
    in_index_of_worktree,
    on_disk_of_worktree,
    on_disk_and_ignored,
    under_another_name,
    in_rebase,
    in_autostash,
    in_merge,
    in_bisect_of_worktree,
]


@pytest.mark.parametrize("keep", KEPT, ids=lambda keep: keep.__name__)
def test_a_version_is_kept_that_is(repo: Path, keep: Callable[[Path], None]) -> None:
    put(repo, "kept")
    pointer = (repo / "data.prov").read_text().rstrip()
    drop_from_disk(repo)
    keep(repo)
    # The worktree itself must not be what keeps it.
    shutil.rmtree(repo / "data", ignore_errors=True)
    if (repo / "data.prov").exists():
        (repo / "data.prov").write_text(git(repo, "show", "main~0:data.prov") + "\n")
    collect(repo)
    assert_has(repo, "kept", pointer)


def test_the_reflog_keeps_versions_until_the_grace_time_is_over(repo: Path) -> None:
    long_ago = {"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"}
    put(repo, "kept")
    commit(repo, message="kept", env=long_ago)
    pointer = git(repo, "show", "HEAD:data.prov")
    git(repo, "reset", "--quiet", "--hard", "HEAD~", env=long_ago)
    (repo / ".git/ORIG_HEAD").unlink()
    ok(repo, "checkout", "--force")
    assert collect(repo, "--quiet") == 0
    assert collect(repo, "--grace", "36500") == 0
    assert_has(repo, "kept", pointer)
    drop_from_disk(repo)
    (repo / ".git/ORIG_HEAD").unlink(missing_ok=True)
    assert collect(repo, "--grace", "300") == 5


def test_the_grace_time_runs_from_when_a_version_was_left(repo: Path) -> None:
    put(repo, "kept")
    commit(repo, message="kept", env={"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z"})
    pointer = git(repo, "show", "HEAD:data.prov")
    git(repo, "reset", "--quiet", "--hard", "HEAD~")
    (repo / ".git/ORIG_HEAD").unlink()
    ok(repo, "checkout", "--force")
    assert collect(repo, "--grace", "1") == 0
    assert_has(repo, "kept", pointer)


def test_a_clone_that_never_had_the_data_can_collect(repo: Path, tmp_path: Path) -> None:
    other = clone(repo, tmp_path / "clone")
    write(other, {"own": "1"})
    ok(other, "add", "own")
    write(other, {"own": "2"})
    ok(other, "add", "own")
    assert collect(other) == 1


def test_a_damaged_manifest_stops_a_collection(repo: Path) -> None:
    put(repo, "second")
    drop_from_disk(repo)
    for path in sorted((repo / ".git/gitprov/packs").iterdir()):
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        data[data.find(b"small")] ^= 1
        path.write_bytes(data)
    ended = refused(repo, "gc", "--yes", "--grace", "0", code=1, says="is damaged in the store")
    assert "quarantine" in ended.err
    # Its name is known now, and what it listed is not: nothing goes until it is back.
    refused(repo, "gc", "--yes", "--grace", "0", code=3, says="nothing was removed")
    put(repo, "first")
    assert collect(repo) > 0
    assert_has(repo, "first", git(repo, "show", "HEAD:data.prov"))


# ---------------------------------------------------------------- shared stores


@pytest.fixture
def shared(tmp_path: Path) -> tuple[Path, Path]:
    """Two repositories with one store."""
    repos = []
    for name in ("one", "two"):
        repo = make_repo(tmp_path / name)
        ok(repo, "init", "--no-hooks", "--store", tmp_path / "store")
        put(repo, name)
        commit(repo, message=name)
        repos.append(repo)
    return repos[0], repos[1]


def test_repositories_that_share_a_store_keep_each_others_data(shared: tuple[Path, Path]) -> None:
    one, two = shared
    put(one, "gone")
    drop_from_disk(one)
    assert collect(two) == 5
    for repo, text in ((one, "one"), (two, "two")):
        shutil.rmtree(repo / "data")
        assert_has(repo, text, git(repo, "show", "HEAD:data.prov"))


def test_nothing_is_removed_while_a_repository_cannot_be_asked(shared: tuple[Path, Path]) -> None:
    one, two = shared
    put(two, "gone")
    drop_from_disk(two)
    one.rename(one.with_name("moved"))
    refused(two, "gc", "--yes", "--grace", "0", code=3, says=f"the repository {one}/.git shares")
    one.with_name("moved").rename(one)
    assert collect(two) == 5


def test_a_copied_repository_registers_itself(shared: tuple[Path, Path]) -> None:
    one, two = shared
    copy = one.with_name("copy")
    shutil.copytree(one, copy, symlinks=True)
    put(copy, "copy")
    commit(copy, message="copy")
    collect(two)
    shutil.rmtree(copy / "data")
    assert_has(copy, "copy", git(copy, "show", "HEAD:data.prov"))


def test_a_pointer_may_be_copied_to_another_repository_of_the_store(
    shared: tuple[Path, Path],
) -> None:
    one, two = shared
    text = git(one, "show", "HEAD:data.prov")
    commit(two, {"copy/data.prov": text + "\n"}, message="the other's pointer")
    ok(two, "checkout", "copy")
    assert (two / "copy/data/small").read_text() == "one"
