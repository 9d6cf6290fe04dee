"""JSON-RPC over HTTP, as Ethereum's and Bitcoin's nodes speak it: single calls and batches."""

import json
from collections.abc import Sequence
from typing import cast

from gitprov.core.canonical import Json
from gitprov.core.paths import printable
from gitprov.errors import UnavailableError
from gitprov.platform.http import DEFAULT_LIMIT, Http, shown

_BATCH = 500
_SHOWN = 300
_HEADERS = {"Content-Type": "application/json"}


class RpcError(Exception):
    """The node answered with an error; `code` and `message` are its own words, made printable."""

    def __init__(self, method: str, code: int, message: str) -> None:
        """Keeps what the node said."""
        super().__init__(f"{method}: {message}")
        self.code = code
        self.message = message


Result = Json | RpcError


class JsonRpc:
    """One node. Numbers in replies are exact where they are whole, and floats otherwise."""

    def __init__(
        self,
        http: Http,
        url: str,
        *,
        auth: tuple[str, str] | None = None,
        version: str = "2.0",
        timeout: float | None = None,
    ) -> None:
        """Takes the address; `version` is "1.0" for Bitcoin's nodes."""
        self._http = http
        self._url = url
        self._auth = auth
        self._version = version
        self._timeout = timeout
        self.where = shown(url)

    def call(self, method: str, *params: Json, limit: int = DEFAULT_LIMIT) -> Json:
        """Calls a method and returns its result.

        Raises:
            RpcError: the node says no.
            UnavailableError: no answer, or one that is not JSON-RPC.
        """
        result = self._parse(method, self._post(self._request(0, method, params), limit))
        if isinstance(result, RpcError):
            raise result
        return result

    def batch(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Result]:
        """Calls many methods, some hundred to a request; an error stands in its place.

        A node that takes no batches is asked one by one.

        Raises:
            UnavailableError: no answer, or one that is not JSON-RPC.
        """
        results: list[Result] = []
        for start in range(0, len(calls), _BATCH):
            results += self._batch(calls[start : start + _BATCH])
        return results

    def _batch(self, calls: Sequence[tuple[str, Sequence[Json]]]) -> list[Result]:
        body = [self._request(number, *call) for number, call in enumerate(calls)]
        replies = self._post(cast("Json", body), 4 * DEFAULT_LIMIT)
        if not isinstance(replies, list):
            return [self._single(method, params) for method, params in calls]
        by_id = {
            reply["id"]: reply
            for reply in replies
            if isinstance(reply, dict) and isinstance(reply.get("id"), int)
        }
        return [
            self._parse(method, by_id[number]) if number in by_id else self._single(method, params)
            for number, (method, params) in enumerate(calls)
        ]

    def _single(self, method: str, params: Sequence[Json]) -> Result:
        try:
            return self.call(method, *params)
        except RpcError as exc:
            return exc

    def _request(self, number: int, method: str, params: Sequence[Json]) -> Json:
        return {"jsonrpc": self._version, "id": number, "method": method, "params": [*params]}

    def _post(self, body: Json, limit: int) -> Json:
        reply = self._http.request(
            "POST",
            self._url,
            body=json.dumps(body).encode(),
            headers=_HEADERS,
            auth=self._auth,
            limit=limit,
            timeout=self._timeout,
        )
        if reply.status in {401, 403}:
            raise UnavailableError(
                f"{self.where} refuses the user or the password (HTTP {reply.status})"
            )
        try:
            # Bitcoin's nodes answer an error with HTTP 500 and a JSON body.
            return cast("Json", json.loads(reply.body))
        except (ValueError, RecursionError):
            raise UnavailableError(
                f"{self.where} does not speak JSON-RPC (HTTP {reply.status})"
            ) from None

    def _parse(self, method: str, reply: Json) -> Result:
        if isinstance(reply, dict):
            error = reply.get("error")
            if isinstance(error, dict):
                code = error.get("code")
                message = printable(str(error.get("message", "")))[:_SHOWN]
                return RpcError(method, code if isinstance(code, int) else 0, message)
            if error is None and "result" in reply:
                return reply["result"]
        raise UnavailableError(f"{self.where} does not speak JSON-RPC: its answer has no result")
