"""DVC's files as somebody hostile writes them: refused and named, nothing done outside."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok, refused
from tests.support.repos import commit, git, make_repo, write


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks", "--quiet")
    commit(repo, {".dvc/config": "", "a.py": "1\n"})
    write(repo, {"good.dvc": out("good", keep(repo, b"good"))})
    return repo


def keep(repo: Path, data: bytes, ending: str = "") -> str:
    """Puts data into DVC's cache; returns its name there."""
    name = hashlib.md5(data).hexdigest() + ending  # noqa: S324
    write(repo, {f".dvc/cache/files/md5/{name[:2]}/{name[2:]}": data})
    return name


def out(path: str, md5: str) -> str:
    return f"outs:\n- md5: {md5}\n  hash: md5\n  path: {json.dumps(path)}\n"


def files(repo: Path, rows: list[tuple[str, str]]) -> str:
    listed = [{"md5": md5, "relpath": path} for path, md5 in rows]
    return keep(repo, json.dumps(listed).encode(), ".dir")


X = "9dd4e461268c8034f5c8564e155c67a6"  # the MD5 of "x"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (out("../../etc", X), "leads out of the repository"),
        (out("a/../../b", X), "leads out of the repository"),
        (out(".", X), "it is the whole repository"),
        (out(".git/hooks/x", X), "is a spelling of '.git'"),
        (out("bad", "../" + X), "it is not named by an MD5"),
        (out("x.prov", X), "an artifact cannot have this name"),
        (out("a.py", X), "git tracks it already"),
        ("outs: &a [*a]\n", "YAML alias"),
        ("a: &a [x]\nb: &b [*a, *a]\nouts: [*b, *b]\n", "YAML alias"),
        ("outs: !!python/object:os.system x\n", "YAML tag"),
        ("outs: 1\n", "its outs are no list of mappings"),
        ("[" * 1000, "nested too deeply"),
        ("outs: [\n", "is not YAML"),
        ("x" * (1 << 20) + "\n\n", "is larger than"),
        ("outs:\n- path: bad\n", "it has no MD5 yet"),
    ],
)
def test_a_dvc_file_that_is_wrong_is_named_and_the_others_imported(
    repo: Path, text: str, says: str
) -> None:
    keep(repo, b"x")
    write(repo, {"bad.dvc": text})
    done = gitprov(repo, "import-dvc")
    assert done.code in (1, 2), done
    assert says in done.err
    assert (repo / "good.prov").exists()
    git(repo, "add", "-A")
    commit(repo, message="bad")
    assert gitprov(repo, "import-dvc", "--all-revisions", "--dry-run").code in (0, 1, 2)
    assert sorted(path.name for path in repo.parent.iterdir()) == ["repo"]


@pytest.mark.parametrize("path", ["/etc/passwd", "s3://bucket/x", "remote://r/x", "C:\\x"])
def test_outputs_elsewhere_are_left(repo: Path, path: str) -> None:
    write(repo, {"bad.dvc": out(path, X)})
    assert "lies outside the repository" in ok(repo, "import-dvc").err


@pytest.mark.parametrize(
    ("paths", "says"),
    [
        (["../x"], "'..' is refused"),
        (["/etc/x"], "it is empty"),
        (["a", "a"], "the file 'a' occurs twice"),
        (["a", "a/b"], "lies in a file"),
        (["a/b", "a"], "is a folder as well"),
        (["a", "A"], "collide"),
        ([".git/config"], "is a spelling of '.git'"),
    ],
)
def test_a_list_of_files_that_is_wrong_is_refused(repo: Path, paths: list[str], says: str) -> None:
    keep(repo, b"x")
    write(repo, {"bad.dvc": out("bad", files(repo, [(path, X) for path in paths]))})
    done = gitprov(repo, "import-dvc")
    assert done.code == 1
    assert says in done.err
    assert not (repo / "bad.prov").exists()
    assert (repo / "good.prov").exists()


def test_nothing_is_written_through_a_link(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (repo / "link").symlink_to(tmp_path / "outside")
    write(repo, {"bad.dvc": out("link/x", keep(repo, b"x"))})
    assert "link is no folder, but a symbolic link" in gitprov(repo, "import-dvc").err
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_tracked_file_names_no_cache_outside(repo: Path, tmp_path: Path) -> None:
    (repo / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    write(repo, {".dvc/config": f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n"})
    done = gitprov(repo, "import-dvc")
    assert done.code == 3
    assert "gitprov import-dvc --cache FOLDER" in done.err
    (repo / ".dvc" / "config").rename(repo / ".dvc" / "config.local")
    write(repo, {".dvc/config": ""})
    assert ok(repo, "import-dvc", "--json").json["artifacts"]


def test_no_tracked_link_leads_to_a_cache_outside(repo: Path, tmp_path: Path) -> None:
    (repo / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    (repo / ".dvc" / "cache").symlink_to(tmp_path / "elsewhere")
    assert ok(repo, "import-dvc", "--dry-run", "--json").json["artifacts"]  # the user's own link
    commit(repo, message="link", options=["--all"])
    git(repo, "add", "-f", ".dvc/cache")
    done = gitprov(repo, "import-dvc")
    assert done.code == 3
    assert "gitprov import-dvc --cache FOLDER" in done.err
    assert ok(repo, "import-dvc", "--cache", "../elsewhere", "--json").json["artifacts"]


def test_no_tracked_link_makes_a_tracked_setting_ones_own(repo: Path, tmp_path: Path) -> None:
    (repo / ".dvc" / "cache").rename(tmp_path / "elsewhere")
    git(repo, "rm", "-r", "-q", ".dvc")
    write(repo, {"evil/config.local": f"[cache]\n    dir = {tmp_path / 'elsewhere'}\n"})
    (repo / ".dvc").symlink_to("evil")
    git(repo, "add", "-f", "evil", ".dvc")
    done = gitprov(repo, "import-dvc")
    assert done.code == 3
    assert "is not in DVC's cache" in done.err
    assert not (repo / "good.prov").exists()


def test_a_setting_that_is_no_path_is_as_none(repo: Path) -> None:
    write(repo, {".dvc/config": "[cache]\n    dir = a\0b\n"})
    assert ok(repo, "import-dvc", "--json").json["artifacts"]


def test_what_a_lock_says_cannot_steer_a_terminal(repo: Path) -> None:
    lock = {"schema": "2.0", "stages": {"a\x1b[31mb": {"outs": [{"path": "x\x1b[2J"}]}}}
    pipeline = {"stages": {"a\x1b[31mb": {"wdir": "${x}"}}}
    write(repo, {"dvc.lock": json.dumps(lock), "dvc.yaml": json.dumps(pipeline)})
    done = gitprov(repo, "import-dvc")
    assert done.code == 1
    assert "is a template" in done.err
    assert "\x1b" not in done.err + done.out


@pytest.mark.parametrize("stages", [{"1": []}, {"a": {"outs": [{"path": ["x"], "md5": X}]}}])
def test_a_lock_that_is_wrong_is_named_and_the_rest_imported(
    repo: Path, stages: dict[str, object]
) -> None:
    lock = json.dumps({"schema": "2.0", "stages": stages}).replace('"1"', "1")
    write(repo, {"dvc.lock": lock})
    done = gitprov(repo, "import-dvc")
    assert done.code == 1
    assert "dvc.lock" in done.err
    assert (repo / "good.prov").exists()


def test_trees_that_hold_each_other_many_times_over_are_left(repo: Path) -> None:
    """Thirty trees stand for a billion files."""
    commit(repo, message="good", options=["--all"])
    git(repo, "add", "good.dvc")
    commit(repo, message="good")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1\n"
    commit(repo, {"pointer": pointer}, "pointer")
    blobs = {name: git(repo, "hash-object", "-w", name).strip() for name in ("good.dvc", "pointer")}
    rows = "".join(f"100644 blob {oid}\t{name}\n" for name, oid in blobs.items())
    tree = git(repo, "mktree", input=rows.encode()).strip()
    for _ in range(30):
        rows = "".join(f"040000 tree {tree}\t{name}\n" for name in "ab")
        tree = git(repo, "mktree", input=rows.encode()).strip()
    bomb = git(repo, "commit-tree", "-m", "bomb", "-p", "HEAD", tree).strip()
    git(repo, "branch", "bomb", bomb)
    for command in ("import-dvc", "import-lfs"):
        done = gitprov(repo, command, "--all-revisions", "--json")
        assert done.code == 1
        (left,) = (item for item in done.json["left"] if item["path"].startswith("commit "))
        assert left["path"] == f"commit {bomb[:12]}"
        assert "files of the other tool" in left["why"]
    assert git(repo, "show", "imported/main:good.prov")


def test_what_is_no_dvc_repository_and_no_gitprov_repository_is_told_so(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    commit(repo, {"a": "1"})
    for command in ("import-dvc", "import-lfs"):
        refused(repo, command, code=2, says="gitprov is not set up")
        refused(repo, command, "--branch", "x", code=2, says="goes with --all-revisions")
    ok(repo, "init", "--no-hooks", "--quiet")
    refused(repo, "import-dvc", code=2, says="DVC is not used here")
    refused(repo, "import-lfs", code=2, says="git-lfs is not used here")
    refused(repo, "import-lfs", "--all-revisions", code=2, says="no commit has an LFS file")
    refused(repo, "import-lfs", "a", "a/b", code=2, says="lies inside")
