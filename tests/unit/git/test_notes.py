import multiprocessing
import shutil
from pathlib import Path

import pytest

from gitprov.errors import MalformedError
from gitprov.git.command import GitError
from gitprov.git.log import LogReader
from gitprov.git.notes import NOTES_REF, Notes, NotesTree, union
from gitprov.git.repo import Repository
from gitprov.git.writer import write
from gitprov.model.note import MAX_NOTE_BYTES, MalformedLine, UnknownLine, format_note
from tests.support.repos import clone, commit, git, many_commits
from tests.unit.git.support import line, log_key, roots


def lines(repo: Repository, commit_id: str) -> set[bytes]:
    return {found.raw for found in Notes(repo).lines(commit_id) if isinstance(found, UnknownLine)}


def test_lines_are_joined_and_nothing_is_dropped(path: Path, repo: Repository) -> None:
    oid = commit(path)
    git(path, "notes", "--ref", "gitprov", "add", "-m", "not json", oid)
    write(repo, notes={oid: [line("b")]})
    write(repo, notes={oid: [line("a"), line("b")]})
    assert git(path, "notes", "--ref", "gitprov", "show", oid).splitlines() == [
        "not json",
        '{"type":"a"}',
        '{"type":"b"}',
    ]
    assert [type(found) for found in Notes(repo).lines(oid)] == [
        MalformedLine,
        UnknownLine,
        UnknownLine,
    ]


def test_what_is_there_is_not_written_again(path: Path, repo: Repository) -> None:
    oid = commit(path)
    write(repo, notes={oid: [line("a")]})
    before = git(path, "rev-parse", NOTES_REF)
    write(repo, notes={oid: [line("a")]})
    write(repo, notes={})
    assert git(path, "rev-parse", NOTES_REF) == before


def test_a_commit_without_a_note_has_no_lines(path: Path, repo: Repository) -> None:
    oid = commit(path)
    assert Notes(repo).lines(oid) == ()
    assert Notes(repo).lines_many([oid]) == {oid: ()}


@pytest.mark.parametrize("count", [10, 700])
def test_any_fan_out_is_read_by_us_and_by_git(path: Path, repo: Repository, count: int) -> None:
    commits = many_commits(path, count)
    half = count // 2
    # git writes some, we write some over them, git writes again: the tree becomes a mixed one.
    stream = "".join(f'N inline {oid}\ndata 13\n{{"type":"g"}}\n' for oid in commits[:half])
    head = f"commit {NOTES_REF}\ncommitter T <t@example.org> 1700000000 +0000\ndata 0\n"
    git(path, "fast-import", "--quiet", input=(head + stream).encode())
    write(repo, notes={oid: [line("o")] for oid in commits[half // 2 :]})
    git(path, "notes", "--ref", "gitprov", "append", "-m", '{"type":"z"}', commits[0])
    for oid in commits[-3:]:
        write(repo, notes={oid: [line("p")]})
    found = Notes(repo).lines_many(commits)
    wanted = {
        oid: {
            *([b'{"type":"g"}'] if n < half else []),
            *([b'{"type":"o"}'] if n >= half // 2 else []),
            *([b'{"type":"z"}'] if n == 0 else []),
            *([b'{"type":"p"}'] if n >= count - 3 else []),
        }
        for n, oid in enumerate(commits)
    }
    got = {
        oid: {item.raw for item in some if isinstance(item, UnknownLine)}
        for oid, some in found.items()
    }
    assert got == wanted
    assert len(git(path, "notes", "--ref", "gitprov", "list").splitlines()) == count
    assert Notes(repo).commits() == set(commits)
    assert lines(repo, commits[-1]) == wanted[commits[-1]]
    assert git(path, "notes", "--ref", "gitprov", "show", commits[-1]).splitlines() == sorted(
        raw.decode() for raw in wanted[commits[-1]]
    )


def test_a_large_tree_is_fanned_out(path: Path, repo: Repository) -> None:
    commits = many_commits(path, 400)
    write(repo, notes={oid: [line("a")] for oid in commits})
    names = git(path, "ls-tree", "--name-only", NOTES_REF).splitlines()
    assert len(names) <= 256
    assert {len(name) for name in names} == {2}


def test_two_notes_of_one_commit_become_one(path: Path, repo: Repository) -> None:
    oid = commit(path)
    blobs = [
        git(path, "hash-object", "-w", "--stdin", input=b'{"type":"%s"}\n' % c)
        for c in (b"a", b"b")
    ]
    below = git(path, "mktree", input=f"100644 blob {blobs[0]}\t{oid[2:]}\n".encode())
    tree = f"040000 tree {below}\t{oid[:2]}\n100644 blob {blobs[1]}\t{oid}\n"
    top = git(path, "mktree", input=tree.encode())
    git(path, "update-ref", NOTES_REF, git(path, "commit-tree", top, "-m", "x"))
    assert lines(repo, oid) == {b'{"type":"a"}', b'{"type":"b"}'}
    write(repo, notes={oid: [line("c")]})
    assert len(NotesTree.at(repo, repo.ref(NOTES_REF)).find(oid)) == 1
    assert lines(repo, oid) == {b'{"type":"a"}', b'{"type":"b"}', b'{"type":"c"}'}


def test_what_is_no_note_stays(path: Path, repo: Repository) -> None:
    oid = commit(path, {"readme": "x"})
    git(path, "update-ref", NOTES_REF, oid)
    write(repo, notes={oid: [line("a")]})
    assert git(path, "show", f"{NOTES_REF}:readme") == "x"
    assert Notes(repo).commits() == {oid}


def test_notes_of_remotes_are_read_as_well(path: Path, repo: Repository, tmp_path: Path) -> None:
    oid = commit(path)
    other = clone(path, tmp_path / "other")
    with Repository.discover(str(other)) as there:
        write(there, notes={oid: [line("theirs"), line("both")]})
    write(repo, notes={oid: [line("ours"), line("both")]})
    git(path, "fetch", "-q", str(other), f"{NOTES_REF}:refs/notes/up/stream/gitprov")
    git(path, "fetch", "-q", str(other), f"{NOTES_REF}:refs/notes/other")
    wanted = {line("ours").raw, line("theirs").raw, line("both").raw}
    assert lines(repo, oid) == wanted
    assert set(Notes(repo).refs) == {NOTES_REF, "refs/notes/up/stream/gitprov"}
    assert {getattr(x, "raw", b"") for x in Notes(repo).lines_many([oid])[oid]} == wanted


def test_a_note_that_would_be_too_large_is_refused(path: Path, repo: Repository) -> None:
    oid = commit(path)
    with pytest.raises(MalformedError, match="would exceed"):
        write(repo, notes={oid: [UnknownLine(b"x" * MAX_NOTE_BYTES)]})
    assert repo.ref(NOTES_REF) is None
    big = git(path, "hash-object", "-w", "--stdin", input=b"y" * (MAX_NOTE_BYTES + 1))
    git(path, "notes", "--ref", "gitprov", "add", "-C", big, oid)
    with pytest.raises(MalformedError, match="larger"):
        Notes(repo).lines(oid)


def test_a_union_has_each_line_once_sorted_and_no_empty_one() -> None:
    assert union([b"b\n\na\n", b"a\nc", b""]) == b"a\nb\nc\n"
    assert union([]) == b""
    assert union([format_note([line("x")])]) == format_note([line("x")])


def test_no_identity_is_needed(path: Path, repo: Repository) -> None:
    oid = commit(path)
    git(path, "config", "--unset", "user.name")
    git(path, "config", "--unset", "user.email")
    git(path, "config", "user.useConfigOnly", "true")
    write(repo, notes={oid: [line("a")]}, roots=roots(1), key=log_key(repo))
    assert git(path, "log", "-1", "--format=%cn <%ce>", NOTES_REF) == "gitprov <gitprov@localhost>"


def _write_some(path: str, commits: list[str], writer: int, count: int) -> None:
    with Repository.discover(path) as repo:
        key = log_key(repo)
        for n in range(count):
            name = f"{writer}-{n}"
            write(
                repo,
                notes={commits[n % len(commits)]: [line(name)]},
                roots=roots(1, start=1000 * writer + n),
                key=key,
            )


def test_eight_writers_at_once_lose_nothing(path: Path, repo: Repository) -> None:
    writers, count = 8, 6
    commits = many_commits(path, 3)
    spawn = multiprocessing.get_context("spawn")
    running = [
        spawn.Process(target=_write_some, args=(str(path), commits, w, count))
        for w in range(writers)
    ]
    for process in running:
        process.start()
    # A tool that knows nothing of our lock writes in between.
    for n in range(10):
        git(path, "notes", "--ref", "gitprov", "append", "-m", f"git-{n}", commits[0], check=False)
    for process in running:
        process.join()
        assert process.exitcode == 0
    found = {
        getattr(item, "raw", b"")
        for some in Notes(repo).lines_many(commits).values()
        for item in some
    }
    assert {line(f"{w}-{n}").raw for w in range(writers) for n in range(count)} <= found
    log = LogReader.open(repo, log_key(repo).ref)
    assert set(log.entries()) == {
        root for w in range(writers) for root in roots(count, start=1000 * w)
    }
    assert log.size == writers * count
    log.audit()


def test_a_writer_builds_on_what_another_tool_wrote_meanwhile(path: Path, repo: Repository) -> None:
    oid = commit(path)
    write(repo, notes={oid: [line("a")]})
    repo.ref(NOTES_REF)
    git(path, "notes", "--ref", "gitprov", "append", "-m", '{"type":"git"}', oid)
    write(repo, notes={oid: [line("b")]})
    assert lines(repo, oid) == {line("a").raw, line("b").raw, b'{"type":"git"}'}


def test_a_shared_worktree_writes_the_same_notes(
    path: Path, repo: Repository, tmp_path: Path
) -> None:
    oid = commit(path)
    git(path, "worktree", "add", "-q", "--detach", str(tmp_path / "w"))
    with Repository.discover(str(tmp_path / "w")) as linked:
        write(linked, notes={oid: [line("a")]}, roots=roots(1), key=log_key(linked))
    write(repo, notes={oid: [line("b")]}, roots=roots(2), key=log_key(repo))
    assert lines(repo, oid) == {line("a").raw, line("b").raw}
    assert LogReader.open(repo, log_key(repo).ref).size == 2


def test_a_repository_that_cannot_be_written_is_said_so(path: Path, repo: Repository) -> None:
    oid = commit(path)
    shutil.rmtree(path / ".git/objects/pack")
    (path / ".git/objects/pack").write_text("not a folder")
    with pytest.raises(GitError, match="git fast-import failed: fatal:"):
        write(repo, notes={oid: [line("a")]})
