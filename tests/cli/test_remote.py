"""`gitprov remote`: what it writes, where, and what it refuses."""

from pathlib import Path

import pytest

from tests.e2e.story import gitprov, ok
from tests.support.repos import git, make_repo, write

CONFIG = ".gitprov.yaml"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks", "--quiet")
    return repo


def own(repo: Path) -> str:
    path = repo / ".git" / "gitprov" / "config.yaml"
    return path.read_text() if path.exists() else ""


def names(repo: Path) -> list[str]:
    return [one["name"] for one in ok(repo, "remote", "list", "--json").json["remotes"]]


def test_a_folder_is_made_and_written_into_the_clones_own_file(repo: Path) -> None:
    before = (repo / CONFIG).read_text()
    ok(repo, "remote", "add", "nas", "../nas")
    assert (repo.parent / "nas").is_dir()
    assert f"url: {repo.parent / 'nas'}" in own(repo)
    assert (repo / CONFIG).read_text() == before
    assert "nas" in ok(repo, "remote").out
    assert ok(repo, "remote", "default").out.startswith("nas ")


def test_a_shared_remote_stands_in_the_tracked_file_with_every_comment(repo: Path) -> None:
    before = (repo / CONFIG).read_text()
    ok(
        *(repo, "remote", "add", "team", "s3://bucket/p", "--region", "eu", "--shared"),
        *("--endpoint", "https://minio.example", "--profile", "lab", "--default"),
    )
    after = (repo / CONFIG).read_text()
    assert after.startswith(before)
    assert "minio.example" not in after
    assert "lab" not in after.removeprefix(before)
    assert "endpoint: https://minio.example" in own(repo)
    assert git(repo, "diff", "--name-only") == ""
    assert ok(repo, "remote", "--json").json["default"] == "team"
    ok(repo, "remote", "add", "other", "ssh://me@host/x", "--shared")
    assert names(repo) == ["other", "team"]
    for name in ("team", "other", "team"):
        ok(repo, "remote", "remove", name)
    assert names(repo) == []
    assert (repo / CONFIG).read_text().strip() == before.strip()
    assert "team" not in own(repo)


def test_a_second_remote_that_ends_the_default_says_so(repo: Path) -> None:
    assert "default any more" not in ok(repo, "remote", "add", "nas", "../nas").err
    added = ok(repo, "remote", "add", "web", "http://127.0.0.1:9/x", "--shared")
    assert "no remote is the default any more; gitprov push goes to nas as before" in added.err
    assert "gitprov remote default NAME chooses one" in added.err
    assert ok(repo, "remote", "--json").json["default"] is None
    assert "default any more" not in ok(repo, "remote", "add", "b", "../b").err


def test_removing_the_default_removes_the_default(repo: Path) -> None:
    ok(repo, "remote", "add", "a", "../a", "--default")
    ok(repo, "remote", "add", "b", "../b")
    ok(repo, "remote", "remove", "a")
    assert ok(repo, "remote", "default").out.startswith("b ")
    ok(repo, "remote", "remove", "b")
    assert own(repo) == ""


def test_a_hand_written_section_is_added_to_in_its_own_style(repo: Path) -> None:
    text = (
        "gitprov: 1\nname: r\nremotes:   # ours\n    # the old one\n    a:\n        url: s3://aaa\n"
    )
    (repo / CONFIG).write_text(text + "hooks:\n  check: all\n")
    ok(repo, "remote", "add", "b", "s3://bbb", "--shared")
    assert names(repo) == ["b", "a"]
    ok(repo, "remote", "remove", "b")
    assert (repo / CONFIG).read_text() == text + "hooks:\n  check: all\n"


def test_a_style_that_cannot_be_kept_is_left_alone(repo: Path) -> None:
    text = "gitprov: 1\nname: r\nremotes: {a: {url: 's3://aaa'}}\n"
    (repo / CONFIG).write_text(text)
    ran = gitprov(repo, "remote", "add", "b", "s3://bbb", "--shared")
    assert ran.code == 2
    assert "by hand" in ran.err
    assert (repo / CONFIG).read_text() == text


def test_a_shared_remote_may_be_reached_in_a_way_of_ones_own(repo: Path) -> None:
    ok(repo, "remote", "add", "team", "s3://bucket", "--shared")
    ok(repo, "remote", "add", "team", "s3://bucket", "--endpoint", "http://127.0.0.1:9")
    assert ok(repo, "remote", "--json").json["remotes"][0]["endpoint"] == "http://127.0.0.1:9"
    assert gitprov(repo, "remote", "add", "team", "s3://bucket").code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("Nas", "/x"), "no name of a remote"),
        (("a/b", "/x"), "no name of a remote"),
        (("b", "--", "-x"), "begins with '-'"),
        (("b", "xyz://host/x"), "not known"),
        (("b", "simplecache::ftp://host/x"), "no address"),
        (("b", "ftp://me:hunter2@host/x"), "no password"),
        (("b", "ftp://host/x", "--shared"), "which server is shown a password"),
        (("b", "https://me:hunter2@host/x"), "no password"),
        (("b", "s3://bucket?sig=hunter2"), "may be secret"),
        (("b", "me@host:path"), "ssh://USER@HOST/PATH/FROM/THE/ROOT"),
        (("b", "http:/127.0.0.1/x"), "two slashes: http://HOST/PATH"),
        (("b", "/tmp", "--endpoint", "https://x"), "--endpoint is for"),
        (("b", "gs://bucket", "--profile", "x"), "--profile is for s3://"),
        (("b", "s3://bucket", "--profile", "$x"), "must be a name"),
        (("b", "s3://bucket", "--endpoint", "https://u:hunter2@x"), "no secret"),
        (("b", "/tmp", "--shared"), "cannot be shared"),
        (("there", "s3://bucket"), "already"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    repo: Path, arguments: tuple[str, ...], said: str
) -> None:
    ok(repo, "remote", "add", "there", "s3://there")
    before = own(repo), (repo / CONFIG).read_text()
    ran = gitprov(repo, "remote", "add", *arguments)
    assert ran.code == 2, ran
    assert said in ran.err
    assert "hunter2" not in ran.err + ran.out
    assert (own(repo), (repo / CONFIG).read_text()) == before


def test_a_folder_below_one_that_is_not_there_is_not_made(repo: Path) -> None:
    ran = gitprov(repo, "remote", "add", "nas", "/nonexistent/below")
    assert ran.code == 4
    assert own(repo) == ""


@pytest.mark.parametrize("verb", ["remove", "default"])
def test_an_unknown_name_lists_the_known_ones(repo: Path, verb: str) -> None:
    ok(repo, "remote", "add", "there", "s3://there")
    ran = gitprov(repo, "remote", verb, "other")
    assert ran.code == 2
    assert "known: there" in ran.err


def test_a_folder_with_spaces_in_its_name_is_one_like_others(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "my project")
    ok(repo, "init", "--no-hooks", "--quiet")
    write(repo, {"data": "1"})
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-m", "data")
    ok(repo, "remote", "add", "nas", "../the nas")
    ok(repo, "push")
    assert (tmp_path / "the nas/gitprov-remote").exists()


@pytest.mark.parametrize(
    ("place", "says"),
    [
        (".", "is the worktree"),
        (".git", "git's folder"),
        (".git/gitprov", "git's folder"),
        (".git/gitprov/x", "git's folder"),
        ("data", "the artifact data"),
        ("data/below", "the artifact data"),
        ("link", "git's folder"),
    ],
)
def test_a_remote_lies_neither_in_git_nor_in_an_artifact(repo: Path, place: str, says: str) -> None:
    write(repo, {"data/x": "1"})
    ok(repo, "add", "data")
    (repo / "link").symlink_to(".git")
    ended = gitprov(repo, "remote", "add", "x", place)
    assert ended.code == 2
    assert says in ended.err
    assert not (repo / "gitprov-remote").exists()
    assert names(repo) == []


@pytest.mark.parametrize(
    "marker", ['{"gitprov":2,"id":"%s","type":"remote"}\n' % ("9" * 32), "[]", ""]
)
def test_no_list_is_written_into_what_is_no_remote_or_a_newer_one(repo: Path, marker: str) -> None:
    ok(repo, "remote", "add", "nas", "../nas")
    (repo.parent / "nas/gitprov-remote").write_text(marker)
    assert gitprov(repo, "remote", "index", "nas").code in {1, 3}
    assert not (repo.parent / "nas/list").exists()
