import shutil
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok, refused
from tests.support.datasets import LARGE, changes, files, make, states, with_folders
from tests.support.mounts import tmpfs, why_no_mounts
from tests.support.repos import clone, commit, git, make_repo, write


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def data(repo: Path) -> Path:
    return with_folders(repo)


# ---------------------------------------------------------------- parts


@pytest.fixture
def partial(data: Path, tmp_path: Path) -> Path:
    """A clone that shares the store and has only data/sub."""
    store = data / ".git/gitprov"
    other = clone(data, tmp_path / "clone")
    (other / ".git/gitprov").mkdir(exist_ok=True)
    (other / ".git/gitprov/config.yaml").write_text(f"store:\n  path: {store}\n")
    ok(other, "checkout", "data/sub")
    return other


def test_what_was_never_checked_out_is_not_deleted(partial: Path) -> None:
    assert states(partial) == {"data": "partial"}
    ok(partial, "status", "--exit-code")
    assert ok(partial, "diff").out == ""
    (partial / "data/sub/b").unlink()
    assert changes(partial) == {"sub/b": "deleted"}
    write(partial, {"data/new": "1"})
    assert changes(partial) == {"new": "added", "sub/b": "deleted"}


def test_adding_a_partly_checked_out_artifact_keeps_the_rest(partial: Path) -> None:
    (partial / "data/sub/b").unlink()
    write(partial, {"data/new/x": "12", "data/sub/c": "changed", "data/other/e": "55555"})
    added = ok(partial, "add", "data", "--json").json["artifacts"][0]
    expected = {"data/a": 1, "data/new/x": 2, "data/other/d": 4, "data/other/e": 5, "data/sub/c": 7}
    assert files(partial) == expected
    assert (added["files"], added["size"]) == (5, sum(expected.values()))
    assert states(partial) == {"data": "partial"}
    ok(partial, "checkout")
    assert states(partial) == {"data": "clean"}
    assert (partial / "data/other/d").read_text() == "4444"


def test_adding_a_part_keeps_the_rest_that_is_not_here(partial: Path) -> None:
    write(partial, {"data/sub/b": "changed", "data/new": "1"})
    ok(partial, "add", "data/sub", "data/new")
    assert files(partial) == {
        "data/a": 1,
        "data/new": 1,
        "data/other/d": 4,
        "data/sub/b": 7,
        "data/sub/c": 3,
    }
    assert states(partial) == {"data": "partial"}
    (partial / "data/new").unlink()
    assert changes(partial) == {"new": "deleted"}
    ok(partial, "add", "data")
    assert "data/new" not in files(partial)


def test_a_part_that_was_never_here_is_not_taken_out(partial: Path) -> None:
    refused(partial, "add", "data/other", code=2, says="never checked out here")
    assert "data/other/d" in files(partial)


def test_new_data_beside_an_artifact_that_is_not_here_does_not_replace_it(partial: Path) -> None:
    shutil.rmtree(partial / "data")
    (partial / ".git/gitprov/cache.db").unlink()
    write(partial, {"data/new": "1"})
    refused(partial, "add", "data", code=2, says="never checked out here")
    ok(partial, "add", "data/new")
    assert len(files(partial)) == 5


def test_parts_follow_the_pointer_and_are_written_over_without_force(partial: Path) -> None:
    git(partial, "checkout", "--quiet", "-b", "other")
    write(partial, {"data/sub/b": "changed"})
    ok(partial, "add", "data")
    commit(partial, message="changed")
    git(partial, "checkout", "--quiet", "main")
    assert changes(partial) == {"sub/b": "modified"}
    ok(partial, "checkout", "data/sub/b")
    assert states(partial) == {"data": "partial"}
    git(partial, "checkout", "--quiet", "other")
    ok(partial, "checkout")
    assert states(partial) == {"data": "clean"}
    assert (partial / "data/sub/b").read_text() == "changed"


def test_the_cache_may_be_lost(data: Path) -> None:
    (data / ".git/gitprov/cache.db").unlink()
    assert states(data) == {"data": "clean"}
    write(data, {"data/sub/b": "changed"})
    refused(data, "checkout", code=2, says="data/sub/b is in the way")
    ok(data, "add", "data/sub")
    (data / "data/a").unlink()
    assert changes(data) == {"a": "deleted"}


# ---------------------------------------------------------------- checkout


def test_a_changed_file_is_never_written_over_without_force(data: Path) -> None:
    write(data, {"data/sub/b": "mine", "data/sub/new": "mine"})
    (data / "data/a").unlink()
    refused(data, "checkout", code=2, says="data/sub/b was changed")
    assert not (data / "data/a").exists()
    ok(data, "checkout", "data/a")
    assert (data / "data/a").read_text() == "1"
    ok(data, "checkout", "--force", "data/sub/b")
    assert (data / "data/sub/b").read_text() == "22"
    assert (data / "data/sub/new").exists()
    ok(data, "checkout", "--force")
    assert not (data / "data/sub/new").exists()


def test_files_that_the_manifest_no_longer_has_are_removed(data: Path) -> None:
    shutil.rmtree(data / "data/sub")
    ok(data, "add", "data")
    commit(data, message="less")
    git(data, "checkout", "--quiet", "HEAD~")
    ok(data, "checkout")
    assert (data / "data/sub/b").exists()
    write(data, {"data/mine": "kept"})
    git(data, "checkout", "--quiet", "main")
    ended = ok(data, "checkout", "--json").json
    assert (ended["files"], ended["removed"]) == (0, 2)
    assert not (data / "data/sub").exists()
    assert (data / "data/mine").exists()


def test_an_artifact_and_a_part_of_it_are_restored_once(data: Path) -> None:
    shutil.rmtree(data / "data/sub")
    ok(data, "checkout", "data/sub/b", "data", "data.prov", "data/sub")
    assert states(data) == {"data": "clean"}


@pytest.mark.parametrize("mode", ["hardlink", "symlink"])
def test_a_linked_checkout_is_read_only_and_clean(repo: Path, mode: str) -> None:
    write(repo, {"data/large": b"x" * LARGE, "data/small": "s", "model.pt": b"y" * LARGE})
    write(repo, {"data/run": b"z" * LARGE})
    (repo / "data/run").chmod(0o755)
    ok(repo, "add", "data", "model.pt")
    commit(repo, message="data")
    (repo / ".git/gitprov/config.yaml").write_text(f"store:\n  link: {mode}\n")
    shutil.rmtree(repo / "data")
    (repo / "model.pt").unlink()
    ok(repo, "checkout")
    for path in (repo / "data/large", repo / "model.pt"):
        assert path.is_symlink() == (mode == "symlink")
        assert not path.stat().st_mode & 0o222
    assert states(repo) == {"data": "clean", "model.pt": "clean"}
    assert {
        a["state"] for a in ok(repo, "add", "data", "model.pt", "--json").json["artifacts"]
    } == {"unchanged"}
    # What an editor does: write a new file and rename it.
    for path in (repo / "data/large", repo / "model.pt"):
        path.unlink()
        path.write_bytes(b"edited" * LARGE)
    assert changes(repo) == {"large": "modified"}
    ok(repo, "add", "data", "model.pt")
    assert states(repo) == {"data": "clean", "model.pt": "clean"}
    ok(repo, "fsck")
    git(repo, "stash")
    ok(repo, "checkout", "--force")
    assert (repo / "data/large").read_bytes() == b"x" * LARGE


def test_a_worktree_on_another_file_system_is_copied_to(tmp_path: Path) -> None:
    reason = why_no_mounts("tmpfs")
    if reason is not None:
        pytest.skip(reason)
    with tmpfs(tmp_path / "memory", 16 << 20) as memory:
        main = make_repo(tmp_path / "repo")
        ok(main, "init", "--no-hooks")
        (main / ".git/gitprov/config.yaml").write_text("store:\n  link: hardlink\n")
        write(main, {"data/large": b"x" * LARGE, "data/small": "s"})
        ok(main, "add", "data")
        commit(main, message="data")
        git(main, "worktree", "add", "--quiet", memory / "tree")
        tree = memory / "tree"
        assert states(tree) == {"data": "absent"}
        ok(tree, "checkout")
        assert states(tree) == {"data": "clean"}
        (tree / "data/large").unlink()
        (tree / "data/large").write_bytes(b"y" * LARGE)
        ok(tree, "add", "data")
        assert states(tree) == {"data": "clean"}
        assert states(main) == {"data": "clean"}
        ok(main, "fsck")


def test_a_git_checkout_with_hooks_brings_artifacts_and_takes_them_away(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init")
    commit(repo, message="empty")
    write(repo, {"data/a": "1", "data/b": "2"})
    git(repo, "checkout", "--quiet", "-b", "with")
    ok(repo, "add", "data")
    commit(repo, message="data")
    git(repo, "checkout", "--quiet", "main")
    assert not (repo / "data").exists()
    assert git(repo, "status", "--porcelain") == ""
    git(repo, "checkout", "--quiet", "with")
    assert (repo / "data/a").read_text() == "1"
    write(repo, {"data/a": "mine"})
    git(repo, "checkout", "--quiet", "main")
    assert (repo / "data/a").read_text() == "mine"


def test_the_hook_lets_a_commit_pass_while_only_parts_are_here(partial: Path) -> None:
    ok(partial, "install")
    commit(partial, {"code.py": "1"}, message="code")
    (partial / "data/sub/b").unlink()
    git(partial, "add", "-A")
    assert gitprov(partial, "status", "--exit-code").code == 1
    write(partial, {"code.py": "2"})
    git(partial, "add", "code.py")
    with pytest.raises(AssertionError, match="data is not what its staged pointer says"):
        git(partial, "commit", "-m", "no")
