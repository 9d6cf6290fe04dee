"""Remotes over SSH that are something else than they seem: the sentence says what it is."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.errors import UnavailableError
from gitprov.store.transport import Patience
from gitprov.store.transports import open_transport
from tests.conformance.test_transport_faults import ssh_at
from tests.support.cli import gitprov_process, ok
from tests.support.repos import git, make_repo, write
from tests.support.servers import Server, web_server

IMPATIENT = Patience(connect=0.5, silence=0.5, sending=0.5, pauses=(0.01,))


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """The port of a server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in kept:
            one.close()


def test_who_never_says_a_word_did_not_answer_in_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with silent_server() as port:
        url = f"ssh://me@127.0.0.1:{port}/x"
        for patience in (IMPATIENT, Patience(0.2, 5, 5, ())):  # paramiko notices in two ways
            remote = open_transport(url, {}, {"HOME": str(tmp_path)}, patience=patience)
            with pytest.raises(UnavailableError, match="did not answer in time") as caught:
                remote.get("a", limit=10)
            assert f"`ssh -p {port} me@127.0.0.1`" in str(caught.value.hint)
            remote.close()
    assert not caplog.records


def test_another_server_than_sshd_is_told_in_one_sentence(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "repo")
    ok(repo, "init", "--no-hooks")
    write(repo, {"data": b"1"})
    ok(repo, "add", "data")
    git(repo, "commit", "-q", "-m", "one")
    with web_server(tmp_path / "web") as web:
        port = web.url.rpartition(":")[2]
        ok(repo, "remote", "add", "web", f"ssh://me@127.0.0.1:{port}/x")
        ended = gitprov_process(repo, "push", "--no-notes")
    assert ended.code == 3
    sentence, hint = ended.err.splitlines()
    assert sentence.endswith("cannot be reached: what answers there does not say that it is ssh")
    assert f"`ssh -p {port} me@127.0.0.1`" in hint


def test_the_key_to_forget_is_named_as_ssh_names_it(sshd: Server, tmp_path: Path) -> None:
    remote = ssh_at(sshd, tmp_path, key="key", host="other.pub")
    with pytest.raises(UnavailableError, match="another host key") as caught:
        list(remote.list())
    assert str(caught.value.hint).endswith(f"ssh-keygen -R '[127.0.0.1]:{sshd.port}'")
