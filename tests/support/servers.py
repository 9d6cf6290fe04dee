"""Real servers that remotes are tested on: S3 (versitygw), sshd, FTP, and a web server.

They run on loopback with folders of their own, so a test may look at what lies there. A server
whose program is missing skips the test and says why.
"""

import contextlib
import functools
import getpass
import http.server
import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitprov.devnet.finding import find, services_folder
from gitprov.devnet.process import Process, free_port, start
from tests.support.nodes import ENVIRON

if TYPE_CHECKING:
    from _typeshed import SupportsRead, SupportsWrite

ACCESS, SECRET = "gitprov", "gitprov-secret"
_SCRIPT = Path(__file__).with_name("sshd.sh")


@dataclass(frozen=True)
class Server:
    """A server, and what it started.

    Attributes:
        port: where it listens on loopback.
        folder: what it serves.
        environ: what a client's environment holds: keys, HOME.
        process: its first process.
    """

    port: int
    folder: Path
    environ: dict[str, str]
    process: Process

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        """Ends it and all its children at once."""
        self.signal(signal.SIGKILL)
        self.process.stop()

    def signal(self, number: int) -> None:
        """SIGSTOP makes it hang, SIGCONT goes on."""
        # sshd's children are in sessions of their own, so the process group is not enough.
        pids = [self.process.pid, *_below(self.process.pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        if number == signal.SIGSTOP:
            _wait_until_stopped(pids)


def _wait_until_stopped(pids: Sequence[int]) -> None:
    """Threads that run on another core answer for a moment yet."""
    for _ in range(500):
        if all(state in "TZ" for pid in pids for state in _states(pid)):
            return
        time.sleep(0.01)
    raise AssertionError(f"{pids} do not stop")


def _states(pid: int) -> Iterator[str]:
    """The states of a process' threads: T is stopped, Z has ended."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            yield stat.read_text().rpartition(")")[2].split()[0]


def _below(pid: int) -> Iterator[int]:
    """The children of a process, and theirs."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from _below(int(child))


def start_s3(folder: Path, data: Path | None = None) -> Server:
    """Starts an S3 server that has no bucket yet; a bucket is a folder in its `folder`."""
    path = find("versitygw", ENVIRON)
    if path is None:
        pytest.skip("versitygw is not installed: `make services` brings it")
    data = data or folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    (folder / "meta").mkdir(exist_ok=True)
    port = free_port()
    process = start(
        [
            *(path, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive"),
            *("--access", ACCESS, "--secret", SECRET),
            *("posix", "--sidecar", str(folder / "meta"), str(data)),
        ],
        folder=str(folder),
        log="versitygw.log",
        answers=lambda: _listens(port),
    )
    environ = {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "HOME": str(folder)}
    return Server(port, data, environ, process)


def start_sshd(folder: Path) -> Server:
    """Starts an sshd that lets this user in with a key, and serves all that the user may see."""
    unpacked = Path(services_folder(ENVIRON)) / "sshd"
    root = "" if os.access("/usr/sbin/sshd", os.X_OK) else str(unpacked)
    if not os.access(f"{root}/usr/sbin/sshd", os.X_OK):
        pytest.skip("sshd is not installed: `make services` brings it")
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed (Debian: openssh-client)")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    process = start(
        ["sh", str(_SCRIPT), str(folder), str(port), root],
        folder=str(folder),
        log="sshd.log",
        answers=lambda: _listens(port),
    )
    (folder / "files").mkdir(exist_ok=True)
    home = folder / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700, exist_ok=True)
    shutil.copy(folder / "key", home / ".ssh" / "id_ed25519")
    know(home, port, folder / "host.pub")
    environ = {"HOME": str(home), "USER": getpass.getuser()}
    return Server(port, folder / "files", environ, process)


def start_ftp(folder: Path, *, write: bool = True) -> Server:
    """Starts an FTP server with one user, whom a client finds in ~/.netrc."""
    data, home = folder / "data", folder / "home"
    data.mkdir(parents=True, exist_ok=True)
    home.mkdir(exist_ok=True)
    port = free_port()
    process = start(
        [
            *(sys.executable, "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port)),
            *("-d", str(data), "-u", ACCESS, "-P", SECRET, *(["-w"] if write else [])),
        ],
        folder=str(folder),
        log="ftp.log",
        answers=lambda: _listens(port),
    )
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1\n  login {ACCESS}\n  password {SECRET}\n")
    netrc.chmod(0o600)
    return Server(port, data, {"HOME": str(home)}, process)


def know(home: Path, port: int, key: Path) -> None:
    """Writes a host's key into a user's known_hosts."""
    kind, value, *_ = key.read_text().split()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {value}\n")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


Misbehaviour = Callable[["RangedHandler"], bool]
"""Answers a request in its own way and says so, or returns False."""


@dataclass
class WebServer:
    """A web server that knows ranges, and can be told to misbehave.

    Attributes:
        asked: the path and the range of every request.
        misbehave: is asked first; every kind of request, not only GET.
        ranged: whether it knows ranges; without, it sends the whole.
        sent: the bytes of all bodies.
    """

    url: str
    folder: Path
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    misbehave: Misbehaviour = lambda _: False
    ranged: bool = True
    sent: int = 0


class RangedHandler(http.server.SimpleHTTPRequestHandler):
    """What Python's own server cannot: `Range: bytes=a-b`."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, web: WebServer, **more: object) -> None:
        self.web = web
        super().__init__(*args, directory=str(web.folder), **more)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.web.asked.append((self.path, self.headers.get("Range")))
        if not self.web.misbehave(self) and not (self.web.ranged and self._range()):
            super().do_GET()

    def do_PUT(self) -> None:
        self.web.asked.append((self.path, None))
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.web.misbehave(self):
            self.answer(501)

    def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] = {}) -> bool:
        """Sends a whole answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.web.sent += len(body)
        return True

    def copyfile(self, source: "SupportsRead[Any]", outputfile: "SupportsWrite[Any]") -> None:
        """Sends a file, and counts what goes out."""
        while part := source.read(1 << 16):
            outputfile.write(part)
            self.web.sent += len(part)

    def half(self) -> bool:
        """Promises more than it sends."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 500)
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)
        return True

    def _range(self) -> bool:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            return False
        data = path.read_bytes()
        first, last = int(wanted[1]), min(int(wanted[2]), len(data) - 1)
        if first >= len(data):
            return self.answer(416)
        place = {"Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return self.answer(206, data[first : last + 1], place)


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[WebServer]:
    """Serves a folder over HTTP on loopback, in threads of this process."""
    folder.mkdir(parents=True, exist_ok=True)
    web = WebServer("", folder)
    handler = functools.partial(RangedHandler, web=web)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that go
        web.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An S3 server that tests share: each makes a bucket, or a prefix, of its own."""
    server = start_s3(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An sshd that tests share: each makes a folder of its own in `folder`."""
    server = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def ftp_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An FTP server that tests share: each makes a folder of its own in `folder`."""
    server = start_ftp(tmp_path_factory.mktemp("ftp"))
    yield server
    server.kill()
