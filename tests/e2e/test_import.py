"""Artifacts of other repositories: imported, bound with where they come from, and followed."""

import shutil
from pathlib import Path

import pytest

from gitprov.core.digest import Digest
from gitprov.model.origin import Origin
from gitprov.model.pointer import Pointer
from tests.support.cli import GITPROV, environment, gitprov, kill_on_the_way, ok, refused
from tests.support.repos import clone, commit, git, make_repo, write

_HEADER = b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '
MODEL = len(_HEADER).to_bytes(8, "little") + _HEADER + bytes(8)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their repository, recorded and pushed to a folder remote, and an empty one of ours."""
    place = tmp_path_factory.mktemp("import")
    theirs, ours = make_repo(place / "theirs"), make_repo(place / "ours")
    ok(theirs, "init", "--quiet")
    write(theirs, {"data/a.txt": "one", "data/b/c.txt": "two", "m/base.safetensors": MODEL})
    ok(theirs, "add", "data", "m/base.safetensors")
    ok(theirs, "remote", "add", "nas", place / "nas")
    commit(theirs, {"code.py": "1\n"}, "first")
    ok(theirs, "push", "--quiet")
    ok(ours, "init", "--quiet")
    git(ours, "commit", "-qm", "init")
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shutil.copytree(made, tmp_path / "p", symlinks=True)
    config = tmp_path / "p/theirs/.git/gitprov/config.yaml"
    config.write_text(config.read_text().replace(str(made), str(tmp_path / "p")))
    return tmp_path / "p"


def change(theirs: Path, files: dict[str, str]) -> str:
    write(theirs, files)
    ok(theirs, "add", "data")
    git(theirs, "commit", "-qm", "change")
    ok(theirs, "push", "--quiet")
    return git(theirs, "rev-parse", "HEAD")


def origin_of(path: Path) -> Origin:
    return Origin.parse(path.with_name(path.name + ".prov.origin").read_bytes())


@pytest.mark.parametrize("way", ["folder", "url"])
def test_an_artifact_is_bound_with_where_it_comes_from(place: Path, way: str) -> None:
    theirs, ours = place / "theirs", place / "ours"
    url = "../theirs" if way == "folder" else f"file://{theirs}"
    remote = ["-r", str(place / "nas")] if way == "url" else []
    ended = ok(ours, "import", url, "data", *remote)
    head = git(theirs, "rev-parse", "HEAD")
    record = ok(theirs, "record", "--json").json["root"]
    pointer = Pointer.parse((theirs / "data.prov").read_bytes())
    origin = origin_of(ours / "data")
    assert origin.url == url
    assert (origin.rev, origin.commit, origin.kind) == ("HEAD", head, "artifact")
    assert (origin.root, str(origin.record)) == (pointer.root, record)
    for said in (head, str(origin.root), record, "own note says so, and 1 log of it has it"):
        assert said in ended.out
    assert (ours / "data.prov").read_bytes() == (theirs / "data.prov").read_bytes()
    staged = set(git(ours, "diff", "--cached", "--name-only").splitlines())
    assert staged == {".gitignore", "data.prov", "data.prov.origin"}
    git(ours, "commit", "-qm", "import")
    assert ok(ours, "status", "--json").json["artifacts"][0]["state"] == "clean"
    assert ok(ours, "verify", "--deep", "--require-data", "--json").json["verdict"] == "pass"
    ok(ours, "ls", "data")
    # The origin is bound by the code's root: another one is another record.
    path = ours / "data.prov.origin"
    path.write_bytes(path.read_bytes().replace(b"rev: HEAD", b"rev: main"))
    git(ours, "commit", "-qam", "another origin")
    roots = [ok(ours, "record", rev, "--json").json["root"] for rev in ("HEAD", "HEAD~1")]
    assert roots[0] != roots[1]


def test_a_part_a_model_and_a_file_of_code_become_artifacts(place: Path) -> None:
    ours = place / "ours"
    (ours / "models").mkdir()
    part = ok(ours, "import", "../theirs", "data/b", "-o", "part", "--json").json
    assert (part["kind"], part["written"], part["source"]) == ("part", 1, "data/b")
    ok(ours, "import", "../theirs", "m/base.safetensors", "-o", "models/base.safetensors")
    ok(ours, "import", "../theirs", "code.py")
    assert origin_of(ours / "code.py").kind == "code"
    assert (ours / "code.py").read_text() == "1\n"
    git(ours, "commit", "-qm", "import")
    # What `gitprov add` says of the same bytes is what the import has said: nothing changes.
    before = {path: path.read_bytes() for path in ours.rglob("*.prov")}
    assert b"weights: " in before[ours / "models/base.safetensors.prov"]
    ok(ours, "add", "part", "models/base.safetensors", "code.py")
    assert {path: path.read_bytes() for path in ours.rglob("*.prov")} == before
    assert ok(ours, "verify", "--deep", "--json").json["verdict"] == "pass"


def test_update_follows_what_is_there(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    assert ok(ours, "update").out == "up to date  data\n"
    commit(theirs, {"code.py": "2\n"}, "not about data")
    before = origin_of(ours / "data")
    assert ok(ours, "update").out == "up to date  data\n"
    assert origin_of(ours / "data") == before
    head = change(theirs, {"data/new.txt": "new"})
    (planned,) = ok(ours, "update", "--dry-run", "--json").json["artifacts"]
    assert (planned["state"], planned["commit"]) == ("would update", head)
    assert origin_of(ours / "data") == before
    (done,) = ok(ours, "update", "data", "--json").json["artifacts"]
    assert (done["state"], done["commit"]) == ("updated", head)
    assert done["before"] == {"commit": before.commit, "root": str(before.root)}
    assert (ours / "data/new.txt").read_text() == "new"
    assert origin_of(ours / "data").root == Pointer.parse((ours / "data.prov").read_bytes()).root
    staged = git(ours, "diff", "--cached", "--name-only").splitlines()
    assert staged == ["data.prov", "data.prov.origin"]
    assert str(origin_of(ours / "data").record) == ok(theirs, "record", "--json").json["root"]


def test_a_part_and_code_are_followed_too(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    url, nas = f"file://{theirs}", str(place / "nas")
    ok(ours, "import", url, "data/b", "-r", nas)
    ok(ours, "import", url, "code.py", "-r", nas)
    git(ours, "commit", "-qm", "import")
    change(theirs, {"data/a.txt": "not in the part"})
    assert ok(ours, "update", "-r", nas).out == "up to date  b\nup to date  code.py\n"
    commit(theirs, {"code.py": "2\n"}, "code")
    change(theirs, {"data/b/c.txt": "changed"})
    states = [one["state"] for one in ok(ours, "update", "-r", nas, "--json").json["artifacts"]]
    assert states == ["updated", "updated"]
    assert (ours / "b/c.txt").read_text() == "changed"
    assert (ours / "code.py").read_text() == "2\n"


def test_another_revision_is_followed_when_it_is_asked_for(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    git(theirs, "tag", "v1")
    ok(ours, "import", "../theirs", "data", "--rev", "v1")
    git(ours, "commit", "-qm", "import")
    change(theirs, {"data/new.txt": "new"})
    git(theirs, "tag", "v2")
    assert ok(ours, "update").out == "up to date  data\n"
    (done,) = ok(ours, "update", "data", "--rev", "v2", "--json").json["artifacts"]
    assert (done["state"], done["rev"]) == ("updated", "v2")
    git(theirs, "tag", "v3")
    (done,) = ok(ours, "update", "data", "--rev", "v3", "--json").json["artifacts"]
    assert (done["state"], done["rev"]) == ("followed", "v3")
    assert origin_of(ours / "data").rev == "v3"
    refused(ours, "update", "--rev", "v1", code=2, says="--rev needs a NAME")


def test_what_was_changed_here_is_not_written_over(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    change(theirs, {"data/new.txt": "new"})
    (ours / "data/a.txt").write_text("mine")
    refused(ours, "update", code=2, says="was changed here")
    ok(ours, "add", "data")
    refused(ours, "update", code=2, says="was changed here")
    assert (ours / "data/a.txt").read_text() == "mine"
    ok(ours, "update", "--force")
    assert (ours / "data/a.txt").read_text() == "one"
    assert (ours / "data/new.txt").read_text() == "new"


@pytest.mark.parametrize("files", [["data.prov"], ["data.prov", "data.prov.origin"]])
def test_an_update_that_was_interrupted_is_finished(place: Path, files: list[str]) -> None:
    theirs, ours = place / "theirs", place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    other = place / "other"
    shutil.copytree(ours, other, symlinks=True)
    change(theirs, {"data/new.txt": "new"})
    ok(other, "update")
    for name in files:  # what the update had written before it was killed
        shutil.copy(other / name, ours / name)
    if len(files) > 1:  # the data was in the store before the files that name it
        store, known = ours / ".git/gitprov", other / ".git/gitprov"
        shutil.copytree(known / "packs", store / "packs", dirs_exist_ok=True)
        shutil.copy(known / "index.db", store / "index.db")
    (done,) = ok(ours, "update", "--json").json["artifacts"]
    assert done["state"] == "updated"
    assert (ours / "data/new.txt").read_text() == "new"
    assert origin_of(ours / "data") == origin_of(other / "data")
    staged = git(ours, "diff", "--cached", "--name-only").splitlines()
    assert staged == ["data.prov", "data.prov.origin"]
    assert ok(ours, "update").out == "up to date  data\n"


def test_an_interrupted_update_still_loses_nothing(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    change(theirs, {"data/a.txt": "theirs"})
    shutil.copy(theirs / "data.prov", ours / "data.prov")
    (ours / "data/a.txt").write_text("mine")
    refused(ours, "update", code=2, says="changes would be lost")
    assert (ours / "data/a.txt").read_text() == "mine"


def test_the_addresses_that_others_have_written_are_asked_once_agreed(place: Path) -> None:
    ours = place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    other = clone(ours, place / "other")
    ok(other, "init", "--quiet")
    change(place / "theirs", {"data/new.txt": "new"})
    refused(other, "update", code=2, says="nothing was taken from ../theirs here yet")
    ok(other, "update", "--yes")
    assert (other / "data/new.txt").read_text() == "new"
    ok(other, "update")


def test_remove_takes_the_origin_along(place: Path) -> None:
    ours = place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    ok(ours, "remove", "--delete", "data")
    assert not (ours / "data.prov.origin").exists()
    assert "data.prov.origin" in git(ours, "diff", "--cached", "--name-only", "--diff-filter=D")
    assert ok(ours, "update").out == "nothing was imported\n"
    refused(ours, "update", "data", code=2, says="no imported artifact")


def test_an_origin_without_its_pointer_is_passed_over(place: Path) -> None:
    ours = place / "ours"
    ok(ours, "import", "../theirs", "data")
    git(ours, "commit", "-qm", "import")
    git(ours, "mv", "data.prov.origin", "moved.prov.origin")
    assert ok(ours, "update").out == "nothing was imported\n"
    refused(ours, "update", "moved", code=2, says="no imported artifact")


def test_to_take_data_from_an_address_is_not_to_send_some_there(place: Path) -> None:
    ours = place / "ours"
    ok(ours, "import", "../theirs", "data")
    accepted = (ours / ".git/gitprov/remotes/accepted").read_text()
    assert accepted == "from ../theirs\n"


def test_a_place_that_is_taken_is_refused_and_nothing_is_written(place: Path) -> None:
    ours = place / "ours"
    write(ours, {"data/mine": "mine", "mine": "mine"})
    commit(ours, {"tracked": "x"}, "more")
    ok(ours, "add", "mine")
    (ours / "mine").unlink()
    for out, says in [
        ("data", "is there already"),
        ("tracked", "is there already"),
        ("mine", "is an artifact already"),
        ("nowhere/x", "no folder nowhere"),
        ("../x", "outside the repository"),
        ("x.prov", "cannot be an artifact"),
        ("n" * 250, "name too long"),
    ]:
        refused(ours, "import", "../theirs", "data", "-o", out, code=2, says=says)
    (ours / "below").mkdir()
    where = ("-o", "a b/x")
    ended = refused(
        ours / "below", "import", "../../theirs", "data", *where, code=2, says="no folder"
    )
    assert ended.err.endswith("hint: make it: mkdir -p 'a b'\n")
    assert not list(ours.rglob("*.origin"))
    ok(ours, "import", "../theirs", "data", "-o", "theirs")
    refused(ours, "import", "../theirs", "m", "-o", "theirs/m", code=2, says="no artifact")
    refused(ours, "import", "../theirs", "code.py", "-o", "theirs/m", code=2, says="lie inside")
    refused(ours, "import", "../theirs", "code.py", "-o", "theirs", code=2, says="already")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://ada:s3cret@127.0.0.1/x", "no password"),
        ("ext::sh -c 'touch ran'", "run a program"),
    ],
)
def test_no_credential_and_no_program_gets_into_an_origin(place: Path, url: str, says: str) -> None:
    ours = place / "ours"
    ended = refused(ours, "import", url, "data", code=2, says=says)
    assert "s3cret" not in ended.err
    ok(ours, "import", "../theirs", "data")
    path = ours / "data.prov.origin"
    path.write_bytes(path.read_bytes().replace(b"../theirs", url.encode()))
    ended = gitprov(ours, "update", "--yes")
    assert ended.code == 1
    assert "data.prov.origin is not well formed" in ended.err
    assert "s3cret" not in ended.err
    assert not (ours / "ran").exists()


def test_a_large_file_is_copied_from_the_other_store_and_a_damaged_one_is_not(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    write(theirs, {"big.bin": bytes(range(256)) * 4096})
    ok(theirs, "add", "big.bin")
    git(theirs, "commit", "-qm", "big")
    ok(ours, "import", "../theirs", "big.bin", "-o", "good.bin")
    assert (ours / "good.bin").read_bytes() == (theirs / "big.bin").read_bytes()
    assert ok(ours, "fsck", "--json").code == 0
    write(theirs, {"big.bin": bytes(range(256)) * 4097})
    ok(theirs, "add", "big.bin")
    git(theirs, "commit", "-qm", "larger")
    digest = Pointer.parse((theirs / "big.bin.prov").read_bytes()).root.hex
    path = theirs / ".git/gitprov/objects" / digest[:2] / digest[2:]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    refused(ours, "import", "../theirs", "big.bin", code=1, says="damaged")
    assert not (ours / "big.bin.prov").exists()
    assert not (ours / "big.bin").exists()


def test_notes_that_say_another_root_are_refused(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    head = git(theirs, "rev-parse", "HEAD")
    note = git(theirs, "notes", "--ref=gitprov", "show", head)
    wrong = note.replace(ok(theirs, "record", "--json").json["root"], str(Digest.of(b"x")))
    git(theirs, "notes", "--ref=gitprov", "add", "-f", "-m", wrong, head)
    refused(ours, "import", "../theirs", "data", code=1, says="another record root")
    assert not (ours / "data.prov").exists()
    git(theirs, "notes", "--ref=gitprov", "remove", head)
    assert "not recorded there" in ok(ours, "import", "../theirs", "data").out


@pytest.mark.fault
def test_what_is_killed_is_finished_by_running_it_again(place: Path) -> None:
    theirs, ours = place / "theirs", place / "ours"
    change(theirs, {f"data/{n % 20}/{n}": f"{n}" * 40 for n in range(1500)})
    command = [GITPROV, "import", f"file://{theirs}", "data", "-r", str(place / "nas")]
    killed = 0
    for was_killed in kill_on_the_way(command, ours, environment(), spare=place / "spare"):
        killed += was_killed
        (ours / ".git/index.lock").unlink(missing_ok=True)  # git's own, which it would ask for
    assert killed
    ok(ours, "import", f"file://{theirs}", "data", "-r", place / "nas")
    git(ours, "commit", "-qm", "import")
    assert ok(ours, "verify", "--deep", "--require-data", "--json").json["verdict"] == "pass"
    assert git(ours, "status", "--porcelain") == ""
