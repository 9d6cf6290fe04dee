"""A calendar of OpenTimestamps on loopback: it takes digests, and puts them into a real chain.

It speaks the protocol with the stock library. `commit` is called by the test, so nothing happens
behind its back: all digests so far go under one root, and that into one Bitcoin transaction.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import Timestamp, make_merkle_tree

from gitprov.anchors.base import Statement
from gitprov.anchors.bitcoin import BitcoinAnchor
from gitprov.config.anchors import BitcoinConfig
from gitprov.core.digest import Sha256Digest
from gitprov.devnet.nodes import Node
from gitprov.model.receipt_bitcoin import BitcoinReceipt
from gitprov.platform.http import Http
from tests.support.nodes import MINER, MINER_ADDRESS


@dataclass
class Calendar:
    """A calendar: what it was given, and what it can lead to a block by now."""

    url: str = ""
    waiting: dict[bytes, Timestamp] = field(default_factory=dict)
    complete: dict[bytes, Timestamp] = field(default_factory=dict)

    def take(self, digest: bytes) -> bytes:
        """Returns the promise for a digest, as it goes over the wire."""
        timestamp = Timestamp(digest)
        commitment = timestamp.ops.add(OpAppend(b"calendar")).ops.add(OpSHA256())
        commitment.attestations.add(PendingAttestation(self.url))
        self.waiting[commitment.msg] = Timestamp(commitment.msg)
        return _wire(timestamp)

    def commit(self, node: Node, folder: Path, *, blocks: int = 6) -> None:
        """Puts everything that waits into a block of a real chain, and blocks on top."""
        stamps = list(self.waiting.values())
        top = make_merkle_tree(stamps)
        digest = hashlib.sha256(top.msg).digest()
        end = top.ops.add(OpSHA256())
        receipt = _anchored(node, folder, digest, blocks)
        place = receipt.place
        assert place is not None
        before, _, after = receipt.raw.partition(digest)
        end = end.ops.add(OpPrepend(before)).ops.add(OpAppend(after))
        end = end.ops.add(OpSHA256()).ops.add(OpSHA256())
        index = place.index
        for beside in place.branch:
            end = end.ops.add(OpPrepend(beside) if index & 1 else OpAppend(beside))
            end = end.ops.add(OpSHA256()).ops.add(OpSHA256())
            index >>= 1
        end.attestations.add(BitcoinBlockHeaderAttestation(place.height))
        self.complete |= self.waiting
        self.waiting = {}


def _anchored(node: Node, folder: Path, digest: bytes, blocks: int) -> BitcoinReceipt:
    config = BitcoinConfig(
        url=node.url, user=node.user, password=node.password, chain="regtest", confirmations=1
    )
    with Http() as http:
        anchor = BitcoinAnchor(
            config,
            http,
            key=lambda: MINER,
            secret=lambda value: value,
            data_dir=str(folder),
            clock=lambda: 0.0,
        )
        submission = anchor.prepare(Statement(Sha256Digest(digest), 1, ""), [])
        anchor.submit(submission)
        node.mine(blocks, MINER_ADDRESS)
        return BitcoinReceipt.parse(anchor.refresh([submission], was="pending").receipt)


def _wire(timestamp: Timestamp) -> bytes:
    context = BytesSerializationContext()
    timestamp.serialize(context)
    return bytes(context.getbytes())


@contextmanager
def serving(respond: "Respond") -> Iterator[str]:
    """Answers HTTP on loopback with what a function makes of method, path and body."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, headers, body = respond(self.command, self.path, self.rfile.read(length))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
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
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


Respond = Any
"""(method, path, body) -> (status, headers, body)."""


@contextmanager
def calendar() -> Iterator[Calendar]:
    """Runs a calendar."""
    one = Calendar()

    def respond(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if (method, path) == ("POST", "/digest"):
            return 200, {}, one.take(body)
        if method == "GET" and path.startswith("/timestamp/"):
            found = one.complete.get(bytes.fromhex(path.rpartition("/")[2]))
            return (404, {}, b"Pending") if found is None else (200, {}, _wire(found))
        return 404, {}, b""

    with serving(respond) as url:
        one.url = url
        yield one
