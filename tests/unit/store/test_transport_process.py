"""A remote in a process of its own, for children of a fork: what it may not do is hang."""

import os
import socket
import threading
from pathlib import Path

import pytest

from gitprov.errors import UnavailableError
from gitprov.store import transport_process
from gitprov.store.transport import Listed, MissingError, Patience
from gitprov.store.transport_process import ProcessTransport


def test_it_is_a_transport_like_the_one_that_it_asks(tmp_path: Path) -> None:
    remote = ProcessTransport(str(tmp_path), {}, dict(os.environ), Patience())
    try:
        assert not remote.read_only
        assert remote.put("packs/a", b"12345")
        assert not remote.put("packs/a", b"other")
        remote.replace("list", memoryview(b"x"))
        assert [*remote.list("packs")] == [Listed("packs/a", 5)]
        assert remote.get("packs/a", limit=5) == b"12345"
        assert remote.get_range("packs/a", 1, 2) == b"23"
        assert remote.get_ranges("packs/a", [(0, 1), (4, 1)]) == [b"1", b"5"]
        remote.delete(["packs/a"])
        with pytest.raises(MissingError) as caught:
            remote.get("packs/a", limit=5)
        assert caught.value.name == "packs/a"
        assert str(tmp_path) in str(caught.value)
    finally:
        remote.close()
    remote.close()
    with pytest.raises(UnavailableError, match="was closed"):
        remote.get("list", limit=5)


def test_it_can_be_closed_while_a_server_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_process, "_END_SECONDS", 0.2)
    refused: list[UnavailableError] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        remote = ProcessTransport(url, {}, dict(os.environ), Patience(silence=3600, pauses=()))

        def ask() -> None:
            try:
                remote.get("list", limit=5)
            except UnavailableError as exc:
                refused.append(exc)

        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        connection, _ = silent.accept()  # now it waits for an answer
        remote.close()
        asking.join(60)
        connection.close()
    assert len(refused) == 1
