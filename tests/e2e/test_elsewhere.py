"""Another repository is opened at a revision: by an address, or as the folder that it is."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.git.notes import Notes
from gitprov.ops.elsewhere import Elsewhere, cache_folder, open_elsewhere
from gitprov.ops.record import compute_record
from tests.support.cli import ok
from tests.support.repos import bare, commit, git, make_repo, write
from tests.support.servers import Server, web_server

SHARED = "gitprov: 1\nremotes:\n  team:\n    url: s3://bucket/team\n"


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "theirs")
    ok(repo, "init", "--quiet", "--no-hooks")
    write(repo, {"data/a.txt": "one", "data/b/c.txt": "two"})
    ok(repo, "add", "data")
    commit(repo, {".gitprov.yaml": SHARED}, "first")
    ok(repo, "record", "--quiet")
    return repo


def url(repo: Path) -> str:
    return f"file://{repo}"


def opened(repo: str, cache: Path, rev: str | None = None, *, offline: bool = False) -> str:
    with open_elsewhere(repo, cwd="/", cache=str(cache), rev=rev, offline=offline) as there:
        assert there.rev == (rev or "HEAD")
        return there.commit


def roots(there: Elsewhere) -> list[str]:
    return [str(leaf.root) for leaf in compute_record(there.ws, there.commit).artifacts]


@pytest.mark.parametrize("address", ["url", "path"])
def test_a_commit_its_artifacts_and_its_remotes_are_read(
    theirs: Path, tmp_path: Path, address: str
) -> None:
    where = url(theirs) if address == "url" else "theirs"
    with open_elsewhere(where, cwd=str(tmp_path), cache=str(tmp_path / "c")) as there:
        assert there.commit == git(theirs, "rev-parse", "HEAD")
        assert list(there.remotes().remotes) == ["team"]
        assert there.remotes().remotes["team"].shared
        assert roots(there) == [ok(theirs, "add", "data", "--json").json["artifacts"][0]["root"]]
        # Notes have come along, and say the same of the commit as we do.
        lines = Notes(there.ws.repo).lines(there.commit)
        assert [line.root for line in lines if hasattr(line, "root")] == [
            compute_record(there.ws, there.commit).root
        ]


def test_the_configuration_is_that_of_the_revision(theirs: Path, tmp_path: Path) -> None:
    git(theirs, "tag", "v1")
    commit(theirs, {".gitprov.yaml": SHARED.replace("team:", "other:")}, "second")
    for where in (url(theirs), str(theirs)):
        for rev, name in (("v1", "team"), ("main", "other"), ("main~1", "team")):
            with open_elsewhere(where, cwd="/", cache=str(tmp_path / "c"), rev=rev) as there:
                assert list(there.remotes().remotes) == [name]


def test_a_folder_is_read_where_it_is(theirs: Path, tmp_path: Path) -> None:
    ok(theirs, "remote", "add", "nas", str(tmp_path / "nas"))
    with open_elsewhere(str(theirs), cwd="/", cache=str(tmp_path / "c")) as there:
        assert set(there.remotes().remotes) == {"team", "nas"}
        assert there.ws.store_path == str(theirs / ".git/gitprov")
    assert not (tmp_path / "c").exists()


def test_a_branch_is_asked_for_anew_and_a_commit_is_not(theirs: Path, tmp_path: Path) -> None:
    cache, where = tmp_path / "c", url(theirs)
    first = opened(where, cache, "main")
    second = commit(theirs, {"x": "1"}, "second")
    assert opened(where, cache, "main") == second
    assert opened(where, cache) == second
    theirs.rename(tmp_path / "gone")
    assert opened(where, cache, first) == first
    with pytest.raises(UnavailableError, match="cannot read file://"):
        opened(where, cache, "main")
    assert opened(where, cache, "main", offline=True) == second
    assert opened(where, cache, offline=True) == second
    with pytest.raises(UnavailableError, match="was not fetched yet"):
        opened(where, cache, "v1", offline=True)


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_every_way_to_name_a_commit_is_understood(tmp_path: Path, object_format: str) -> None:
    repo = make_repo(tmp_path / "r", object_format=object_format)
    ids = [commit(repo, {"n": str(n)}, str(n)) for n in range(4)]
    git(repo, "tag", "light", ids[1])
    git(repo, "tag", "-a", "-m", "x", "heavy", ids[2])
    git(repo, "branch", "feature/a", ids[0])
    for rev, wanted in [
        *(("HEAD", ids[3]), ("main", ids[3]), ("light", ids[1]), ("heavy", ids[2])),
        *(("feature/a", ids[0]), ("refs/heads/feature/a", ids[0]), ("heads/main", ids[3])),
        *((ids[0], ids[0]), (ids[1][:10], ids[1]), ("main~2", ids[1]), ("HEAD^", ids[2])),
        *(("heavy^{commit}", ids[2]), (ids[3], ids[3])),
    ]:
        assert opened(url(repo), tmp_path / "c", rev) == wanted, rev
        assert opened(str(repo), tmp_path / "c", rev) == wanted, rev
    # A branch makes place for another, which was a folder of its name.
    git(repo, "branch", "-D", "feature/a")
    git(repo, "branch", "feature", ids[3])
    assert opened(url(repo), tmp_path / "c", "feature") == ids[3]
    assert opened(url(repo), tmp_path / "c", "feature~1") == ids[2]


def test_only_the_commit_travels_and_history_when_it_is_asked_for(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    ids = [commit(repo, {"n": str(n)}, str(n)) for n in range(4)]
    with open_elsewhere(url(repo), cwd="/", cache=str(tmp_path / "c")) as there:
        assert there.ws.objects.header(ids[2]) is None
    with open_elsewhere(url(repo), cwd="/", cache=str(tmp_path / "c"), rev="main~1") as there:
        assert there.ws.objects.header(ids[0]) is not None


def test_a_repository_behind_ssh_is_opened(
    theirs: Path, tmp_path: Path, sshd: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("ssh is not installed (Debian: openssh-client)")
    keys = Path(sshd.environ["HOME"]) / ".ssh"
    known = f"-o UserKnownHostsFile={keys / 'known_hosts'} -o IdentitiesOnly=yes"
    command = f"ssh -F none -i {keys / 'id_ed25519'} {known}"
    monkeypatch.setenv("GIT_SSH_COMMAND", command)
    where = f"ssh://{sshd.environ['USER']}@127.0.0.1:{sshd.port}{theirs}"
    assert opened(where, tmp_path / "c") == git(theirs, "rev-parse", "HEAD")
    second = commit(theirs, {"x": "1"}, "second")
    assert opened(where, tmp_path / "c", "main") == second


def test_a_repository_on_a_plain_web_server_is_opened(theirs: Path, tmp_path: Path) -> None:
    commit(theirs, {"x": "1"}, "second")
    git(tmp_path, "clone", "-q", "--mirror", str(theirs), "web/data.git")
    git(tmp_path / "web/data.git", "update-server-info")
    with web_server(tmp_path / "web") as web:
        where = f"{web.url}/data.git"
        with open_elsewhere(where, cwd="/", cache=str(tmp_path / "c")) as there:
            assert there.commit == git(theirs, "rev-parse", "HEAD")
            assert Notes(there.ws.repo).commits()
        with pytest.raises(UnavailableError, match="cannot read http://"):
            opened(f"{web.url}/nothing.git", tmp_path / "c")


def test_nothing_is_written_into_a_folder_that_gitprov_never_used(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "50% plain")
    head = commit(repo, {"x": "1"}, "plain")
    with open_elsewhere(str(repo), cwd="/", cache=str(tmp_path / "c")) as there:
        assert (there.commit, str(there.url), there.spare) == (head, str(repo), None)
        assert there.ws.store_path.startswith(str(tmp_path / "c"))
    assert not (repo / ".git/gitprov").exists()


def test_what_is_no_revision_is_refused(theirs: Path, tmp_path: Path) -> None:
    git(theirs, "tag", "both")
    commit(theirs, {"x": "1"}, "second")
    git(theirs, "branch", "both")
    for where in (url(theirs), str(theirs)):
        for rev in ("both", "nothing", "--upload-pack=x", "main:data.prov", "f" * 40, "main\nx"):
            with pytest.raises(UsageError):
                opened(where, tmp_path / "c", rev)
    assert opened(url(theirs), tmp_path / "c", "refs/tags/both") != opened(
        url(theirs), tmp_path / "c", "refs/heads/both"
    )


def test_what_is_no_repository_is_refused(theirs: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    cases: list[tuple[str, type[GitprovError], str]] = [
        (str(tmp_path / "nowhere"), UnavailableError, "no folder"),
        (str(tmp_path / "empty"), UsageError, "not a git repository"),
        (str(theirs / "data"), UsageError, "not the top"),
        (url(bare(tmp_path / "bare")), UsageError, "no commits yet"),
        (str(bare(tmp_path / "bare2")), UsageError, "no commit"),
        (url(tmp_path / "nowhere"), UnavailableError, "cannot read"),
        ("ssh://127.0.0.1:1/x", UnavailableError, "cannot read"),
    ]
    for where, error, says in cases:
        with pytest.raises(error, match=says):
            opened(where, tmp_path / "c")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gitprov: 1\nremotes: {a: {url: /srv}}\n", "cannot choose folders"),
        (
            "gitprov: 1\nremotes: {a: {url: 's3://bucket', endpoint: 'http://evil'}}\n",
            "may not set",
        ),
        ("gitprov: 1\nremotes: {a: {url: 'https://u:p@h/x'}}\n", "no password"),
    ],
)
def test_a_tracked_file_that_says_what_it_may_not_is_refused(
    theirs: Path, tmp_path: Path, text: str, says: str
) -> None:
    commit(theirs, {".gitprov.yaml": text}, "hostile")
    for where in (url(theirs), str(theirs)):
        with (
            open_elsewhere(where, cwd="/", cache=str(tmp_path / "c")) as there,
            pytest.raises(UsageError, match=says),
        ):
            there.remotes()


def test_a_configuration_that_is_a_link_or_too_large_is_not_read(
    theirs: Path, tmp_path: Path
) -> None:
    (theirs / ".gitprov.yaml").unlink()
    (theirs / ".gitprov.yaml").symlink_to("/etc/passwd")
    git(theirs, "commit", "-aqm", "link", "--no-verify")
    with open_elsewhere(url(theirs), cwd="/", cache=str(tmp_path / "c")) as there:
        assert there.remotes().remotes == {}
    (theirs / ".gitprov.yaml").unlink()
    commit(theirs, {".gitprov.yaml": "#" * (65 << 10)}, "large")
    with pytest.raises((UsageError, MalformedError), match="larger than"):
        opened(url(theirs), tmp_path / "c")


def test_no_hook_runs_and_no_template_counts(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "pre-auto-gc"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "template").mkdir()
    shutil.copytree(hooks, tmp_path / "template/hooks")
    config = tmp_path / "config"
    config.write_text(
        f"[core]\nhooksPath = {hooks}\n[init]\ntemplateDir = {tmp_path / 'template'}\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    opened(url(theirs), tmp_path / "c")
    opened(url(theirs), tmp_path / "c", "HEAD~0")
    assert not (tmp_path / "ran").exists()


def test_locks_that_a_killed_git_left_are_cleared(
    theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitprov.git.clone._LOCK_SECONDS", 0.05)
    opened(url(theirs), tmp_path / "c")
    second = commit(theirs, {"x": "1"}, "second")
    (clone,) = (path for path in (tmp_path / "c/repos").iterdir() if path.is_dir())
    (clone / "shallow.lock").write_text("")
    for ref in (clone / "refs/elsewhere").iterdir():
        ref.with_name(ref.name + ".lock").write_text("")
    assert opened(url(theirs), tmp_path / "c") == second


def test_many_open_one_address_at_once(theirs: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:  # the lock is the kernel's, so threads are as good
        found = [pool.submit(opened, url(theirs), tmp_path / "c") for _ in range(8)]
        second = commit(theirs, {"x": "1"}, "meanwhile")
        first = git(theirs, "rev-parse", "HEAD~1")
    assert {one.result() for one in found} <= {first, second}
    assert opened(url(theirs), tmp_path / "c") == second


def test_the_cache_is_where_the_standard_says(tmp_path: Path) -> None:
    assert cache_folder({"HOME": "/h"}) == "/h/.cache/gitprov"
    assert cache_folder({"HOME": "/h", "XDG_CACHE_HOME": "/c"}) == "/c/gitprov"
    assert cache_folder({"HOME": "/h", "XDG_CACHE_HOME": "c"}) == "/h/.cache/gitprov"
