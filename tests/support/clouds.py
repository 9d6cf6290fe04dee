"""The stores of Google and Azure as their emulators serve them, on loopback.

fake-gcs-server knows the whole JSON API and, of the XML API that obstore speaks, all but the
writing of an object. So one stands in front of it that says this one in the words of the JSON API.
"""

import contextlib
import email.utils
import functools
import hashlib
import hmac
import http.client
import http.server
import json
import shutil
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from gitprov.devnet.finding import find, services_folder
from gitprov.devnet.process import Process, free_port, start
from tests.support.nodes import ENVIRON

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's own, the same everywhere and in its documentation."""


@dataclass(frozen=True)
class Cloud:
    """An object store that runs here.

    Attributes:
        endpoint: what `gitprov remote add --endpoint` is told.
        environ: what a client's environment holds.
        process: the server.
    """

    scheme: str
    endpoint: str
    process: Process
    environ: dict[str, str] = field(default_factory=dict)

    def make_bucket(self, name: str) -> None:
        """Makes a bucket, or what Azure calls a container."""
        if self.scheme == "gs":
            body = json.dumps({"name": name}).encode()
            _ask(self.endpoint, "POST", "/storage/v1/b?project=x", body)
            return
        path = f"/{_ACCOUNT}/{name}"
        date = email.utils.formatdate(usegmt=True)
        headers = {"x-ms-date": date, "x-ms-version": "2023-11-03"}
        signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2023-11-03\n"
        signed += f"/{_ACCOUNT}{path}\nrestype:container"
        code = hmac.new(b64decode(_KEY), signed.encode(), hashlib.sha256).digest()
        headers["Authorization"] = f"SharedKey {_ACCOUNT}:{b64encode(code).decode()}"
        _ask(self.endpoint, "PUT", f"{path}?restype=container", b"", headers)


def _ask(
    endpoint: str, method: str, path: str, body: bytes, headers: dict[str, str] | None = None
) -> None:
    connection = http.client.HTTPConnection(endpoint.split("/")[2])
    with contextlib.closing(connection):
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        assert answer.status < 300, answer.read()


@contextlib.contextmanager
def azure_store(folder: Path) -> Iterator[Cloud]:
    """Starts Azurite, which has one account."""
    program = Path(services_folder(ENVIRON), "azurite/node_modules/azurite/dist/src/blob/main.js")
    node = shutil.which("node")
    if node is None or not program.is_file():
        pytest.skip("Azurite is not installed: `make services` brings it, with npm")
    port = free_port()
    process = start(
        [
            *(node, str(program), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
            *("--location", str(folder), "--silent", "--disableTelemetry", "--skipApiVersionCheck"),
        ],
        folder=str(folder),
        log="azurite.log",
        answers=lambda: _answers(port),
    )
    environ = {"AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT, "AZURE_STORAGE_ACCOUNT_KEY": _KEY}
    try:
        yield Cloud("az", f"http://127.0.0.1:{port}/{_ACCOUNT}", process, environ)
    finally:
        process.stop()


@contextlib.contextmanager
def google_store(folder: Path) -> Iterator[Cloud]:
    """Starts fake-gcs-server, and what stands in front of it."""
    program = find("fake-gcs-server", ENVIRON)
    if program is None:
        pytest.skip("fake-gcs-server is not installed: `make services` brings it, with go")
    port = free_port()
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Front, port=port)
    ) as front:
        process = start(
            [
                *(program, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)),
                *("-backend", "memory", "-log-level", "error"),
                *("-public-host", f"127.0.0.1:{port}"),
            ],
            folder=str(folder),
            log="gcs.log",
            answers=lambda: _answers(port),
        )
        front.daemon_threads = True
        front.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that go
        thread = threading.Thread(target=front.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            environ = {"GOOGLE_SKIP_SIGNATURE": "true"}
            yield Cloud("gs", f"http://127.0.0.1:{front.server_port}", process, environ)
        finally:
            front.shutdown()
            thread.join()
            process.stop()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except OSError:
        return False
    finally:
        connection.close()
    return True


class _Front(http.server.BaseHTTPRequestHandler):
    """Hands every request on; writing an object in the words of the JSON API."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: object, port: int, **more: object) -> None:
        self._port = port
        super().__init__(*args, **more)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._hand_on(self.command, self.path)

    def do_HEAD(self) -> None:
        self._hand_on(self.command, self.path)

    def do_DELETE(self) -> None:
        self._hand_on(self.command, self.path)

    def do_POST(self) -> None:
        self._hand_on(self.command, self.path)

    def do_PUT(self) -> None:
        bucket, _, name = self.path.lstrip("/").partition("/")
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name="
        path += quote(unquote(name), safe="")
        wanted = self.headers.get("x-goog-if-generation-match")
        self._hand_on("POST", path if wanted is None else f"{path}&ifGenerationMatch={wanted}")

    def _hand_on(self, method: str, path: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kept = {"range", "content-type", "if-match", "if-none-match"}
        headers = {key: value for key, value in self.headers.items() if key.lower() in kept}
        connection = http.client.HTTPConnection("127.0.0.1", self._port)
        with contextlib.closing(connection):
            connection.request(method, path, body, {**headers, "Host": f"127.0.0.1:{self._port}"})
            answer = connection.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for key, value in answer.getheaders():
            if key.lower() not in {"content-length", "transfer-encoding", "connection", "date"}:
                self.send_header(key, value)
        if self.command == "PUT" and answer.status < 300:
            self.send_header("ETag", f'"{json.loads(data)["generation"]}"')
        size = answer.getheader("Content-Length") if method == "HEAD" else len(data)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Azure's store, which tests share: each makes a container of its own."""
    with azure_store(tmp_path_factory.mktemp("azure")) as cloud:
        yield cloud


@pytest.fixture(scope="session")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Google's store, which tests share: each makes a bucket of its own."""
    with google_store(tmp_path_factory.mktemp("google")) as cloud:
        yield cloud
