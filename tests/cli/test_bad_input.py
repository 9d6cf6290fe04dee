"""What bad input gets: a clear sentence, a hint, an exit code; nothing written, nothing lost."""

import json
import os
import signal
import socket
import subprocess
import unicodedata
from pathlib import Path

import pytest

from gitprov.platform.locks import file_lock
from tests.support.cli import GITPROV, environment, finish, gitprov, gitprov_process, ok, refused
from tests.support.cli import start as start_gitprov
from tests.support.datasets import everything, large_object, make, with_record
from tests.support.repos import bare, commit, git, write

VERBS = ("add data", "status", "diff", "ls", "checkout", "gc", "fsck", "remove data", "record")


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def data(repo: Path) -> Path:
    return with_record(repo)


# ---------------------------------------------------------------- paths


@pytest.mark.parametrize("verb", VERBS)
def test_outside_a_repository_every_verb_says_so(tmp_path: Path, verb: str) -> None:
    ended = refused(tmp_path, *verb.split(), code=2, says="not a git repository")
    assert "git init" in ended.err


@pytest.mark.parametrize("verb", ["add data", "status", "checkout", "remove data", "diff"])
def test_a_bare_repository_has_no_worktree(tmp_path: Path, verb: str) -> None:
    refused(bare(tmp_path / "bare"), *verb.split(), code=2, says="the repository is bare")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/etc/passwd", "lies outside the repository"),
        ("../elsewhere", "lies outside the repository"),
        (".git/config", "lies inside git's own folder"),
        (".git", "lies inside git's own folder"),
        (".", "the whole repository cannot be an artifact"),
        ("nothing", "there is no file or folder nothing"),
        ("no\x1bthing", "\\x1b"),
        ("", "an empty path"),
        ("data.prov", "has the name of a pointer"),
        (".gitignore", "belongs into git itself"),
        (".gitprov.yaml", "belongs into git itself"),
        ("code.py", "git tracks code.py already"),
        ("src", "git tracks src/code.py already"),
        ("sets", "the artifact sets/x lies inside"),
        ("unstaged", "the artifact unstaged/y lies inside"),
        ("link", "is a symbolic link"),
        ("leaving/file", "lies outside the repository"),
        ("fifo", "is a FIFO"),
    ],
)
def test_what_cannot_be_an_artifact_is_refused(repo: Path, path: str, says: str) -> None:
    write(repo, {"code.py": "1", "src/code.py": "1", "sets/x": "1", "unstaged/y": "1"})
    commit(repo, {"code.py": "1", "src/code.py": "1"})
    ok(repo, "add", "sets/x")
    ok(repo, "add", "--no-stage", "unstaged/y")
    (repo / "link").symlink_to("src")
    (repo / "leaving").symlink_to("/etc")
    os.mkfifo(repo / "fifo")
    before = git(repo, "status", "--porcelain", "--ignored")
    code = 1 if path in {"fifo", "no\x1bthing"} else 2
    refused(repo, "add", "--", path, code=code, says=says)
    assert git(repo, "status", "--porcelain", "--ignored") == before


def test_one_refused_path_stops_the_whole_command(repo: Path) -> None:
    write(repo, {"good": "1"})
    refused(repo, "add", "good", "nothing", code=2, says="there is no file or folder nothing")
    assert not (repo / "good.prov").exists()


def test_a_users_file_with_the_ending_of_a_pointer_is_not_overwritten(repo: Path) -> None:
    write(repo, {"data": "1", "data.prov": "document\nendDocument\n"})
    refused(repo, "add", "data", code=2, says="data.prov is there, and is no pointer")
    assert (repo / "data.prov").read_text() == "document\nendDocument\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"new\nline", "new\\nline"),
        (b"not-\xff-utf8", "not-\\xff-utf8"),
        (b"bell\x07", "bell\\x07"),
        (b"back\\slash", "back\\\\slash"),
        (b".git", ".git"),
        (b".GIT", ".GIT"),
        (b"git~1", "git~1"),
        (".g\u200cit".encode(), ".g\\u200cit"),
        (b".git. .", ".git. ."),
    ],
)
def test_a_refused_name_is_named_and_shown_escaped(repo: Path, name: bytes, shown: str) -> None:
    path = repo / "data/sub" / os.fsdecode(name)
    path.parent.mkdir(parents=True)
    if name == b".git":
        path.mkdir()
    else:
        path.write_text("1")
    ended = refused(repo, "add", "data", code=1, says=f"the name '{shown}' is refused")
    assert "in data/sub" in ended.err
    assert not (repo / "data.prov").exists()


@pytest.mark.parametrize(
    ("one", "two"),
    [("File", "file"), (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))],
)
def test_names_that_collide_elsewhere_are_refused(repo: Path, one: str, two: str) -> None:
    write(repo, {f"data/{one}": "1", f"data/{two}": "2"})
    refused(repo, "add", "data", code=1, says="collide")


@pytest.mark.parametrize("target", ["/etc/passwd", "../code.py", "sub/../../x"])
def test_a_link_that_leaves_the_artifact_is_named(repo: Path, target: str) -> None:
    write(repo, {"data/a": "1"})
    (repo / "data/link").symlink_to(target)
    refused(repo, "add", "data", code=1, says=f"data/link -> {target} leaves the artifact")


def test_a_socket_is_named(repo: Path) -> None:
    write(repo, {"data/a": "1"})
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(repo / "data")
        listening.bind("s")
        refused(repo, "add", "data", code=1, says="data/s is a socket")


# ---------------------------------------------------------------- configuration, revisions


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gitprov: 1\nstor:\n  link: copy\n", "did you mean store?"),
        ("gitprov: 1\nstore:\n  lnik: copy\n", "did you mean store.link?"),
        ("gitprov: 1\nstore:\n  path: /tmp/x\n", "may not set store.path"),
        ("gitprov: 1\nstore:\n  link: teleport\n", "store.link must be"),
        ("gitprov: 7\n", "version 7"),
        ("a: &a [1]\nb: [*a,*a,*a]\n", "YAML alias"),
        ("[" * 5000, "is nested too deeply"),
        ("x" * 70_000, "larger than"),
        ("!!python/object/apply:os.system ['touch pwned']\n", "uses a YAML tag"),
        ("- a\n- b\n", "must be a mapping"),
        (b"\xff\xfe", "is not UTF-8"),
    ],
)
def test_a_bad_configuration_is_named(repo: Path, text: str | bytes, says: str) -> None:
    write(repo, {"data/a": "1", ".gitprov.yaml": text})
    ended = refused(repo, "add", "data", code=2, says=says)
    assert ".gitprov.yaml" in ended.err
    assert not (repo / "data.prov").exists()
    assert not (repo / "pwned").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("diff nothing", "there is no commit 'nothing'"),
        ("diff HEAD nothing", "there is no commit 'nothing'"),
        ("ls nothing:data", "there is no commit 'nothing'"),
        ("record nothing", "there is no commit 'nothing'"),
        ("verify nothing", "there is no commit 'nothing'"),
        ("diff -- -x", "-x is no artifact and holds none"),
        ("ls -- --upload-pack=x:data", "not a revision: '--upload-pack=x'"),
        ("record -- --all", "not a revision: '--all'"),
        ("diff one two three --", "3 revisions are too many"),
        ("diff A...B", "use two revisions"),
        ("checkout nothing", "nothing is no artifact and holds none"),
        ("checkout data/nothing", "there is no data/nothing in the artifact data"),
        ("remove nothing", "nothing is no artifact"),
        ("remove data/a", "data/a is a part of the artifact data"),
        ("status nothing", "nothing is no artifact and holds none"),
        ("gc --yes --dry-run", "contradict each other"),
        ("gc --grace -1", "-1"),
        ("fsck --sample 0%", "not a percentage above 0 and at most 100"),
        ("fsck --sample 101", "not a percentage above 0 and at most 100"),
        ("frobnicate", "there is no command 'frobnicate'"),
        ("statsu", "did you mean 'status'?"),
        ("add", "missing argument"),
        ("add --kind picture data", "picture"),
        ("status --nothing", "no such option"),
    ],
)
def test_wrong_usage_ends_with_2(data: Path, words: str, says: str) -> None:
    before = everything(data)
    refused(data, *words.split(), code=2, says=says)
    assert everything(data) == before


# ---------------------------------------------------------------- how it is said


@pytest.mark.parametrize(
    ("words", "code"),
    [("add nothing", 2), ("checkout", 3), ("frobnicate", 2), ("add --kind x y", 2)],
)
def test_with_json_an_error_is_one_object_on_stdout(data: Path, words: str, code: int) -> None:
    large_object(data).unlink()
    (data / "data/large").unlink()
    ended = gitprov(data, *words.split(), "--json")
    assert ended.code == code
    assert ended.json["schema"] == "gitprov/error/v1"
    assert ended.json["exit_code"] == code
    assert ended.json["error"] in ended.err


def test_a_traceback_is_shown_with_debug_only(data: Path) -> None:
    quiet = gitprov_process(data, "add", "nothing")
    loud = gitprov_process(data, "--debug", "add", "nothing")
    assert (quiet.code, loud.code) == (2, 2)
    assert "Traceback" not in quiet.err
    assert "Traceback" in loud.err


def test_a_reader_that_goes_away_is_no_error(repo: Path) -> None:
    write(repo, {f"data/{'x' * 200}{number}": "1" for number in range(2000)})
    ok(repo, "add", "data")
    listing = subprocess.Popen(
        [GITPROV, "ls"],
        cwd=repo,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert listing.stdout is not None
    assert listing.stderr is not None
    listing.stdout.readline()
    listing.stdout.close()
    assert listing.stderr.read() == b""
    listing.stderr.close()
    assert listing.wait() == 128 + signal.SIGPIPE


def test_an_interrupt_ends_with_130_and_leaves_the_old_state(data: Path) -> None:
    # The lock holds the command at its last step: everything is stored, no pointer is written.
    with file_lock(str(data / ".git/gitprov/pointers.lock")):
        before = everything(data)
        (data / "data/new").write_bytes(b"new" * 200_000)
        adding = start_gitprov(data, "add", "data")
        assert adding.stderr is not None
        assert "waiting for another gitprov" in adding.stderr.readline()
        adding.send_signal(signal.SIGINT)
        ended = finish(adding)
    (data / "data/new").unlink()
    assert (ended.code, ended.err.strip()) == (130, "gitprov: interrupted")
    assert ended.out == ""
    assert everything(data) == before
    assert not any(path for path in (data / ".git/gitprov/tmp").iterdir() if path.is_dir())
    ok(data, "fsck")


def test_json_errors_are_readable_by_a_machine(repo: Path) -> None:
    ended = gitprov_process(repo, "checkout", "nothing", "--json")
    assert json.loads(ended.out)["exit_code"] == ended.code == 2
