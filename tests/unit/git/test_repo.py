from pathlib import Path

import pytest

from gitprov.errors import UnavailableError, UsageError
from gitprov.git.repo import Repository
from tests.support.repos import bare, clone, commit, git, make_repo


def test_discovery_from_a_folder_below(path: Path) -> None:
    (path / "a/b").mkdir(parents=True)
    with Repository.discover(str(path / "a/b")) as repo:
        assert repo.worktree == str(path)
        assert repo.git_dir == repo.common_dir == str(path / ".git")
        assert repo.object_format == git(path, "rev-parse", "--show-object-format")
        assert repo.hash_len * 2 == len(commit(path))
        assert not repo.is_shallow


def test_a_folder_outside_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a git repository"):
        Repository.discover(str(tmp_path))
    with pytest.raises(UsageError, match="there is no folder"):
        Repository.discover(str(tmp_path / "nothing"))


def test_a_bare_repository_has_no_worktree(tmp_path: Path) -> None:
    with Repository.discover(str(bare(tmp_path / "b.git"))) as repo:
        assert repo.worktree is None
        assert repo.git_dir == str(tmp_path / "b.git")
        assert repo.head() is None


def test_a_linked_worktree_shares_the_data_folder(path: Path, tmp_path: Path) -> None:
    commit(path, {"a": "1"})
    git(path, "worktree", "add", "-q", str(tmp_path / "linked tree"), "-b", "side")
    with (
        Repository.discover(str(path)) as main,
        Repository.discover(str(tmp_path / "linked tree")) as linked,
    ):
        assert linked.worktree == str(tmp_path / "linked tree")
        assert linked.git_dir != linked.common_dir == main.common_dir
        assert linked.data_dir == main.data_dir
        assert linked.hooks_dir == main.hooks_dir
        newer = commit(tmp_path / "linked tree", {"b": "2"})
        assert linked.head() == newer != main.head()


@pytest.mark.parametrize("name", ["new\nline", " spaces ", "ü\\x", "-dash"])
def test_the_path_of_a_repository_may_be_awkward(tmp_path: Path, name: str) -> None:
    path = make_repo(tmp_path / name)
    oid = commit(path, {"a": "1"})
    with Repository.discover(str(path)) as repo:
        assert repo.worktree == str(path)
        assert repo.resolve("HEAD") == oid


def test_a_bare_repository_in_a_path_with_a_newline(tmp_path: Path) -> None:
    with Repository.discover(str(bare(tmp_path / "new\nline.git"))) as repo:
        assert repo.worktree is None
        assert repo.git_dir == str(tmp_path / "new\nline.git")


def test_the_environment_that_git_gives_a_hook_does_not_mislead(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_repo(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    with Repository.discover(str(path)) as repo:
        assert repo.worktree == str(path)
    with Repository.discover(
        str(tmp_path), git_dir=str(path / ".git"), work_tree=str(path)
    ) as given:
        assert given.worktree == str(path)


def test_revisions(path: Path, repo: Repository) -> None:
    assert repo.head() is None
    first, second = commit(path, {"a": "1"}), commit(path, {"a": "2"})
    git(path, "tag", "-a", "v1", "-m", "x", first)
    assert repo.resolve("v1") == first
    assert repo.resolve("HEAD~1") == first
    assert repo.resolve(second[:12]) == second
    for bad in ("nothing", "-n1", "", "HEAD:a", "HEAD^{tree}", "a\nb"):
        with pytest.raises(UsageError):
            repo.resolve(bad)


def test_lists_of_commits_leave_our_own_refs_out(path: Path, repo: Repository) -> None:
    first, second = commit(path, {"a": "1"}), commit(path, {"a": "2"})
    git(path, "notes", "--ref", "gitprov", "add", "-m", "x")
    git(path, "update-ref", "refs/gitprov/log/0123456789abcdef", "refs/notes/gitprov")
    assert repo.rev_list(everything=True) == [second, first]
    assert repo.rev_list(f"{first}..{second}") == [second]
    assert repo.rev_list("HEAD", limit=1) == [second]
    assert repo.rev_list("HEAD", reverse=True) == [first, second]
    for bad in ("--all", "nothing..HEAD"):
        with pytest.raises(UsageError):
            repo.rev_list(bad)


def test_an_empty_repository_has_no_commits(repo: Repository) -> None:
    assert repo.rev_list(everything=True) == []


def test_a_ref_moves_only_from_where_it_was(path: Path, repo: Repository) -> None:
    first, second = commit(path, {"a": "1"}), commit(path, {"a": "2"})
    assert repo.update_ref("refs/gitprov/x", first, None)
    assert not repo.update_ref("refs/gitprov/x", second, None)
    assert not repo.update_ref("refs/gitprov/x", second, second)
    assert repo.refs("refs/gitprov/") == {"refs/gitprov/x": first}
    assert repo.update_ref("refs/gitprov/x", second, first)
    assert repo.ref("refs/gitprov/x") == second
    assert repo.ref("refs/gitprov/y") is None


def test_shallow_clones_are_known(tmp_path: Path) -> None:
    source = make_repo(tmp_path / "source")
    first = commit(source, {"a": "1"})
    commit(source, {"a": "2"})
    shallow = clone(f"file://{source}", tmp_path / "shallow", "--depth=1")
    with Repository.discover(str(shallow)) as repo:
        assert repo.is_shallow
        with pytest.raises(UsageError, match="no commit") as caught:
            repo.resolve(first)
        assert "unshallow" in (caught.value.hint or "")


def test_a_partial_clone_does_not_fetch_when_told_so(tmp_path: Path) -> None:
    source = make_repo(tmp_path / "source")
    git(source, "config", "uploadpack.allowFilter", "true")
    commit(source, {"a": "1"})
    partial = clone(f"file://{source}", tmp_path / "partial", "--filter=blob:none", "--no-checkout")
    with Repository.discover(str(partial), offline=True) as repo:
        assert repo.head() is not None
        for _ in range(2):
            with pytest.raises(UnavailableError, match="not in this partial clone"):
                repo.objects.get("HEAD:a")
        assert repo.head() is not None
    with Repository.discover(str(partial)) as repo:
        assert repo.objects.get("HEAD:a") is not None


def test_a_rebase_under_way_is_seen(path: Path, repo: Repository) -> None:
    commit(path, {"a": "1"})
    git(path, "checkout", "-qb", "side")
    commit(path, {"a": "2"})
    git(path, "checkout", "-q", "main")
    commit(path, {"a": "3"})
    assert not repo.in_progress_rebase()
    git(path, "rebase", "side", check=False)
    assert repo.in_progress_rebase()
    git(path, "rebase", "--abort")
    assert not repo.in_progress_rebase()


def test_our_folder_is_private(repo: Repository) -> None:
    assert Path(repo.data_dir).stat().st_mode & 0o777 == 0o700


def test_a_name_that_means_several_things_is_refused(path: Path, repo: Repository) -> None:
    first, second = commit(path, {"a": "1"}), commit(path, {"a": "2"})
    git(path, "tag", "both", first)
    git(path, "branch", "both", second)
    git(path, "update-ref", "refs/remotes/origin/main", second)
    git(path, "tag", "origin/main", first)
    git(path, "tag", second[:8], first)
    git(path, "update-ref", "refs/tags/refs/heads/gone", first)
    for rev in ("both", "both~0", "origin/main", second[:8], "refs/heads/gone"):
        with pytest.raises(UsageError, match=r"ambiguous|only refs/tags/refs/heads/gone"):
            repo.resolve(rev)
        for listed in (rev, f"{first}..{rev}", f"{rev}...{first}", f"^{rev}"):
            with pytest.raises(UsageError, match=r"ambiguous|only refs/tags/refs/heads/gone"):
                repo.rev_list(listed)
    assert repo.resolve("refs/heads/both") == second
    assert repo.resolve("refs/remotes/origin/main") == second
    assert repo.resolve("heads/both") == second
    assert repo.resolve(second[:9]) == second


def test_a_ref_cannot_hide_head_or_a_full_id(path: Path, repo: Repository) -> None:
    first, second = commit(path, {"a": "1"}), commit(path, {"a": "2"})
    for name in ("HEAD", second):
        git(path, "update-ref", f"refs/tags/{name}", first)
        assert repo.resolve(name) == second
    assert repo.resolve("@") == second
