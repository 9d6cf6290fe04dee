"""Remotes that do not answer, answer half, refuse, or are full: a clear sentence, and in time."""

import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
)
from gitprov.store.transport import MissingError, Patience, Transport
from gitprov.store.transports import open_transport
from tests.conformance.test_transport import BIG, HASTY
from tests.support.mounts import tmpfs, why_no_mounts
from tests.support.servers import (
    ACCESS,
    SECRET,
    Misbehaviour,
    RangedHandler,
    Server,
    WebServer,
    know,
    start_ftp,
    start_s3,
    start_sshd,
    web_server,
)

IMPATIENT = Patience(connect=1.0, silence=0.4, sending=0.4, pauses=(0.01, 0.01))
KEYS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "very-secret"}

REQUESTS: dict[str, Callable[[Transport], object]] = {
    "get": lambda remote: remote.get("a", limit=10_000_000),
    "range": lambda remote: remote.get_range("a", 0, 10),
    "ranges": lambda remote: remote.get_ranges("a", [(0, 10), (2_000_000, 10)]),
    "list": lambda remote: list(remote.list()),
    "put": lambda remote: remote.put("b", BIG),
    "delete": lambda remote: remote.delete(["c"]),
}


@contextmanager
def own_server(kind: str, tmp_path: Path) -> Iterator[tuple[Server, Callable[..., Transport]]]:
    """A server that a test may kill, and how it is reached."""
    if kind == "s3":
        server = start_s3(tmp_path)
        (server.folder / "bucket").mkdir()
        url, options = "s3://bucket/x", {"endpoint": server.endpoint}
    elif kind == "ftp":
        server = start_ftp(tmp_path)
        url, options = f"ftp://127.0.0.1:{server.port}/x", {}
    else:
        server = start_sshd(tmp_path)
        url, options = f"ssh://127.0.0.1:{server.port}{server.folder}/x", {}

    def opened(patience: Patience = HASTY) -> Transport:
        return open_transport(url, options, server.environ, patience=patience)

    try:
        yield server, opened
    finally:
        server.signal(signal.SIGCONT)
        server.kill()


@pytest.mark.parametrize("kind", ["s3", "sftp", "ftp"])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_server_that_died_is_not_reached(kind: str, request_name: str, tmp_path: Path) -> None:
    with own_server(kind, tmp_path) as (server, opened):
        remote = opened()
        remote.put("a", BIG)
        server.kill()
        with pytest.raises(UnavailableError) as caught:
            REQUESTS[request_name](remote)
        assert not isinstance(caught.value, MissingError)
        assert len(str(caught.value)) < 400
        remote.close()


@pytest.mark.parametrize("kind", ["s3", "sftp", "ftp"])
def test_a_server_that_hangs_is_waited_for_only_so_long(kind: str, tmp_path: Path) -> None:
    with own_server(kind, tmp_path) as (server, opened):
        remote = opened(IMPATIENT)
        opened().put("a", BIG)
        remote.get_range("a", 0, 1)
        server.signal(signal.SIGSTOP)
        for request in REQUESTS.values():
            with pytest.raises(UnavailableError):
                request(remote)  # which ends, although the server does nothing
        server.signal(signal.SIGCONT)
        assert remote.get("a", limit=len(BIG)) == BIG
        remote.close()


@pytest.mark.parametrize("kind", ["s3", "sftp", "ftp"])
def test_a_server_that_comes_back_is_used_again(kind: str, tmp_path: Path) -> None:
    with own_server(kind, tmp_path) as (server, opened):
        patient = Patience(connect=1, silence=1, sending=1, pauses=(0.3,) * 20)
        remote = opened(patient)
        opened().put("a", BIG)
        server.signal(signal.SIGSTOP)
        timer = threading.Timer(1.5, server.signal, [signal.SIGCONT])
        timer.start()
        assert remote.get("a", limit=len(BIG)) == BIG
        timer.join()
        remote.close()


# ---------------------------------------------------------------- a server that lies


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "web") as server:
        (server.folder / "a").write_bytes(BIG)
        yield server


@contextmanager
def remotes_at(web: WebServer, patience: Patience = HASTY) -> Iterator[dict[str, Transport]]:
    """The same server as a web server and as one of S3."""
    options = {"endpoint": web.url}
    both = {
        "http": open_transport(web.url, {}, {}, patience=patience),
        "s3": open_transport("s3://bucket", options, KEYS, patience=patience),
    }
    try:
        yield both
    finally:
        for remote in both.values():
            remote.close()


def always(status: int) -> Misbehaviour:
    return lambda handler: handler.answer(status)


@pytest.mark.parametrize("kind", ["http", "s3"])
@pytest.mark.parametrize(("status", "tries"), [(503, 3), (500, 3), (429, 3), (401, 1), (403, 1)])
@pytest.mark.parametrize("request_name", ["get", "range"])
def test_only_what_can_help_is_tried_again(
    web: WebServer, kind: str, status: int, tries: int, request_name: str
) -> None:
    web.misbehave = always(status)
    with remotes_at(web) as remotes:
        with pytest.raises(UnavailableError) as caught:
            REQUESTS[request_name](remotes[kind])
        assert len(web.asked) == tries
        assert not isinstance(caught.value, MissingError)


@pytest.mark.parametrize(
    ("status", "tries", "kind"),
    [
        (503, 3, UnavailableError),
        (403, 1, EnvironmentFault),
        (401, 1, UnavailableError),
        (507, 1, EnvironmentFault),
    ],
)
def test_writing_that_cannot_work_is_tried_once(
    web: WebServer, status: int, tries: int, kind: type[GitprovError]
) -> None:
    web.misbehave = always(status)
    with remotes_at(web) as remotes, pytest.raises(kind):
        remotes["s3"].put("b", b"1")
    assert len(web.asked) == tries


def test_what_works_the_third_time_works(web: WebServer) -> None:
    def twice(handler: RangedHandler) -> bool:
        if len(web.asked) > 2:
            return False
        return handler.half() if len(web.asked) == 2 else handler.answer(503)

    web.misbehave = twice
    with remotes_at(web) as remotes:
        assert remotes["http"].get("a", limit=len(BIG)) == BIG
    assert len(web.asked) == 3


@pytest.mark.parametrize("kind", ["http", "s3"])
@pytest.mark.parametrize("request_name", ["get", "list"])
def test_half_an_answer_is_none(web: WebServer, kind: str, request_name: str) -> None:
    web.misbehave = lambda handler: handler.half()
    with remotes_at(web) as remotes:
        with pytest.raises(UnavailableError):
            REQUESTS[request_name](remotes[kind])
        assert len(web.asked) == 3


@pytest.mark.parametrize("kind", ["http", "s3"])
@pytest.mark.parametrize("request_name", ["range", "ranges", "list"])
def test_nonsense_is_no_answer(web: WebServer, kind: str, request_name: str) -> None:
    web.misbehave = lambda handler: handler.answer(206, b"\xff<>" * 7, {"Content-Range": "b"})
    with remotes_at(web) as remotes, pytest.raises((UnavailableError, MalformedError)):
        REQUESTS[request_name](remotes[kind])


def closes(_: socket.socket) -> None:
    """Says nothing, and hangs up."""


def speaks_ssh(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-x\r\n")


def speaks_http(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


@contextmanager
def socket_server(answers: Callable[[socket.socket], None] | None) -> Iterator[int]:
    """A port on which every connection is answered so; nobody listens there for None."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]

        def serve() -> None:
            while True:
                try:
                    connection = listening.accept()[0]
                except OSError:
                    return
                with connection:
                    if answers is not None and connection.recv(9999):
                        answers(connection)

        if answers is None:
            listening.close()
        thread = threading.Thread(target=serve)
        thread.start()
        yield port
        if answers is not None:
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize(
    ("url", "answers", "says"),
    [
        ("http://127.0.0.1:{}", None, "does not answer: the connection is refused"),
        ("http://nowhere.invalid:{}", None, "does not answer: nobody knows the name of its host"),
        ("https://127.0.0.1:{}", speaks_http, "does not answer: it does not speak TLS"),
        ("http://127.0.0.1:{}", speaks_ssh, "does not answer: it does not speak HTTP"),
        ("http://127.0.0.1:{}", closes, "does not answer: the connection broke off"),
        (
            "http://127.0.0.1:{}",
            lambda _: time.sleep(1),
            "does not answer: nothing has come for a long time",
        ),
    ],
)
def test_why_there_is_no_answer_is_said_with_what_to_do(
    url: str, answers: Callable[[socket.socket], None] | None, says: str
) -> None:
    once = dataclasses.replace(IMPATIENT, pauses=())
    with socket_server(answers) as port:
        remote = open_transport(url.format(port), {}, {}, patience=once)
        with pytest.raises(UnavailableError, match=re.escape(says)) as caught:
            remote.get("a", limit=10)
        assert caught.value.hint
        remote.close()


def test_another_range_than_the_one_asked_for_is_refused(web: WebServer) -> None:
    place = {"Content-Range": "bytes 5-9/10"}
    web.misbehave = lambda handler: handler.answer(206, b"xxxxx", place)
    with remotes_at(web) as remotes, pytest.raises(UnavailableError):
        remotes["http"].get_range("a", 0, 5)


def test_a_server_that_hangs_up_as_a_name_is_taken_has_said_so(s3_server: Server) -> None:
    (s3_server.folder / "hang-up").mkdir(exist_ok=True)
    remote = s3_at(s3_server, "hang-up")
    data = BIG * 7  # more than the line holds
    assert remote.put("a", data)
    assert [remote.put("a", data) for _ in range(20)] == [False] * 20
    remote.close()


@pytest.mark.parametrize("kind", ["http", "s3"])
def test_a_range_that_does_not_end_is_left(web: WebServer, kind: str) -> None:
    sent = 0

    def endless(handler: RangedHandler) -> bool:
        nonlocal sent
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 0-9/{len(BIG)}")
        handler.send_header("Last-Modified", "Thu, 26 Nov 2026 10:00:00 GMT")
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        while sent < 1 << 30:
            handler.wfile.write(bytes(1 << 20))
            sent += 1 << 20
        return True

    web.misbehave = endless
    with remotes_at(web) as remotes, pytest.raises(UnavailableError):
        remotes[kind].get_range("a", 0, 10)
    assert sent < 64 << 20


def test_a_server_without_ranges_sends_the_whole(web: WebServer) -> None:
    web.ranged = False
    with remotes_at(web) as remotes:
        assert remotes["http"].get_ranges("a", [(5, 10), (2_000_000, 7)]) == [
            BIG[5:15],
            BIG[2_000_000:2_000_007],
        ]
        with pytest.raises(UnavailableError, match="cut short"):
            remotes["http"].get_range("a", len(BIG), 1)


def test_a_server_without_ranges_sends_each_object_once_and_that_is_told_and_counted(
    web: WebServer,
) -> None:
    web.ranged = False
    (web.folder / "b").write_bytes(BIG)
    (web.folder / "small").write_bytes(b"small")
    told: list[str] = []
    with remotes_at(web, dataclasses.replace(HASTY, tell=told.append)) as remotes:
        remote = remotes["http"]
        assert remote.get("small", limit=9) == b"small"
        with ThreadPoolExecutor(max_workers=8) as pool:
            wanted = [(name, at) for at in range(0, len(BIG) - 9, len(BIG) // 9) for name in "ab"]
            got = pool.map(lambda one: remote.get_range(one[0], one[1], 9), wanted)
            assert [*got] == [BIG[at : at + 9] for _, at in wanted]
        assert 9 * len(wanted) + remote.unasked == 2 * len(BIG)
    # The small one twice, to find out about ranges.
    assert [path for path, _ in web.asked].count("/small") == 2
    assert web.sent == 2 * len(b"small") + 2 * len(BIG)
    assert told == [f"{web.url} ignores ranges and sends whole packs"]


def test_what_lies_between_ranges_is_counted(web: WebServer) -> None:
    with remotes_at(web) as remotes:
        remotes["http"].get_ranges("a", [(0, 10), (1000, 10)])
        assert remotes["http"].unasked == 990


def test_ranges_close_together_are_one_request(web: WebServer) -> None:
    with remotes_at(web) as remotes:
        remotes["http"].get_ranges("a", [(at, 100) for at in range(0, 100_000, 1000)])
    assert [wanted for _, wanted in web.asked] == ["bytes=0-99099"]


def test_a_redirect_to_a_file_is_not_followed(web: WebServer) -> None:
    target = {"Location": "file:///etc/hostname"}
    web.misbehave = lambda handler: handler.answer(302, headers=target)
    for request in (REQUESTS["get"], REQUESTS["list"], REQUESTS["range"]):
        with remotes_at(web) as remotes, pytest.raises(UnavailableError, match="302"):
            request(remotes["http"])


def test_redirects_without_end_end(web: WebServer) -> None:
    web.misbehave = lambda handler: handler.answer(
        302, headers={"Location": web.url + handler.path}
    )
    with remotes_at(web) as remotes, pytest.raises(UnavailableError):
        remotes["http"].get("a", limit=10)


def test_a_web_server_without_a_list_says_what_is_missing(web: WebServer) -> None:
    with remotes_at(web) as remotes, pytest.raises(UnavailableError, match="no list") as caught:
        list(remotes["http"].list())
    assert not isinstance(caught.value, MissingError)


@pytest.mark.parametrize(
    "text",
    [
        b"1 a", b"1 a\r\n", b"a 1\n", b"01 a\n", b"1  a\n", b"1 b\n1 a\n", b"1 a\n1 a\n", b"\n",
        b"1 ../a\n", b"-1 a\n", b"1 A\n", b"9" * 30 + b" a\n",
    ],
)  # fmt: skip
def test_a_malformed_list_is_refused(web: WebServer, text: bytes) -> None:
    (web.folder / "list").write_bytes(text)
    with remotes_at(web) as remotes, pytest.raises(MalformedError, match="list of"):
        list(remotes["http"].list())


def test_a_secret_is_in_no_error(web: WebServer) -> None:
    texts = []
    for misbehave in (always(403), always(500), always(404), lambda handler: handler.half()):
        web.misbehave = misbehave
        for request in REQUESTS.values():
            with remotes_at(web, IMPATIENT) as remotes, pytest.raises(GitprovError) as caught:
                request(remotes["s3"])
            texts += [str(caught.value), str(caught.value.hint)]
    assert not any("very-secret" in text or "Debug source" in text for text in texts)
    assert all("\n" not in text for text in texts)


# ---------------------------------------------------------------- buckets, keys, permissions


def s3_at(server: Server, bucket: str, **environ: str) -> Transport:
    options = {"endpoint": server.endpoint}
    return open_transport(f"s3://{bucket}", options, {**server.environ, **environ}, patience=HASTY)


@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_missing_bucket_is_not_a_missing_object(s3_server: Server, request_name: str) -> None:
    remote = s3_at(s3_server, "nobucket")
    with pytest.raises(UnavailableError, match="no such bucket") as caught:
        REQUESTS[request_name](remote)
    assert not isinstance(caught.value, MissingError)
    remote.close()


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("wrong", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_keys_are_called_wrong(s3_server: Server, request_name: str, wrong: str) -> None:
    (s3_server.folder / "mine").mkdir(exist_ok=True)
    remote = s3_at(s3_server, "mine", **{wrong: "other"})
    with pytest.raises(UnavailableError, match="does not accept the credentials") as caught:
        REQUESTS[request_name](remote)
    assert caught.value.hint
    remote.close()


def test_an_unknown_host_is_refused(sshd: Server, tmp_path: Path) -> None:
    remote = ssh_at(sshd, tmp_path, key="key", host=None)
    with pytest.raises(UnavailableError, match="not known to ssh") as caught:
        list(remote.list())
    assert caught.value.hint == f"run `ssh -p {sshd.port} 127.0.0.1` once"


def test_another_host_key_is_refused(sshd: Server, tmp_path: Path) -> None:
    remote = ssh_at(sshd, tmp_path, key="key", host="other.pub")
    with pytest.raises(UnavailableError, match="another host key"):
        list(remote.list())


@pytest.mark.parametrize("key", ["other", None])
def test_who_has_no_key_is_told_so(sshd: Server, tmp_path: Path, key: str | None) -> None:
    remote = ssh_at(sshd, tmp_path, key=key, host="host.pub")
    with pytest.raises(UnavailableError, match=r"let us in|no key") as caught:
        list(remote.list())
    assert "ssh-add" in str(caught.value.hint)


def test_names_and_users_come_from_the_configuration_of_ssh(sshd: Server, tmp_path: Path) -> None:
    ssh_at(sshd, tmp_path, key="key", host="host.pub")
    (tmp_path / ".ssh" / "config").write_text(
        f"Host team\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.environ['USER']}\n"
    )
    url = f"ssh://team{sshd.folder}/through-config"
    remote = open_transport(url, {}, {"HOME": str(tmp_path)}, patience=HASTY)
    assert remote.put("a", b"1")
    assert (sshd.folder / "through-config" / "a").read_bytes() == b"1"
    remote.close()


def ssh_at(sshd: Server, home: Path, *, key: str | None, host: str | None) -> Transport:
    files = sshd.folder.parent
    (home / ".ssh").mkdir()
    if key is not None:
        (home / ".ssh" / "id_ed25519").write_bytes((files / key).read_bytes())
    if host is not None:
        know(home, sshd.port, files / host)
    environ = {"HOME": str(home), "USER": sshd.environ["USER"]}
    url = f"ssh://127.0.0.1:{sshd.port}{sshd.folder}/x"
    return open_transport(url, {}, environ, patience=HASTY)


def test_the_folder_above_is_not_made(sshd: Server) -> None:
    url = f"ssh://127.0.0.1:{sshd.port}{sshd.folder}/not/mounted"
    remote = open_transport(url, {}, sshd.environ, patience=HASTY)
    with pytest.raises(UnavailableError, match="the folder above"):
        remote.put("a", b"1")
    assert list(remote.list()) == []
    remote.close()


# ---------------------------------------------------------------- FTP, and what fsspec knows


def ftp_at(server: Server, home: Path, netrc: str = "") -> Transport:
    if netrc:
        (home / ".netrc").write_text(netrc)
    url = f"ftp://127.0.0.1:{server.port}/x"
    return open_transport(url, {}, {"HOME": str(home)}, patience=HASTY)


WRONG_LOGINS = {
    "nobody": "",
    "other": f"machine 127.0.0.1 login {ACCESS} password wrong-hunter2\n",
    "everybody": f"default login {ACCESS} password {SECRET}\n",
}


def test_a_wrong_password_of_ftp_is_called_wrong(ftp_server: Server, tmp_path: Path) -> None:
    def refused(who: str, request_name: str) -> str:
        remote = ftp_at(ftp_server, tmp_path / who)
        with pytest.raises(UnavailableError, match="does not accept the credentials") as caught:
            REQUESTS[request_name](remote)
        remote.close()
        return f"{caught.value} {caught.value.hint}"

    for who, netrc in WRONG_LOGINS.items():
        (tmp_path / who).mkdir()
        (tmp_path / who / ".netrc").write_text(netrc)
    asked = [(who, name) for who in WRONG_LOGINS for name in ("get", "list", "put")]
    # All at once: the server lets each of them wait for three seconds.
    with ThreadPoolExecutor(len(asked)) as pool:
        said = list(pool.map(lambda one: refused(*one), asked))
    assert not any("hunter2" in text for text in said)
    assert all("~/.netrc" in text for text in said)


def test_a_malformed_netrc_is_not_repeated(ftp_server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="malformed in line") as caught:
        ftp_at(ftp_server, tmp_path, "machine x\nhunter2 hunter2\n")
    assert "hunter2" not in str(caught.value)


def test_who_may_only_read_over_ftp_is_told_so(tmp_path: Path) -> None:
    server = start_ftp(tmp_path, write=False)
    try:
        (server.folder / "x").mkdir()
        (server.folder / "x" / "a").write_bytes(BIG)
        url = f"ftp://127.0.0.1:{server.port}/x"
        remote = open_transport(url, {}, server.environ, patience=HASTY)
        assert remote.get("a", limit=len(BIG)) == BIG
        for request in (REQUESTS["put"], lambda remote: remote.delete(["a"])):
            with pytest.raises(EnvironmentFault, match="cannot be written to"):
                request(remote)
        assert remote.get_range("a", 5, 5) == BIG[5:10]
        remote.close()
    finally:
        server.kill()


def test_a_kind_whose_library_is_missing_names_it() -> None:
    with pytest.raises(UsageError, match="webdav4") as caught:
        open_transport("webdav://files.example/x", {}, {})
    assert "pip install" in str(caught.value.hint)


# ---------------------------------------------------------------- folders


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="is not there") as caught:
        open_transport(str(tmp_path / "unmounted"), {}, {})
    assert "mkdir" in str(caught.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_no_symlink_leads_out_of_a_folder(tmp_path: Path) -> None:
    remote, outside = tmp_path / "remote", tmp_path / "outside"
    remote.mkdir()
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (remote / "file").symlink_to(outside / "secret")
    (remote / "dir").symlink_to(outside)
    (remote / "gone").symlink_to(outside / "new")
    transport = open_transport(str(remote), {}, {})
    for name in ("file", "dir/secret"):
        with pytest.raises(MalformedError):
            transport.get(name, limit=100)
        with pytest.raises(MalformedError):
            transport.get_range(name, 0, 1)
    for name in ("file", "dir/new", "gone"):
        with pytest.raises(MalformedError):
            transport.put(name, b"1")
    with pytest.raises((EnvironmentFault, MalformedError)):
        transport.delete(["dir/secret"])
    with pytest.raises(MalformedError):
        list(transport.list("dir"))
    assert list(transport.list()) == []
    assert [path.name for path in outside.iterdir()] == ["secret"]
    transport.close()


def test_a_pipe_does_not_make_anybody_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    transport = open_transport(str(tmp_path), {}, {})
    with pytest.raises(MalformedError, match="not a regular file"):
        transport.get("pipe", limit=100)
    assert list(transport.list()) == []
    transport.close()


# ---------------------------------------------------------------- no space, Ctrl-C


@pytest.mark.root
@pytest.mark.skipif(why_no_mounts("tmpfs") is not None, reason=str(why_no_mounts("tmpfs")))
@pytest.mark.parametrize("kind", ["folder", "s3", "sftp"])
def test_a_full_disk_is_called_full_and_leaves_nothing(kind: str, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", 1 << 20) as disk:
        server: Server | None = None
        url, options, environ = str(disk), {}, {}
        if kind == "s3":
            server = start_s3(tmp_path, disk)
            (disk / "bucket").mkdir()
            url, options, environ = "s3://bucket", {"endpoint": server.endpoint}, server.environ
        elif kind == "sftp":
            server = start_sshd(tmp_path)
            url, environ = f"ssh://127.0.0.1:{server.port}{disk}/x", server.environ
        remote = open_transport(url, options, environ, patience=HASTY)
        try:
            assert remote.put("small", b"x" * 1000)
            with pytest.raises(EnvironmentFault, match=r"space|cannot be written") as caught:
                remote.put("big", BIG)
            assert "space" in f"{caught.value} {caught.value.hint}"
            assert [one.name for one in remote.list()] == ["small"]
            assert remote.put("other", b"x" * 500_000)
        finally:
            remote.close()
            if server is not None:
                server.kill()


INTERRUPTED = """
import os, signal, sys, threading, time
from gitprov.store.transports import open_transport
remote = open_transport(sys.argv[1], {"endpoint": sys.argv[2]}, dict(os.environ))
threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    remote.get("a", limit=10)
except KeyboardInterrupt:
    print("interrupted")
remote.close()
"""


def test_ctrl_c_does_not_wait_for_the_server(web: WebServer) -> None:
    ended = threading.Event()

    def late(handler: RangedHandler) -> bool:
        ended.wait(100)
        return handler.answer(503)

    web.misbehave = late
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "s3://bucket", web.url],
        env={**os.environ, **KEYS},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ended.set()  # only now is it answered
    assert done.stdout == "interrupted\n", done.stderr


def test_a_list_that_broke_in_the_middle_goes_on_there(tmp_path: Path) -> None:
    with own_server("s3", tmp_path) as (server, opened):
        folder = server.folder / "bucket" / "x" / "p"
        folder.mkdir(parents=True)
        names = [f"p/{number:05}" for number in range(4500)]
        for name in names:
            (folder.parent / name).write_bytes(b"1")
        remote = opened(Patience(connect=1, silence=0.3, sending=1, pauses=(0.2,) * 20))
        found = []
        for number, one in enumerate(remote.list("p")):
            found.append(one.name)
            if number == 1200:
                server.signal(signal.SIGSTOP)
                threading.Timer(1.0, server.signal, [signal.SIGCONT]).start()
        assert found == names
        remote.close()


def test_keys_of_a_profile_are_not_mixed_with_a_token_of_the_environment(
    s3_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (s3_server.folder / "profiled").mkdir(exist_ok=True)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(
        f"[lab]\naws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n"
    )
    # obstore reads the process's environment on its own.
    wrong = {
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
        "AWS_SESSION_TOKEN": "z",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_REGION": "nowhere",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    options = {"endpoint": s3_server.endpoint, "profile": "lab", "region": "us-east-1"}
    remote = open_transport(
        "s3://profiled", options, {"HOME": str(tmp_path), **wrong}, patience=HASTY
    )
    assert remote.put(f"a{time.time_ns()}", b"1")
    remote.close()
