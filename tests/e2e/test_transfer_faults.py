"""What a remote does wrong, seen from the command line: a clear sentence, 3 or 4, nothing lost."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok
from tests.support.mounts import tmpfs, why_no_mounts
from tests.support.repos import git, make_repo, write
from tests.support.servers import (
    Misbehaviour,
    RangedHandler,
    Server,
    start_ftp,
    web_server,
)

DATA = {f"data/{number}": f"{number}\n".encode() * 500 for number in range(20)}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, DATA)
    ok(repo, "init", "--no-hooks", "--quiet")
    ok(repo, "add", "data", "--quiet")
    git(repo, "commit", "-q", "-m", "first")
    return repo


def fails(repo: Path, verb: str, code: int, *said: str) -> None:
    """The command ends so, says that in one line and a hint at most, and the store is whole."""
    ended = gitprov(repo, verb)
    assert ended.code == code, ended
    assert all(text in ended.err for text in said), ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) <= 2
    ok(repo, "fsck", "--quiet")


def use(patch: pytest.MonkeyPatch, server: Server, **more: str) -> None:
    for name, value in {**server.environ, **more}.items():
        patch.setenv(name, value)


def test_no_credentials(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    for scheme in ("s3", "gs", "az"):
        ok(repo, "remote", "add", scheme, f"{scheme}://bucket/x", "--default")
        fails(repo, "push", 3, "in the environment", "hint: ")


def test_no_bucket_and_wrong_keys(
    repo: Path, s3_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server)
    ok(repo, "remote", "add", "s3", "s3://nobucket/x", "--endpoint", s3_server.endpoint)
    for verb in ("push", "fetch"):
        fails(repo, verb, 3, "there is no such bucket", "hint: make it")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    fails(repo, "push", 3, "does not accept the credentials")


def test_no_permission_to_write(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_ftp(tmp_path / "ftp", write=False)
    use(monkeypatch, server)
    try:
        ok(repo, "remote", "add", "ftp", f"ftp://127.0.0.1:{server.port}/x")
        fails(repo, "push", 4, "cannot be written to ftp://127.0.0.1")
        fails(repo, "fetch", 3, "nothing was pushed")
        server.signal(signal.SIGKILL)
        fails(repo, "push", 3, "does not answer")
    finally:
        server.kill()


@pytest.mark.root
def test_no_space(repo: Path, tmp_path: Path) -> None:
    why = why_no_mounts("tmpfs")
    if why:
        pytest.skip(why)
    with tmpfs(tmp_path / "small", 16 << 10) as small:
        ok(repo, "remote", "add", "small", str(small))
        fails(repo, "push", 4, "there is no space left in")
        assert [*(small / "index").glob("*")] == []


def always(status: int, **headers: str) -> Misbehaviour:
    return lambda handler: handler.answer(status, headers=headers)


def half(handler: RangedHandler) -> bool:
    return handler.half()


@pytest.mark.parametrize(
    ("misbehave", "said", "tries"),
    [
        (always(302, Location="file:///etc/hostname"), "302", 1),
        (always(403), "may not be read", 1),
        (always(503), "503", 3),
        (half, "does not answer: the connection broke off", 3),
        (always(404), "there is no gitprov remote at http", 1),
        (
            lambda handler: handler.answer(200, b"\xff\x00<html>"),
            "is no gitprov remote: its mar",
            1,
        ),
        (lambda handler: handler.answer(200, b"<html>" * 999), "is no gitprov remote: its mark", 1),
    ],
)
def test_a_web_server_that_answers_wrongly(
    repo: Path, tmp_path: Path, misbehave: Misbehaviour, said: str, tries: int
) -> None:
    with web_server(tmp_path / "web") as web:
        web.misbehave = misbehave
        ok(repo, "remote", "add", "web", web.url)
        fails(repo, "fetch", 3, said)
        assert len(web.asked) == tries


@pytest.mark.parametrize(
    ("folder", "edit", "code", "said"),
    [
        ("packs", lambda data: data[: len(data) // 2], 1, "cut short"),
        (".", lambda data: data.replace(b'"gitprov":1', b'"gitprov":9'), 3, "has the layout 9"),
    ],
)
def test_a_remote_that_was_cut_short_or_is_newer(
    repo: Path, tmp_path: Path, folder: str, edit: Callable[[bytes], bytes], code: int, said: str
) -> None:
    nas = tmp_path / "nas"
    ok(repo, "remote", "add", "nas", str(nas))
    ok(repo, "push")
    for path in (nas / folder).iterdir():
        if path.is_file():
            path.write_bytes(edit(path.read_bytes()))
    git(tmp_path, "clone", "-q", str(repo), "other")
    other = tmp_path / "other"
    ok(other, "init", "--no-hooks", "--quiet")
    ok(other, "remote", "add", "nas", str(nas))
    fails(other, "pull", code, said)
    assert not (other / "data").exists()
