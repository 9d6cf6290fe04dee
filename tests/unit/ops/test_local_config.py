"""The clone's own configuration is merged, checked before it is written, and private."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitprov.errors import UsageError
from gitprov.ops.local_config import read_local_config, update_local_config
from gitprov.ops.networks import anchors_config
from gitprov.workspace import Workspace
from tests.support.repos import make_repo


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.open(str(make_repo(tmp_path / "r"))) as ws:
        yield ws


def test_changes_are_merged_and_none_takes_out(ws: Workspace) -> None:
    update_local_config(ws, {"anchors": {"ethereum": {"url": "http://a", "chain_id": 7}}})
    update_local_config(ws, {"anchors": {"ethereum": {"chain_id": None, "mode": "calldata"}}})
    update_local_config(ws, {"anchors": {"ipfs": {"url": "http://b"}}, "name": "n"})
    assert read_local_config(ws) == {
        "anchors": {
            "ethereum": {"url": "http://a", "mode": "calldata"},
            "ipfs": {"url": "http://b"},
        },
        "name": "n",
    }
    assert anchors_config(ws).ethereum.mode == "calldata"


def test_the_file_is_private_and_goes_when_nothing_is_left(ws: Workspace) -> None:
    path = Path(update_local_config(ws, {"anchors": {"bitcoin": {"password": "p"}}}))
    assert path == Path(ws.repo.data_dir) / "config.yaml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    update_local_config(ws, {"anchors": {"bitcoin": {"password": None}}})
    assert not path.exists()
    assert read_local_config(ws) == {}
    update_local_config(ws, {"anchors": None})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"anchors": {"ethereum": {"mode": "guess"}}}, r"anchors\.ethereum\.mode"),
        ({"anchors": {"ethreum": {"url": "http://x"}}}, r"unknown key anchors\.ethreum"),
        ({"anchors": {"ethereum": {"key": "0x" + "11" * 32}}}, "never stands in a configuration"),
        ({"anchors": {"bitcoin": {"url": "ftp://x"}}}, r"http://"),
        ({"anchors": 7}, "anchors"),
        ({"hooks": {"check": "maybe"}}, "check"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_would_be_no_configuration_is_not_written(
    ws: Workspace, changes: dict[str, object], says: str
) -> None:
    path = Path(update_local_config(ws, {"name": "kept"}))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=says) as caught:
        update_local_config(ws, changes)  # type: ignore[arg-type]  # what a caller should not give
    assert "11" * 32 not in str(caught.value)
    assert path.read_bytes() == before


def test_a_file_that_is_broken_already_is_left_alone(ws: Workspace) -> None:
    path = Path(ws.repo.data_dir) / "config.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    for text in (b"a: [", b"\xff", b"- 1\n"):
        path.write_bytes(text)
        with pytest.raises(UsageError, match=r"config\.yaml"):
            update_local_config(ws, {"name": "n"})
        assert path.read_bytes() == text
