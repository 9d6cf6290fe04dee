"""Calendars, gateways and pinning servers that misbehave: one sentence, and nothing is believed."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from gitprov.anchors.base import Statement
from gitprov.anchors.ipfs_client import PinningService, from_gateway
from gitprov.anchors.opentimestamps import OpenTimestampsAnchor
from gitprov.config.anchors import OpenTimestampsConfig
from gitprov.core import cid
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.errors import UnavailableError, UsageError, VerificationError
from gitprov.platform.http import Http
from tests.support.calendar import Respond, calendar, serving

HEAD = Statement(Sha256Digest(b"\7" * 32), 7, "")
BLOCK = b"a block"
DIGEST = Digest.of(BLOCK)

HOSTILE: dict[str, Respond] = {
    "garbage": lambda *_: (200, {}, b"garbage"),
    "nothing": lambda *_: (200, {}, b""),
    "ten megabytes": lambda *_: (200, {}, b"\0" * (10 << 20)),
    "an error": lambda *_: (500, {}, b"no"),
    "a redirect": lambda *_: (302, {"Location": "file:///etc/passwd"}, b""),
}


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=5) as connections:
        yield connections


def stamper(http: Http, *urls: str, minimum: int = 2) -> OpenTimestampsAnchor:
    config = OpenTimestampsConfig(calendars=urls, minimum=minimum)
    return OpenTimestampsAnchor(config, http, headers=None, clock=time.time)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_calendar_that_answers_badly_does_not_count(kind: str, http: Http) -> None:
    with calendar() as good, serving(HOSTILE[kind]) as bad:
        anchor = stamper(http, good.url, bad)
        with pytest.raises(UnavailableError, match="1 of 2 calendars took the digest"):
            anchor.submit(anchor.prepare(HEAD, []))
        enough = stamper(http, good.url, bad, minimum=1)
        progress = enough.submit(enough.prepare(HEAD, []))
        assert progress.state == "pending"
        assert good.url in progress.detail


def test_a_promise_of_a_calendar_that_nobody_configured_is_not_followed(http: Http) -> None:
    asked: list[str] = []

    def spy(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        del method, body
        asked.append(path)
        return 404, {}, b""

    with ExitStack() as stack:
        good = stack.enter_context(calendar())
        other = stack.enter_context(serving(spy))
        good_url, good.url = good.url, other
        first = stamper(http, good_url, minimum=1)
        submission = first.prepare(HEAD, [])
        progress = first.submit(submission)
        first.refresh([replace(submission, receipt=progress.receipt)], was="pending")
    assert asked == []


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in {"garbage", "nothing"}])
def test_a_gateway_that_answers_badly_is_unavailable(kind: str, http: Http) -> None:
    with serving(HOSTILE[kind]) as url, pytest.raises(UnavailableError):
        from_gateway(http, url, DIGEST)


def test_a_gateway_that_serves_other_bytes_is_found_out(http: Http) -> None:
    with (
        serving(lambda *_: (200, {}, b"another block")) as url,
        pytest.raises(VerificationError, match="serves other bytes"),
    ):
        from_gateway(http, url, DIGEST)


def test_a_gateway_that_has_it_serves_it(http: Http) -> None:
    with serving(lambda *_: (200, {}, BLOCK)) as url:
        assert from_gateway(http, url, DIGEST) == BLOCK
    with serving(lambda *_: (404, {}, b"")) as url:
        assert from_gateway(http, url, DIGEST) is None


def test_a_pinning_service_is_asked_once_and_its_states_are_told(http: Http) -> None:
    pins: dict[str, str] = {}

    def service(method: str, path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        if method == "POST":
            name = json.loads(body)["cid"]
            assert name not in pins
            pins[name] = "queued"
            return 202, {}, json.dumps({"status": "queued"}).encode()
        assert cid.to_text(DIGEST) in path
        found = [{"status": state} for state in pins.values()]
        return 200, {}, json.dumps({"count": len(found), "results": found}).encode()

    with serving(service) as url:
        pinning = PinningService(http, url, "token")
        assert pinning.state(DIGEST) is None
        assert pinning.pin(DIGEST, "head") == "queued"
        pins[cid.to_text(DIGEST)] = "pinned"
        assert pinning.pin(DIGEST, "head") == "pinned"


@pytest.mark.parametrize(("status", "error"), [(401, UsageError), (500, UnavailableError)])
def test_a_pinning_service_that_refuses_is_told(
    status: int, error: type[Exception], http: Http
) -> None:
    with serving(lambda *_: (status, {}, b"{}")) as url, pytest.raises(error):
        PinningService(http, url, "token").state(DIGEST)
