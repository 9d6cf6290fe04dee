"""`gitprov add s3://…`: the root of a bucket's files is that of the same files on disk."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gitprov.core.paths import RepoPath
from gitprov.errors import UnavailableError, VerificationError
from gitprov.ops.add_objects import Far, add_objects
from gitprov.ops.pointers import read_pointer
from gitprov.store.source import Address
from gitprov.store.source_object import ObjectSource
from gitprov.workspace import Workspace
from tests.support.cli import Ended, gitprov, ok, refused
from tests.support.repos import git, isolated_environment, make_repo, write
from tests.support.servers import Server

MIB = 1 << 20

FILES: dict[str, bytes] = {
    "a.txt": b"a",
    "empty": b"",
    "train/1 ü%20#[x].png": b"png" * 1000,
    "train/deep/er/2.bin": random.Random(2).randbytes(300_000),
    "train/3.bin": b"b" * 3 * MIB,
    "large.bin": random.Random(1).randbytes(21 * MIB + 7),
    "dup/large.bin": b"b" * 3 * MIB,
    **{f"many/{n % 3}/{n}": b"%d" % n for n in range(300)},
}


class Bucket:
    """A bucket of its own for a test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"bucket{time.time_ns()}"
        (server.folder / self.name).mkdir()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Puts objects where the server keeps them."""
        for name, data in files.items():
            path = self.server.folder / self.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def args(self, prefix: str) -> list[str]:
        url = f"s3://{self.name}/{prefix}".rstrip("/")
        return [url, "--endpoint", self.server.endpoint, "--region", "us-east-1"]

    def address(self, prefix: str) -> Address:
        options = (("endpoint", self.server.endpoint), ("region", "us-east-1"))
        return Address(f"s3://{self.name}/{prefix}", options)


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    for name, value in s3_server.environ.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    return Bucket(s3_server)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "r")
    ok(repo, "init", "--no-hooks", "--quiet")
    git(repo, "commit", "-q", "-m", "init")
    return repo


def local_pointer(tmp_path: Path, files: Mapping[str, bytes], name: str = "data") -> str:
    """The pointer that adding the same files from disk writes."""
    other = make_repo(tmp_path / "other")
    ok(other, "init", "--no-hooks", "--quiet")
    write(other, {f"{name}/{path}": data for path, data in files.items()})
    ok(other, "add", name)
    return (other / f"{name}.prov").read_text()


def add(repo: Path, bucket: Bucket, *more: str, prefix: str = "pre/fix") -> Ended:
    return ok(repo, "add", *bucket.args(prefix), "--as", "data", *more)


def data_verdict(repo: Path, *more: str) -> str:
    """What `gitprov verify` says about the data; nobody has recorded the commit."""
    [commit] = gitprov(repo, "verify", "--json", *more).json["commits"]
    found = [one for one in commit["findings"] if one["check"] == "artifacts"]
    return str(found[0]["verdict"])


def test_a_bucket_has_the_root_of_the_same_files_on_disk(
    repo: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.write({f"pre/fix/{name}": data for name, data in FILES.items()})
    bucket.write({"pre/fixed": b"not below the prefix", "other": b"nor this"})
    value = add(repo, bucket, "--json").json["artifacts"][0]
    assert (repo / "data.prov").read_text() == local_pointer(tmp_path, FILES)
    assert (value["path"], value["state"]) == ("data", "added")
    assert value["files"] == len(FILES)
    assert not (repo / "data").exists()
    assert git(repo, "diff", "--cached", "--name-only").split() == [".gitignore", "data.prov"]
    assert (repo / ".gitignore").read_text() == "/data\n"
    # The bytes are elsewhere, and both say so.
    state = ok(repo, "status", "--json").json["artifacts"][0]
    assert state["state"] == "absent"
    assert len(state["missing"]) == len(FILES)
    git(repo, "commit", "-q", "-m", "data")
    assert data_verdict(repo) == "skip"
    refused(repo, "checkout", code=3, says="the store")
    again = add(repo, bucket, "--json").json["artifacts"][0]
    assert again["state"] == "unchanged"


def test_with_copy_the_blobs_come_into_the_store(
    repo: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.write({f"pre/fix/{name}": data for name, data in FILES.items()})
    add(repo, bucket, "--copy")
    assert (repo / "data.prov").read_text() == local_pointer(tmp_path, FILES)
    git(repo, "commit", "-q", "-m", "data")
    ok(repo, "checkout")
    assert {
        str(path.relative_to(repo / "data")): path.read_bytes()
        for path in (repo / "data").rglob("*")
        if path.is_file()
    } == FILES
    assert data_verdict(repo, "--deep", "--require-data") == "pass"
    ok(repo, "fsck")


def test_data_that_moves_on_is_added_again_and_nothing_here_is_lost(
    repo: Path, bucket: Bucket
) -> None:
    bucket.write({"pre/fix/a": b"1", "pre/fix/b": b"2"})
    add(repo, bucket, "--copy")
    ok(repo, "checkout")
    bucket.write({"pre/fix/b": b"22"})
    assert add(repo, bucket, "--copy", "--json").json["artifacts"][0]["state"] == "modified"
    assert (repo / "data" / "b").read_bytes() == b"2"
    ok(repo, "checkout")
    assert (repo / "data" / "b").read_bytes() == b"22"


def test_ignore_files_count_wherever_they_lie(repo: Path, bucket: Bucket, tmp_path: Path) -> None:
    files = {
        "keep": b"k",
        "x.tmp": b"t",
        "sub/.gitprovignore": b"*.log\n!x.tmp\nskip/\n",
        "sub/a.log": b"l",
        "sub/x.tmp": b"t",
        "sub/skip/a": b"s",
        "sub/.gitprov-tmp-12-0123abcd": b"left over",
        "all/a.tmp": b"t",
    }
    bucket.write({f"pre/fix/{name}": data for name, data in files.items()})
    other = make_repo(tmp_path / "other")
    for one in (repo, other):
        ok(one, "init", "--no-hooks", "--quiet")
        write(one, {".gitprovignore": "*.tmp\n"})
    write(other, {f"data/{path}": data for path, data in files.items()})
    ok(other, "add", "data")
    add(repo, bucket)
    assert (repo / "data.prov").read_text() == (other / "data.prov").read_text()


def test_one_object_is_a_file_and_an_empty_prefix_is_nothing(
    repo: Path, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.write({"pre/model.bin": b"weights" * 1000})
    ok(repo, "add", *bucket.args("pre/model.bin"), "--as", "sub/model.bin", "--copy")
    pointer = read_pointer(str(repo), RepoPath.parse(b"sub/model.bin"))
    assert pointer is not None
    assert (pointer.type, pointer.files, pointer.size) == ("file", 1, 7000)
    ok(repo, "checkout")
    assert (repo / "sub" / "model.bin").read_bytes() == b"weights" * 1000
    nothing = "there is no object below"
    refused(repo, "add", *bucket.args("nope"), "--as", "data", code=2, says=nothing)
    refused(repo, "add", *bucket.args("pre/mod"), "--as", "data", code=2, says=nothing)
    assert not (repo / "data.prov").exists()


def test_what_cannot_be_added_is_refused_in_one_sentence(repo: Path, bucket: Bucket) -> None:
    bucket.write({"d/a": b"1", "bad/.git/config": b"x", "case/A": b"1", "case/a": b"2"})
    bucket.write({"control/a\nb": b"x"})
    url = bucket.args("d")
    write(repo, {"there/x": "1", "tracked": "1", "art/x": "1"})
    git(repo, "add", "tracked")
    ok(repo, "add", "art")
    refused(repo, "add", *url, code=2, says="--as says what")
    refused(repo, "add", *url, "art", "--as", "data", code=2, says="one URL at a time")
    refused(repo, "add", "art", "--as", "data", code=2, says="--as goes with a URL")
    refused(repo, "add", "art", "--region", "x", code=2, says="--region goes with a URL")
    refused(repo, "add", *url, "--as", "there", code=2, says="is on disk already")
    refused(repo, "add", *url, "--as", "tracked", code=2, says="is on disk already")
    refused(repo, "add", *url, "--as", "art/sub", code=2, says="lies inside the artifact art")
    refused(repo, "add", *url, "--as", "../data", code=2, says="outside the repository")
    refused(repo, "add", *url, "--as", ".gitignore", code=2, says="belongs into git itself")
    as_data = ("--as", "data")
    refused(repo, "add", "https://example.org/d", *as_data, code=2, says="only object stores list")
    refused(repo, "add", "s3://u:p@bucket/d", *as_data, code=2, says="no password")
    refused(repo, "add", *bucket.args("bad"), *as_data, code=1, says="spelling of '.git'")
    refused(repo, "add", *bucket.args("case"), *as_data, code=1, says="collide")
    refused(repo, "add", *bucket.args("control"), *as_data, code=1, says="cannot be a path")
    gone = [url[0].replace("bucket", "nobucket", 1), *url[1:]]
    refused(repo, "add", *gone, *as_data, code=3, says="no such bucket")
    refused(repo, "add", *url, *as_data, "--executor", "dask", code=2, says="dask://HOST:PORT")
    assert not (repo / "data.prov").exists()


def test_no_credentials_is_a_sentence(
    repo: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(repo, "add", *bucket.args("d"), "--as", "data", code=3, says="no credentials")


def test_workers_have_credentials_of_their_own_and_are_sent_none(
    ws: Workspace, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.write({"d/a": b"1"})
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with ThreadPoolExecutor(1) as executor:
        far = Far(bucket.server.environ, executor)
        with pytest.raises(UnavailableError, match="on a worker: no credentials"):
            add_objects(ws, bucket.address("d"), "data", far)


class Afterwards(ThreadPoolExecutor):
    """An executor of threads that lets something happen once its jobs are known."""

    def __init__(self, what: Any) -> None:
        super().__init__(2)
        self._what = what

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self._what()
        return super().submit(fn, *args, **kwargs)


class Lying(Executor):
    """An executor that answers whatever it is told to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(self._answer)
        return future


@pytest.fixture
def ws(repo: Path) -> Iterator[Workspace]:
    with Workspace.open(str(repo)) as ws:
        yield ws


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_an_object_that_changes_meanwhile_is_refused_and_nothing_is_written(
    ws: Workspace, repo: Path, bucket: Bucket, size: int
) -> None:
    bucket.write({"d/a": b"1" * size})
    executor = Afterwards(lambda: bucket.write({"d/a": b"2" * (size + 1)}))
    with executor:
        far = Far(bucket.server.environ, executor)
        with pytest.raises(Exception, match="changed while it was read") as caught:
            add_objects(ws, bucket.address("d"), "data", far)
    assert getattr(caught.value, "exit_code", None) == 4
    assert not (repo / "data.prov").exists()


def test_a_worker_that_lies_is_found_out_when_the_bytes_come(
    ws: Workspace, repo: Path, bucket: Bucket
) -> None:
    bucket.write({"d/a": b"1"})
    far = Far(bucket.server.environ, Lying([bytes(32)]), copy=True)
    with pytest.raises(VerificationError, match="another file"):
        add_objects(ws, bucket.address("d"), "data", far)
    assert not (repo / "data.prov").exists()


@pytest.mark.parametrize("answer", [None, [], [b"short"], ["text"], [b""], [bytes(32)] * 2])
def test_what_is_no_digest_is_refused(
    ws: Workspace, repo: Path, bucket: Bucket, answer: object
) -> None:
    bucket.write({"d/a": b"1"})
    with pytest.raises(VerificationError, match="worker"):
        add_objects(ws, bucket.address("d"), "data", Far(bucket.server.environ, Lying(answer)))
    assert not (repo / "data.prov").exists()


def test_a_source_says_what_its_objects_are(bucket: Bucket) -> None:
    bucket.write({"d/a": b"12", "d/b/c": b""})
    source = ObjectSource(bucket.address("d"), bucket.server.environ)
    items = [*source.listing()]
    assert [(item.name, item.size) for item in items] == [("a", 2), ("b/c", 0)]
    assert b"".join(source.pieces(items[0])) == b"12"
    source.close()


def test_a_forked_process_says_that_it_cannot_read_an_object_store(
    bucket: Bucket, tmp_path: Path
) -> None:
    """obstore would wait for ever there; the processes of an executor may be forked."""
    bucket.write({"d/a": b"12"})
    code = (
        "import os, sys; from gitprov.store.source_object import ObjectSource\n"
        "from gitprov.store.source import Address; from gitprov.errors import UsageError\n"
        f"address = {bucket.address('d')!r}\n"
        "print(len([*ObjectSource(address, os.environ).listing()]), flush=True)\n"
        "if os.fork() == 0:\n"
        "    try: ObjectSource(address, os.environ)\n"
        "    except UsageError as exc: os.write(1, exc.hint.encode())\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=isolated_environment(**bucket.server.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout == "1\nstart the executor's processes with spawn or forkserver"
