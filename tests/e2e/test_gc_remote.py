"""A remote is collected: what is dead goes, in two steps; nothing that a clone needs ever does."""

import random
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import SOAK
from tests.support.cli import GITPROV, gitprov, ok, refused
from tests.support.repos import clone, configure, git, isolated_environment, make_repo, write

if TYPE_CHECKING:
    from tests.support.servers import Server

MIB = 1 << 20
NOW = ("--yes", "--grace", "0")


def noise(size: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size)


def put(repo: Path, seed: int, *, large: int = 3 * MIB) -> None:
    """Adds and commits a version: small files, some of them new, and a large one."""
    files = {f"data/{number}": noise(900, number) for number in range(5)}
    files |= {f"data/new{number}": noise(2000, seed * 100 + number) for number in range(20)}
    write(repo, {**files, "model.bin": noise(large, seed)})
    ok(repo, "add", "data", "model.bin")
    git(repo, "commit", "-q", "-m", str(seed))


def forget(repo: Path, branch: str) -> None:
    git(repo, "checkout", "-q", "-f", "main")
    ok(repo, "checkout", "--force")
    git(repo, "branch", "-q", "-D", branch)
    git(repo, "reflog", "expire", "--expire=now", "--all")


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A clone whose `main` is on a folder remote, and so is what a branch had that is gone."""
    return team_at(tmp_path, [str(tmp_path / "nas")])


def team_at(tmp_path: Path, address: list[str]) -> Path:
    repo = make_repo(tmp_path / "team")
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "team", *address)
    put(repo, 1)
    ok(repo, "push")
    git(repo, "checkout", "-q", "-b", "side")
    put(repo, 2)
    ok(repo, "push")
    forget(repo, "side")
    return repo


def names(nas: Path) -> set[str]:
    return {str(path.relative_to(nas)) for path in nas.rglob("*") if path.is_file()}


def pulls(team: Path, address: list[str], *, name: str = "fresh") -> None:
    """A new clone can have all that the branches need."""
    fresh = clone(team, team.parent / name)
    ok(fresh, "init", "--no-hooks")
    ok(fresh, "remote", "add", "team", *address)
    ok(fresh, "fetch", "--all")
    ok(fresh, "pull")
    assert (fresh / "model.bin").read_bytes() == (team / "model.bin").read_bytes()
    shutil.rmtree(fresh)


def test_a_dry_run_lists_and_changes_nothing(team: Path) -> None:
    nas = team.parent / "nas"
    before = names(nas)
    done = ok(team, "gc", "--remote", "--json").json
    assert {one["reason"] for one in done["packs"]} == {"dead"}
    assert (done["acted"], done["removed"], done["kept"]) == (False, 0, 2)
    assert names(nas) == before
    assert "gitprov gc --remote --yes announces them" in ok(team, "gc", "--remote").out


@pytest.mark.parametrize("kind", ["folder", "s3", "ssh"])
def test_what_is_dead_is_announced_and_goes_after_the_grace_time(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, nas = remote_of(kind, tmp_path, request, monkeypatch)
    repo = team_at(tmp_path, address)
    dry = ok(repo, "gc", "--remote", "team", "--json").json
    dead = {one["pack"] for one in dry["packs"]}
    assert dead
    announced = ok(repo, "gc", "--remote", "team", "--yes", "--json").json
    assert announced["removed"] == 0
    assert {f"packs/{pack}.car" for pack in dead} < names(nas)
    assert ok(repo, "gc", "--remote", "--yes", "--json").json["removed"] == 0  # not yet
    done = ok(repo, "gc", "--remote", "--json", *NOW).json
    assert done["removed"] == len(dead)
    left = names(nas)
    assert not [name for name in left if name.startswith("gc/")]
    assert not [name for name in left for pack in dead if pack in name]
    assert ok(repo, "gc", "--remote", "--json").json["packs"] == []
    pulls(repo, address)
    assert ok(repo, "push", "--json").json["objects"] == 0


def remote_of(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[str], Path]:
    """What `gitprov remote add` is told, and the folder in which its objects lie."""
    if kind == "folder":
        return [str(tmp_path / "nas")], tmp_path / "nas"
    server: Server = request.getfixturevalue("s3_server" if kind == "s3" else "sshd")
    for name, value in server.environ.items():
        if kind == "ssh" or name != "HOME":
            monkeypatch.setenv(name, value)
    place = f"gc{time.time_ns()}"
    (server.folder / place).mkdir()
    if kind == "s3":
        options = ["--endpoint", server.endpoint, "--region", "us-east-1"]
        return [f"s3://{place}/team", *options], server.folder / place / "team"
    user = server.environ["USER"]
    return [f"ssh://{user}@127.0.0.1:{server.port}{server.folder / place}"], server.folder / place


def test_what_is_pushed_again_after_the_announcement_stays(team: Path) -> None:
    """The same bytes as those that are about to go: they are sent again, under another name."""
    ok(team, "gc", "--remote", "--yes")
    git(team, "checkout", "-q", "-b", "again")
    put(team, 2)
    assert ok(team, "push", "--json").json["objects"] == 20 + 1 + 1
    ok(team, "gc", "--remote", *NOW)
    pulls(team, [str(team.parent / "nas")])


def test_what_a_clone_needs_that_is_listed_stays(team: Path) -> None:
    other = clone(team, team.parent / "other")
    ok(other, "init", "--no-hooks")
    ok(other, "remote", "add", "team", str(team.parent / "nas"))
    ok(other, "pull")
    put(other, 3)
    ok(other, "push")
    git(other, "remote", "remove", "origin")
    done = ok(team, "gc", "--remote", "--clone", "../other", "--json").json
    alone = ok(team, "gc", "--remote", "--json").json
    assert len(alone["packs"]) == len(done["packs"]) + 2
    ok(team, "gc", "--remote", "--clone", "../other", *NOW)
    pulls(other, [str(team.parent / "nas")])
    pulls(team, [str(team.parent / "nas")], name="second")


def test_what_a_repository_needs_whose_commits_were_fetched_stays(team: Path) -> None:
    other = clone(team, team.parent / "other")
    ok(other, "init", "--no-hooks")
    ok(other, "remote", "add", "team", str(team.parent / "nas"))
    ok(other, "pull")
    put(other, 3)
    ok(other, "push")
    address = other.as_uri()
    refused(team, "gc", "--remote", "--clone", address, code=3, says="has not fetched")
    git(team, "fetch", "-q", address, "main")
    (team / ".git/FETCH_HEAD").unlink()  # no ref of this clone names them
    done = ok(team, "gc", "--remote", "--clone", address, "--json").json
    assert len(ok(team, "gc", "--remote", "--json").json["packs"]) == len(done["packs"]) + 2
    ok(team, "gc", "--remote", "--clone", address, *NOW)
    pulls(other, [str(team.parent / "nas")])


def test_a_pack_of_which_little_is_needed_is_copied(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "team")
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
    put(repo, 1)
    git(repo, "checkout", "-q", "-b", "side")
    put(repo, 2, large=9 * MIB)
    ok(repo, "push", "--all")
    forget(repo, "side")
    dry = ok(repo, "gc", "--remote", "--json").json
    assert "sparse" in {one["reason"] for one in dry["packs"]}
    assert 3 * MIB < dry["copied"] < 4 * MIB
    ok(repo, "gc", "--remote", "--yes")
    assert ok(repo, "gc", "--remote", "--json").json["copied"] == 0
    ok(repo, "gc", "--remote", *NOW)
    assert sum(path.stat().st_size for path in (tmp_path / "nas/packs").iterdir()) < 4 * MIB
    pulls(repo, [str(tmp_path / "nas")])


def test_the_list_for_web_servers_follows_a_collection(team: Path) -> None:
    nas = team.parent / "nas"
    before = ok(team, "remote", "index", "team", "--json").json["objects"]
    ok(team, "gc", "--remote", *NOW)
    listed = {line.partition(" ")[2] for line in (nas / "list").read_text().splitlines()}
    assert listed == names(nas) - {"list"}
    assert len(listed) < before


def test_what_a_push_left_that_died_goes(team: Path) -> None:
    rest = team.parent / "nas/packs" / f"{'a' * 64}.car"
    rest.write_bytes(b"half")
    done = ok(team, "gc", "--remote", "--json").json
    assert [one["reason"] for one in done["packs"] if one["pack"] == "a" * 64] == ["rest"]
    ok(team, "gc", "--remote", *NOW)
    assert not rest.exists()


def test_nothing_goes_when_a_clone_cannot_be_asked(team: Path) -> None:
    nas = team.parent / "nas"
    before = names(nas)
    git(team, "branch", "keep")
    git(team, "clone", "-q", "--depth", "1", f"file://{team}", "../shallow")
    refused(team, "gc", "--remote", *NOW, "--clone", "../gone", code=3, says="cannot be read")
    refused(team, "gc", "--remote", *NOW, "--clone", "../shallow", code=3, says="is shallow")
    refused(team, "gc", "--remote", *NOW, "--clone", "file:///gone", code=3, says="cannot be asked")
    refused(team, "gc", "--remote", *NOW, "--clone", "-x", code=2, says="begins with '-'")
    refused(team.parent / "shallow", "gc", "--clone", "x", code=2, says="for gc --remote")
    assert names(nas) == before


def test_nothing_goes_while_git_knows_commits_that_were_not_fetched(team: Path) -> None:
    before = names(team.parent / "nas")
    git(team.parent, "init", "-q", "--bare", "origin.git")
    git(team, "remote", "add", "origin", "../origin.git")
    git(team, "push", "-q", "origin", "main")
    other = team.parent / "other"
    git(team.parent, "clone", "-q", "-b", "main", "origin.git", "other")
    configure(other)
    git(other, "commit", "-q", "--allow-empty", "-m", "more")
    git(other, "push", "-q", "origin", "HEAD:main")
    refused(team, "gc", "--remote", *NOW, code=3, says="which this clone has not fetched")
    assert names(team.parent / "nas") == before
    git(team, "fetch", "-q", "origin")
    assert ok(team, "gc", "--remote", *NOW, "--json").json["removed"] == 2


def test_a_lost_git_object_ends_it(team: Path) -> None:
    before = names(team.parent / "nas")
    blob = git(team, "rev-parse", "HEAD:data.prov")
    (team / ".git/objects" / blob[:2] / blob[2:]).unlink()
    ended = gitprov(team, "gc", "--remote", *NOW)
    assert ended.code in {3, 4}, ended
    assert names(team.parent / "nas") == before


def test_a_manifest_that_nobody_has_ends_it(team: Path) -> None:
    before = names(team.parent / "nas")
    git(team, "checkout", "-q", "-b", "unknown")
    pointer = (team / "data.prov").read_text()
    root = next(line for line in pointer.splitlines() if line.startswith("root: "))
    (team / "data.prov").write_text(pointer.replace(root, f"root: blake3:{'ab' * 32}"))
    git(team, "commit", "-q", "-a", "-m", "of a colleague who never pushed")
    dry = gitprov(team, "gc", "--remote")
    assert "--yes will refuse" in dry.err
    refused(team, "gc", "--remote", *NOW, code=3, says="nobody has the manifest")
    assert names(team.parent / "nas") == before
    assert ok(team, "gc", "--remote", "--ignore-missing", "--json", *NOW).json["removed"] == 2


def test_something_needed_that_is_damaged_ends_it(team: Path) -> None:
    nas = team.parent / "nas"
    dead = {one["pack"] for one in ok(team, "gc", "--remote", "--json").json["packs"]}
    live = [path for path in (nas / "packs").iterdir() if path.stem not in dead]
    for path in live:
        path.rename(path.with_suffix(".away"))
    refused(team, "gc", "--remote", *NOW, code=1, says="nothing was removed")
    for path in live:
        path.with_suffix(".away").rename(path)
    assert ok(team, "gc", "--remote", *NOW, "--json").json["removed"] == len(dead)


ROUNDS = 40 if SOAK else 3


@pytest.mark.timeout(1800)
def test_pushes_that_race_with_collections_lose_nothing(team: Path) -> None:
    """The data of deleted branches is pushed again while a collection without grace removes it."""
    nas = team.parent / "nas"
    other = clone(team, team.parent / "other")
    ok(other, "init", "--no-hooks")
    ok(other, "remote", "add", "team", str(nas))
    ok(other, "pull")
    chance = random.Random(5)
    for number in range(ROUNDS):
        git(other, "checkout", "-q", "-b", f"again{number}", "main")
        put(other, 2 + number % 2)  # the same as before: all of it was there, or is going
        processes = [run(team, "gc", "--remote", *NOW, "--clone", "../other", "--offline")]
        time.sleep(chance.uniform(0, 0.8))
        processes.append(run(other, "push"))
        pushed = processes[1].wait(timeout=120)
        assert processes[0].wait(timeout=120) in {0, 3}
        assert pushed in {0, 3}
        if pushed == 0:
            pulls(other, [str(nas)])
        git(other, "checkout", "-q", "-f", "main")
        git(other, "branch", "-q", "-D", f"again{number}")
        git(other, "reflog", "expire", "--expire=now", "--all")
        ok(other, "checkout", "--force")


def run(repo: Path, *args: str) -> "subprocess.Popen[Any]":
    return subprocess.Popen(
        [GITPROV, *args, "--quiet"],
        cwd=repo,
        env=isolated_environment(),
        stderr=subprocess.DEVNULL,
    )


def test_two_collections_at_once_lose_nothing(team: Path) -> None:
    running = [run(team, "gc", "--remote", *NOW) for _ in range(2)]
    assert {process.wait(timeout=120) for process in running} <= {0, 3}
    ok(team, "gc", "--remote", *NOW)
    pulls(team, [str(team.parent / "nas")])


@pytest.mark.timeout(1800)
def test_killed_at_any_moment_the_next_collection_finishes(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "team")
    ok(repo, "init", "--no-hooks")
    ok(repo, "remote", "add", "team", str(tmp_path / "nas"))
    put(repo, 1)
    git(repo, "checkout", "-q", "-b", "side")
    put(repo, 2, large=9 * MIB)
    ok(repo, "push", "--all")
    forget(repo, "side")
    chance = random.Random(3)
    for _ in range(100 if SOAK else 4):
        process = run(repo, "gc", "--remote", *NOW)
        time.sleep(chance.uniform(0.1, 1.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
    ok(repo, "gc", "--remote", *NOW)
    ok(repo, "gc", "--remote", *NOW)
    assert ok(repo, "gc", "--remote", "--json").json["packs"] == []
    assert not [name for name in names(tmp_path / "nas") if name.startswith("gc/")]
    pulls(repo, [str(tmp_path / "nas")])
