"""fsspec's `gitprov://`: what programs that know fsspec see, and that none of them can write."""

import pickle
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest

import gitprov
from gitprov import UnavailableError, UsageError, VerificationError
from gitprov.fs.session import close_sessions
from tests.support.cli import inside, ok
from tests.support.repos import clone, git, isolated_environment, make_repo, write

MIB = 1 << 20
BIG = random.Random(1).randbytes(9 * MIB)
FILES = {"data/a/1.txt": b"one", "data/a/2.txt": b"two", "data/b/c/3.txt": b"three"}


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repo = make_repo(tmp_path_factory.mktemp("fsspec") / "owner")
    write(repo, {**FILES, "data/big.bin": BIG, "src/run.sh": "#!/bin/sh\n"})
    (repo / "data/link").symlink_to("a/1.txt")
    (repo / "data/a/loop").symlink_to("../a")
    ok(repo, "init")
    ok(repo, "add", "data")
    git(repo, "add", "src")
    git(repo, "commit", "-q", "-m", "first")
    git(repo, "tag", "v1")
    write(repo, {"data/a/1.txt": b"changed"})
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-m", "second")
    ok(repo, "remote", "add", "team", str(repo.parent / "nas"))
    ok(repo, "push", "--all")
    return repo


@pytest.fixture
def colleague(owner: Path, tmp_path: Path) -> Path:
    """A clone that has none of the data."""
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    return repo


@pytest.fixture
def fs(colleague: Path) -> Any:
    return fsspec.filesystem("gitprov", repo=colleague, rev="v1")


def test_it_is_found_by_its_name_and_reads_a_url(owner: Path, colleague: Path) -> None:
    with fsspec.open("gitprov://data/a/1.txt", "rt", repo=str(colleague), rev="v1") as file:
        assert file.read() == "one"
    with inside(owner), fsspec.open("gitprov://data/a/1.txt") as file:
        assert file.read() == b"changed"


def test_what_is_there_is_listed_before_any_data_is(fs: Any) -> None:
    assert fs.ls("", detail=False) == [".gitignore", ".gitprov.yaml", "data", "data.prov", "src"]
    assert fs.ls("gitprov://data", detail=False) == [
        *("data/a", "data/b", "data/big.bin", "data/link")
    ]
    assert fs.ls("data/a/1.txt", detail=False) == ["data/a/1.txt"]
    [info] = fs.ls("data/b/c")
    digest = str(gitprov.Digest.of(b"three"))
    assert info == {"name": "data/b/c/3.txt", "size": 5, "type": "file", "digest": digest}
    assert fs.info("data")["type"] == "directory"
    assert fs.info("src/run.sh")["oid"]
    assert fs.info("data/link")["islink"]
    assert fs.info("data/link")["size"] == 3
    assert fs.info("data/a/loop")["type"] == "link"
    assert fs.size("data/big.bin") == len(BIG)
    assert fs.isdir("data/b")
    assert fs.isfile("data/a/1.txt")
    assert fs.exists("src")
    assert not fs.exists("data/nothing")
    assert not fs.exists(".git/config")


def test_it_is_searched_like_any_other(fs: Any) -> None:
    assert fs.find("data/b") == ["data/b/c/3.txt"]
    assert fs.glob("data/*/[12].txt") == ["data/a/1.txt", "data/a/2.txt"]
    assert fs.glob("data/**/3.txt") == ["data/b/c/3.txt"]
    assert [(top, files) for top, _, files in fs.walk("data/b")] == [
        ("data/b", []),
        ("data/b/c", ["3.txt"]),
    ]
    assert fs.du("data/b") == 5
    with pytest.raises(FileNotFoundError):
        fs.ls("nothing")


def test_files_and_ranges_are_read(fs: Any) -> None:
    assert fs.cat("data/a/1.txt") == b"one"
    assert fs.cat(["data/a/1.txt", "data/a/2.txt"]) == {
        "data/a/1.txt": b"one",
        "data/a/2.txt": b"two",
    }
    assert fs.cat("data/b", recursive=True) == {"data/b/c/3.txt": b"three"}
    assert fs.cat_file("data/big.bin", 5 * MIB, 5 * MIB + 100) == BIG[5 * MIB : 5 * MIB + 100]
    assert fs.cat_file("data/big.bin", -7, None) == BIG[-7:]
    assert fs.cat_file("data/big.bin", -9, -2) == BIG[-9:-2]
    assert fs.head("data/big.bin", 10) == BIG[:10]
    assert fs.tail("data/big.bin", 10) == BIG[-10:]
    paths = ["data/big.bin", "data/nothing", "data/big.bin", "data/a/2.txt"]
    found = fs.cat_ranges(paths, [MIB, 0, 0, 1], [MIB + 3, 1, 3, 2])
    assert isinstance(found.pop(1), FileNotFoundError)
    assert found == [BIG[MIB : MIB + 3], BIG[:3], b"w"]
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")


def test_folders_are_copied_out(fs: Any, tmp_path: Path) -> None:
    fs.get("data/a/1.txt", str(tmp_path / "one.txt"))
    assert (tmp_path / "one.txt").read_bytes() == b"one"
    fs.get("data/b", str(tmp_path / "out"), recursive=True)
    assert (tmp_path / "out/c/3.txt").read_bytes() == b"three"


def test_a_copy_that_is_wrong_is_not_there(owner: Path, tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    write(repo, {"big.bin": BIG})
    ok(repo, "init")
    ok(repo, "add", "big.bin")
    [path] = [p for p in (repo / ".git/gitprov/objects").rglob("*") if p.is_file()]
    path.chmod(0o600)
    path.write_bytes(BIG[:-1] + b"x")
    (tmp_path / "out").mkdir()
    fs = fsspec.filesystem("gitprov", repo=repo)
    with pytest.raises(VerificationError):
        fs.get("big.bin", str(tmp_path / "out/big.bin"))
    assert [*(tmp_path / "out").iterdir()] == []


def test_files_of_a_folder_come_in_one_request(owner: Path, tmp_path: Path) -> None:
    repo = clone(owner, tmp_path / "colleague")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    fs = fsspec.filesystem("gitprov", repo=repo, rev="v1")
    assert fs.cat("data/a", recursive=True).keys() == {"data/a/1.txt", "data/a/2.txt"}
    packs = [*(owner.parent / "nas/packs").iterdir()]
    for pack in packs:
        pack.rename(pack.with_suffix(".away"))
    try:
        assert fs.cat("data/a/2.txt") == b"two"  # it is here now
    finally:
        for pack in packs:
            pack.with_suffix(".away").rename(pack)


def harm(folder: Path, data: bytes) -> None:
    """Flips a byte of some data, wherever it lies below a folder."""
    for path in folder.rglob("*"):
        held = path.read_bytes() if path.is_file() else b""
        if data in held:
            path.chmod(0o600)
            path.write_bytes(held.replace(data, data[:-1] + bytes([data[-1] ^ 1])))


@pytest.fixture(params=["store", "remote"])
def harmed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, dict[str, bytes]]:
    """Five files, of which a small and a large one are damaged."""
    intact = {f"data/{name}": random.Random(name).randbytes(3000) for name in ("1", "3", "4")}
    wrong = {"data/2": random.Random(2).randbytes(3000), "data/big": BIG}
    repo = make_repo(tmp_path / "repo")
    write(repo, {**intact, **wrong})
    ok(repo, "init")
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-m", "one")
    if request.param == "remote":
        ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
        ok(repo, "push")
        repo = clone(repo, tmp_path / "clone")
        ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
    folder = tmp_path / "nas" if request.param == "remote" else repo / ".git/gitprov"
    harm(folder, wrong["data/2"])
    harm(folder, BIG[-2000:])
    return fsspec.filesystem("gitprov", repo=repo), intact


@pytest.mark.parametrize("how", ["return", "omit", "raise"])
def test_one_damaged_file_hides_no_other(harmed: tuple[Any, dict[str, bytes]], how: str) -> None:
    fs, intact = harmed
    if how == "raise":
        with pytest.raises(VerificationError, match="cannot read data/2: "):
            fs.cat("data", recursive=True)
        return
    found = fs.cat("data", recursive=True, on_error=how)
    assert {name: found.pop(name) for name in intact} == intact
    assert sorted(found) == (["data/2", "data/big"] if how == "return" else [])
    for name, error in found.items():
        assert isinstance(error, VerificationError)
        assert str(error).startswith(f"cannot read {name}: ")


def test_a_part_of_a_damaged_file_hides_no_other(harmed: tuple[Any, dict[str, bytes]]) -> None:
    fs, intact = harmed
    first, second, third = fs.cat_ranges(["data/1", "data/2", "data/3"], 5, 9)
    assert (first, third) == (intact["data/1"][5:9], intact["data/3"][5:9])
    assert isinstance(second, VerificationError)


@pytest.mark.parametrize("how", ["gone", "no remote"])
def test_what_cannot_be_had_hides_nothing_that_is_here(
    owner: Path, colleague: Path, tmp_path: Path, how: str
) -> None:
    fs = fsspec.filesystem("gitprov", repo=colleague, rev="v1")
    assert fs.cat("data/a/1.txt") == b"one"
    close_sessions()
    ok(colleague, "remote", "remove", "team")
    if how == "gone":
        ok(colleague, "remote", "add", "team", "ssh://127.0.0.1:1/nowhere")
    names = ["data/a/1.txt", "data/a/2.txt", "data/big.bin"]
    one, two, big = fs.cat(names, on_error="return").values()
    assert one == b"one"
    for name, error in zip(names[1:], (two, big), strict=True):
        assert isinstance(error, UnavailableError)
        assert str(error).startswith(f"cannot read {name}: ")
    assert fs.cat(names, on_error="omit") == {"data/a/1.txt": b"one"}
    with pytest.raises(UnavailableError, match=r"cannot read data/a/2.txt: "):
        fs.cat(names)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("open", ("data/new", "wb")),
        ("open", ("data/a/1.txt", "a")),
        ("open", ("data/a/1.txt", "r+b")),
        ("pipe", ("data/new", b"x")),
        ("pipe_file", ("data/new", b"x")),
        ("write_text", ("data/new", "x")),
        ("touch", ("data/new",)),
        ("mkdir", ("data/new",)),
        ("makedirs", ("data/new",)),
        ("rm", ("data/a",)),
        ("rm_file", ("data/a/1.txt",)),
        ("rmdir", ("data/a",)),
        ("mv", ("data/a/1.txt", "data/b/1.txt")),
        ("cp", ("data/a/1.txt", "data/b/1.txt")),
        ("put", ("/dev/null", "data/new")),
        ("put_file", ("/dev/null", "data/new")),
        ("delete", ("data/a",)),
        ("upload", ("/dev/null", "data/new")),
    ],
)
def test_nothing_can_be_written(fs: Any, verb: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(UsageError, match="can only be read") as raised:
        getattr(fs, verb)(*arguments)
    assert isinstance(raised.value, OSError)
    assert raised.value.hint == "write into the worktree, then gitprov add"


def test_it_is_pickled_with_its_commit_and_its_place(owner: Path, tmp_path: Path) -> None:
    repo = clone(owner, tmp_path / "mine")
    ok(repo, "remote", "add", "team", str(owner.parent / "nas"))
    with inside(repo):
        fs = fsspec.filesystem("gitprov", rev="main")
    pickled = tmp_path / "fs.pickle"
    pickled.write_bytes(pickle.dumps(fs))
    git(repo, "commit", "-q", "--allow-empty", "-m", "third")
    code = (
        "import pickle, sys; fs = pickle.load(open(sys.argv[1], 'rb'))\n"
        "print(fs.cat('data/a/1.txt'), fs.commit)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, pickled],
        cwd=tmp_path,
        env=isolated_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == (f"b'changed' {fs.commit}\n", "")


def test_a_revision_that_is_none_is_refused_at_once(owner: Path) -> None:
    with pytest.raises(UsageError, match="no commit 'v9'"):
        fsspec.filesystem("gitprov", repo=owner, rev="v9")


def test_names_that_no_file_may_have_are_not_listed(tmp_path: Path) -> None:
    """A tree can hold anything, and what is listed here is written there."""
    repo = make_repo(tmp_path / "r")
    write(repo, {"good": b"x"})
    git(repo, "add", "good")
    blob = bytes.fromhex(git(repo, "hash-object", "good"))
    names = (b"..", b".git", b"a\\b", b"good")
    tree = b"".join(b"100644 %s\0%s" % (name, blob) for name in sorted(names))
    arguments = ("hash-object", "-t", "tree", "-w", "--stdin", "--literally")
    oid = git(repo, *arguments, input=tree)
    commit = git(repo, "commit-tree", "-m", "hostile", oid)
    fs = fsspec.filesystem("gitprov", repo=repo, rev=commit)
    assert fs.ls("", detail=False) == ["good"]
    close_sessions()
