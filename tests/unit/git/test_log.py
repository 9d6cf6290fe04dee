import dataclasses
from pathlib import Path

import pytest

from gitprov.core import merkle
from gitprov.core.digest import Digest
from gitprov.core.merkle import LOG
from gitprov.errors import GitprovError, MalformedError, UsageError
from gitprov.git.keys import ensure_log_key, load_signer
from gitprov.git.log import LogKey, LogReader, known_logs, read_log_key
from gitprov.git.repo import Repository
from gitprov.git.tiles import Tile, format_entries
from gitprov.git.writer import RefUpdate, commit_files, write
from gitprov.model.signed_note import TreeHead, VerifierKey, open_note
from tests.support.repos import git
from tests.unit.git.support import appended, leaves, log_key, roots


def files_of(path: Path, ref: str) -> set[str]:
    return set(git(path, "ls-tree", "-r", "--name-only", ref).splitlines())


def sign(repo: Repository, log: LogReader) -> str:
    signer = load_signer(repo)
    assert signer is not None
    return signer.sign(TreeHead(signer.name, log.size, log.root()))


def test_a_log_that_is_not_there_is_empty(repo: Repository) -> None:
    log = LogReader.open(repo, "refs/gitprov/log/0123456789abcdef")
    assert (log.size, log.tip, log.signed_note(), log.vkey()) == (0, None, None, None)
    assert log.root().raw == LOG.empty()
    assert log.find(Digest.of(b"x")) is None
    assert log.entries() == []
    assert read_log_key(repo) is None


def test_appended_roots_are_found_and_proved(repo: Repository) -> None:
    some = roots(300)
    log = appended(repo, some)
    assert log.size == 300
    assert log.entries() == some
    assert log.root().raw == merkle.root(LOG, leaves(some))
    assert [log.find(d) for d in some] == list(range(300))
    assert LogReader.open(repo, log.ref).find(some[299]) == 299
    assert LogReader.open(repo, log.ref).find(Digest.of(b"none")) is None
    assert log.entry(257) == some[257]
    for index in (0, 255, 256, 299):
        path = log.inclusion(index)
        merkle.verify_inclusion(LOG, leaves(some)[index], index, 300, path, log.root().raw)
    merkle.verify_consistency(LOG, 7, 300, log.root(7).raw, log.root().raw, log.consistency(7))
    log.audit()
    with pytest.raises(ValueError, match="no entry 300"):
        log.entry(300)
    with pytest.raises(ValueError, match="has 300 entries"):
        log.inclusion(0, 301)


def test_one_by_one_is_the_same_as_at_once(repo: Repository) -> None:
    some = roots(20)
    for digest in some:
        log = appended(repo, [digest])
    assert log.entries() == some
    assert log.root().raw == merkle.root(LOG, leaves(some))


def test_a_root_that_is_there_is_not_appended_again(path: Path, repo: Repository) -> None:
    some = roots(5)
    log = appended(repo, some)
    written = write(repo, roots=[some[3], some[3], *roots(1, start=9)], key=log_key(repo))
    assert written.indices == {some[3]: 3, roots(1, start=9)[0]: 5}
    assert written.size == 6
    before = git(path, "rev-parse", log.ref)
    again = write(repo, roots=some, key=log_key(repo))
    assert (again.size, again.root) == (6, written.root)
    assert git(path, "rev-parse", log.ref) == before


def test_stale_partial_tiles_go_and_those_of_the_signed_head_stay(
    path: Path, repo: Repository
) -> None:
    log = appended(repo, roots(3))
    write(repo, key=log_key(repo), signed_note=sign(repo, log))
    for n in range(3, 6):
        appended(repo, roots(1, start=n))
    assert files_of(path, log.ref) == {
        "checkpoint",
        "key",
        "tile/0/000.p/3",
        "tile/0/000.p/6",
        "tile/entries/000.p/3",
        "tile/entries/000.p/6",
    }
    log = appended(repo, roots(254, start=6))
    assert files_of(path, log.ref) == {
        "checkpoint",
        "key",
        "tile/0/000",
        "tile/0/000.p/3",
        "tile/0/001.p/4",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/000.p/3",
        "tile/entries/001.p/4",
    }
    subject = git(path, "log", "-1", "--format=%s", log.ref)
    assert subject == f"gitprov log: size 260, root {log.root()}"
    log.audit()


def test_a_head_that_is_signed_late_gets_its_tiles_back(path: Path, repo: Repository) -> None:
    log = appended(repo, roots(3))
    note = sign(repo, log)
    appended(repo, roots(5, start=3))
    write(repo, key=log_key(repo), signed_note=note)
    assert {"tile/0/000.p/3", "tile/entries/000.p/3", "checkpoint"} <= files_of(path, log.ref)
    log = LogReader.open(repo, log.ref)
    vkey = log.vkey()
    signed = log.signed_note()
    assert vkey is not None
    assert signed is not None
    head = open_note(signed, [VerifierKey.parse(vkey)])
    assert head.size == 3
    assert head.root == log.root(3)


def test_an_older_signed_head_does_not_replace_a_newer_one(repo: Repository) -> None:
    old = sign(repo, appended(repo, roots(3)))
    log = appended(repo, roots(3, start=3))
    new = sign(repo, log)
    write(repo, key=log_key(repo), signed_note=new)
    write(repo, key=log_key(repo), signed_note=old)
    assert LogReader.open(repo, log.ref).signed_note() == new


def test_a_signed_head_of_a_larger_log_is_refused(repo: Repository) -> None:
    log = appended(repo, roots(3))
    signer = load_signer(repo)
    assert signer is not None
    with pytest.raises(MalformedError, match="not one of this log"):
        write(
            repo,
            key=log_key(repo),
            signed_note=signer.sign(TreeHead(signer.name, 4, log.root())),
        )


def test_ten_thousand_in_one_go_and_past_a_level(repo: Repository) -> None:
    some = roots(66_000)
    appended(repo, some[:10_000])
    log = appended(repo, some[10_000:])
    log.audit()
    assert log.root().raw == merkle.root(LOG, leaves(some))
    assert log.find(some[65_999]) == 65_999
    assert appended(repo, roots(1, start=66_000)).size == 66_001


def test_roots_need_a_key(repo: Repository) -> None:
    with pytest.raises(UsageError, match="no log key"):
        write(repo, roots=roots(1))


def test_the_key_is_made_once_and_only_its_owner_reads_it(repo: Repository) -> None:
    key = ensure_log_key(repo, "my repo")
    assert ensure_log_key(repo, "another name") == key == read_log_key(repo)
    assert key.origin == f"gitprov/my-repo/{key.key_id}"
    assert VerifierKey.parse(key.vkey).key_id == key.key_id
    private = Path(repo.data_dir, "log.key")
    assert private.stat().st_mode & 0o777 == 0o600
    assert private.read_text().startswith("PRIVATE+KEY+")
    Path(repo.data_dir, "log.pub").unlink()
    assert ensure_log_key(repo, "x") == key


def test_a_key_that_others_may_read_is_refused(repo: Repository) -> None:
    ensure_log_key(repo, "x")
    private = Path(repo.data_dir, "log.key")
    private.chmod(0o644)
    with pytest.raises(MalformedError, match="others may read"):
        load_signer(repo)


def test_a_public_key_that_does_not_fit_is_an_error(repo: Repository) -> None:
    key = ensure_log_key(repo, "x")
    public = Path(repo.data_dir, "log.pub")
    public.write_text("gitprov/x/0000+1+AAAA\n")
    with pytest.raises(MalformedError, match="not the public half"):
        ensure_log_key(repo, "x")
    with pytest.raises(MalformedError, match="not the public key of a log"):
        read_log_key(repo)
    public.write_text(key.vkey.replace("gitprov/x/", "gitprov/x/1"))
    with pytest.raises(MalformedError):
        read_log_key(repo)


def test_logs_that_are_known(path: Path, repo: Repository) -> None:
    log = appended(repo, roots(1))
    for ref in (
        "refs/gitprov/remotes/origin/log/00112233445566aa",
        "refs/gitprov/remotes/up/stream/log/00112233445566aa",
        "refs/gitprov/remotes/origin/log/not-an-id",
        "refs/gitprov/other/00112233445566aa",
    ):
        git(path, "update-ref", ref, log.ref)
    assert [(k.key_id, k.remote) for k in known_logs(repo)] == [
        (log.key_id, None),
        ("00112233445566aa", "origin"),
        ("00112233445566aa", "up/stream"),
    ]


# What a hostile tree may hold: each change must be found, and the place named.

HASHES = b"".join(leaves(roots(300)))
HOSTILE: dict[str, tuple[dict[bytes, bytes | None], str]] = {
    "a tile that is not there": ({b"tile/0/000": None}, "tile/0/000: it is missing"),
    "an upper tile that is not there": ({b"tile/1/000.p/1": None}, "tile/1/000.p/1: it is missing"),
    "a bundle that is not there": ({b"tile/entries/000": None}, "tile/entries/000: it is missing"),
    "no leaves at all": (
        {b"tile/0/000": None, b"tile/0/001.p/44": None},
        "tile/0/000.p/1: it is missing",
    ),
    "a short tile": ({b"tile/0/000": HASHES[:8191]}, "tile/0/000: it does not hold 256 hashes"),
    "a long tile": ({b"tile/0/001.p/44": HASHES[: 45 * 32]}, "does not hold 44 hashes"),
    "an empty tile": ({b"tile/0/001.p/44": b""}, "does not hold 44 hashes"),
    "a short bundle": ({b"tile/entries/000": b"\0\x20"}, "does not hold 256 record roots"),
    "a bundle of short entries": (
        {b"tile/entries/001.p/44": format_entries([b"x"] * 44)},
        "tile/entries/001.p/44: it does not hold 44 record roots",
    ),
    "an entry of another root": (
        {b"tile/entries/001.p/44": format_entries([bytes(32)] * 44)},
        "tile/0/001.p/44: it does not hold what is below it",
    ),
    "a node that is made up": (
        {b"tile/1/000.p/1": bytes(32)},
        "tile/1/000.p/1: it does not hold what is below it",
    ),
    "a tile beyond the end": ({b"tile/1/001": bytes(8192)}, "lies beyond the log's size, 300"),
    "a tile far beyond the end": (
        {b"tile/0/x999/x999/x999/000.p/1": bytes(32)},
        "is missing",
    ),
    "a level too high": ({b"tile/9/000.p/1": bytes(32)}, "tile/9/000.p/1: it is not the path"),
    "a file of another kind": ({b"README": b"x"}, "README: it is not the path of a tile"),
    "a path with controls": ({b"tile/\x1b[31m": b"x"}, r"tile/\x1b[31m: it is not the path"),
    "a huge tree head": ({b"checkpoint": b"x" * 70_000}, "checkpoint: .* larger than 65536"),
    "a tree head that is no text": ({b"checkpoint": b"\xff"}, "checkpoint: it is not UTF-8"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_log_is_malformed(repo: Repository, name: str) -> None:
    changes, message = HOSTILE[name]
    log = appended(repo, roots(300))
    assert log.tip is not None
    assert commit_files(repo, [RefUpdate(log.ref, (log.tip,), "hostile", changes)])
    with pytest.raises(MalformedError) as caught:
        read_all(LogReader.open(repo, log.ref))
    assert log.ref in str(caught.value)
    if ".*" not in message:
        assert message in str(caught.value)


def read_all(log: LogReader) -> None:
    log.signed_note()
    log.entries()
    log.root()
    log.audit()


def test_a_tree_head_without_a_size_stops_an_append(repo: Repository) -> None:
    log = appended(repo, roots(3))
    assert log.tip is not None
    bad = {b"checkpoint": b"origin\n99\nx\n"}
    assert commit_files(repo, [RefUpdate(log.ref, (log.tip,), "hostile", bad)])
    with pytest.raises(MalformedError, match="no size of this log"):
        appended(repo, roots(1, start=3))


def test_a_log_ref_that_is_no_commit_reads_as_none(path: Path, repo: Repository) -> None:
    blob = git(path, "hash-object", "-w", "--stdin", input=b"x")
    git(path, "update-ref", "refs/gitprov/log/0123456789abcdef", blob)
    assert LogReader.open(repo, "refs/gitprov/log/0123456789abcdef").size == 0


def test_a_wider_partial_tile_serves_a_smaller_size(repo: Repository) -> None:
    some = roots(300)
    log = appended(repo, some)
    for size in range(257, 300):
        assert log.root(size).raw == merkle.root(LOG, leaves(some[:size]))


@pytest.mark.parametrize("text", ["", "a+b", "a/b+00000000+!!!!", "a/b+00000000+AAAA"])
def test_only_a_public_key_is_a_log_key(text: str) -> None:
    with pytest.raises(GitprovError):
        LogKey.parse(text)


def test_values_are_values() -> None:
    assert dataclasses.is_dataclass(LogKey)
    assert Tile(0, 0, 256).path == b"tile/0/000"
