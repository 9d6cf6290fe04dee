"""HTTP to nodes, gateways and calendars: time and size are bounded, redirects are not followed."""

import time
from collections.abc import Mapping
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from gitprov.core.paths import printable
from gitprov.errors import UnavailableError, UsageError

DEFAULT_TIMEOUT = 10.0
DEFAULT_LIMIT = 16 << 20

_CHUNK = 1 << 16


class Reply(NamedTuple):
    """What a server answered, whatever its status."""

    status: int
    body: bytes


class Http:
    """One pool of connections. `timeout` seconds bound a whole request, not one read."""

    def __init__(self, *, timeout: float = DEFAULT_TIMEOUT, deadline: float | None = None) -> None:
        """Opens nothing yet.

        Args:
            timeout: seconds for one request.
            deadline: of `time.monotonic()`, after which no request is sent, and none waited for.
        """
        try:
            import httpx  # an extra: only who talks to a network needs it
        except ImportError as exc:
            raise UsageError(
                "talking to networks needs httpx", hint="pip install 'gitprov[ipfs]'"
            ) from exc
        self.timeout = timeout
        self.deadline = deadline
        self._httpx = httpx
        self._client = httpx.Client(follow_redirects=False, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        url: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        limit: int = DEFAULT_LIMIT,
        timeout: float | None = None,
    ) -> Reply:
        """Sends a request and reads at most `limit` bytes of the answer.

        Raises:
            UnavailableError: no answer in time, or a larger one.
        """
        where = shown(url)
        seconds = self.timeout if timeout is None else timeout
        if self.deadline is not None:
            seconds = min(seconds, self.deadline - time.monotonic())
            if seconds <= 0:
                raise UnavailableError(f"the time was over before {where} was asked")
        deadline = time.monotonic() + seconds
        try:
            with self._client.stream(
                method, url, content=body, headers=headers, auth=auth, timeout=seconds
            ) as response:
                parts: list[bytes] = []
                size = 0
                for part in response.iter_bytes(_CHUNK):
                    size += len(part)
                    if size > limit:
                        raise UnavailableError(f"{where} answers with more than {limit:,} bytes")
                    if time.monotonic() > deadline:
                        raise UnavailableError(f"{where} did not finish within {seconds:.1f} s")
                    parts.append(part)
                return Reply(response.status_code, b"".join(parts))
        except self._httpx.TimeoutException as exc:
            raise UnavailableError(f"{where} did not answer within {seconds:.1f} s") from exc
        except (self._httpx.HTTPError, self._httpx.InvalidURL, UnicodeError, OSError) as exc:
            reason = printable(str(exc))[:200] or type(exc).__name__
            raise UnavailableError(f"cannot reach {where}: {reason}") from exc


def shown(url: str) -> str:
    """Returns an address for people: the server alone, since a path may hold a secret, too."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return printable(f"{parts.scheme}://{parts.hostname or ''}{port}")[:200]
    except ValueError:
        return "an address that is none"


def check_url(url: object, *, what: str) -> str:
    """Returns an http(s) address as it is, or without the slash at its end.

    Raises:
        UsageError: it is none.
    """
    try:
        if isinstance(url, str) and url.isprintable() and " " not in url:
            parts = urlsplit(url)
            if parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0:
                return url.rstrip("/")
    except ValueError:
        pass
    raise UsageError(f"{what} must be an address that begins with http:// or https://")
