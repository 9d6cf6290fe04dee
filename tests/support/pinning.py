"""A server of the Pinning Service API on loopback, backed by a real Kubo node.

It follows https://ipfs.github.io/pinning-services-api-spec. `work` is called by the test, so that
nothing happens behind its back: it fetches what was asked for from the node that has it, and pins.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gitprov.devnet.nodes import Node
from gitprov.platform.http import Http

TOKEN = "s3cret-t0ken"


@dataclass
class Pinning:
    """A pinning service: its address, and every pin that it was asked for."""

    node: Node
    source: Node
    url: str = ""
    pins: list[dict[str, Any]] = field(default_factory=list)

    def work(self) -> None:
        """Fetches and pins what waits; what cannot be had fails."""
        for pin in self.pins:
            if pin["status"] == "queued":
                pin["status"] = "pinned" if self._fetch(pin["pin"]["cid"]) else "failed"

    def respond(self, method: str, path: str, token: str, body: bytes) -> tuple[int, Any]:
        """Returns the status and the answer to a request."""
        if token != f"Bearer {TOKEN}":
            return 401, {"error": {"reason": "UNAUTHORIZED"}}
        url = urlsplit(path)
        if (method, url.path) == ("POST", "/pins"):
            pin = {"requestid": str(len(self.pins)), "status": "queued", "pin": json.loads(body)}
            self.pins.append(pin)
            return 202, pin
        if (method, url.path) == ("GET", "/pins"):
            wanted = {name: value[0].split(",") for name, value in parse_qs(url.query).items()}
            found = [
                pin
                for pin in reversed(self.pins)
                if pin["pin"]["cid"] in wanted["cid"]
                # Without a status the API gives only what is pinned.
                and pin["status"] in wanted.get("status", ["pinned"])
            ]
            return 200, {"count": len(found), "results": found[: int(wanted["limit"][0])]}
        if method == "GET" and url.path.startswith("/pins/"):
            return 200, self.pins[int(url.path.rpartition("/")[2])]
        return 404, {"error": {"reason": "NOT_FOUND"}}

    def _fetch(self, name: str) -> bool:
        with Http(timeout=60) as http:
            export = f"{self.source.url}/api/v0/dag/export?arg={name}&offline=true"
            archive = http.request("POST", export)
            if archive.status != 200:
                return False
            end = b"pinning"
            form = b"--%s\r\nContent-Disposition: form-data; name=file; filename=f\r\n\r\n" % end
            done = http.request(
                "POST",
                f"{self.node.url}/api/v0/dag/import?pin-roots=true",
                body=form + archive.body + b"\r\n--%s--\r\n" % end,
                headers={"Content-Type": f"multipart/form-data; boundary={end.decode()}"},
            )
            return done.status == 200 and b'"PinErrorMsg":""' in done.body


@contextmanager
def pinning(node: Node, source: Node) -> Iterator[Pinning]:
    """Runs a pinning service that keeps things on one node, and has them from another."""
    service = Pinning(node, source)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            token = self.headers.get("Authorization") or ""
            status, value = service.respond(self.command, self.path, token, self.rfile.read(length))
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815  # the names that http.server wants

        def log_message(self, *_: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
