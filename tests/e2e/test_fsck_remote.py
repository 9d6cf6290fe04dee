"""A remote is checked and repaired from the store, and the store from the remote."""

import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.model.remote_index import recipe_blocks
from gitprov.store.remote_pack import PackBuilder, index_name, pack_name
from gitprov.store.transport_folder import FolderTransport
from tests.conftest import SOAK
from tests.e2e.test_gc_remote import names, noise, pulls, remote_of
from tests.support.cli import GITPROV, gitprov, ok, refused
from tests.support.repos import clone, git, isolated_environment, make_repo, write
from tests.support.servers import web_server

MIB = 1 << 20


def team_at(tmp_path: Path, address: list[str]) -> Path:
    repo = make_repo(tmp_path / "team")
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "team", *address)
    files = {f"data/{number}": noise(3000, number) for number in range(40)}
    write(repo, {**files, "model.bin": noise(5 * MIB, 99)})
    ok(repo, "add", "data", "model.bin")
    git(repo, "commit", "-q", "-m", "one")
    ok(repo, "push")
    return repo


@pytest.fixture
def team(tmp_path: Path) -> Path:
    return team_at(tmp_path, [str(tmp_path / "nas")])


def empty_clone(team: Path, name: str = "fresh") -> Path:
    """A clone whose store has nothing."""
    fresh = clone(team, team.parent / name)
    ok(fresh, "init", "--no-hooks")
    ok(fresh, "remote", "add", "team", str(team.parent / "nas"))
    return fresh


def change(path: Path, edit: Callable[[bytearray], None]) -> None:
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    edit(data)
    path.write_bytes(data)


def packs(nas: Path) -> list[Path]:
    """The packs, the largest first: it has the blobs and chunks, the other the recipe."""
    return sorted((nas / "packs").iterdir(), key=lambda path: -path.stat().st_size)


def flip_blocks(nas: Path) -> None:
    def edit(data: bytearray) -> None:
        for at in range(2000, len(data), 300_000):
            data[at] ^= 255

    change(packs(nas)[0], edit)


def flip_end(nas: Path) -> None:
    """The list at the end of the archive: all that the index names is intact."""
    change(packs(nas)[0], lambda data: data.__setitem__(-1, data[-1] ^ 1))


def add_junk(nas: Path) -> None:
    """Bytes after the last block, in a pack that is what it is called: IPFS refuses it."""
    pack = packs(nas)[0]
    change(pack, lambda data: data.extend(b"junk"))
    name = blake3(pack.read_bytes()).hexdigest()
    (nas / "index" / pack.stem).rename(nas / "index" / name)
    pack.rename(pack.with_stem(name))


def flip_recipe(nas: Path) -> None:
    change(packs(nas)[-1], lambda data: data.__setitem__(300, data[300] ^ 1))


def cut_pack(nas: Path) -> None:
    change(packs(nas)[0], lambda data: data.__delitem__(slice(100_000, None)))


def lose_pack(nas: Path) -> None:
    packs(nas)[0].unlink()


def flip_index(nas: Path) -> None:
    change(nas / "index" / packs(nas)[0].stem, lambda data: data.__setitem__(50, data[50] ^ 1))


def lose_index(nas: Path) -> None:
    (nas / "index" / packs(nas)[0].stem).unlink()


def flip_marker(nas: Path) -> None:
    change(nas / "gitprov-remote", lambda data: data.__setitem__(3, data[3] ^ 1))


def lose_marker(nas: Path) -> None:
    (nas / "gitprov-remote").unlink()


def wrong_notice(nas: Path) -> None:
    (nas / "gc").mkdir()
    (nas / "gc" / ("a" * 64)).write_bytes(b"junk")


HARMS = {
    "blocks": flip_blocks,
    "end": flip_end,
    "junk": add_junk,
    "recipe": flip_recipe,
    "cut": cut_pack,
    "pack": lose_pack,
    "index": flip_index,
    "no-index": lose_index,
    "marker": flip_marker,
    "no-marker": lose_marker,
    "notice": wrong_notice,
}
HARMLESS_ALONE = {"end", "junk", "index", "no-index", "marker", "no-marker", "notice"}
"""What can be repaired without the data: all of it is there."""


def test_a_remote_that_is_whole_passes(team: Path) -> None:
    done = ok(team, "fsck", "--remote", "--json").json
    assert (done["verdict"], done["problems"], done["packs"]) == ("pass", [], 2)
    assert done["bytes"] > 5 * MIB
    before = names(team.parent / "nas")
    repaired = ok(team, "fsck", "--remote", "team", "--repair", "--json").json
    assert repaired["verdict"] == "pass"
    assert names(team.parent / "nas") == before
    assert "is intact: 2 packs" in ok(team, "fsck", "-r").out


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_harmed_is_named_and_repaired_from_the_store(team: Path, harm: str) -> None:
    nas = team.parent / "nas"
    HARMS[harm](nas)
    before = {name: (nas / name).read_bytes() for name in names(nas)}
    ended = gitprov(team, "fsck", "--remote")
    assert ended.code == (3 if harm == "no-marker" else 1), ended
    assert {name: (nas / name).read_bytes() for name in names(nas)} == before
    ok(team, "fsck", "--remote", "--repair")
    shutil.rmtree(team / ".git/gitprov/remotes")
    done = ok(team, "fsck", "--remote", "--json").json
    assert (done["verdict"], done["problems"], done["lacking"]) == ("pass", [], [])
    pulls(team, [str(nas)])


@pytest.mark.parametrize("harm", sorted(HARMLESS_ALONE))
def test_where_all_data_is_there_an_empty_clone_repairs_it(team: Path, harm: str) -> None:
    nas = team.parent / "nas"
    HARMS[harm](nas)
    fresh = empty_clone(team)
    ok(fresh, "fsck", "--remote", "--repair")
    assert ok(fresh, "fsck", "--remote", "--json").json["problems"] == []
    pulls(team, [str(nas)], name="second")


@pytest.mark.parametrize("harm", sorted(HARMS.keys() - HARMLESS_ALONE))
def test_what_neither_side_has_is_named_and_not_claimed_any_more(team: Path, harm: str) -> None:
    nas = team.parent / "nas"
    HARMS[harm](nas)
    fresh = empty_clone(team)
    ended = gitprov(fresh, "fsck", "--remote", "--repair", "--json")
    assert ended.code == 1
    assert ended.json["lost"]
    again = gitprov(fresh, "fsck", "--remote", "--json")
    assert (again.code, again.json["problems"]) == (1, [])
    assert ok(team, "push", "--json").json["objects"] > 0  # a clone that has it brings it back
    pulls(team, [str(nas)], name="second")
    ok(fresh, "fsck", "--remote")


@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_other_remotes_are_repaired_alike(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, nas = remote_of(kind, tmp_path, request, monkeypatch)
    team = team_at(tmp_path, address)
    flip_blocks(nas)
    assert gitprov(team, "fsck", "--remote").code == 1
    ok(team, "fsck", "--remote", "--repair")
    assert ok(team, "fsck", "--remote", "--json").json["problems"] == []
    pulls(team, address)


def test_the_store_is_repaired_from_the_remote(team: Path) -> None:
    for path in (team / ".git/gitprov/packs").iterdir():
        change(path, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    for path in (team / ".git/gitprov/objects").rglob("*"):
        if path.is_file():
            change(path, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    assert gitprov(team, "fsck", "--remote").code == 1
    done = ok(team, "fsck", "--remote", "--repair", "--json").json
    assert len(done["mended"]) == 2
    assert done["verdict"] == "pass"
    ok(team, "fsck")
    shutil.rmtree(team / "data")
    (team / "model.bin").unlink()
    ok(team, "checkout", "--force")


def test_a_store_that_lost_its_packs_is_repaired_from_the_remote(team: Path) -> None:
    for pack in (team / ".git/gitprov/packs").iterdir():
        pack.unlink()
    told = gitprov(team, "fsck")
    assert told.code == 1
    assert len(told.out.splitlines()) < 25
    assert "and 22 more: --json names them all" in told.out
    asked = gitprov(team, "fsck", "--remote")
    assert asked.code == 1, asked
    ok(team, "fsck", "--remote", "--repair")
    ok(team, "fsck")
    shutil.rmtree(team / "data")
    ok(team, "checkout")


def test_what_no_commit_names_is_not_fetched_at_the_size_that_a_remote_says(team: Path) -> None:
    blob = noise(3 * MIB, 5)
    write(team, {"other.bin": blob})
    ok(team, "add", "other.bin")
    digest = blake3(blob).digest()
    path = team / ".git/gitprov/objects" / digest.hex()[:2] / digest.hex()[2:]
    change(path, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    pack = PackBuilder()
    name = blake3(blob[:MIB]).digest()
    pack.add("c", name, blob[:MIB], name)
    [recipe] = recipe_blocks(digest, 3 * MIB, [(name, MIB)] * 3)
    pack.add("B", digest, recipe, blake3(recipe).digest())
    pack_id, data, index = pack.finish()
    transport = FolderTransport(str(team.parent / "nas"))
    transport.put(pack_name(pack_id), data)
    transport.put(index_name(pack_id), index)
    transport.close()
    done = gitprov(team, "fsck", "--remote", "--repair", "--json")
    assert done.code == 1, done
    assert done.json["mended"] == []
    assert not path.exists()


def test_both_sides_are_repaired_at_once(team: Path) -> None:
    for path in (team / ".git/gitprov/packs").iterdir():
        change(path, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    flip_recipe(team.parent / "nas")
    assert gitprov(team, "fsck", "--remote").code == 1
    ok(team, "fsck", "--remote", "--repair")
    ok(team, "fsck", "--remote")
    pulls(team, [str(team.parent / "nas")])


def test_a_sample_reads_a_part_and_says_how_it_was_drawn(team: Path) -> None:
    done = ok(team, "fsck", "--remote", "--sample", "20%", "--json").json
    assert 0 < done["bytes"] < 5 * MIB
    assert isinstance(done["seed"], int)
    assert "a sample, drawn with" in ok(team, "fsck", "--remote", "--sample", "1%").out
    flip_blocks(team.parent / "nas")
    found = [gitprov(team, "fsck", "--remote", "--sample", "50%").code for _ in range(8)]
    assert 1 in found
    for _ in range(20):
        ended = gitprov(team, "fsck", "--remote", "--sample", "50%", "--repair", "--json")
        if ended.json["problems"]:
            break
    assert ended.code == 0
    assert ok(team, "fsck", "--remote", "--json").json["problems"] == []


def test_what_was_never_pushed_is_lacking_and_sent(team: Path) -> None:
    write(team, {"data/new": b"new"})
    ok(team, "add", "data")
    git(team, "commit", "-q", "-m", "two")
    ended = gitprov(team, "fsck", "--remote", "--json")
    assert (ended.code, len(ended.json["lacking"]), ended.json["problems"]) == (1, 2, [])
    ok(team, "fsck", "--remote", "--repair")
    ok(team, "fsck", "--remote")
    assert ok(team, "push", "--json").json["objects"] == 0


def test_a_web_server_is_checked_and_not_repaired(team: Path) -> None:
    nas = team.parent / "nas"
    flip_recipe(nas)
    lines = sorted((name, (nas / name).stat().st_size) for name in names(nas))
    (nas / "list").write_text("".join(f"{size} {name}\n" for name, size in lines))
    before = names(nas)
    with web_server(nas) as web:
        ok(team, "remote", "add", "web", web.url)
        for more in ((), ("--repair",)):
            ended = gitprov(team, "fsck", "--remote", "web", *more)
            assert ended.code == 1
            [hint] = ended.err.splitlines()
            assert "can only be read" in hint
            assert "the folder or bucket that it serves" in hint
    assert names(nas) == before


def test_files_are_named_by_their_paths(team: Path) -> None:
    nas = team.parent / "nas"
    model = blake3((team / "model.bin").read_bytes()).digest()
    path = team / ".git/gitprov/objects" / model.hex()[:2] / model.hex()[2:]
    change(path, lambda data: data.__setitem__(5000, data[5000] ^ 1))
    told = gitprov(team, "fsck", "--remote")
    assert (told.code, told.out.splitlines()[1]) == (1, "         model.bin")
    ended = gitprov(team, "fsck", "--remote", "--json").json
    assert ended["files"] == {f"blake3:{model.hex()}": ["model.bin"]}
    ok(team, "fsck", "--remote", "--repair")

    write(team, {"data/sub/new": b"new"})
    ok(team, "add", "data")
    git(team, "commit", "-q", "-m", "two")
    lines = gitprov(team, "fsck", "--remote").out.splitlines()
    names = [f"         {name}" for name in ("data", "data/sub", "data/sub/new")]
    assert lines[0] == f"{nas} lacks 3 objects that commits here need"
    assert lines[1:4] == names
    ended = gitprov(team, "fsck", "--remote", "--json").json
    assert sorted(ended["files"]) == sorted(ended["lacking"])

    # What an older commit alone has, and a chunk of a large file.
    git(team, "rm", "-q", "model.bin.prov")
    git(team, "commit", "-q", "-m", "three")
    flip_blocks(nas)
    told = gitprov(empty_clone(team), "fsck", "--remote")
    assert "         model.bin" in told.out.splitlines()
    assert f"lost  neither side has blake3:{model.hex()}\n         model.bin\n" in told.out
    lost = [line for line in told.out.splitlines() if line.startswith("lost")]
    assert told.out.count("\n         data/") >= min(len(lost), 20) - 1


def test_of_many_files_some_are_named_and_the_rest_counted(team: Path) -> None:
    shutil.copytree(team / "data", team / "copy")
    write(team, {f"more/{number}": noise(300, 500 + number) for number in range(30)})
    ok(team, "add", "copy", "more")
    git(team, "commit", "-q", "-m", "two")
    told = gitprov(team, "fsck", "--remote").out.splitlines()
    assert told[0].endswith("lacks 31 objects that commits here need")
    assert told[1] == "         more"
    assert told[21] == "         and 11 more: --json names them all"


def test_options_that_do_not_fit_are_refused(team: Path) -> None:
    refused(team, "fsck", "--repair", code=2, says="--repair is for fsck --remote")
    refused(team, "fsck", "--remote", "--quarantine", code=2, says="for the store alone")
    refused(team, "fsck", "--remote", "nobody", code=2, says="nobody")


@pytest.mark.timeout(1800)
def test_killed_at_any_moment_the_next_repair_finishes(team: Path) -> None:
    nas = team.parent / "nas"
    flip_blocks(nas)
    flip_index(nas)
    chance = random.Random(11)
    for _ in range(100 if SOAK else 4):
        process = subprocess.Popen(
            [GITPROV, "fsck", "--remote", "--repair"],
            cwd=team,
            env=isolated_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(chance.uniform(0.1, 1.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ok(team, "fsck", "--remote", "--repair")
    assert ok(team, "fsck", "--remote", "--json").json["problems"] == []
    pulls(team, [str(nas)])
