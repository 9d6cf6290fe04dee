"""The README's tour says what the commands say, and the documents name only what exists."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gitprov.cli.main import COMMANDS, cli
from gitprov.config import Config, HooksConfig, StoreConfig
from gitprov.config.anchors import AnchorsConfig
from gitprov.config.remotes import KEYS as REMOTE_KEYS
from gitprov.verify.policy import NETWORKS
from tests.support.nodes import program

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
GENERATED = {ROOT / "docs" / "cli.md", ROOT / "docs" / "benchmarks.md"}
"""Made by `make docs` and `make bench`, which say themselves when they are out of date."""

DOCUMENTS = {"README.md": README, "docs/tutorial.md": TUTORIAL}


def _tour(text: str) -> list[str]:
    """The lines of the tour without what differs between two runs: ids, keys, times, places."""
    tour = text.partition("<!-- tour -->")[2].partition("<!-- /tour -->")[0]
    tour = re.sub(r"\+[A-Za-z0-9+/=]{40,}", "+KEY", tour)
    tour = re.sub(r"\b(0x)?[0-9a-f]{7,64}\b|\bbafkr4i\w+", "ID", tour)
    tour = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", tour)
    tour = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC \([^)]*\)", "DATE", tour)
    tour = re.sub(r"\bblock \d+\b", "block N", tour)
    tour = re.sub(r"\b\d+ confirmations\b", "N confirmations", tour)
    return re.sub(r"\b[0-9,]+ bytes\b", "N bytes", tour).splitlines()


@pytest.mark.slow
def test_the_tour_of_the_readme_is_what_the_commands_say(tmp_path: Path) -> None:
    folders = [str(Path(program(kind)).parent) for kind in ("anvil", "btcd", "ipfs")]
    path = os.pathsep.join([str(Path(sys.executable).parent), *folders, os.environ["PATH"]])
    done = subprocess.run(
        ["sh", str(ROOT / "scripts" / "tour.sh")],
        env={**os.environ, "PATH": path, "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert _tour(done.stdout) == _tour(README), "PATH=.venv/bin:$PATH sh scripts/tour.sh --write"
    assert list(tmp_path.iterdir()) == []


def test_the_readme_names_every_command_once() -> None:
    named = re.findall(r"^\| `gitprov ([a-z-]+)` \|", README, re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    text = DOCUMENTS[name]
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = ROOT / Path(name).parent / path
        assert file.exists() or file in GENERATED, target
        assert path or anchor in anchors, target


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_command_line_in_it_exists(name: str) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENTS[name], re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert any(line.startswith("gitprov ") for line in lines)
    for line in lines:
        if line.startswith("gitprov "):
            _check_options(shlex.split(line.partition("#")[0]))


def _check_options(words: list[str]) -> None:
    context = click.Context(cli)
    command = cli.get_command(context, words[1])
    assert command is not None, words
    rest = words[2:]
    if isinstance(command, click.Group) and rest:
        below = command.get_command(context, rest[0])
        if below is not None:
            command, rest = below, rest[1:]
    options = {option for param in command.params for option in param.opts}
    for word in rest:
        if word in {"|", "&&", ">"}:
            break
        assert not word.startswith("--") or word == "--" or word in options, words


def test_the_tutorial_explains_every_key_of_the_configuration() -> None:
    table = TUTORIAL.partition("## Every key of the configuration")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_.]+)`", table))
    sections: dict[str, type] = {"store": StoreConfig, "hooks": HooksConfig}
    known = {"gitprov", "policy.required", "policy.tlog.keys"}
    known |= {f"policy.{network}" for network in NETWORKS if network != "tlog"}
    for field in dataclasses.fields(Config):
        if field.name in sections:
            below = dataclasses.fields(sections[field.name])
            known |= {f"{field.name}.{one.name}" for one in below}
        elif field.name == "anchors":
            known |= {f"anchors.{one.name}" for one in dataclasses.fields(AnchorsConfig)}
        elif field.name == "remotes":
            known |= {field.name, *REMOTE_KEYS}
        elif field.name != "policy":
            known.add(field.name)
    assert known <= named
