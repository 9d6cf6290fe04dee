"""Runs of commands: recorded, committed, compared, verified, tampered with, interrupted."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gitprov.errors import EnvironmentFault, UsageError
from gitprov.git.log import read_log_key
from gitprov.git.writer import write as write_notes
from gitprov.model.note import StatementLine
from gitprov.model.run import Leaf, Run, format_run, parse_run
from gitprov.ops.evidence_logs import open_logs
from gitprov.ops.evidence_runs import RunLooker
from gitprov.ops.recording import Recording
from gitprov.ops.runs import list_runs, save_run
from gitprov.workspace import Workspace
from tests.support.cli import GITPROV, gitprov, ok
from tests.support.repos import git, isolated_environment, make_repo, write

PYTHON = sys.executable


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = make_repo(tmp_path / "repo")
    write(repo, {"data/a.csv": "1\n2\n", "train.py": "print('training')\n"})
    ok(repo, "init")
    ok(repo, "add", "data")
    git(repo, "add", "train.py")
    git(repo, "commit", "-q", "-m", "first")
    return repo


def run(repo: Path, *argv: str, code: int = 0) -> Run:
    """Runs a command as its user does, and returns the newest run."""
    done = subprocess.run(
        [GITPROV, "run", "--", *argv], cwd=repo, env=isolated_environment(), capture_output=True
    )
    assert done.returncode == code, done.stderr
    return newest(repo)


def newest(repo: Path) -> Run:
    found = max((repo / "runs").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    return parse_run(found.read_bytes())


def test_a_command_is_recorded_with_what_it_read_and_wrote(repo: Path) -> None:
    script = "open('data/a.csv', 'a').write('3\\n')"
    done = run(repo, PYTHON, "-c", script)
    assert done.outcome == "completed"
    assert [leaf["type"] for leaf in done.leaves] == [
        *("run", "environment", "input", "output", "results", "end")
    ]
    [read] = done.of_type("input")
    [wrote] = done.of_type("output")
    assert read["artifact"] != wrote["artifact"]
    ok(repo, "add", "data")
    shown = ok(repo, "status", "--json").json["artifacts"][0]
    assert wrote["artifact"] == {**wrote["artifact"], "root": shown["root"]}  # type: ignore[dict-item]
    assert done.leaves[0]["argv"] == [PYTHON, "-c", script]
    assert done.leaves[0]["clean"] is True


def test_the_commands_output_streams_through_untouched(repo: Path) -> None:
    script = (
        "import sys; sys.stdout.buffer.write(b'\\x00\\xffout'); sys.stderr.write('err'); exit(7)"
    )
    done = subprocess.run(
        [GITPROV, "run", "--", PYTHON, "-c", script],
        cwd=repo,
        env=isolated_environment(),
        capture_output=True,
    )
    assert done.returncode == 7
    assert done.stdout == b"\x00\xffout"
    assert done.stderr.startswith(b"err")
    assert newest(repo).outcome == "failed"
    assert newest(repo).leaves[-1]["exit_code"] == 7


def test_its_own_options_are_the_commands_own(repo: Path) -> None:
    done = subprocess.run(
        [GITPROV, "run", PYTHON, "-c", "import sys; print(sys.argv[1:])", "--help", "--no-anchor"],
        cwd=repo,
        env=isolated_environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == "['--help', '--no-anchor']\n"


def test_there_must_be_a_commit(tmp_path: Path) -> None:
    empty = make_repo(tmp_path / "empty")
    ended = gitprov(empty, "run", "--", "true")
    assert ended.code == 3
    assert "there is no commit yet" in ended.err
    assert "commit the code first" in ended.err


def test_a_signal_reaches_the_command_and_is_told(repo: Path) -> None:
    script = "import signal, time; print('up', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [GITPROV, "run", "--", PYTHON, "-c", script],
        cwd=repo,
        env=isolated_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    process.stdout.close()
    assert newest(repo).outcome == "failed"


def test_what_was_killed_says_interrupted_at_next_sight(repo: Path) -> None:
    process = subprocess.Popen(
        [GITPROV, "run", "--", PYTHON, "-c", "import time; print('up', flush=True); time.sleep(9)"],
        cwd=repo,
        env=isolated_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    process.stdout.readline()
    assert ok(repo, "runs", "--json").json["runs"][0]["outcome"] == "running"
    process.kill()
    process.wait()
    process.stdout.close()
    assert ok(repo, "runs", "--json").json["runs"][0]["outcome"] == "interrupted"
    assert newest(repo).outcome == "interrupted"
    verdict = ok(repo, "runs", "verify", "--json").json
    assert verdict["verdict"] == "pass"  # what it logged before it was killed still holds


def test_a_run_is_staged_committed_and_verified_with_its_commit(repo: Path) -> None:
    done = run(repo, "true")
    staged = git(repo, "status", "--porcelain").splitlines()
    assert staged == ["A  runs/.gitattributes", f"A  runs/{done.id}.json"]
    git(repo, "commit", "-q", "-m", "with a run")
    ended = ok(repo, "verify")
    assert "1 run: each stage is as it was logged" in ended.out


def test_a_clone_verifies_runs_of_others(repo: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "origin.git")
    git(repo, "remote", "add", "origin", str(tmp_path / "origin.git"))
    run(repo, "true")
    git(repo, "commit", "-q", "-m", "with a run")
    git(repo, "push", "-q", "origin", "main")
    git(tmp_path, "clone", "-q", "-b", "main", "origin.git", "clone")
    clone = tmp_path / "clone"
    ok(clone, "init")
    assert "1 run: each stage is as it was logged" in ok(clone, "verify").out
    assert ok(clone, "runs", "verify", "--json").json["verdict"] == "pass"


def test_two_runs_with_swapped_results_are_found_out(repo: Path) -> None:
    bad = run(repo, PYTHON, "-c", "exit(1)", code=1)
    good = run(repo, PYTHON, "-c", "exit(0)")
    swapped = replace(
        bad,
        leaves=(*bad.leaves[:-2], *good.leaves[-2:]),
        stages=(),
        outcome="completed",
    )
    before = bad.stages[0].size
    forged = Run(bad.id, swapped.leaves[:before]).with_stage("before")
    for leaf in swapped.leaves[before:]:
        forged = forged.with_leaf(leaf)
    forged = replace(forged.with_stage("after"), outcome="completed")
    (repo / "runs" / f"{bad.id}.json").write_bytes(format_run(forged))
    git(repo, "add", "runs")
    git(repo, "commit", "-q", "--no-verify", "-m", "better results")
    ended = gitprov(repo, "verify")
    assert ended.code == 1
    assert "was logged, the file gives" in ended.out
    ended = gitprov(repo, "runs", "verify", bad.id)
    assert ended.code == 1
    assert gitprov(repo, "runs", "verify", good.id).code == 0


def test_a_run_under_another_runs_name_is_found_out(repo: Path) -> None:
    bad = run(repo, PYTHON, "-c", "exit(1)", code=1)
    good = run(repo, "true")
    path = repo / "runs" / f"{bad.id}.json"
    path.write_bytes((repo / "runs" / f"{good.id}.json").read_bytes())
    ended = gitprov(repo, "runs", "verify")
    assert ended.code == 1
    assert f"holds the run {good.id}" in ended.out


def test_a_run_cut_short_to_hide_how_it_ended_is_found_out(repo: Path) -> None:
    bad = run(repo, PYTHON, "-c", "exit(1)", code=1)
    cut = Run(bad.id, bad.leaves[: bad.stages[0].size]).with_stage("before")
    path = repo / "runs" / f"{bad.id}.json"
    path.write_bytes(format_run(replace(cut, outcome="interrupted")))
    ended = gitprov(repo, "runs", "verify")
    assert ended.code == 1
    assert "this stage was logged, but the file does not have it" in ended.out


def test_a_run_that_nobody_logged_is_found_out(repo: Path) -> None:
    commit = git(repo, "rev-parse", "HEAD")
    head: Leaf = {"type": "run", "id": "made-up", "commit": commit}
    made = Run("made-up", (head,)).with_stage("before")
    made = made.with_leaf({"type": "end", "outcome": "completed"}).with_stage("after")
    write(repo, {"runs/made-up.json": format_run(replace(made, outcome="completed"))})
    ended = gitprov(repo, "runs", "verify")
    assert ended.code == 1
    assert "no note says that it was ever logged" in ended.out


@pytest.mark.parametrize("junk", [b"", b"{}", b"[" * 100_000, b"\x00\xff", b'{"leaves":[\n\n]}'])
def test_junk_in_the_folder_is_named_and_hides_no_run(repo: Path, junk: bytes) -> None:
    good = run(repo, "true")
    write(repo, {"runs/junk.json": junk, "runs/note.txt": "mine", "runs/-x.json": b"{}"})
    listed = ok(repo, "runs").out
    assert good.id in listed
    assert "unreadable" in listed
    assert gitprov(repo, "runs", "verify").code == 1
    git(repo, "add", "-f", "runs")
    git(repo, "commit", "-q", "-m", "junk")
    ended = gitprov(repo, "verify")
    assert ended.code == 1
    assert "runs/junk.json" in ended.out


def test_runs_are_shown_and_compared(repo: Path) -> None:
    first = run(repo, "true")
    second = run(repo, PYTHON, "-c", "exit(3)", code=3)
    shown = ok(repo, "runs", "show", second.id)
    assert "exit_code=3" in shown.out
    assert ok(repo, "runs", "show", second.id, "--json").json["leaves"][-1]["exit_code"] == 3
    found = ok(repo, "runs", "diff", first.id, second.id, "--json").json["differences"]
    assert {"what": "end.exit_code", "old": 0, "new": 3} in found
    assert gitprov(repo, "runs", "show", "nothing").code == 3
    assert gitprov(repo, "runs", "show", "2").code == 3  # both begin so
    assert ok(repo, "runs", "diff", first.id, first.id).out == ""


def test_an_empty_folder_says_how_to_begin(repo: Path) -> None:
    ended = ok(repo, "runs")
    assert "gitprov run -- COMMAND" in ended.err
    assert gitprov(repo, "runs", "verify").code == 2


def test_statements_are_anchored_beside_records(repo: Path) -> None:
    run(repo, "true")
    ok(repo, "anchor")
    head = git(repo, "rev-parse", "HEAD")
    lines = [
        json.loads(line)
        for line in git(repo, "notes", "--ref", "gitprov", "show", head).splitlines()
    ]
    kinds = [(line["type"], line.get("network", "")) for line in lines if line]
    assert kinds.count(("statement", "")) == 2
    assert kinds.count(("statement-anchor", "tlog")) == 2
    assert kinds.count(("anchor", "tlog")) == 1
    before = git(repo, "notes", "--ref", "gitprov", "show", head)
    ok(repo, "anchor")
    assert git(repo, "notes", "--ref", "gitprov", "show", head) == before


def test_a_lock_of_a_dead_process_holds_nobody(repo: Path) -> None:
    done = run(repo, "true")
    with Workspace.open(str(repo)) as ws:
        assert [*Path(ws.repo.data_dir, "runs").iterdir()] == []
    assert time.strptime(done.id[:16], "%Y%m%dT%H%M%SZ")


# ---------------------------------------------------------------- what an auditor tried


def forge(repo: Path, run: Run, name: str | None = None) -> None:
    write(repo, {f"runs/{name or run.id}.json": format_run(run)})


def commit(repo: Path, message: str = "forged") -> None:
    git(repo, "add", "-A", "runs")
    git(repo, "commit", "-q", "--no-verify", "-m", message)


def judged(repo: Path) -> tuple[int, str]:
    ended = gitprov(repo, "verify")
    return ended.code, ended.out


def test_a_run_whose_stages_were_taken_out_says_nothing(repo: Path) -> None:
    bad = run(repo, PYTHON, "-c", "exit(1)", code=1)
    forge(repo, Run(bad.id, bad.leaves[:3], outcome="interrupted"))
    commit(repo)
    code, out = judged(repo)
    assert code == 1
    assert "was logged, but the file does not have it" in out
    elsewhere = {**bad.leaves[0], "commit": "1" * 40}
    forge(repo, Run(bad.id, (elsewhere, *bad.leaves[1:3]), outcome="running"))
    commit(repo)
    code, out = judged(repo)
    assert code == 3
    assert "nothing about it can be told" in out


def test_results_that_were_never_logged_are_refused(repo: Path) -> None:
    bad = run(repo, PYTHON, "-c", "exit(1)", code=1)
    half = Run(bad.id, bad.leaves[: bad.stages[0].size], bad.stages[:1], "interrupted")
    forge(repo, half.with_leaf({"type": "results", "value": {"accuracy": 0.99}}))
    commit(repo)
    code, out = judged(repo)
    assert code == 1
    assert "says results, but has no stage after" in out


def test_a_newer_run_over_an_older_one_is_found_out_in_a_commit(repo: Path) -> None:
    for _ in range(2):
        run(repo, "true")
    first, second = sorted((repo / "runs").glob("*.json"))
    saved = first.read_bytes(), second.read_bytes()
    for target, content in ((first, saved[1]), (second, saved[0])):
        first.write_bytes(saved[0])
        second.write_bytes(saved[1])
        target.write_bytes(content)
        commit(repo)
        code, out = judged(repo)
        assert code == 1
        assert f"runs/{target.name}" in out


def test_leaves_of_one_run_cannot_stand_for_another(repo: Path) -> None:
    good = run(repo, "true")
    forge(repo, replace(good, id="totally-new"))
    head = git(repo, "rev-parse", "HEAD")
    lines = [
        StatementLine(head, f"run/totally-new/{stage.name}", stage.root) for stage in good.stages
    ]
    with Workspace.open(str(repo)) as ws:
        write_notes(ws.repo, notes={head: lines})
    commit(repo)
    code, out = judged(repo)
    assert code == 1
    assert "does not begin with a leaf that says so" in out


def test_stages_the_wrong_way_round_are_malformed(repo: Path) -> None:
    good = run(repo, "true")
    text = format_run(good).decode()
    before, after = good.stages
    text = text.replace(
        f'"size":{before.size},"stage":"before"', f'"size":{after.size},"stage":"before"'
    )
    text = text.replace(
        f'"size":{after.size},"stage":"after"', f'"size":{before.size},"stage":"after"'
    )
    write(repo, {f"runs/{good.id}.json": text})
    commit(repo)
    assert judged(repo)[0] == 1
    assert "unreadable" in ok(repo, "runs").out


def test_a_link_in_the_folders_place_hides_no_run(repo: Path) -> None:
    run(repo, "true")
    (repo / "runs").rename(repo / "real")
    (repo / "runs").symlink_to("real")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "--no-verify", "-m", "a link")
    code, out = judged(repo)
    assert code == 3
    assert "runs is no folder in this commit" in out


def test_the_networks_that_a_policy_requires_are_required_of_runs(repo: Path) -> None:
    run(repo, "true")
    write(repo, {".gitprov.yaml": "gitprov: 1\npolicy:\n  required: [bitcoin]\n"})
    ended = gitprov(repo, "runs", "verify")
    assert ended.code == 1
    assert "no final anchor that holds on bitcoin" in ended.out


def test_a_note_that_is_too_large_is_named_and_stops_nothing(repo: Path) -> None:
    run(repo, "true")
    git(repo, "commit", "-q", "-m", "with a run")
    (repo / "huge").write_bytes(b"x\n" * (9 << 20))
    git(repo, "notes", "--ref", "gitprov", "add", "-f", "-F", "huge", "HEAD~1")
    (repo / "huge").unlink()
    code, out = judged(repo)
    assert code == 1
    assert "cannot be read" in out


def test_what_was_killed_before_it_was_logged_is_no_fraud(repo: Path) -> None:
    with Workspace.open(str(repo)) as ws:
        recording = Recording(ws, by="command", argv=["x"])
        recording.run = recording.run.with_stage("before")
        save_run(ws.worktree, recording.run)  # killed here: the file has it, the log has not
        recording.abandon()
    ended = gitprov(repo, "runs", "verify")
    assert ended.code == 3
    assert "before this stage was logged" in ended.out


def test_ending_may_be_repeated(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workspace.open(str(repo)) as ws:
        recording = Recording(ws, by="command", argv=["x"])
        recording.enter(ws, "before")
        lock = Path(ws.repo.common_dir, "refs", "notes")
        lock.mkdir(parents=True, exist_ok=True)
        monkeypatch.setattr("gitprov.git.writer.ATTEMPTS", 2)
        (lock / "gitprov.lock").touch()
        with pytest.raises(EnvironmentFault):
            recording.end(ws, "completed", exit_code=0)
        assert recording.open
        (lock / "gitprov.lock").unlink()
        recording.end(ws, "completed", exit_code=0)
    assert newest(repo).outcome == "completed"
    assert len(newest(repo).of_type("end")) == 1
    assert gitprov(repo, "runs", "verify").code == 0


def test_a_commit_made_while_it_runs_is_no_fraud(repo: Path) -> None:
    with Workspace.open(str(repo)) as ws:
        recording = Recording(ws, by="command", argv=["x"])
        recording.enter(ws, "before")
        git(repo, "add", "runs")
        git(repo, "commit", "-q", "-m", "meanwhile")
        recording.end(ws, "completed", exit_code=0)
    code, out = judged(repo)
    assert code == 3
    assert "it was still running here" in out
    commit(repo, "afterwards")
    assert judged(repo)[0] == 0


def test_a_forked_child_leaves_its_parents_run_alone(repo: Path) -> None:
    with Workspace.open(str(repo)) as ws:
        recording = Recording(ws, by="command", argv=["x"])
        child = os.fork()
        if not child:
            try:
                recording.add("epoch", {})
            except UsageError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        recording.end(ws, "completed", exit_code=0)
    assert gitprov(repo, "runs", "verify").code == 0


def test_line_ends_that_git_changes_break_no_run(repo: Path, tmp_path: Path) -> None:
    run(repo, "true")
    git(repo, "commit", "-q", "-m", "with a run")
    git(tmp_path, "clone", "-q", "-c", "core.autocrlf=true", str(repo), "clone")
    assert "unreadable" not in ok(tmp_path / "clone", "runs").out


def test_what_a_run_says_cannot_steer_a_terminal(repo: Path) -> None:
    good = run(repo, "true")
    odd: Leaf = {"type": "\x1b]0;pwn\x07\nfake"}
    leaves = (*good.leaves[:1], odd)
    forge(repo, Run(good.id, leaves, outcome="interrupted"))
    shown = ok(repo, "runs", "show", good.id).out
    assert "\x1b]" not in shown
    assert "\nfake" not in shown


def test_a_thousand_runs_of_one_commit_take_no_square(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    lines, roots = [], []
    for number in range(200):
        made = Run(f"r{number:04}", ({"type": "run", "id": f"r{number:04}", "commit": head},))
        made = made.with_stage("before").with_leaf({"type": "end", "outcome": "completed"})
        made = replace(made.with_stage("after"), outcome="completed")
        forge(repo, made)
        for stage in made.stages:
            lines.append(StatementLine(head, f"run/{made.id}/{stage.name}", stage.root))
            roots.append(stage.root)
    with Workspace.open(str(repo)) as ws:
        write_notes(ws.repo, notes={head: lines}, roots=roots, key=read_log_key(ws.repo))
        ok(repo, "anchor")
        looker = RunLooker(ws, list(open_logs(ws)))
        for found in list_runs(ws):
            assert found.run is not None
            looker.look(f"runs/{found.id}.json", found.run)
        assert looker.notes_read == 1
    assert gitprov(repo, "runs", "verify").code == 0
