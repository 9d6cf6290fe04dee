"""Kubo's RPC, trustless gateways and the Pinning Service API, as far as raw blocks need them.

https://docs.ipfs.tech/reference/kubo/rpc, https://specs.ipfs.tech/http-gateways/trustless-gateway,
https://ipfs.github.io/pinning-services-api-spec. Whatever is served is hashed here.
"""

import io
import json
import re
from collections.abc import Sequence
from typing import Any

from gitprov.core import car, cid
from gitprov.core.car import MAX_BLOCK_BYTES
from gitprov.core.cid import Codec
from gitprov.core.digest import Digest
from gitprov.core.paths import printable
from gitprov.errors import UnavailableError, UsageError, VerificationError
from gitprov.platform.http import Http, Reply, shown

_BOUNDARY = "gitprov-a2c9f0b7d6e5481c"
_IMPORT_SECONDS = 120.0
_REPLY_BYTES = 8 << 20
_BLOCK_REPLY_BYTES = 2 * MAX_BLOCK_BYTES
_TOKEN = re.compile(r"[!-~]+")
"""What an HTTP header can carry. Any other token would be repeated in httpx's message."""

_ABSENT = (b"could not find", b"not found")
"""How Kubo says that a block is not there. Everything else it says is no answer."""

_ORIGINS = 20
"""The Pinning Service API takes no more."""


class Kubo:
    """One Kubo node, through its RPC."""

    def __init__(self, http: Http, url: str) -> None:
        """Takes the address of the RPC, without /api/v0."""
        self._http = http
        self._url = url
        self.where = f"the IPFS node at {shown(url)}"

    def import_car(self, archive: bytes) -> None:
        """Gives an archive to the node, which keeps it and pins its roots.

        A node that does not offer `dag/import` is given the blocks one by one.

        Raises:
            UnavailableError: it does not take it, or not all of it.
        """
        reply = self._post("dag/import?pin-roots=true&silent=false", archive, _IMPORT_SECONDS)
        if reply.status in {404, 405}:
            self._put_each(archive)
            return
        self._expect(reply)
        # An import that breaks off after the answer has begun still has the status 200.
        left = {cid.text_of(root) for root in car.roots_of(archive)}
        for line in reply.body.splitlines():
            name, problem = _pinned(_json(line))
            if problem:
                raise UnavailableError(f"{self.where} did not pin: {printable(problem)[:200]}")
            left.discard(name)
        if left:
            raise UnavailableError(f"{self.where} does not say that it pinned {min(left)}")

    def _put_each(self, archive: bytes) -> None:
        roots, blocks = car.read(io.BytesIO(archive))
        for name, data in blocks:
            codec, _ = cid.parse_bytes(name)
            call = f"block/put?cid-codec={codec}&mhtype=blake3&mhlen=-1"
            reply = self._post(call, data, None)
            self._expect(reply)
            value = _json(reply.body)
            if not isinstance(value, dict) or value.get("Key") != cid.text_of(name):
                raise UnavailableError(f"{self.where} does not name a block as it was asked to")
        for root in roots:
            self._expect(self._call(f"pin/add?arg={cid.text_of(root)}", seconds=_IMPORT_SECONDS))

    def get(self, digest: Digest) -> bytes | None:
        """Returns a block that the node itself has, None when it has it not.

        Raises:
            UnavailableError: the node does not answer.
            VerificationError: what it has is another block.
        """
        call = f"block/get?arg={cid.to_text(digest)}&offline=true"
        reply = self._call(call, limit=_BLOCK_REPLY_BYTES)
        if reply.status == 500 and any(words in reply.body for words in _ABSENT):
            return None
        self._expect(reply)
        return checked(digest, reply.body, self.where)

    def addresses(self) -> list[str]:
        """Returns where the node can be reached by others, for a service that fetches from it.

        Raises:
            UnavailableError: the node does not answer.
        """
        reply = self._call("id")
        self._expect(reply)
        value = _json(reply.body)
        found = value.get("Addresses") if isinstance(value, dict) else None
        return [one for one in found or [] if isinstance(one, str)][:_ORIGINS]

    def _post(self, call: str, body: bytes, seconds: float | None) -> Reply:
        head = (
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=file\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        whole = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        return self._call(call, body=whole, headers=kind, seconds=seconds)

    def _call(
        self,
        call: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
        limit: int = _REPLY_BYTES,
    ) -> Reply:
        return self._http.request(
            "POST",
            f"{self._url}/api/v0/{call}",
            body=body,
            headers=headers,
            limit=limit,
            timeout=seconds,
        )

    def _expect(self, reply: Reply) -> None:
        if reply.status != 200:
            said = printable(reply.body[:300].decode("utf-8", "replace")).strip()
            raise UnavailableError(f"{self.where} refuses (HTTP {reply.status}): {said}")


def from_gateway(http: Http, gateway: str, digest: Digest) -> bytes | None:
    """Returns a block that a trustless gateway serves, None when it does not have it.

    Raises:
        UnavailableError: it does not answer, or not in time, or with too much.
        VerificationError: it serves other bytes.
    """
    reply = http.request(
        "GET",
        f"{gateway}/ipfs/{cid.to_text(digest)}?format=raw",
        headers={"Accept": "application/vnd.ipld.raw"},
        limit=_BLOCK_REPLY_BYTES,
    )
    where = f"the gateway {shown(gateway)}"
    if reply.status in {404, 410, 412, 504}:
        return None
    if 300 <= reply.status < 400:
        raise UnavailableError(
            f"{where} sends elsewhere (HTTP {reply.status}), which is not followed",
            hint="name the address that it leads to in anchors.ipfs.gateways",
        )
    if reply.status != 200:
        raise UnavailableError(f"{where} answers with HTTP {reply.status}")
    return checked(digest, reply.body, where)


def checked(digest: Digest, block: bytes, where: str) -> bytes:
    """Returns a block that is what its CID names.

    Raises:
        VerificationError: it is another.
    """
    if Digest.of(block) != digest:
        raise VerificationError(f"{where} serves other bytes than {cid.to_text(digest)} names")
    return block


class PinningService:
    """A server that pins for us, through the Pinning Service API."""

    def __init__(self, http: Http, url: str, token: str) -> None:
        """Takes its address and the secret token.

        Raises:
            UsageError: the token is missing, or none that can be sent.
        """
        if not _TOKEN.fullmatch(token):
            raise UsageError(
                "the token of the pinning service is empty, or has spaces, line ends or other "
                "characters that cannot be sent",
                hint="anchors.ipfs.pinning_token: env:NAME takes it from the environment",
            )
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.where = f"the pinning service {shown(url)}"

    def pin(
        self, digest: Digest, label: str, *, codec: Codec = "raw", origins: Sequence[str] = ()
    ) -> str:
        """Asks for a pin of a block and all that it leads to, unless there is one.

        Args:
            digest: the block's.
            label: for people.
            codec: what the block is.
            origins: addresses of a node that has it.

        Returns:
            The state.

        Raises:
            UnavailableError: the service does not answer, or refuses.
            UsageError: it refuses the token.
        """
        state = self.state(digest, codec)
        if state is not None and state != "failed":
            return state
        body: dict[str, Any] = {"cid": cid.to_text(digest, codec), "name": label}
        if origins:
            body["origins"] = list(origins)
        return self._state(self._ask("POST", "/pins", json.dumps(body).encode()))

    def state(self, digest: Digest, codec: Codec = "raw") -> str | None:
        """Returns `queued`, `pinning`, `pinned` or `failed`; None when it was never asked for."""
        states = "queued,pinning,pinned,failed"
        found = self._ask("GET", f"/pins?cid={cid.to_text(digest, codec)}&status={states}&limit=1")
        results = found.get("results") if isinstance(found, dict) else None
        if not isinstance(results, list):
            raise UnavailableError(f"{self.where} answers wrongly: no list of pins")
        return self._state(results[0]) if results else None

    def _state(self, value: Any) -> str:
        state = value.get("status") if isinstance(value, dict) else None
        if state not in {"queued", "pinning", "pinned", "failed"}:
            raise UnavailableError(f"{self.where} answers wrongly: no state of a pin")
        return str(state)

    def _ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        reply = self._http.request(
            method, self._url + path, body=body, headers=self._headers, limit=_REPLY_BYTES
        )
        if reply.status in {401, 403}:
            raise UsageError(
                f"{self.where} refuses the token (HTTP {reply.status})",
                hint="anchors.ipfs.pinning_token: env:NAME takes it from the environment",
            )
        if reply.status not in {200, 202}:
            raise UnavailableError(f"{self.where} answers with HTTP {reply.status}")
        return _json(reply.body)


def _pinned(value: Any) -> tuple[str, str]:
    """The CID that a line of `dag/import` tells of, and what went wrong with its pin, or ""."""
    root = value.get("Root") if isinstance(value, dict) else None
    if not isinstance(root, dict):
        return "", ""
    link = root.get("Cid")
    name = link.get("/") if isinstance(link, dict) else None
    return str(name), str(root.get("PinErrorMsg") or "")


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UnavailableError("an IPFS server answers with something that is no JSON") from None
