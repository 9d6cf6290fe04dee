"""Kubo's RPC, trustless gateways and the Pinning Service API, as far as raw blocks need them.

https://docs.ipfs.tech/reference/kubo/rpc, https://specs.ipfs.tech/http-gateways/trustless-gateway,
https://ipfs.github.io/pinning-services-api-spec. Whatever is served is hashed here.
"""

import json
from typing import Any

from gitprov.core import cid
from gitprov.core.car import MAX_BLOCK_BYTES
from gitprov.core.digest import Digest
from gitprov.core.paths import printable
from gitprov.errors import UnavailableError, VerificationError
from gitprov.platform.http import Http, Reply, shown

_BOUNDARY = "gitprov-a2c9f0b7d6e5481c"
_IMPORT_SECONDS = 120.0
_REPLY_BYTES = 8 << 20


class Kubo:
    """One Kubo node, through its RPC."""

    def __init__(self, http: Http, url: str) -> None:
        """Takes the address of the RPC, without /api/v0."""
        self._http = http
        self._url = url
        self.where = f"the IPFS node at {shown(url)}"

    def import_car(self, archive: bytes) -> None:
        """Gives an archive to the node, which keeps and pins its roots.

        Raises:
            UnavailableError: it does not take it, or not all of it.
        """
        reply = self._post("dag/import?pin-roots=true&silent=false", archive, _IMPORT_SECONDS)
        for line in reply.body.splitlines():
            value = _json(line)
            root = value.get("Root") if isinstance(value, dict) else None
            problem = root.get("PinErrorMsg") if isinstance(root, dict) else None
            if problem:
                raise UnavailableError(f"{self.where} did not pin: {printable(str(problem))[:200]}")

    def get(self, digest: Digest) -> bytes | None:
        """Returns a block that the node itself has, None when it has it not.

        Raises:
            UnavailableError: the node does not answer.
            VerificationError: what it has is another block.
        """
        reply = self._call(f"block/get?arg={cid.to_text(digest)}&offline=true")
        if reply.status == 500:
            return None  # Kubo's way to say that it is not there
        self._expect(reply)
        return checked(digest, reply.body, self.where)

    def _post(self, call: str, body: bytes, seconds: float) -> Reply:
        head = (
            f"--{_BOUNDARY}\r\nContent-Disposition: form-data; name=file; filename=file\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        whole = head.encode() + body + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = {"Content-Type": f"multipart/form-data; boundary={_BOUNDARY}"}
        reply = self._call(call, body=whole, headers=kind, seconds=seconds)
        self._expect(reply)
        return reply

    def _call(
        self,
        call: str,
        *,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        seconds: float | None = None,
    ) -> Reply:
        return self._http.request(
            "POST",
            f"{self._url}/api/v0/{call}",
            body=body,
            headers=headers,
            limit=_REPLY_BYTES,
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
        limit=2 * MAX_BLOCK_BYTES,
    )
    where = f"the gateway {shown(gateway)}"
    if reply.status in {404, 410, 412, 504}:
        return None
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
        """Takes its address and the secret token."""
        self._http = http
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.where = f"the pinning service {shown(url)}"

    def pin(self, digest: Digest, name: str) -> str:
        """Asks for a pin, unless there is one; returns its state.

        Raises:
            UnavailableError: the service does not answer, or refuses.
        """
        state = self.state(digest)
        if state is not None and state != "failed":
            return state
        body = json.dumps({"cid": cid.to_text(digest), "name": name}).encode()
        return self._state(self._ask("POST", "/pins", body))

    def state(self, digest: Digest) -> str | None:
        """Returns `queued`, `pinning`, `pinned` or `failed`; None when it was never asked for."""
        states = "queued,pinning,pinned,failed"
        found = self._ask("GET", f"/pins?cid={cid.to_text(digest)}&status={states}&limit=1")
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
            raise UnavailableError(f"{self.where} refuses the token (HTTP {reply.status})")
        if reply.status not in {200, 202}:
            raise UnavailableError(f"{self.where} answers with HTTP {reply.status}")
        return _json(reply.body)


def _json(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise UnavailableError("an IPFS server answers with something that is no JSON") from None
