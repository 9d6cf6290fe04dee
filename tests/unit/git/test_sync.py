import multiprocessing
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.errors import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.git.consistency import check_remote
from gitprov.git.heads import HEADS_FILE, Head, newest_head, note_heads, read_heads
from gitprov.git.keys import load_signer
from gitprov.git.log import LogReader, known_logs, read_log_key
from gitprov.git.notes import NOTES_REF, Notes
from gitprov.git.repo import Repository
from gitprov.git.sync import (
    configure,
    fetch,
    merge_notes,
    place_of,
    push,
    remotes,
    unconfigure,
)
from gitprov.git.writer import RefUpdate, commit_files, write
from gitprov.model.note import MAX_NOTE_BYTES
from gitprov.model.signed_note import TreeHead
from tests.support.repos import bare, clone, commit, git, make_repo, many_commits
from tests.unit.git.support import appended, line, log_key, roots


@pytest.fixture(params=["sha1", "sha256"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bare repository that holds one commit."""
    path = bare(tmp_path / "the server.git", object_format=request.param)
    seed = make_repo(tmp_path / "seed", object_format=request.param)
    commit(seed, {"a": "1"})
    git(seed, "push", "-q", str(path), "main")
    return path


@pytest.fixture
def ada(server: Path, tmp_path: Path) -> Iterator[Repository]:
    with Repository.discover(str(clone(server, tmp_path / "ada's clone"))) as repo:
        yield repo


@pytest.fixture
def bob(server: Path, tmp_path: Path) -> Iterator[Repository]:
    with Repository.discover(str(clone(server, tmp_path / "bob"))) as repo:
        yield repo


def head_of(repo: Repository) -> str:
    found = repo.head()
    assert found is not None
    return found


def add(repo: Repository, text: str) -> None:
    write(repo, notes={head_of(repo): [line(text)]})


def texts(repo: Repository, *, refs: dict[str, str] | None = None) -> set[str]:
    found = Notes(repo, refs=refs).lines(head_of(repo))
    return {getattr(item, "raw", b"").decode()[9:-2] for item in found}


def sign(repo: Repository) -> None:
    key, signer = read_log_key(repo), load_signer(repo)
    assert key is not None
    assert signer is not None
    log = LogReader.open(repo, key.ref)
    note = signer.sign(TreeHead(signer.name, log.size, log.root()))
    write(repo, key=key, signed_note=note)


def test_a_plain_fetch_brings_notes_and_logs(ada: Repository, bob: Repository) -> None:
    assert configure(ada, "origin")
    assert not configure(ada, "origin")
    # The remote has neither yet: that must not fail a fetch of the user's.
    git(Path(ada.git.cwd), "fetch", "-q")
    add(bob, "b")
    log = appended(bob, roots(3))
    push(bob, "origin")
    git(Path(ada.git.cwd), "fetch", "-q")
    assert texts(ada) == {"b"}
    assert [(k.key_id, k.remote) for k in known_logs(ada)] == [(log.key_id, "origin")]
    assert ada.ref(NOTES_REF) is None


def test_what_was_configured_is_taken_back(ada: Repository) -> None:
    before = ada.config("remote.origin.fetch")
    configure(ada, "origin")
    assert unconfigure(ada, "origin")
    assert ada.config("remote.origin.fetch") == before
    assert not unconfigure(ada, "origin")


@pytest.mark.parametrize("name", ["nothing", "--all", "-c", ""])
def test_only_a_remote_that_exists_is_configured(ada: Repository, name: str) -> None:
    with pytest.raises(UsageError):
        configure(ada, name)


def test_a_remote_may_not_take_the_place_of_our_ref(ada: Repository) -> None:
    git(Path(ada.git.cwd), "remote", "add", "gitprov", "nowhere")
    with pytest.raises(UsageError, match="cannot be called"):
        configure(ada, "gitprov")


def test_push_brings_what_others_pushed_and_keeps_it(ada: Repository, bob: Repository) -> None:
    add(ada, "a")
    appended(ada, roots(2))
    first = push(ada, "origin")
    assert (first.attempts, len(first.refs)) == (1, 2)
    assert first.head is not None
    assert first.head.size == 2
    add(bob, "b")
    appended(bob, roots(2, start=2))
    push(bob, "origin")
    assert texts(bob, refs={NOTES_REF: bob.ref(NOTES_REF) or ""}) == {"a", "b"}
    assert push(ada, "origin").refs == ()
    assert texts(ada, refs={NOTES_REF: ada.ref(NOTES_REF) or ""}) == {"a", "b"}
    assert {k.key_id for k in known_logs(ada)} == {k.key_id for k in known_logs(bob)}


def test_a_push_with_nothing_to_say_says_nothing(ada: Repository) -> None:
    assert push(ada, "origin").refs == ()


def test_our_join_is_the_one_that_git_makes(
    ada: Repository, bob: Repository, server: Path, tmp_path: Path
) -> None:
    commits = many_commits(Path(ada.git.cwd), 300)
    git(Path(ada.git.cwd), "push", "-q", "--force", "origin", "main")
    git(Path(bob.git.cwd), "fetch", "-q")
    write(ada, notes={c: [line("both"), line(f"a{n}")] for n, c in enumerate(commits[:200])})
    write(bob, notes={c: [line("both"), line(f"b{n}")] for n, c in enumerate(commits[100:])})
    push(ada, "origin")
    fetch(bob, "origin")
    git(Path(bob.git.cwd), "update-ref", "refs/notes/copy", NOTES_REF)
    git(
        Path(bob.git.cwd),
        *("-c", "user.name=x", "-c", "user.email=x@example.org", "notes", "--ref=copy"),
        *("merge", "-q", "-s", "cat_sort_uniq", "refs/notes/origin/gitprov"),
    )
    assert merge_notes(bob)
    assert not merge_notes(bob)
    listed = [
        sorted(git(Path(bob.git.cwd), "notes", f"--ref={ref}", "list").splitlines())
        for ref in ("copy", "gitprov")
    ]
    assert listed[0] == listed[1]
    assert len(listed[0]) == 300
    parents = git(Path(bob.git.cwd), "log", "-1", "--format=%P", NOTES_REF).split()
    assert len(parents) == 2


def test_notes_that_only_they_have_are_taken_over_as_they_are(
    ada: Repository, bob: Repository
) -> None:
    add(ada, "a")
    push(ada, "origin")
    fetch(bob, "origin")
    assert merge_notes(bob)
    assert bob.ref(NOTES_REF) == ada.ref(NOTES_REF)
    add(ada, "more")
    push(ada, "origin")
    fetch(bob, "origin")
    assert merge_notes(bob)
    assert bob.ref(NOTES_REF) == ada.ref(NOTES_REF)


def test_a_note_of_a_remote_that_is_too_large_is_named(ada: Repository) -> None:
    path = Path(ada.git.cwd)
    add(ada, "a")
    git(path, "checkout", "-q", "--orphan", "x")
    big = git(path, "hash-object", "-w", "--stdin", input=b"y" * (MAX_NOTE_BYTES + 1))
    git(path, "checkout", "-q", "main")
    git(path, "notes", "--ref", "origin/gitprov", "add", "-C", big, "HEAD")
    with pytest.raises(MalformedError, match="larger than"):
        merge_notes(ada)
    assert texts(ada, refs={NOTES_REF: ada.ref(NOTES_REF) or ""}) == {"a"}


def test_a_tracking_ref_that_is_no_commit_is_malformed(ada: Repository) -> None:
    path = Path(ada.git.cwd)
    blob = git(path, "hash-object", "-w", "--stdin", input=b"x")
    git(path, "update-ref", "refs/notes/origin/gitprov", blob)
    with pytest.raises(MalformedError, match="is not a commit"):
        merge_notes(ada)


def _push_rounds(path: str, name: str, rounds: int) -> None:
    with Repository.discover(path) as repo:
        key = log_key(repo)
        for n in range(rounds):
            write(
                repo,
                notes={head_of(repo): [line(f"{name}{n}")]},
                roots=roots(1, start=ord(name) * 1000 + n),
                key=key,
            )
            push(repo, "origin")


@pytest.mark.parametrize("rounds", [5, pytest.param(20, marks=pytest.mark.soak)])
def test_two_clones_that_push_at_once_lose_nothing(
    ada: Repository, bob: Repository, server: Path, rounds: int
) -> None:
    spawn = multiprocessing.get_context("spawn")
    running = [
        spawn.Process(target=_push_rounds, args=(repo.git.cwd, name, rounds))
        for repo, name in ((ada, "a"), (bob, "b"))
    ]
    for process in running:
        process.start()
    for process in running:
        process.join()
        assert process.exitcode == 0
    with Repository.discover(str(server)) as there:
        wanted = {f"{name}{n}" for name in "ab" for n in range(rounds)}
        assert texts(there) == wanted
        logs = known_logs(there)
        assert len(logs) == 2
        for log in logs:
            reader = LogReader(there.objects, log.ref, log.commit)
            assert reader.size == rounds
            reader.audit()


def test_a_log_that_went_apart_is_never_overwritten(
    ada: Repository, server: Path, tmp_path: Path
) -> None:
    appended(ada, roots(2))
    push(ada, "origin")
    copy = tmp_path / "copy"
    shutil.copytree(ada.git.cwd, copy)
    appended(ada, roots(1, start=2))
    push(ada, "origin")
    before = git(server, "for-each-ref")
    with Repository.discover(str(copy)) as other:
        log = appended(other, roots(1, start=7))
        with pytest.raises(VerificationError) as caught:
            push(other, "origin")
        for head in (LogReader.open(ada, log.ref), log):
            assert f"size {head.size}, root {head.root()}" in str(caught.value)
        assert LogReader.open(other, log.ref).root() == log.root()
    assert git(server, "for-each-ref") == before


def test_a_log_that_was_rolled_back_here_is_an_error(ada: Repository, tmp_path: Path) -> None:
    log = appended(ada, roots(2))
    appended(ada, roots(1, start=2))
    push(ada, "origin")
    git(Path(ada.git.cwd), "update-ref", log.ref, log.tip or "")
    with pytest.raises(VerificationError, match="no beginning of ours"):
        push(ada, "origin")
    git(Path(ada.git.cwd), "update-ref", "-d", log.ref)
    with pytest.raises(VerificationError, match="here nothing"):
        push(ada, "origin")


def test_a_remote_that_is_not_there_is_unavailable(ada: Repository, tmp_path: Path) -> None:
    git(Path(ada.git.cwd), "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    add(ada, "a")
    for doing in (push, fetch, check_remote):
        with pytest.raises(UnavailableError, match="origin"):
            doing(ada, "origin")


def test_a_server_that_refuses_is_asked_a_few_times_only(ada: Repository, server: Path) -> None:
    hook = server / "hooks/update"
    hook.write_text('#!/bin/sh\necho "$1" >> "$GIT_DIR/asked"\nexit 1\n')
    hook.chmod(0o755)
    add(ada, "a")
    with pytest.raises(UnavailableError, match="did not take the notes: refs/notes/gitprov"):
        push(ada, "origin")
    assert (server / "asked").read_text().count("refs/notes/gitprov") == 5


def test_a_push_is_bounded_in_time(ada: Repository, server: Path) -> None:
    hook = server / "hooks/update"
    hook.write_text("#!/bin/sh\nexec sleep 30\n")
    hook.chmod(0o755)
    add(ada, "a")
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        push(ada, "origin", timeout=1)
    assert time.monotonic() - began < 15


def test_our_push_does_not_run_the_users_hook_and_says_that_it_is_ours(
    ada: Repository, server: Path
) -> None:
    path = Path(ada.git.cwd)
    (path / ".git/hooks/pre-push").write_text("#!/bin/sh\nexit 1\n")
    (path / ".git/hooks/pre-push").chmod(0o755)
    hook = server / "hooks/update"
    hook.write_text('#!/bin/sh\necho "$GITPROV_PUSHING" > "$GIT_DIR/pushing"\n')
    hook.chmod(0o755)
    add(ada, "a")
    push(ada, "origin")
    assert (server / "pushing").read_text() == "1\n"


def test_an_address_serves_as_a_remote(ada: Repository, bob: Repository, server: Path) -> None:
    add(ada, "a")
    push(ada, str(server))
    assert place_of(ada, str(server)).startswith("address-")
    assert remotes(ada) == ["origin"]
    fetch(bob, str(server))
    assert texts(bob) == {"a"}


def test_shallow_and_partial_clones_push_and_fetch(
    ada: Repository, server: Path, tmp_path: Path
) -> None:
    git(server, "config", "uploadpack.allowFilter", "true")
    add(ada, "a")
    appended(ada, roots(2))
    push(ada, "origin")
    for name, option in (("shallow", "--depth=1"), ("partial", "--filter=blob:none")):
        path = clone(f"file://{server}", tmp_path / name, option)
        with Repository.discover(str(path), offline=True) as repo:
            fetch(repo, "origin")
            # Offline from here: what was fetched must be complete.
            git(path, "remote", "set-url", "origin", "/nowhere")
            assert "a" in texts(repo)
            for log in known_logs(repo):
                LogReader(repo.objects, log.ref, log.commit).audit()
            git(path, "remote", "set-url", "origin", f"file://{server}")
            add(repo, name)
            appended(repo, roots(1))
            push(repo, "origin")
    with Repository.discover(str(server)) as there:
        assert texts(there) == {"a", "shallow", "partial"}
        assert len(known_logs(there)) == 3


def test_a_remotes_log_is_checked_against_what_was_seen(ada: Repository, bob: Repository) -> None:
    appended(ada, roots(3))
    sign(ada)
    push(ada, "origin")
    [first] = check_remote(bob, "origin")
    assert first.ok
    assert (first.seen, first.head and first.head.size) == (None, 3)
    assert "first time" in first.detail
    appended(ada, roots(300, start=3))
    sign(ada)
    push(ada, "origin")
    [second] = check_remote(bob, "origin")
    assert second.ok
    assert second.seen == first.head
    assert second.proof
    assert newest_head(bob, second.key_id) == second.head
    [third] = check_remote(bob, "origin")
    assert third.ok
    assert third.proof == ()


def rewritten(repo: Repository, server: Path, count: int, start: int) -> None:
    """Puts another log of the same key in the place of the server's, as a thief would."""
    key = read_log_key(repo)
    assert key is not None
    git(Path(repo.git.cwd), "update-ref", "-d", key.ref)
    appended(repo, roots(count, start=start))
    sign(repo)
    git(Path(repo.git.cwd), "push", "-q", "--no-verify", "--force", str(server), key.ref)


def test_a_log_that_was_cut_or_rewritten_is_found(
    ada: Repository, bob: Repository, server: Path
) -> None:
    appended(ada, roots(3))
    sign(ada)
    push(ada, "origin")
    [seen] = check_remote(bob, "origin")
    rewritten(ada, server, 2, 0)
    [cut] = check_remote(bob, "origin")
    assert not cut.ok
    assert "was cut" in cut.detail
    assert str(seen.head) in cut.detail
    rewritten(ada, server, 5, 50)
    [other] = check_remote(bob, "origin")
    assert not other.ok
    assert "history was rewritten" in other.detail
    assert newest_head(bob, seen.key_id) == seen.head
    git(server, "update-ref", "-d", f"refs/gitprov/log/{seen.key_id}")
    [gone] = check_remote(bob, "origin")
    assert (gone.ok, gone.detail) == (False, "the log is gone")


def test_two_remotes_that_show_two_histories_are_found(
    ada: Repository, bob: Repository, server: Path, tmp_path: Path
) -> None:
    mirror = bare(tmp_path / "mirror.git", object_format=ada.object_format)
    git(Path(bob.git.cwd), "remote", "add", "mirror", str(mirror))
    appended(ada, roots(3))
    push(ada, "origin")
    push(ada, str(mirror))
    appended(ada, roots(2, start=3))
    push(ada, "origin")
    assert [c.ok for c in check_remote(bob, "origin") + check_remote(bob, "mirror")] == [True] * 2
    rewritten(ada, mirror, 4, 100)
    [check] = check_remote(bob, "mirror")
    assert not check.ok


def test_a_log_of_a_thief_is_found(ada: Repository, bob: Repository, server: Path) -> None:
    log = appended(ada, roots(3))
    sign(ada)
    push(ada, "origin")
    log = LogReader.open(ada, log.ref)
    note = log.signed_note()
    assert log.tip is not None
    assert note is not None
    cases: list[tuple[dict[bytes, bytes | None], str]] = [
        ({b"checkpoint": note.replace("\n3\n", "\n2\n").encode()}, "does not hold"),
        ({b"key": None}, "has no key"),
        ({b"key": b"gitprov/x/y+1+AAAA\n"}, "not an Ed25519 log key"),
        ({b"tile/0/000.p/3": bytes(96)}, "does not hold what is below it"),
    ]
    for files, detail in cases:
        assert commit_files(ada, [RefUpdate(log.ref, (log.tip,), "x", files)])
        git(Path(ada.git.cwd), "push", "-q", "--force", "origin", log.ref)
        git(Path(ada.git.cwd), "update-ref", log.ref, log.tip)
        [check] = check_remote(bob, "origin")
        assert not check.ok
        assert detail in check.detail
        assert read_heads(bob) == {}
    with Repository.discover(str(server)) as there:
        wrong = "refs/gitprov/log/0011223344556677"
        git(server, "update-ref", wrong, log.tip)
        git(server, "update-ref", "-d", log.ref)
        assert there.refs(wrong)
    checks = {check.key_id: check for check in check_remote(bob, "origin")}
    assert "key of another log" in checks["0011223344556677"].detail
    assert checks[log.key_id].detail == "the log is gone"


def test_heads_seen_only_grow(ada: Repository) -> None:
    log = appended(ada, roots(3))
    big, small = Head(3, log.root()), Head(2, log.root(2))
    note_heads(ada, "origin", {"k": big})
    note_heads(ada, "origin", {"k": small})
    note_heads(ada, "other", {"k": small})
    assert read_heads(ada) == {"origin": {"k": big}, "other": {"k": small}}
    assert newest_head(ada, "k") == big
    assert newest_head(ada, "none") is None


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]\n", b'{"a":1}\n', b'{"a":{"k":{"root":"x","size":1}}}\n', b'{"a":{"k":{}}}'],
)
def test_a_damaged_memory_is_never_passed_over(ada: Repository, data: bytes) -> None:
    Path(ada.data_dir, HEADS_FILE).write_bytes(data)
    with pytest.raises(MalformedError) as caught:
        read_heads(ada)
    assert HEADS_FILE in str(caught.value)
    assert caught.value.hint
