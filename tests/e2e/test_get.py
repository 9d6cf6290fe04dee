"""Data is taken out of another repository: whole or in part, checked, and never half."""

import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.model.entry import Entry, manifest_root
from gitprov.model.manifest import encode
from gitprov.model.pointer import Pointer
from gitprov.store.local import LocalStore
from tests.support.cli import GITPROV, environment, gitprov, kill_on_the_way, ok, refused
from tests.support.mounts import tmpfs, why_no_mounts
from tests.support.repos import commit, git, make_repo, write

if TYPE_CHECKING:
    from tests.support.servers import Server

MODEL = bytes(range(256)) * 8192


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose data lies in a folder remote, and in its store."""
    repo = make_repo(tmp_path_factory.mktemp("get") / "theirs")
    ok(repo, "init", "--quiet", "--no-hooks")
    write(repo, {"data/a.txt": "one", "data/b/c.txt": "two", "model.bin": MODEL})
    write(repo, {"data/run.sh": "#!/bin/sh\n"})
    (repo / "data/run.sh").chmod(0o755)
    (repo / "data/link").symlink_to("a.txt")
    ok(repo, "add", "data", "model.bin")
    commit(repo, {"code.py": "1\n", "src/x.py": "2\n"}, "first")
    ok(repo, "remote", "add", "nas", repo.parent / "nas")
    ok(repo, "push", "--quiet")
    return repo


@pytest.fixture
def theirs(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made.parent, tmp_path / "made", symlinks=True)
    repo = tmp_path / "made/theirs"
    config = repo / ".git/gitprov/config.yaml"
    config.write_text(config.read_text().replace(str(made.parent), str(repo.parent)))
    return repo


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in no repository, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def same(one: Path, two: Path) -> bool:
    done = subprocess.run(["diff", "-r", "--no-dereference", one, two], check=False)
    return done.returncode == 0


def left(here: Path) -> list[str]:
    return sorted(path.name for path in here.iterdir())


@pytest.mark.parametrize("way", ["folder", "url"])
def test_an_artifact_a_part_and_a_file_come_and_nothing_else(
    made: Path, here: Path, way: str
) -> None:
    url = str(made) if way == "folder" else f"file://{made}"
    remote = ["-r", str(made.parent / "nas")] if way == "url" else []
    done = ok(here, "get", url, "data", "--json", *remote).json
    assert (done["files"], done["size"], done["kind"]) == (4, 3 + 3 + 10 + 5, "artifact")
    assert done["commit"] == git(made, "rev-parse", "HEAD")
    assert same(here / "data", made / "data")
    assert (here / "data/run.sh").stat().st_mode & 0o100
    assert ok(here, "get", url, "data/b", "-o", "part", "--json", *remote).json["kind"] == "part"
    assert (here / "part/c.txt").read_text() == "two"
    ok(here, "get", url, "data/b/c.txt", *remote)
    assert (here / "c.txt").read_text() == "two"
    ok(here, "get", url, "model.bin.prov", *remote)
    assert (here / "model.bin").read_bytes() == MODEL
    ok(here, "get", url, "src/x.py")
    assert (here / "x.py").read_text() == "2\n"
    assert left(here) == ["c.txt", "data", "model.bin", "part", "x.py"]


def test_data_comes_from_the_remote_that_the_commit_names(
    theirs: Path, here: Path, s3_server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"bucket{time.time_ns()}"
    (s3_server.folder / bucket).mkdir()
    for name, value in s3_server.environ.items():
        if name != "HOME":
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    ok(theirs, "remote", "add", "team", f"s3://{bucket}/x", "--shared", "--default")
    git(theirs, "commit", "-qm", "share")
    ok(theirs, "push", "-r", "team", "--yes", "--quiet")
    planned = ok(here, "get", f"file://{theirs}", "data", "--dry-run", "--json").json
    assert planned["objects"] == 4
    assert planned["dry_run"]
    assert left(here) == []
    assert ok(here, "get", f"file://{theirs}", "data", "--json").json["travelled"] > 0
    assert same(here / "data", theirs / "data")
    # What has come is kept: nothing travels a second time.
    again = ok(here, "get", f"file://{theirs}", "data", "-o", "again", "--json").json
    assert again["travelled"] == 0


def test_a_folder_whose_store_lacks_it_gives_it_from_its_own_remote(
    theirs: Path, here: Path
) -> None:
    for name in ("packs", "objects", "index.db"):
        place = theirs / ".git/gitprov" / name
        place.unlink() if place.is_file() else shutil.rmtree(place)
    before = sorted(map(str, (theirs / ".git/gitprov").rglob("*.pack")))
    assert ok(here, "get", str(theirs), "data", "--json").json["travelled"] > 0
    assert same(here / "data", theirs / "data")
    assert sorted(map(str, (theirs / ".git/gitprov").rglob("*.pack"))) == before


def test_what_there_is_is_listed(made: Path, here: Path) -> None:
    assert ok(here, "get", f"file://{made}").out.split()[0] == "data"
    listed = ok(here, "get", str(made), "--list", "--json").json
    assert [one["path"] for one in listed["artifacts"]] == ["data", "model.bin"]
    assert listed["schema"] == "gitprov/get-list/v1"


def test_another_revision_is_another_version(theirs: Path, here: Path) -> None:
    git(theirs, "tag", "v1")
    write(theirs, {"data/a.txt": "changed"})
    ok(theirs, "add", "data")
    git(theirs, "commit", "-qm", "second")
    ok(here, "get", str(theirs), "data/a.txt")
    ok(here, "get", str(theirs), "data/a.txt", "--rev", "v1", "-o", "old.txt")
    assert (here / "a.txt").read_text() == "changed"
    assert (here / "old.txt").read_text() == "one"


def test_a_place_that_is_taken_stays_without_force(made: Path, here: Path) -> None:
    write(here, {"data/mine": "mine", "model.bin": "mine"})
    refused(here, "get", str(made), "data", code=2, says="is there already")
    refused(here, "get", str(made), "model.bin", code=2, says="is there already")
    assert (here / "data/mine").read_text() == "mine"
    ok(here, "get", str(made), "data", "--force")
    ok(here, "get", str(made), "model.bin", "--force")
    assert same(here / "data", made / "data")
    assert (here / "model.bin").read_bytes() == MODEL
    for out in (".", "..", "/", "nowhere/x"):
        assert gitprov(here, "get", str(made), "data", "--force", "-o", out).code == 2
    assert left(here) == ["data", "model.bin"]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--upload-pack=touch ran", "data"], 2, "o such option"),
        (["--", "--upload-pack=touch ran", "data"], 2, "begins with '-'"),
        (["ext::sh -c 'touch ran'", "data"], 2, "run a program"),
        (["fd::3", "data"], 2, "run a program"),
        (["ssh://-oProxyCommand=touch%20ran/x", "data"], 2, "no name of a host"),
        (["https://u:s3cret@127.0.0.1/x", "data"], 2, "no password"),
        (["THEIRS", "../data"], 2, "no path in a repository"),
        (["THEIRS", "/etc/passwd"], 2, "no path in a repository"),
        (["THEIRS", "data/../../x"], 2, "no path in a repository"),
        (["THEIRS", ".git/config"], 2, "no path in a repository"),
        (["THEIRS", "nothing"], 2, "has no nothing"),
        (["THEIRS", "src"], 2, "a folder of code"),
        (["THEIRS", "data/nothing"], 2, "there is no data/nothing"),
        (["THEIRS", "data/link"], 2, "a symbolic link"),
        (["THEIRS", "data", "--rev", "nothing"], 2, "no commit"),
        (["file://THEIRS", "data"], 2, "does not say where its data lies"),
        (["file://THEIRS", "data", "-r", "nothing"], 2, "does not say"),
        (["file://THEIRS", "data", "-r", "https://t0ken@h/x"], 2, "no password"),
        (["nowhere", "data"], 3, "no folder"),
    ],
)
def test_what_cannot_be_had_is_said_and_nothing_is_left(
    made: Path, here: Path, args: list[str], code: int, says: str
) -> None:
    ended = gitprov(here, "get", *(arg.replace("THEIRS", str(made)) for arg in args))
    assert ended.code == code, ended
    assert says in ended.err
    assert "s3cret" not in ended.err
    assert "t0ken" not in ended.err
    assert left(here) == []


def test_a_remote_that_lacks_it_or_lies_gives_nothing(theirs: Path, here: Path) -> None:
    empty = theirs.parent / "empty"
    write(theirs, {"data/new": "new"})
    ok(theirs, "remote", "add", "empty", empty)
    ok(theirs, "push", "-r", "empty", "--quiet")
    ok(theirs, "add", "data")
    git(theirs, "commit", "-qm", "not pushed")
    for path in ("data", "data/b"):
        ended = refused(
            here, "get", f"file://{theirs}", path, "-r", str(empty), code=3, says="lacks blake3:"
        )
        assert "gitprov push" in ended.err
    for pack in (empty / "packs").iterdir():
        data = bytearray(pack.read_bytes())
        data[len(data) // 2] ^= 1
        pack.chmod(0o644)
        pack.write_bytes(data)
    url = f"file://{theirs}"
    refused(
        here, "get", url, "model.bin", "-r", str(empty), code=1, says="does not have what it says"
    )
    assert left(here) == []


@pytest.mark.parametrize("claim", [{"size": 20}, {"files": 9}])
def test_a_pointer_that_claims_what_is_not_so_is_refused(
    theirs: Path, here: Path, claim: dict[str, int]
) -> None:
    pointer = Pointer.parse((theirs / "data.prov").read_bytes())
    values = {name: getattr(pointer, name) for name in pointer.__slots__}
    commit(theirs, {"data.prov": Pointer(**values | claim).to_bytes()}, "lie")
    refused(here, "get", str(theirs), "data", code=1, says="the pointer of data claims")
    assert left(here) == []


def test_a_pointer_to_what_is_no_folder_is_refused(theirs: Path, here: Path) -> None:
    text = f"gitprov: 1\npath: data\nkind: data\ntype: dir\nroot: {Digest.of(b'one')}\n"
    commit(theirs, {"data.prov": text + "size: 3\nfiles: 1\n"}, "a file as a folder")
    assert gitprov(here, "get", str(theirs), "data").code in {1, 3}
    commit(theirs, {"data.prov": "gitprov: 1\npath: ../x\n"}, "nonsense")
    refused(here, "get", str(theirs), "data", code=1, says="not well formed")
    assert "not well formed" in ok(here, "get", str(theirs)).err
    assert left(here) == []


@pytest.mark.parametrize("name", [b"..", b"a/b", b".git", b"../../evil", b"a\0b"])
def test_a_manifest_with_a_name_that_is_refused_writes_nothing(
    theirs: Path, here: Path, name: bytes
) -> None:
    with LocalStore(str(theirs / ".git/gitprov")) as store, store.writer() as writer:
        entries = (Entry(name, "f", writer.add(b"evil"), 4),)
        root = manifest_root(entries)
        writer.add_manifest(root, encode(entries))
    pointer = Pointer("data", "data", "dir", Digest(root), 4, 1)
    commit(theirs, {"data.prov": pointer.to_bytes()}, "hostile")
    ended = gitprov(here, "get", str(theirs), "data")
    assert ended.code == 1, ended
    assert left(here) == []
    assert not (here.parent / "evil").exists()


def test_a_link_that_leads_out_of_what_is_taken_is_refused(theirs: Path, here: Path) -> None:
    (theirs / "data/b/up").symlink_to("../a.txt")
    ok(theirs, "add", "data")
    git(theirs, "commit", "-qm", "link")
    ok(here, "get", str(theirs), "data")
    assert (here / "data/b/up").readlink() == Path("../a.txt")
    refused(here, "get", str(theirs), "data/b", code=1, says="up")
    assert left(here) == ["data"]


def test_a_hostile_tracked_file_chooses_no_folder(theirs: Path, here: Path) -> None:
    nas = theirs.parent / "nas"
    commit(theirs, {".gitprov.yaml": f"gitprov: 1\nremotes: {{a: {{url: {nas}}}}}\n"}, "hostile")
    refused(here, "get", f"file://{theirs}", "data", code=2, says="cannot choose folders")
    assert left(here) == []


@pytest.mark.fault
def test_what_is_killed_leaves_nothing_half_and_the_next_goes_on(
    theirs: Path, here: Path, tmp_path: Path
) -> None:
    write(theirs, {f"many/{n % 20}/{n}": f"{n}" * 40 for n in range(2000)})
    ok(theirs, "add", "many")
    git(theirs, "commit", "-qm", "many")
    ok(theirs, "push", "--quiet")
    nas = str(theirs.parent / "nas")
    command = [GITPROV, "get", f"file://{theirs}", "many", "-r", nas]
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    killed = 0
    for was_killed in kill_on_the_way(command, here, env, spare=tmp_path / "spare"):
        killed += was_killed
        assert all(name.startswith(".gitprov-get-") for name in left(here)) or left(here) == [
            "many"
        ]
        if (here / "many").exists():
            assert same(here / "many", theirs / "many")
            shutil.rmtree(here / "many")
    assert killed
    ok(here, "get", f"file://{theirs}", "many", "-r", nas)
    assert same(here / "many", theirs / "many")
    assert left(here) == ["many"]


def test_what_a_killed_run_was_about_to_replace_is_put_back(made: Path, here: Path) -> None:
    (here / "data").mkdir()
    (here / "data" / "mine").write_text("mine")
    working = here / f".gitprov-get-{blake3(b'data').hexdigest()[:16]}"
    working.mkdir()
    (here / "data").rename(working / "old")  # where a kill between two renames leaves it
    said = gitprov(here, "get", made, "data")
    assert said.code == 2, said
    assert (here / "data" / "mine").read_text() == "mine"
    assert left(here) == ["data"]


@pytest.mark.root
@pytest.mark.parametrize("full", ["cache", "here"])
def test_a_full_disk_leaves_nothing_under_the_name(
    made: Path, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    why = why_no_mounts("tmpfs")
    if why is not None:
        pytest.skip(why)
    args = ["get", f"file://{made}", "model.bin", "-r", str(made.parent / "nas")]
    with tmpfs(tmp_path / "small", 1 << 20) as small:
        if full == "cache":
            monkeypatch.setenv("XDG_CACHE_HOME", str(small))
            refused(here, *args, code=4, says="No space left")
        else:
            refused(small, *args, code=4, says="No space left")
            assert left(small) == []
    assert left(here) == []


def test_two_at_once_do_not_disturb_each_other(made: Path, here: Path, tmp_path: Path) -> None:
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    command = [GITPROV, "get", f"file://{made}", "data", "-r", str(made.parent / "nas")]
    processes = [
        subprocess.Popen([*command, *more], cwd=here, env=env, stderr=subprocess.PIPE)
        for more in ([], [], ["-o", "other"])
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    assert processes[2].returncode == 0, said
    assert sorted(process.returncode for process in processes[:2]) in ([0, 2], [0, 3], [0, 4]), said
    assert same(here / "data", made / "data")
    assert same(here / "other", made / "data")
    assert left(here) == ["data", "other"]
