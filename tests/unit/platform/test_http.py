"""HTTP to servers that nobody trusts."""

from collections.abc import Iterator

import pytest

from gitprov.errors import UnavailableError
from gitprov.platform.http import Http, shown
from tests.support.calendar import serving


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(timeout=5) as connections:
        yield connections


def test_what_is_shown_of_an_address_holds_no_secret() -> None:
    address = "https://user:password@node.example:8545/v3/SECRET-KEY?token=SECRET#SECRET"
    assert shown(address) == "https://node.example:8545"


def test_an_error_does_not_repeat_the_key_in_an_address(http: Http) -> None:
    with serving(lambda *_: (200, {}, b"x" * 100)) as url:
        with pytest.raises(UnavailableError) as caught:
            http.request("GET", f"{url}/v3/SECRET-KEY", limit=10)
        assert "SECRET-KEY" not in str(caught.value)


def test_a_redirect_is_not_followed(http: Http) -> None:
    with serving(lambda *_: (302, {"Location": "http://127.0.0.1:1/"}, b"")) as url:
        assert http.request("GET", url).status == 302
