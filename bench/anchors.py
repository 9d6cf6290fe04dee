"""Measures anchors on real nodes of this machine, and writes docs/benchmarks-anchors.md.

Whole processes where a user waits for one; medians of the runs. Run it by `make bench-anchors`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import yaml

from gitprov.anchors.base import Statement
from gitprov.anchors.ethereum import EthereumAnchor
from gitprov.config.anchors import EthereumConfig
from gitprov.core.digest import Sha256Digest
from gitprov.devnet.finding import find
from gitprov.devnet.nodes import Node, start_anvil
from gitprov.model.receipt_ethereum import EthereumReceipt
from gitprov.platform.http import Http
from gitprov.verify.ethereum import check

RUNS = 5
ANCHORS = 10_000
PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-anchors.md"
NETWORKS = ("ethereum", "bitcoin", "ipfs")
_ETHER = 10**18

Row = tuple[str, str]


def main() -> int:
    """Measures everything; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [*_processes(Path(folder)), *_many(Path(folder))]
    lines = [f"| {what} | {figure} |" for what, figure in rows]
    PAGE.write_text(_TEXT.format(rows="\n".join(lines)), encoding="utf-8")
    print("\n".join(lines))
    return 0


def _processes(folder: Path) -> Iterator[Row]:
    repo = folder / "repo"
    origin = folder / "origin.git"
    _git(folder, "init", "-q", "--bare", "origin.git")
    _git(folder, "init", "-q", "-b", "main", "repo")
    _git(repo, "remote", "add", "origin", str(origin))
    _gitprov(repo, "init", "--no-hooks", "--quiet")
    bare = "-c", "core.hooksPath=/nonexistent"
    yield "`git commit`, no hooks", _median(lambda: _commit(repo, *bare))
    yield "`git push` of one commit, no hooks", _pushed(repo, *bare)
    _gitprov(repo, "install", "--quiet")
    yield "`git commit` with the hooks", _median(lambda: _commit(repo))
    yield "`git push` of one commit with the hooks, log only", _pushed(repo)
    _gitprov(repo, "devnet", "up", "--quiet")
    try:
        yield from _networks(repo)
    finally:
        _gitprov(repo, "devnet", "down", "--quiet")


def _networks(repo: Path) -> Iterator[Row]:
    yield "`git push` of one commit, anchored on three networks", _pushed(repo)
    config = repo / ".git/gitprov/config.yaml"
    text = config.read_text(encoding="utf-8")
    section = yaml.safe_load(text)
    section["hooks"] = {"post_commit": "anchor"}
    config.write_text(yaml.safe_dump(section), encoding="utf-8")
    yield "`git commit` that anchors in the background", _median(lambda: _commit(repo))
    config.write_text(text, encoding="utf-8")
    time.sleep(10)  # what was started in the background ends
    for network in NETWORKS:

        def anchor(name: str = network) -> None:
            _gitprov(repo, "anchor", "--network", name, "--quiet")

        yield f"`gitprov anchor --network {network}`, one commit", _median(anchor, _new(repo))
    yield "`gitprov verify`, three networks asked", _median(lambda: _verify(repo))
    yield "`gitprov verify --offline`", _median(lambda: _verify(repo, "--offline"))


def _many(folder: Path) -> Iterator[Row]:
    """Ten thousand anchors in as many transactions and blocks: what `verify` asks and checks."""
    with _anvil(folder) as node, Http() as http:
        secret = os.urandom(32)
        config = EthereumConfig(url=node.url, mode="calldata")
        anchor = EthereumAnchor(config, http, key=lambda: secret, clock=time.time)
        node.rpc("anvil_setBalance", f"0x{anchor.signer[1].hex()}", hex(10**6 * _ETHER))
        receipts = []
        for number in range(ANCHORS):
            digest = Sha256Digest(number.to_bytes(32, "big"))
            submission = anchor.prepare(Statement(digest, number + 1, ""), [])
            receipts.append((digest, anchor.submit(submission), submission))
        done = [
            (digest, anchor.refresh([replace(one, receipt=progress.receipt)], was="pending"))
            for digest, progress, one in receipts
        ]
        began = time.monotonic()
        answers = anchor.gather([progress.receipt for _, progress in done])
        asked = time.monotonic()
        for (digest, progress), answer in zip(done, answers, strict=True):
            place = check(EthereumReceipt.parse(progress.receipt), digest.raw)
            if place is None or place.block != answer.block:
                raise SystemExit(f"an anchor does not hold: {progress.detail}")
        ended = time.monotonic()
    yield f"{ANCHORS:,} different anchors: asking anvil", f"{asked - began:.2f} s"
    yield f"{ANCHORS:,} different anchors: checking proofs and signatures", f"{ended - asked:.2f} s"


@contextmanager
def _anvil(folder: Path) -> Iterator[Node]:
    program = find("anvil", os.environ)
    if program is None:
        raise SystemExit("anvil is not installed: make services")
    with start_anvil(program, str(folder)) as node:
        yield node


def _median(run: Callable[[], object], before: Callable[[], object] | None = None) -> str:
    seconds = []
    for _ in range(RUNS):
        if before is not None:
            before()
        began = time.monotonic()
        run()
        seconds.append(time.monotonic() - began)
    return f"{statistics.median(seconds) * 1000:,.0f} ms"


def _pushed(repo: Path, *options: str) -> str:
    return _median(lambda: _git(repo, *options, "push", "-q", "origin", "main"), _new(repo))


def _new(repo: Path) -> Callable[[], None]:
    return lambda: _commit(repo)


def _commit(repo: Path, *options: str) -> None:
    _git(repo, *options, "commit", "-q", "--allow-empty", "-m", "one more")


def _verify(repo: Path, *options: str) -> None:
    subprocess.run([*_GITPROV, "verify", "--quiet", *options], cwd=repo, capture_output=True)


def _gitprov(repo: Path, *arguments: str) -> None:
    subprocess.run([*_GITPROV, *arguments], cwd=repo, check=True, stdout=subprocess.DEVNULL)


def _git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


_GITPROV = (sys.executable, "-m", "gitprov")

_TEXT = """# Benchmarks: anchors

<!-- Written by `make bench-anchors`. -->

On real nodes on the same machine (anvil, btcd, kubo), 2 cores. Medians of 5 runs of whole
processes, where nothing else is said. Public networks add their own time to answer.

| work | time |
|---|---:|
{rows}

What a head costs in gas and satoshi is in [anchors.md](anchors.md#what-it-costs): one transaction
witnesses one head, whatever the number of commits under it.
"""

if __name__ == "__main__":
    sys.exit(main())
