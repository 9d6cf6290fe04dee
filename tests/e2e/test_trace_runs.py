"""`gitprov trace` and what others may write: runs, notes with anchors of all kinds, nonsense."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitprov.core.canonical import Json, dumps
from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import WEIGHTS
from gitprov.git.writer import write as write_refs
from gitprov.model.note import AnchorLine, RecordLine, Status, format_line, parse_note
from gitprov.model.run import Leaf, Run, format_run, run_path
from gitprov.ops.statements import state
from gitprov.ops.trace import trace
from gitprov.ops.traced import PRODUCED, Role, Trace, TracedAnchor, Traces
from gitprov.workspace import Workspace
from tests.support.cli import finish, gitprov, ok, start
from tests.support.repos import commit, git, make_repo, write
from tests.support.torch import need

RECEIPTS = Path(__file__).parents[1] / "vectors" / "receipts"
WEIGHTS_ROOT = Digest(WEIGHTS.leaf(b"the weights after training"))


def look(repo: Path, *words: str) -> Traces:
    """Traces in this process."""
    with Workspace.open(str(repo)) as ws:
        return trace(ws, words)


def one(repo: Path, word: str) -> Trace:
    """The only answer."""
    return look(repo, word).traces[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One recorded commit with the artifact `data` of two files."""
    repo = make_repo(tmp_path_factory.mktemp("trace") / "r")
    ok(repo, "init", "--no-hooks", "--quiet")
    write(repo, {"data/a": "one", "data/b": "two"})
    ok(repo, "add", "--quiet", "data")
    git(repo, "add", "-A")
    commit(repo, {"a.py": "1\n"}, "Add data")
    ok(repo, "record", "--quiet")
    return repo


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    return shutil.copytree(made, tmp_path / "r", symlinks=True)


def data_root(repo: Path) -> str:
    """The root of the artifact `data`."""
    return (repo / "data.prov").read_text().partition("root: ")[2].partition("\n")[0]


def a_run(repo: Path, run_id: str = "2026-01-01-abcd") -> Run:
    """A finished run on the artifact `data`, started from HEAD."""
    head = git(repo, "rev-parse", "HEAD")
    root = data_root(repo)
    artifact: Json = {
        "path": "data",
        "kind": "data",
        "root": root,
        "entry": "dir",
        "size": 6,
        "files": 2,
    }
    before = Run(
        run_id,
        leaves=(
            {"type": "run", "id": run_id, "started": "2026-01-01T00:00:00Z", "commit": head,
             "clean": True, "by": "tracker"},
            {"type": "config", "value": {"rate": 0.5}},
            {"type": "data", "name": "train", "form": "dir", "root": root, "count": 2},
            {"type": "input", "artifact": artifact},
            {"type": "model", "class": "Net", "weights": str(Digest.of(b"at first"))},
        ),
    ).with_stage("before")  # fmt: skip
    for epoch in (1, 2):
        weights = str(Digest.of(b"epoch %d" % epoch))
        checkpoint = str(Digest.of(b"file %d" % epoch))
        leaf: Leaf = {"type": "epoch", "epoch": epoch, "weights": weights, "checkpoint": checkpoint}
        before = before.with_leaf(leaf)
    before = before.with_leaf({"type": "model", "class": "Net", "weights": str(WEIGHTS_ROOT)})
    before = before.with_leaf({"type": "new", "of": "a later version"})
    ended: Leaf = {"type": "end", "ended": None, "outcome": "completed", "error": None}
    return replace(before.with_leaf(ended), outcome="completed").with_stage("after")


def keep(repo: Path, *runs: Run, message: str = "Keep runs") -> str:
    """Commits runs' files, and records."""
    files = {run_path(run.id): format_run(run) for run in runs}
    oid = commit(repo, files, message)
    ok(repo, "record", "--quiet")
    return oid


def roles(found: Trace) -> list[tuple[str, str]]:
    """What the first run says of a digest."""
    return [(role.role, role.name) for role in found.runs[0].roles]


def test_a_file_leads_to_the_runs_that_used_the_folder_it_is_in(repo: Path) -> None:
    base = git(repo, "rev-parse", "HEAD")
    kept = keep(repo, a_run(repo))
    (run,) = one(repo, "data/a").runs
    assert (run.id, run.outcome) == ("2026-01-01-abcd", "completed")
    assert run.roles == (Role("data", "train"), Role("input", "data"))
    assert (run.commit, run.recorded_in) == (base, kept)
    assert run.facts["config"] == {"rate": 0.5}
    assert run.facts["clean"] is True


def test_weights_lead_to_the_run_that_made_them_and_to_its_data(repo: Path) -> None:
    run = a_run(repo)
    keep(repo, run)
    found = one(repo, str(WEIGHTS_ROOT))
    assert (found.bindings, roles(found)) == ((), [("model after", "Net")])
    assert found.runs[0].facts["data"] == [
        {"name": "train", "form": "dir", "root": data_root(repo), "count": 2}
    ]
    assert roles(one(repo, str(Digest.of(b"at first")))) == [("model before", "Net")]
    assert roles(one(repo, str(Digest.of(b"epoch 2")))) == [("epoch", "2")]
    assert roles(one(repo, str(Digest.of(b"file 1")))) == [("checkpoint", "1")]
    assert roles(one(repo, str(run.stages[0].root))) == [("stage", "before")]
    out = ok(repo, "trace", str(WEIGHTS_ROOT)[:20]).out
    assert "run     2026-01-01-abcd (completed), started from" in out
    assert "as model after: Net" in out


def test_behind_a_model_is_the_run_that_made_it_but_none_that_used_it(repo: Path) -> None:
    write(repo, {"model.bin": "weights"})
    ok(repo, "add", "--quiet", "--kind", "model", "model.bin")
    git(repo, "add", "-A")
    root = str(Digest.of(b"weights"))
    artifact: Json = {"path": "model.bin", "kind": "model", "root": root}
    maker = Run("made", leaves=({"type": "output", "artifact": artifact},))
    user = Run("used", leaves=({"type": "input", "artifact": artifact},))
    kept = keep(repo, maker, user)
    found = one(repo, "model.bin")
    (behind,) = found.behind
    assert (behind.commit, behind.runs) == (kept, ("made",))
    assert [run.id for run in found.runs] == ["made", "used"]
    assert "output" in PRODUCED
    assert "    run   made" in ok(repo, "trace", "model.bin").out


def test_a_run_that_goes_on_is_one_run_with_its_last_outcome(repo: Path) -> None:
    whole = a_run(repo)
    first = keep(repo, Run(whole.id, whole.leaves[:5], whole.stages[:1]))
    assert one(repo, "data").runs[0].outcome == "running"
    keep(repo, whole, message="It has ended")
    found = look(repo, "data")
    assert found.looked.read_runs == 1
    (run,) = found.traces[0].runs
    assert (run.outcome, run.recorded_in) == ("completed", first)


def test_a_run_is_read_once_however_many_commits_hold_it(repo: Path) -> None:
    keep(repo, a_run(repo))
    assert look(repo, "data").looked.read_runs == 1
    commit(repo, {"a.py": "2\n"}, "Code")
    ok(repo, "record", "--quiet")
    keep(repo, a_run(repo, "another"))
    found = look(repo, "data")
    assert (found.looked.read_runs, found.looked.runs) == (1, 2)
    assert [run.id for run in found.traces[0].runs] == ["2026-01-01-abcd", "another"]


def test_the_anchor_of_a_run_is_that_of_its_stage(repo: Path) -> None:
    run = a_run(repo)
    head = git(repo, "rev-parse", "HEAD")
    with Workspace.open(str(repo)) as ws:
        for stage in run.stages:
            state(ws, head, f"run/{run.id}/{stage.name}", stage.root)
    stated = one(repo, str(run.stages[0].root))
    assert [(b.kind, b.artifact) for b in stated.bindings] == [
        ("statement", "run/2026-01-01-abcd/before")
    ]
    assert [(one.id, one.outcome, one.commit) for one in stated.runs] == [(run.id, "", head)]
    assert "only a note tells of it" in ok(repo, "trace", str(run.stages[0].root)).out
    keep(repo, run)
    assert one(repo, "data").runs[0].anchor is None
    ok(repo, "anchor", "--quiet")
    assert one(repo, "data").runs[0].anchor == TracedAnchor("tlog", "final", 4, None)


def test_files_that_are_no_runs_are_passed_over_and_counted(repo: Path) -> None:
    run = a_run(repo)
    good = format_run(run)
    lying = Run("lies", leaves=({"type": "data", "name": 7, "root": "blake3:xyz"},
                                {"type": "data", "name": ["x"], "root": data_root(repo)},
                                {"type": "input", "artifact": "none"},
                                {"type": "config", "value": "x" * 100_000}))  # fmt: skip
    files: dict[str, bytes | str] = {
        run_path(run.id): good,
        "runs/empty.json": b"",
        "runs/deep.json": b"[" * 100_000,
        "runs/binary.json": bytes(range(256)) * 100,
        "runs/cut.json": good[:-20],
        "runs/elsewhere.json": format_run(replace(run, id="other")),
        "runs/lies.json": format_run(lying),
        "runs/notes.txt": "not a run, and not called so",
        "runs/below/x.json": good,
    }
    commit(repo, files, "Nonsense")
    ok(repo, "record", "--quiet")
    found = look(repo, "data")
    assert (found.looked.odd_runs, found.looked.runs) == (5, 2)
    assert [one.id for one in found.traces[0].runs] == [run.id, "lies"]
    assert found.traces[0].runs[1].facts["config"] is None
    assert found.traces[0].runs[1].facts["left_out"] is True
    ended = ok(repo, "trace", "data")
    assert "passed over: 5 files in runs/ that cannot be read as runs" in ended.err
    assert look(repo, "data").looked.read_runs == 0


def test_a_file_or_a_link_called_runs_is_nothing_to_read(repo: Path) -> None:
    commit(repo, {"runs": "a file"}, "A file")
    ok(repo, "record", "--quiet")
    (repo / "runs").unlink()
    (repo / "runs").symlink_to("/etc")
    git(repo, "add", "runs")
    commit(repo, message="A link")
    ok(repo, "record", "--quiet")
    assert one(repo, "data").runs == ()


def raw_note(repo: Path, rev: str = "HEAD") -> bytes:
    """The note of a commit."""
    return git(repo, "notes", "--ref=gitprov", "show", git(repo, "rev-parse", rev)).encode() + b"\n"


def set_note(repo: Path, text: bytes, rev: str = "HEAD") -> None:
    """Puts another note onto a commit, with git alone."""
    blob = git(repo, "hash-object", "-w", "--stdin", input=text)
    git(repo, "notes", "--ref=gitprov", "add", "-f", "-C", blob, rev)


def record_line(repo: Path) -> RecordLine:
    """The record line of HEAD's note."""
    lines = parse_note(raw_note(repo))
    return next(line for line in lines if isinstance(line, RecordLine))


def anchor(repo: Path, network: str, status: Status, *, size: int = 1, **receipt: Any) -> bytes:
    """An anchor line of HEAD as anybody may write it."""
    line = record_line(repo)
    zeros = Sha256Digest(bytes(32))
    made = AnchorLine(line.commit, zeros, 0, network, (), receipt, line.root, size, status)
    return format_line(made) + b"\n"


def best(repo: Path) -> TracedAnchor | None:
    """The anchor that is shown for HEAD."""
    return one(repo, "data").bindings[0].commits[0].anchor


def receipt(name: str) -> tuple[dict[str, Any], int]:
    """A receipt as a real node gave it, and the time of its block."""
    value = json.loads((RECEIPTS / f"{name}.json").read_text())
    return value["receipt"], value["proves"]["time"]


def test_a_dated_anchor_counts_before_the_log_and_a_final_one_before_a_pending_one(
    repo: Path,
) -> None:
    ok(repo, "anchor", "--quiet")
    tlog = TracedAnchor("tlog", "final", 1, None)
    assert best(repo) == tlog
    note = raw_note(repo)
    set_note(repo, note + anchor(repo, "bitcoin", "reorged", x=1))
    assert best(repo) == tlog  # nothing that a reorganisation took away counts
    note += anchor(repo, "opentimestamps", "pending", x=1)
    set_note(repo, note)
    assert best(repo) == TracedAnchor("opentimestamps", "pending", 1, None)
    bitcoin, mined = receipt("bitcoin")
    note += anchor(repo, "bitcoin", "included", size=2, **bitcoin)
    set_note(repo, note)
    assert best(repo) == TracedAnchor("bitcoin", "included", 2, mined)
    ethereum, built = receipt("ethereum-event")
    note += anchor(repo, "ethereum", "final", size=3, **ethereum)
    set_note(repo, note)
    assert best(repo) == TracedAnchor("ethereum", "final", 3, built)
    assert "ethereum: final, in a block of 20" in ok(repo, "trace", "data").out


def test_receipts_that_are_nonsense_have_no_time(repo: Path) -> None:
    note = raw_note(repo)
    note += anchor(repo, "bitcoin", "final", block="?", header="zz")
    note += anchor(repo, "ethereum", "final", header=["deep", {"er": 1}])
    set_note(repo, note)
    assert best(repo) == TracedAnchor("bitcoin", "final", 1, None)


def test_lines_that_are_malformed_are_passed_over_and_counted(repo: Path) -> None:
    line = record_line(repo)
    wrong = json.loads(format_line(line))
    wrong["root"] = str(Digest.of(b"another"))
    note = raw_note(repo) + dumps(wrong) + b"\n{]\n\xff\xfe\n" + b"[" * 50_000 + b"\n"
    note += b'{"gitprov":1,"type":"of a later version"}\n'
    set_note(repo, note)
    found = look(repo, "data/a")
    assert len(found.traces[0].bindings) == 1
    assert found.looked.odd_lines == 4
    assert "passed over: 4 lines of notes that cannot be read" in ok(repo, "trace", "data").err
    assert not one(repo, str(Digest.of(b"another"))).is_found


def test_a_note_that_was_copied_to_another_commit_binds_nothing_there(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    note = raw_note(repo)
    commit(repo, {"a.py": "2\n"}, "Code")
    set_note(repo, note)
    assert [c.commit for c in one(repo, "data").bindings[0].commits] == [first]


def test_a_note_of_a_commit_that_nobody_has_does_no_harm(repo: Path) -> None:
    line = record_line(repo)
    ghost = 40 * "a"
    code = replace(line.record.code, commit=ghost)
    record = replace(line.record, code=code)
    with Workspace.open(str(repo)) as ws:
        write_refs(ws.repo, notes={ghost: [RecordLine(ghost, record, record.root)]})
    found = look(repo, "data")
    bound = found.traces[0].bindings[0].commits
    assert [(c.commit == ghost, c.time is None) for c in bound] == [(False, False), (True, True)]
    assert found.looked.missing_commits == 1


def test_a_remote_whose_notes_name_a_folder_twice_does_not_keep_us_from_ours(repo: Path) -> None:
    blob = git(repo, "hash-object", "-w", "--stdin", input=b"x")
    tree = git(repo, "mktree", input=f"100644 blob {blob}\t{20 * 'ab'}\n".encode())
    for _ in range(15):
        lines = "".join(f"040000 tree {tree}\t{pair}\n" for pair in ("aa", "bb"))
        tree = git(repo, "mktree", input=lines.encode())
    bad = git(repo, "commit-tree", "-m", "bomb", tree)
    git(repo, "update-ref", "refs/notes/evil/gitprov", bad)
    found = look(repo, "data")
    assert found.traces[0].is_found
    assert len(found.looked.problems) == 1
    assert "is there twice" in ok(repo, "trace", "data").err
    assert look(repo, "data").looked.read_notes == 0
    git(repo, "update-ref", "-d", "refs/notes/evil/gitprov")
    assert look(repo, "data").looked.problems == ()


def test_a_notes_ref_that_points_to_nonsense_is_an_error_and_no_crash(repo: Path) -> None:
    tree = git(repo, "mktree", "--missing", input=f"040000 tree {40 * '1'}\tab\n".encode())
    bad = git(repo, "commit-tree", "-m", "bad", tree)
    git(repo, "update-ref", "refs/notes/gitprov", bad)
    ended = gitprov(repo, "trace", "data")
    assert ended.code == 3
    assert "is not in this clone" in ended.err
    git(repo, "update-ref", "refs/notes/evil/gitprov", bad)
    git(repo, "update-ref", "-d", "refs/notes/gitprov")
    ended = gitprov(repo, "trace", "data")
    assert ended.code == 1
    assert "passed over: refs/notes/evil/gitprov: " in ended.err


def test_two_that_ask_at_once_for_the_first_time_get_the_same_answer(repo: Path) -> None:
    keep(repo, a_run(repo))
    ended = [finish(process) for process in [start(repo, "trace", "data/a") for _ in range(4)]]
    assert {(one.code, one.out) for one in ended} == {(0, ended[0].out)}
    assert look(repo, "data").looked.read_notes == 0


def test_a_bare_repository_answers_by_digest(repo: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    git(repo, "clone", "--quiet", "--mirror", repo, bare)
    found = one(bare, data_root(repo))
    assert [(b.kind, b.artifact) for b in found.bindings] == [("folder", "data")]
    ended = gitprov(bare, "trace", repo / "data.prov")
    assert (ended.code, "nothing binds it" in ended.out) == (1, True)


def test_a_repository_with_long_ids_is_traced_as_well(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "long", object_format="sha256")
    ok(repo, "init", "--no-hooks", "--quiet")
    write(repo, {"data/a": "one"})
    ok(repo, "add", "--quiet", "data")
    git(repo, "add", "-A")
    commit(repo, {"a.py": "1\n"}, "Add data")
    ok(repo, "record", "--quiet")
    keep(repo, a_run(repo))
    found = one(repo, "data/a")
    assert len(found.bindings[0].commits) == 2
    assert [run.id for run in found.runs] == ["2026-01-01-abcd"]


def test_an_index_that_cannot_be_made_is_an_error_that_names_it(repo: Path) -> None:
    index = repo / ".git/gitprov/trace.db"
    index.mkdir()
    ended = gitprov(repo, "trace", "data")
    assert ended.code == 4
    assert "trace.db" in ended.err


def test_the_weights_in_a_file_that_torch_saved_lead_to_the_safetensors_artifact(
    repo: Path, tmp_path: Path
) -> None:
    need("torch")
    need("safetensors")
    import torch
    from safetensors.torch import save_file

    model = {"w": torch.arange(4.0), "b": torch.zeros(2)}
    save_file(model, str(repo / "model.safetensors"))
    ok(repo, "add", "--quiet", "--kind", "model", "model.safetensors")
    git(repo, "add", "-A")
    commit(repo, message="A model")
    ok(repo, "record", "--quiet")
    torch.save({"state_dict": model}, tmp_path / "other.pt")
    found = one(repo, str(tmp_path / "other.pt"))
    assert [(b.kind, b.artifact) for b in found.bindings] == [("weights", "model.safetensors")]


def test_a_file_that_is_only_called_like_a_model_is_looked_for_by_its_bytes(repo: Path) -> None:
    write(repo, {"data/c.safetensors": "no model"})
    ok(repo, "add", "--quiet", "data")
    git(repo, "add", "-A")
    commit(repo, message="Odd")
    ok(repo, "record", "--quiet")
    found = one(repo, "data/c.safetensors")
    assert [(b.kind, b.inside) for b in found.bindings] == [("file", "c.safetensors")]
    assert "was looked for as a file, not as weights" in found.remarks[0]
