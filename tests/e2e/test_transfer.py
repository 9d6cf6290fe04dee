"""A team shares data: pushed by one, pulled by another; killed, raced, refused, damaged."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from gitprov.anchors.ipfs_client import Kubo
from gitprov.core import car, cid
from gitprov.devnet.nodes import Node
from gitprov.model.remote_notice import Notice
from gitprov.ops.transfer import push
from gitprov.platform.http import Http
from gitprov.store.transport import Source
from gitprov.store.transport_folder import FolderTransport
from gitprov.workspace import Workspace
from tests.conftest import SOAK
from tests.support.cli import GITPROV, gitprov, ok, refused
from tests.support.repos import clone, configure, git, isolated_environment, make_repo, write
from tests.support.servers import web_server

if TYPE_CHECKING:
    from tests.support.servers import Server

MIB = 1 << 20


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def owner(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "owner")
    files = {f"data/{number % 7}/{number}.bin": noise(3000, number) for number in range(300)}
    write(repo, {**files, "model.bin": noise(6 * MIB, 1), "run.sh": "#!/bin/sh\n"})
    ok(repo, "init")
    ok(repo, "add", "data", "model.bin")
    git(repo, "add", "run.sh")
    git(repo, "commit", "-q", "-m", "first")
    return repo


@pytest.fixture(params=["folder", "s3"])
def address(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """What `gitprov remote add team` is told."""
    if request.param == "folder":
        return [str(tmp_path / "nas")]
    server: Server = request.getfixturevalue("s3_server")
    bucket = f"bucket{time.time_ns()}"
    (server.folder / bucket).mkdir()
    for name, value in server.environ.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    return [f"s3://{bucket}/team", "--endpoint", server.endpoint, "--region", "us-east-1"]


def colleague(owner: Path, name: str = "colleague") -> Path:
    repo = owner.parent / name
    git(owner.parent, "clone", "-q", str(owner), name)
    configure(repo)
    ok(repo, "init")
    return repo


def add_remote(repo: Path, *address: str) -> None:
    ok(repo, "remote", "add", "team", *address)


def same(one: Path, two: Path) -> bool:
    done = subprocess.run(["diff", "-r", one / "data", two / "data"], check=False)
    return (
        done.returncode == 0
        and (one / "model.bin").read_bytes() == (two / "model.bin").read_bytes()
    )


def test_what_one_pushes_another_pulls(owner: Path, address: list[str]) -> None:
    add_remote(owner, *address)
    sent = ok(owner, "push", "--json").json
    assert sent["objects"] == 300 + 1 + 8
    assert ok(owner, "push", "--json").json["travelled"] == 0
    other = colleague(owner)
    add_remote(other, *address)
    planned = ok(other, "pull", "--dry-run", "--json").json
    assert planned["objects"] == 301
    assert not (other / "data").exists()
    pulled = ok(other, "pull", "--json").json
    assert pulled["files"] == 301
    assert same(owner, other)
    assert ok(other, "pull", "--json").json["travelled"] == 0
    assert ok(other, "verify", "--deep", "--require-data", "--json").json["verdict"] == "pass"


def test_a_changed_model_sends_what_is_new(owner: Path, address: list[str]) -> None:
    add_remote(owner, *address)
    ok(owner, "push")
    data = (owner / "model.bin").read_bytes()
    write(owner, {"model.bin": b"x" + data})
    ok(owner, "add", "model.bin")
    git(owner, "commit", "-q", "-m", "second")
    assert ok(owner, "push", "--json").json["travelled"] < 3 * MIB
    other = colleague(owner)
    add_remote(other, *address)
    ok(other, "fetch", "--all")
    git(other, "checkout", "-q", "HEAD~1")
    ok(other, "checkout")
    assert (other / "model.bin").read_bytes() == data


def test_a_part_is_pulled_alone(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push")
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    done = ok(other, "pull", "data/3", "--json").json
    assert done["objects"] == len(list((owner / "data/3").iterdir())) + 2  # and two manifests
    assert [path.name for path in (other / "data").iterdir()] == ["3"]
    assert not (other / "model.bin").exists()


def test_a_part_is_pushed_and_fetched_alone(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    files = len(list((owner / "data/3").iterdir()))
    assert ok(owner, "push", "-p", "data/3", "--json").json["objects"] == files + 2
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    (other / "deep").mkdir()
    assert ok(other / "deep", "fetch", "-p", "../data/3/3.bin", "--json").json["objects"] == 3
    assert ok(other, "pull", "data/3", "--json").json["files"] == files
    ended = gitprov(other, "pull", "data")
    assert ended.code == 3
    assert "neither here nor there" in ended.err
    for path, says in (("data/none", "there is no data/none"), ("none", "none is no artifact")):
        refused(other, "fetch", "--path", path, code=2, says=says)
        refused(owner, "push", "--path", path, code=2, says=says)


def test_pull_goes_by_the_pointers_of_the_worktree(owner: Path, tmp_path: Path) -> None:
    """A pointer that was taken from another commit, or lies in a merge, is not committed yet."""
    add_remote(owner, str(tmp_path / "nas"))
    write(owner, {"data/0/new.bin": "new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")
    ok(owner, "push", "--all")
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    git(other, "checkout", "-q", "HEAD~1", "--", "data.prov")
    assert ok(other, "pull", "data.prov", "--json").json["files"] == 300
    assert not (other / "data/0/new.bin").exists()


def test_what_nobody_pushed_is_named_and_the_rest_comes(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push")
    write(owner, {"data/new.bin": b"new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "not pushed")
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    ended = gitprov(other, "fetch")
    assert ended.code == 3
    # The folder's manifest was not pushed either.
    assert "neither here nor there: data, blake3:" in ended.err
    assert "`gitprov push`" in ended.err


def test_a_pull_that_lacks_a_file_restores_every_other_artifact(
    owner: Path, tmp_path: Path
) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    write(owner, {"data/3/new.bin": b"new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")
    digest = f"blake3:{blake3(b'new').hexdigest()}"
    parts = ["model.bin", *(f"data/{name}" for name in range(7) if name != 3)]
    parts += [f"data/3/{file.name}" for file in (owner / "data/3").glob("[0-9]*.bin")]
    ok(owner, "push", *(word for part in parts for word in ("-p", part)))
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    ended = gitprov(other, "pull")
    assert ended.code == 3
    assert ended.out.splitlines()[-1].split() == ["restored", "model.bin"]
    assert f"neither here nor there: data/3/new.bin, {digest}" in ended.err
    assert "left as it is, for lack of that: data\n" in ended.err
    assert (other / "model.bin").read_bytes() == (owner / "model.bin").read_bytes()
    assert not (other / "data").exists()
    ended = gitprov(other, "pull", "data/4", "data/3", "--json")
    assert (ended.code, ended.json["left"]) == (3, ["data/3"])
    assert ended.json["lacking"] == [{"path": "data/3/new.bin", "digest": digest}]
    assert [path.name for path in (other / "data").iterdir()] == ["4"]


def test_a_push_sends_what_the_store_has_and_names_the_rest(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push", "-p", "data/3")
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    ok(other, "pull", "data/3")
    write(other, {"more/a": "1", "data/3/new.bin": b"new"})
    ok(other, "add", "more", "data/3/new.bin")
    git(other, "commit", "-q", "-m", "more")
    ended = gitprov(other, "push", "--json")
    assert ended.code == 3
    sent = ended.json
    assert sent["objects"] == 5  # two files, more, data/3 and data
    assert len(sent["absent"]) == 7  # six folders, and the model
    assert sorted(one["path"] for one in sent["lacking"]) == [
        *(f"data/{number}" for number in (0, 1, 2, 4, 5, 6)),
        "model.bin",
    ]
    again = gitprov(other, "push")
    assert again.code == 3
    assert "neither here nor there: data/0, blake3:" in again.err
    assert "`gitprov add`, and a push, where the files are" in again.err
    third = clone(other, tmp_path / "third")
    ok(third, "init", "--quiet")
    add_remote(third, str(tmp_path / "nas"))
    assert gitprov(third, "pull", "more", "data/3/new.bin").code == 0
    assert (third / "data/3/new.bin").read_bytes() == b"new"
    ok(owner, "push")
    assert ok(other, "push", "--json").json["absent"] == []


def test_git_push_names_data_that_nobody_has(owner: Path, tmp_path: Path) -> None:
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(other, "remote", "set-url", "origin", str(tmp_path / "origin.git"))
    done = subprocess.run(
        ["git", "push", "-q", "origin", "main"],
        cwd=other,
        env=hook_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"neither here nor at {tmp_path / 'nas'}: data and 1 more" in done.stderr


def test_bytes_that_were_changed_on_the_remote_are_refused(owner: Path, tmp_path: Path) -> None:
    nas = tmp_path / "nas"
    add_remote(owner, str(nas))
    ok(owner, "push")
    for pack in (nas / "packs").iterdir():
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        for at in range(2000, len(data), 100_000):
            data[at] ^= 255
        pack.write_bytes(data)
    other = colleague(owner)
    add_remote(other, str(nas))
    ended = gitprov(other, "pull")
    assert ended.code == 1
    assert "does not have what it says: data/" in ended.err
    assert "corrupt" not in gitprov(other, "fsck").out


def test_an_address_in_a_tracked_file_is_asked_about_once(owner: Path, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    bucket = "s3://somebodys-bucket/data"
    ok(owner, "remote", "add", "team", bucket, "--shared", "--region", "eu-central-1")
    ended = gitprov(owner, "push")
    assert ended.code == 2
    assert "nothing was sent to s3://somebodys-bucket/data yet" in ended.err
    assert "gitprov push --yes" in ended.err


def test_git_push_sends_the_data_to_the_default_remote(owner: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(owner, "remote", "add", "origin", str(tmp_path / "origin.git"))
    add_remote(owner, str(tmp_path / "nas"))
    done = subprocess.run(
        ["git", "push", "-q", "origin", "main"],
        cwd=owner,
        env=hook_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "sent 309 objects" in done.stderr
    write(owner, {"data/new.bin": b"new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")
    (tmp_path / "nas").rename(tmp_path / "away")
    done = subprocess.run(
        ["git", "push", "-q", "origin", "main"],
        cwd=owner,
        env=hook_environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "the data was not sent: `gitprov push` sends it" in done.stderr
    (tmp_path / "away").rename(tmp_path / "nas")
    assert ok(owner, "push", "--json").json["objects"] == 2  # the file, and its folder


def test_git_push_sends_no_data_to_a_web_server_and_says_where_it_goes_instead(
    owner: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(owner, "remote", "add", "origin", str(tmp_path / "origin.git"))

    def said(name: str) -> list[str]:
        command = ["git", "push", "-q", "origin", f"main:{name}"]
        done = subprocess.run(
            command, cwd=owner, env=hook_environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stderr.splitlines() if "data" in line or "sent" in line]

    ok(owner, "remote", "add", "web", "http://127.0.0.1:9/x", "--shared")
    [line] = said("one")
    assert line.startswith("gitprov: no data was sent: no remote can be written to")
    assert line.endswith("the folder or bucket that it serves: gitprov remote add NAME URL")
    refused(owner, "push", code=2, says="no remote can be written to")
    refused(owner, "push", "--yes", "-r", "web", code=2, says="web can only be read")
    add_remote(owner, str(tmp_path / "nas"))
    assert "sent 309 objects" in said("two")[0]
    ok(owner, "remote", "add", "other", str(tmp_path / "other"))
    [line] = said("three")
    assert "there are several remotes, and none is the default" in line
    assert "gitprov remote default NAME" in line
    assert "web" not in line


def hook_environment() -> dict[str, str]:
    return isolated_environment(PATH=f"{Path(GITPROV).parent}:{os.environ['PATH']}")


def test_a_pack_of_a_remote_is_imported_by_a_real_ipfs_node(
    owner: Path, tmp_path: Path, kubo: Node
) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push")
    with Http() as http:
        node = Kubo(http, kubo.url)
        for pack in (tmp_path / "nas" / "packs").iterdir():
            node.import_car(pack.read_bytes())  # raises unless every root is pinned
            with pack.open("rb") as file:
                block = next(one for one in car.read(file)[1] if one.is_raw)
            got = http.request(
                "POST", f"{kubo.url}/api/v0/block/get?arg={cid.text_of(block.name)}", limit=MIB + 1
            )
            assert got.body == block.data


def test_no_remote_and_an_empty_one_are_told_apart(owner: Path, tmp_path: Path) -> None:
    for verb in ("push", "fetch", "pull"):
        ended = gitprov(owner, verb)
        assert ended.code == 2
        assert "no remote is known" in ended.err
    add_remote(owner, str(tmp_path / "nas"))
    ended = gitprov(owner, "fetch")
    assert ended.code == 3
    assert "nothing was pushed to" in ended.err
    assert ok(owner, "push", "--dry-run", "--json").json["objects"] == 309
    assert [*(tmp_path / "nas").iterdir()] == []


def test_a_transfer_with_nothing_to_do_says_so(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push")
    assert ok(owner, "push").out.startswith(f"nothing to send: {tmp_path / 'nas'} has all ")
    assert ok(owner, "fetch").out.startswith("nothing to fetch: the store has all ")
    ok(owner, "push", "-p", "model.bin")
    assert "the store has the 1 object" in ok(owner, "fetch", "-p", "model.bin").out
    empty = make_repo(tmp_path / "empty")
    ok(empty, "init")
    git(empty, "commit", "-qm", "none")
    ok(empty, "remote", "add", "nas", str(tmp_path / "nas"))
    assert "no artifacts, so no data" in ok(empty, "push").out


@pytest.mark.parametrize("verb", ["push", "fetch"])
def test_a_remote_in_the_place_of_a_revision_is_told_where_it_belongs(
    owner: Path, tmp_path: Path, verb: str
) -> None:
    ok(owner, "remote", "add", "nas", str(tmp_path / "nas"))
    ended = refused(owner, verb, "nas", code=2, says="nas")
    assert f"hint: nas is a remote: gitprov {verb} -r nas" in ended.err


def test_a_push_after_a_change_looks_at_what_changed_and_leaves_all_there(
    owner: Path, tmp_path: Path
) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    ok(owner, "push")
    write(owner, {"data/new.bin": b"new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")
    sent = ok(owner, "push", "--json").json
    assert (sent["objects"], sent["there"]) == (2, None)  # the file, and its folder
    assert "has everything" in ok(owner, "push").out
    git(owner, "checkout", "-q", "HEAD~1")
    assert "has all 309 objects" in ok(owner, "push").out
    git(owner, "checkout", "-q", "main")
    other = colleague(owner)
    add_remote(other, str(tmp_path / "nas"))
    ok(other, "pull")
    assert same(owner, other)


@pytest.mark.parametrize("removes", [False, True])
def test_what_a_collection_takes_while_a_push_runs_is_sent_again(
    owner: Path, tmp_path: Path, removes: bool
) -> None:
    """The push knew that it was there, and had not even looked at it."""
    nas = tmp_path / "nas"
    add_remote(owner, str(nas))
    ok(owner, "push")
    old = {path.name for path in (nas / "index").iterdir()}
    write(owner, {"data/new.bin": b"new"})
    ok(owner, "add", "data")
    git(owner, "commit", "-q", "-m", "second")

    class Collected(FolderTransport):
        done = False

        def put(self, name: str, data: Source) -> bool:
            if not Collected.done:
                Collected.done = True
                notice = Notice.of(1, old)
                super().put(notice.name, notice.to_bytes())
                if removes:
                    for pack in old:
                        self.delete([f"index/{pack}", f"packs/{pack}.car"])
                    self.delete([notice.name])
            return super().put(name, data)

    with Workspace.open(str(owner)) as ws:
        done = push(ws, Collected(str(nas)), ["HEAD"])
    assert done.objects >= 309
    for pack in () if removes else old:
        (nas / "index" / pack).unlink()
        (nas / "packs" / f"{pack}.car").unlink()
    other = colleague(owner)
    add_remote(other, str(nas))
    ok(other, "pull")
    assert same(owner, other)


def test_a_push_with_nothing_new_reads_no_index_and_one_after_a_loss_sends_again(
    owner: Path, tmp_path: Path
) -> None:
    nas = tmp_path / "nas"
    add_remote(owner, str(nas))
    ok(owner, "push")
    indexes = [path for path in owner.glob(".git/gitprov/remotes/*/*") if len(path.name) == 64]
    assert indexes
    for path in indexes:
        path.unlink()
    again = ok(owner, "push", "--json").json
    assert (again["objects"], again["travelled"], again["there"]) == (0, 0, 309)
    assert not any(path.exists() for path in indexes), "an index was read to find nothing new"
    lost, *_ = sorted((nas / "packs").iterdir())
    lost.unlink()
    assert 0 < ok(owner, "push", "--json").json["objects"] <= 309
    shutil.rmtree(nas / "packs")
    assert ok(owner, "push", "--json").json["objects"] == 309
    shutil.rmtree(nas / "index")
    shutil.rmtree(nas / "packs")
    assert ok(owner, "push", "--json").json["objects"] == 309
    other = colleague(owner)
    add_remote(other, str(nas))
    ok(other, "pull")
    assert same(owner, other)


def test_a_dry_run_does_not_take_a_remote_that_is_out_of_reach_for_an_empty_one(
    owner: Path, tmp_path: Path
) -> None:
    nas = tmp_path / "nas"
    add_remote(owner, str(nas))
    ok(owner, "push")
    marker = nas / "gitprov-remote"
    marker.chmod(0o600)
    marker.write_bytes(marker.read_bytes().replace(b'"gitprov":1', b'"gitprov":2'))
    ended = gitprov(owner, "push", "--dry-run")
    assert ended.code == 3
    assert "has the layout 2" in ended.err


def test_two_clones_push_at_once_and_nothing_is_lost(owner: Path, tmp_path: Path) -> None:
    other = colleague(owner)
    for number, repo in enumerate((owner, other)):
        add_remote(repo, str(tmp_path / "nas"))
        write(repo, {f"more/{n}.bin": noise(2000, n + number * 50) for n in range(100)})
        ok(repo, "add", "more")
        git(repo, "commit", "-q", "-m", "more")
    ok(owner, "push", "HEAD~1")
    running = [
        subprocess.Popen([GITPROV, "push", "--quiet"], cwd=repo, env=isolated_environment())
        for repo in (owner, other)
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    for repo, name in ((owner, "third"), (other, "fourth")):
        clone = colleague(repo, name)
        add_remote(clone, str(tmp_path / "nas"))
        ok(clone, "pull")
        assert (clone / "model.bin").read_bytes() == (owner / "model.bin").read_bytes()
        found = {file.name: file.read_bytes() for file in (clone / "more").iterdir()}
        assert found == {file.name: file.read_bytes() for file in (repo / "more").iterdir()}


def test_a_web_server_stands_in_for_a_remote_once_it_has_a_list(
    owner: Path, tmp_path: Path
) -> None:
    nas = tmp_path / "nas"
    add_remote(owner, str(nas))
    ended = gitprov(owner, "remote", "index", "team")
    assert ended.code == 3
    assert "nothing was pushed" in ended.err
    ok(owner, "push")
    with web_server(nas) as web:
        other = colleague(owner)
        ok(other, "remote", "add", "mirror", web.url)
        ended = gitprov(other, "pull")
        assert ended.code == 3
        assert "has no list of its objects" in ended.err
        assert "gitprov remote index NAME" in ended.err
        assert ok(owner, "remote", "index", "team", "--json").json["objects"] == 5
        ok(other, "pull")
        assert same(owner, other)
        write(owner, {"data/new.bin": b"new"})
        ok(owner, "add", "data")
        git(owner, "commit", "-q", "-m", "second")
        ok(owner, "push")  # keeps the list fresh
        git(other, "pull", "-q", str(owner), "main")
        assert ok(other, "pull", "--json").json["files"] == 1
        for verb in (("push",), ("remote", "index", "mirror")):
            ended = gitprov(other, *verb)
            assert ended.code == 2
            assert "can only be read" in ended.err


KILLS = 100 if SOAK else 4


class Target:
    """What is pushed to, or pulled into, until it is complete; then it begins anew."""

    def __init__(self, owner: Path, address: list[str], verb: str, top: Path) -> None:
        write(owner, {"model.bin": noise(48 * MIB, 2)})
        ok(owner, "add", "model.bin")
        git(owner, "commit", "-q", "-m", "larger than a pack")
        self.owner, self.address, self.verb, self.count = owner, address, verb, 0
        self.top = top  # where the remotes lie
        if verb == "pull":
            add_remote(owner, *address)
            ok(owner, "push", "--no-notes")
        self.begin()

    def begin(self) -> None:
        """Takes an empty remote, or a fresh clone."""
        self.count += 1
        if self.verb == "pull":
            self.repo = colleague(self.owner, f"clone{self.count}")
            add_remote(self.repo, *self.address)
            return
        self.repo = self.owner
        if self.count > 1:
            ok(self.repo, "remote", "remove", "team")
        self.place = [f"{self.address[0]}{self.count}", *self.address[1:]]
        add_remote(self.repo, *self.place)

    def start(self) -> subprocess.Popen[bytes]:
        command = [GITPROV, self.verb, "--quiet", "--no-notes"]
        env = isolated_environment()
        return subprocess.Popen(command, cwd=self.repo, env=env, stderr=subprocess.DEVNULL)

    def has(self) -> int:
        """The bytes that have arrived, wherever they lie for now."""
        places = [self.top / self.place[0].removeprefix("s3://")] if self.verb == "push" else []
        if self.verb == "pull":
            names = ("tmp", "partial", "packs", "objects")
            places = [self.repo / ".git" / "gitprov" / name for name in names]
        size = 0
        for path in (path for place in places for path in place.rglob("*")):
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size if path.is_file() else 0
        return size

    def left(self) -> int:
        """How many objects are still to travel."""
        verb = "push" if self.verb == "push" else "fetch"
        ended = ok(self.repo, verb, "--dry-run", "--json")
        return int(ended.json["objects"])

    def complete(self) -> None:
        """Goes on undisturbed; then all of it is there, as it should be."""
        ok(self.repo, self.verb, "--no-notes")
        assert ok(self.repo, self.verb, "--no-notes", "--json").json["travelled"] == 0
        repo = self.repo
        if self.verb == "push":
            repo = colleague(self.owner, f"reader{self.count}")
            add_remote(repo, *self.place)
            ok(repo, "pull", "--no-notes")
        assert same(self.owner, repo)
        ok(repo, "fsck")
        assert [*(repo / ".git/gitprov/partial").iterdir()] == []
        shutil.rmtree(repo)


@pytest.mark.parametrize(
    "address", ["folder", pytest.param("s3", marks=pytest.mark.soak)], indirect=True
)
@pytest.mark.parametrize("verb", ["push", "pull"])
def test_killed_at_any_moment_the_next_one_finishes(
    owner: Path, address: list[str], verb: str, request: pytest.FixtureRequest
) -> None:
    is_s3 = address[0].startswith("s3://")
    top = request.getfixturevalue("s3_server").folder if is_s3 else owner
    target = Target(owner, address, verb, top)
    before = time.monotonic()
    assert target.start().wait() == 0
    whole = time.monotonic() - before
    target.complete()
    target.begin()
    chance = random.Random(7)
    kills = midway = finished = 0
    for _ in range(5 * KILLS):
        had = target.has()
        process = target.start()
        if chance.random() < 0.8:  # not while Python starts: from when the first bytes arrive
            while process.poll() is None and target.has() == had:
                time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.5) * whole)
        running = process.poll() is None
        process.kill()
        process.wait()
        kills += running
        left = target.left()
        midway += running and left > 0 and target.has() != had
        if not running or not left or chance.random() < 0.2:
            finished += 1
            target.complete()
            target.begin()
        if kills == KILLS:
            break
    target.complete()
    print(f"{verb}: {kills} killed, {midway} while bytes arrived, {finished + 2} completed")
    assert kills == KILLS


def test_ctrl_c_says_so_and_leaves_nothing_half(owner: Path, tmp_path: Path) -> None:
    add_remote(owner, str(tmp_path / "nas"))
    process = subprocess.Popen(
        [GITPROV, "push"],
        cwd=owner,
        env=isolated_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    for _ in range(2000):  # it has begun when the remote is one
        if (tmp_path / "nas" / "gitprov-remote").exists() or process.poll() is not None:
            break
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() in {0, 130}
    assert b"Traceback" not in said
    ok(owner, "push")
