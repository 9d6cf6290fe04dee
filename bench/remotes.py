"""Measures push and pull beside the peers, to a folder and to S3.

Writes docs/benchmarks-remotes.md. Run it by `make bench-remotes`; `make bench` runs it too.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import shutil
import socket
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import SHARED, Dataset, put_in_front, replace_one
from bench.measure import CommandFailedError, Runner, content_size, settle, stored_bytes
from bench.peers import FAMILIES, environment, line_up
from bench.remotes_page import PLACES, to_page
from bench.report import Results, machine
from bench.scenarios import Setting, commit, generate_apart, new_repository
from bench.sharing import ACCESS, BUCKET, SECRET, SHARING, Place
from gitprov.devnet.finding import find
from gitprov.devnet.process import Process, free_port, start

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT = Path(__file__).resolve().parent.parent
_BASE = _ROOT / ".bench"
_SAMPLES = "results-remotes.json"
_REPEATS = 3
_QUICK_DIVISOR = 20


def main() -> int:
    """Runs the benchmark; exit code 1 if some tool failed at something."""
    options = _options()
    divisor = _QUICK_DIVISOR if options.quick else 1
    lineup = line_up(list(FAMILIES) if options.add else options.tools, _BASE)
    lineup.tools = [tool for tool in lineup.tools if "hardlink" not in tool.name]
    work = options.dir.resolve() / f"remotes-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    work.mkdir(parents=True)
    results = Results(
        datetime.now(UTC), divisor, options.runs, machine(work), lineup.tools, lineup.versions,
        lineup.absent,
    )  # fmt: skip
    try:
        with _places(work) as places:
            for _ in range(options.runs):
                for key in options.data:
                    for place in (one for one in places if one.name in options.places):
                        _measure_all(results, key, place, work, options)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if options.add:
        _add_before(results, json.loads((_BASE / _SAMPLES).read_text("utf-8")))
    page = to_page(results)
    (_BASE / _SAMPLES).write_text(results.to_json(), "utf-8")
    if not options.quick:
        (_ROOT / "docs" / "benchmarks-remotes.md").write_text(page, "utf-8")
    print(page)
    return 1 if results.failures else 0


def _add_before(results: Results, before: dict[str, Any]) -> None:
    """Adds what an earlier run measured and this one did not."""
    for cell, samples in before["samples"].items():
        results.samples[cell] = {**samples, **results.samples.get(cell, {})}
    for where, reason in before["failures"].items():
        data, _, rest = where.partition(" to ")
        place, _, tool = rest.partition(" with ")
        if tool not in results.samples.get(f"{data} {place} push", {}):
            results.failures.setdefault(where, reason)


def _measure_all(
    results: Results, key: str, place: Place, work: Path, options: argparse.Namespace
) -> None:
    for tool in (one for one in results.tools if one.family in options.tools):
        if place.port is not None and _cannot_s3(tool.family, place):
            continue
        name = f"{key}-{place.name}-{tool.family}-{len(list(work.iterdir()))}"
        here = replace(place, folder=place.folder / name.lower())
        env = environment(tool, work / name / "home")
        env |= {"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET}
        env |= {"AWS_DEFAULT_REGION": "us-east-1", "GIT_LFS_SKIP_SMUDGE": "1"}
        record = functools.partial(_record, results, f"{key} {place.name}", tool.name)
        setting = Setting(tool, work / name, env, options.timeout, record)
        print(f"bench: {key} to {place.name} with {tool.name}", flush=True)
        try:
            _share(setting, SHARED[key].scaled(results.divisor), results.divisor, here)
        except (CommandFailedError, OSError) as exc:
            results.failures[f"{key} to {place.name} with {tool.name}"] = str(exc)
            print(f"bench: failed: {exc}", file=sys.stderr, flush=True)
        if SHARED[key].single:
            # All of them do not fit on a disk. To delete a hundred thousand small files would make
            # the next ones slow, so those stay to the end.
            shutil.rmtree(setting.folder, ignore_errors=True)
            shutil.rmtree(here.folder, ignore_errors=True)


def _cannot_s3(family: str, place: Place) -> bool:
    return family == "git-lfs" or (family == "git-annex" and not place.for_annex)


def _record(results: Results, where: str, tool: str, step: str, value: float) -> None:
    print(f"bench:   {step}: {value:,.2f}", flush=True)
    results.add(f"{where} {step}", tool, value)


def _share(setting: Setting, dataset: Dataset, divisor: int, place: Place) -> None:
    """Push, again, after a change; pull into a fresh clone, again."""
    tool, sharing = setting.tool, SHARING[setting.tool.family]
    artifact = "data.bin" if dataset.single else "data"
    run = new_repository(setting, artifact)
    path = run.folder / artifact
    generate_apart(dataset, path, divisor)
    run(*tool.add(artifact))
    commit(run, "data")
    place.folder.mkdir(parents=True)
    sharing.connect(run, place, clone=False)
    settle()
    setting.record("push", run(*sharing.push).seconds)
    first = stored_bytes(place.folder, leave_out=path)
    setting.record("push, bytes", first)
    for _ in range(_REPEATS):
        setting.record("push again", run(*sharing.push).seconds)

    if dataset.single:
        put_in_front(path)
    else:
        replace_one(dataset, path)
    run(*tool.add(artifact))
    commit(run, "change")
    settle()
    setting.record("push changed", run(*sharing.push).seconds)
    setting.record("push changed, bytes", stored_bytes(place.folder, leave_out=path) - first)

    clone = Runner(setting.folder / "clone", setting.env, setting.timeout)
    run("git", "clone", "--quiet", str(run.folder), str(clone.folder))
    sharing.connect(clone, place, clone=True)
    settle()
    setting.record("pull", clone(*sharing.pull).seconds)
    if content_size(clone.folder / artifact) != content_size(path):
        raise CommandFailedError("the content did not come whole")
    for _ in range(_REPEATS):
        setting.record("pull again", clone(*sharing.pull).seconds)


@contextlib.contextmanager
def _places(work: Path) -> Iterator[list[Place]]:
    """A folder, and an S3 server on loopback where its program is installed."""
    folder = Place("folder", work / "remotes")
    path = find("versitygw", {"HOME": str(Path.home())})
    if path is None:
        print("bench: no S3: versitygw is missing, `make services` brings it", file=sys.stderr)
        yield [folder]
        return
    data = work / "s3" / "data"
    (data / BUCKET).mkdir(parents=True)
    (work / "s3" / "meta").mkdir()
    port = free_port()
    servers = [_serve(path, data, port, "us-east-1")]
    for_annex = _is_free(80)
    if for_annex:
        servers.append(_serve(path, data, 80, "127.0.0.1"))
    try:
        yield [folder, Place("S3", data / BUCKET, port, for_annex=for_annex)]
    finally:
        for process in servers:
            process.stop()


def _serve(path: str, data: Path, port: int, region: str) -> Process:
    return start(
        [
            *(path, "--port", f"127.0.0.1:{port}", "--quiet", "--keep-alive", "--region", region),
            *("--access", ACCESS, "--secret", SECRET),
            *("posix", "--sidecar", str(data.parent / "meta"), str(data)),
        ],
        folder=str(data.parent),
        log=f"versitygw-{port}.log",
        answers=lambda: _listens(port),
    )


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.remotes", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a trial with 1/20 of the data")
    parser.add_argument("--data", nargs="+", choices=SHARED, default=list(SHARED))
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES))
    parser.add_argument("--tools", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument(
        "--add", action="store_true", help="what is not measured now is taken from the last run"
    )
    parser.add_argument("--dir", type=Path, default=_BASE / "work", help="needs 40 GB")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one command")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
