"""`gitprov verify` and `gitprov log --check` against every way of tampering with the log."""

import base64
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e.story import Story, copy_of, gitprov, ok
from tests.support.repos import clone, commit, git


def _rolled_back(story: Story) -> None:
    """Puts the log's ref back to the state of its first entry."""
    older = git(story.repo, "rev-list", story.log_ref).split()
    sizes = {git(story.repo, "log", "-1", "--format=%s", oid): oid for oid in older}
    oid = next(oid for subject, oid in sizes.items() if "size 1," in subject)
    git(story.repo, "update-ref", story.log_ref, oid)
    story.forget_remote()


def test_a_log_that_was_rolled_back_is_found(story: Story) -> None:
    assert story.verify().code == 0  # the head of size 2 is seen
    _rolled_back(story)
    failed = story.verify("HEAD~1").failed()
    assert "the log was rolled back: at size 1" in failed["log"]


def test_a_record_that_is_in_no_log_is_found(story: Story) -> None:
    _rolled_back(story)
    (story.data_dir / "heads.json").unlink(missing_ok=True)
    assert "is the record root" in story.verify().failed()["log"]


def test_a_log_whose_entries_were_rewritten_is_found(story: Story) -> None:
    """Entries, tiles and hashes all fit together, but it is another history."""
    entries = [hashlib.sha256(b"another").digest(), _entries(story)[1]]
    story.set_log(_tiles(entries))
    failed = story.verify().failed()
    assert "it does not extend its signed head (size 2)" in failed["log"]
    assert "no longer begins with the head signed at size 2" in failed["anchor:tlog"]


def test_a_log_that_forked_after_it_was_seen_is_found(story: Story) -> None:
    commit(story.repo, {"train.py": "1\n"}, "Go on")
    assert story.verify().code == 0
    entries = [*_entries(story)[:2], hashlib.sha256(b"another").digest()]
    story.set_log(_tiles(entries))
    failed = story.verify("HEAD~1").failed()
    assert "it does not extend the head seen here before (size 3)" in failed["log"]


def test_a_log_in_place_of_another_under_its_name_is_found(story: Story) -> None:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    name = f"gitprov/work/{hashlib.sha256(public).hexdigest()[:16]}"
    middle = hashlib.sha256(name.encode() + b"\n\1" + public).digest()[:4]
    vkey = f"{name}+{middle.hex()}+{base64.b64encode(bytes([1]) + public).decode()}"
    head = story.log_file("checkpoint").decode().split("\n")
    text = f"{name}\n{head[1]}\n{head[2]}\n"
    signature = base64.b64encode(middle + private.sign(text.encode())).decode()
    note = f"{text}\n\u2014 {name} {signature}\n"
    story.set_log({"key": f"{vkey}\n".encode(), "checkpoint": note.encode()})
    ran = story.verify()
    assert ran.code == 1
    assert "log" in ran.failed()


@pytest.mark.parametrize("path", ["tile/entries", "tile/0"])
def test_a_damaged_tile_is_found_and_named(story: Story, path: str) -> None:
    name = next(name for name in story.log_files() if name.startswith(path))
    data = bytearray(story.log_file(name))
    data[-1] ^= 1
    story.set_log({name: bytes(data)})
    ran = story.verify()
    assert ran.code == 1
    assert "log" in ran.failed()


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("tile/0", None),
        ("tile/entries", b"short"),
        ("tile/entries", None),
        ("tile/0", b""),
        ("checkpoint", b"nonsense\n"),
        ("key", b"nonsense\n"),
    ],
)
def test_a_missing_or_cut_file_of_the_log_is_found_and_named(
    story: Story, path: str, data: bytes | None
) -> None:
    name = next(name for name in story.log_files() if name.startswith(path))
    story.set_log({name: data})
    failed = story.verify().failed()["log"]
    assert path in failed or "signed head" in failed or "public key" in failed


def test_a_file_that_no_log_has_is_found_and_named(story: Story) -> None:
    story.set_log({"tile/0/readme.txt": b"hello"})
    assert "tile/0/readme.txt" in story.verify().failed()["log"]


def test_a_signed_head_with_a_forged_signature_is_found(story: Story) -> None:
    note = story.log_file("checkpoint").decode()
    head, _, signature = note.rstrip("\n").rpartition(" ")
    raw = bytearray(base64.b64decode(signature))
    raw[10] ^= 1
    forged = f"{head} {base64.b64encode(raw).decode()}\n"
    story.set_log({"checkpoint": forged.encode()})
    assert "signed head does not hold" in story.verify().failed()["log"]


def test_what_was_seen_before_is_never_thrown_away_silently(story: Story) -> None:
    story.verify()
    heads = story.data_dir / "heads.json"
    heads.write_bytes(heads.read_bytes()[:-5])
    ran = gitprov(story.repo, "verify")
    assert ran.code == 1
    assert "heads.json is damaged" in ran.err
    assert "move" in ran.err
    assert heads.read_bytes()


def test_a_head_that_was_never_there_is_not_extended(story: Story) -> None:
    story.verify()
    heads = story.data_dir / "heads.json"
    value = json.loads(heads.read_bytes())
    for logs in value.values():
        for head in logs.values():
            head["root"] = "sha256:" + 64 * "a"
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    heads.write_text(text + "\n")
    assert "it does not extend" in story.verify().failed()["log"]


def test_two_copies_of_a_log_that_contradict_each_other_are_found(story: Story) -> None:
    """What the remote has sent is another history than our own."""
    entries = [hashlib.sha256(b"another").digest(), _entries(story)[1]]
    ours = git(story.repo, "rev-parse", story.log_ref)
    story.set_log({**_tiles(entries), "checkpoint": None})
    git(story.repo, "push", "-q", "-f", "--no-verify", "origin", story.log_ref)
    git(story.repo, "update-ref", story.log_ref, ours)
    git(story.repo, "fetch", "--quiet")
    assert "two copies of the log contradict each other" in story.verify().failed()["log"]


# ------------------------------------------------------------------ log --check


def _reader(story: Story, tmp_path: Path) -> Path:
    reader = clone(story.origin, tmp_path / "reader")
    ok(reader, "init", "--no-hooks")
    return reader


def test_a_remote_whose_log_only_grew_passes_and_the_growth_is_proven(
    story: Story, tmp_path: Path
) -> None:
    reader = _reader(story, tmp_path)
    first = ok(reader, "log", "--check", "origin", "--json").json
    assert first["schema"] == "gitprov/log-check/v1"
    assert first["verdict"] == "pass"
    commit(story.repo, {"train.py": "more\n"}, "Go on")
    git(story.repo, "push", "--quiet")
    again = ok(reader, "log", "--check", "origin", "--json").json
    (one,) = (log for log in again["logs"] if log["id"] == story.log_ref.rpartition("/")[2])
    assert (one["ok"], one["seen"], one["size"]) == (True, 2, 3)
    assert one["proof"]
    assert "PASS" in ok(reader, "log", "--check", "origin").out


def test_a_remote_whose_log_was_rolled_back_fails(story: Story, tmp_path: Path) -> None:
    reader = _reader(story, tmp_path)
    ok(reader, "log", "--check", "origin")
    older = git(story.origin, "rev-list", story.log_ref).split()[-1]
    git(story.origin, "update-ref", story.log_ref, older)
    ran = gitprov(reader, "log", "--check", "origin")
    assert ran.code == 1
    assert "FAIL" in ran.out
    assert "was cut" in ran.out


def test_a_remote_whose_log_forked_fails(story: Story, tmp_path: Path) -> None:
    reader = _reader(story, tmp_path)
    ok(reader, "log", "--check", "origin")
    twin = copy_of(story, tmp_path / "twin")
    entries = [hashlib.sha256(b"another").digest(), *_entries(story), _entries(story)[0]]
    twin.set_log({**_tiles(entries), "checkpoint": None})
    git(twin.repo, "push", "--quiet", "--force", "--no-verify", str(story.origin), twin.log_ref)
    ran = gitprov(reader, "log", "--check", "origin", "--json")
    assert ran.code == 1
    assert "history was rewritten" in ran.json["logs"][0]["detail"]


def test_a_remote_whose_log_is_gone_fails(story: Story, tmp_path: Path) -> None:
    reader = _reader(story, tmp_path)
    ok(reader, "log", "--check", "origin")
    git(story.origin, "update-ref", "-d", story.log_ref)
    ran = gitprov(reader, "log", "--check", "origin")
    assert ran.code == 1
    assert "the log is gone" in ran.out


def test_a_remote_that_does_not_answer_is_told_apart_from_one_that_lies(
    story: Story, tmp_path: Path
) -> None:
    reader = _reader(story, tmp_path)
    shutil.rmtree(story.origin)
    ran = gitprov(reader, "log", "--check", "origin")
    assert ran.code == 3
    assert ran.out == ""


# ------------------------------------------------------------------ a log by hand


def _entries(story: Story) -> list[bytes]:
    name = next(name for name in story.log_files() if name.startswith("tile/entries/"))
    data = story.log_file(name)
    return [data[at + 2 : at + 34] for at in range(0, len(data), 34)]


def _tiles(entries: list[bytes]) -> dict[str, bytes | None]:
    """The files of a log with these entries, which takes the place of one of two or three."""
    count = len(entries)
    hashes = b"".join(hashlib.sha256(b"\0" + entry).digest() for entry in entries)
    bundle = b"".join(b"\0\x20" + entry for entry in entries)
    files: dict[str, bytes | None] = {
        f"tile/{kind}/000.p/{n}": None for kind in ("entries", "0") for n in range(1, 5)
    }
    files |= {f"tile/entries/000.p/{count}": bundle, f"tile/0/000.p/{count}": hashes}
    return files
