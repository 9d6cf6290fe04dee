"""Remotes over SSH, and in folders, that are not what they are taken for: it is said what is."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, UnavailableError
from gitprov.store.transport import MissingError, Patience, Transport
from gitprov.store.transports import open_transport
from tests.conformance.test_transport import HASTY
from tests.conformance.test_transport_faults import REQUESTS, ssh_at
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


def test_who_never_says_a_word_did_not_answer_in_time(tmp_path: Path) -> None:
    with silent_server() as port:
        url = f"ssh://me@127.0.0.1:{port}/x"
        for patience in (IMPATIENT, Patience(0.2, 5, 5, ())):  # paramiko notices in two ways
            remote = open_transport(url, {}, {"HOME": str(tmp_path)}, patience=patience)
            with pytest.raises(UnavailableError, match="did not answer in time") as caught:
                remote.get("a", limit=10)
            assert f"`ssh -p {port} me@127.0.0.1`" in str(caught.value.hint)
            remote.close()


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


# ---------------------------------------------------------------- folders that are none


@contextlib.contextmanager
def nobody_writes(folder: Path) -> Iterator[None]:
    """A folder in which nothing can be made, not even by root."""
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    done = subprocess.run(["chattr", "+i", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this file system has no immutable folders")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", folder], check=True)


def remote_in(sshd: Server, path: str) -> Transport:
    url = f"ssh://127.0.0.1:{sshd.port}{sshd.folder}/{path}"
    return open_transport(url, {}, sshd.environ, patience=HASTY)


def test_a_folder_above_that_cannot_be_written_is_not_called_missing(sshd: Server) -> None:
    (sshd.folder / "locked").mkdir()
    remote = remote_in(sshd, "locked/new")
    with nobody_writes(sshd.folder / "locked"):
        with pytest.raises(EnvironmentFault, match="may not be written by this user") as caught:
            remote.put("a", b"1")
        assert caught.value.hint
        with pytest.raises(MissingError):
            remote.get("a", limit=10)
    assert remote.put("a", b"1")
    remote.close()


def test_a_folder_that_cannot_be_written_says_so(sshd: Server) -> None:
    (sshd.folder / "ours").mkdir()
    remote = remote_in(sshd, "ours")
    with nobody_writes(sshd.folder / "ours"):
        for name in ("a", "packs/a"):
            with pytest.raises(EnvironmentFault, match=f"lets nobody write {name} as this user"):
                remote.put(name, b"1")
    remote.close()


@pytest.mark.parametrize("request_name", ["get", "list", "put", "delete"])
def test_a_file_in_the_place_of_the_folder_is_called_a_file(
    sshd: Server, request_name: str
) -> None:
    (sshd.folder / "file").write_bytes(b"1")
    remote = remote_in(sshd, "file")
    with pytest.raises(UnavailableError, match="is a file, and no folder") as caught:
        REQUESTS[request_name](remote)
    assert not isinstance(caught.value, MissingError)
    assert caught.value.hint
    remote.close()


def test_a_folder_that_became_a_file_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "nas").write_bytes(b"1")
    with pytest.raises(UnavailableError, match="is a file, and no folder"):
        open_transport(str(tmp_path / "nas"), {}, {})
    with pytest.raises(UnavailableError, match="is not there"):
        open_transport(str(tmp_path / "other"), {}, {})
    with pytest.raises(UnavailableError, match="is not there"):
        open_transport(str(tmp_path / "nas" / "below"), {}, {})
