"""`gitprov trace` on real repositories: what binds a file, since when, and from which runs."""

import json
import shutil
import sqlite3
import struct
from pathlib import Path

import pytest

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.ops.trace import trace
from gitprov.ops.traced import Traces
from gitprov.workspace import Workspace
from tests.support.cli import gitprov, ok, refused
from tests.support.repos import clone, commit, git, make_repo, many_commits, write

FILES = {"data/train/1": "one", "data/train/2": "two", "data/test/1": "three"}
DATES = [f"2026-01-0{day}T12:00:00Z" for day in range(1, 10)]


def dated(repo: Path, day: int, message: str, files: dict[str, str] | None = None) -> str:
    """Commits on a day of January, and records."""
    git(repo, "add", "-A")
    oid = commit(repo, files, message, env={"GIT_COMMITTER_DATE": DATES[day - 1]})
    ok(repo, "record", "--quiet")
    return oid


def safetensors(numbers: list[float], **metadata: str) -> bytes:
    """A model file with one tensor."""
    body = struct.pack(f"<{len(numbers)}f", *numbers)
    tensor = {"dtype": "F32", "shape": [len(numbers)], "data_offsets": [0, len(body)]}
    header = json.dumps({"__metadata__": metadata, "w": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + body


def look(repo: Path, *words: str) -> Traces:
    """Traces in this process."""
    with Workspace.open(str(repo)) as ws:
        return trace(ws, words)


def places(found: Traces) -> list[tuple[str, str, str, list[str]]]:
    """Kind, artifact, path inside and commits of all bindings of the first answer."""
    return [
        (b.kind, b.artifact, b.inside, [c.commit for c in b.commits])
        for b in found.traces[0].bindings
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three commits: the artifacts, then code alone, then one changed file."""
    repo = make_repo(tmp_path_factory.mktemp("trace") / "r")
    ok(repo, "init", "--no-hooks", "--quiet")
    write(repo, {**FILES, "model.safetensors": safetensors([1, 2])})
    ok(repo, "add", "--quiet", "data")
    ok(repo, "add", "--quiet", "--kind", "model", "model.safetensors")
    dated(repo, 1, "Add data")
    dated(repo, 2, "Change code", {"a.py": "1\n"})
    write(repo, {"data/train/2": "changed"})
    ok(repo, "add", "--quiet", "data")
    dated(repo, 3, "Change data")
    return repo


@pytest.fixture
def repo(made: Path, tmp_path: Path) -> Path:
    """A copy of it that the test may change."""
    return shutil.copytree(made, tmp_path / "r", symlinks=True)


def commits(repo: Path) -> list[str]:
    """The commits of HEAD, the oldest first."""
    return git(repo, "rev-list", "--reverse", "HEAD").split()


def test_a_file_is_bound_by_every_commit_that_has_it(repo: Path) -> None:
    all_three = commits(repo)
    found = look(repo, "data/train/1")
    assert places(found) == [("file", "data", "train/1", all_three)]
    assert found.traces[0].digests[0].digest == Digest.of(b"one")


def test_a_changed_file_is_bound_only_by_the_commits_that_have_these_bytes(repo: Path) -> None:
    one, two, three = commits(repo)
    assert places(look(repo, "data/train/2")) == [("file", "data", "train/2", [three])]
    old = str(Digest.of(b"two"))
    assert places(look(repo, old)) == [("file", "data", "train/2", [one, two])]


def test_a_folder_and_an_artifact_are_found_by_their_manifests(repo: Path) -> None:
    all_three = commits(repo)
    assert places(look(repo, "data/test")) == [("folder", "data", "test", all_three)]
    assert places(look(repo, "data")) == [("folder", "data", "", all_three[2:])]
    assert places(look(repo, "data.prov")) == places(look(repo, "data"))


def test_the_same_bytes_in_two_artifacts_are_found_in_both(repo: Path) -> None:
    write(repo, {"more/deep/er/copy": "one", "single": "one"})
    ok(repo, "add", "--quiet", "more", "single")
    new = dated(repo, 4, "More")
    assert sorted(places(look(repo, "single"))) == [
        ("file", "data", "train/1", [*commits(repo)]),
        ("file", "more", "deep/er/copy", [new]),
        ("file", "single", "", [new]),
    ]


def test_a_renamed_artifact_is_found_under_both_names(repo: Path) -> None:
    before = commits(repo)
    git(repo, "rm", "-q", "--cached", "data.prov")
    (repo / "data.prov").unlink()
    (repo / "data").rename(repo / "images")
    ok(repo, "add", "--quiet", "images")
    new = dated(repo, 4, "Rename")
    found = look(repo, "images/train/1")
    assert places(found) == [
        ("file", "data", "train/1", before),
        ("file", "images", "train/1", [new]),
    ]
    # The folders are the same ones, so nothing had to be read for the new name.
    write(repo, {"images/train/3": "three"})
    ok(repo, "add", "--quiet", "images")
    newest = dated(repo, 5, "More images")
    found = look(repo, "images/train/1")
    assert found.looked.read_manifests == 2
    assert places(found)[1] == ("file", "images", "train/1", [new, newest])


def test_a_file_that_comes_back_is_bound_before_and_after(repo: Path) -> None:
    one, two, _ = commits(repo)
    write(repo, {"data/train/2": "two"})
    ok(repo, "add", "--quiet", "data")
    back = dated(repo, 4, "Back")
    assert places(look(repo, "data/train/2")) == [("file", "data", "train/2", [one, two, back])]


def test_the_same_weights_in_another_container_are_found(repo: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere.safetensors"
    copy.write_bytes(safetensors([1, 2], made="by somebody else"))
    assert places(look(repo, str(copy))) == [("weights", "model.safetensors", "", commits(repo))]
    copy.write_bytes(safetensors([1, 3]))
    ended = gitprov(repo, "trace", copy)
    assert (ended.code, "nothing binds it" in ended.out) == (1, True)


def test_the_digest_of_a_model_file_leads_to_its_weights(repo: Path) -> None:
    other = safetensors([1, 2], other="yes")
    write(repo, {"copy.safetensors": other})
    ok(repo, "add", "--quiet", "--kind", "model", "copy.safetensors")
    new = dated(repo, 4, "The same again")
    found = places(look(repo, str(Digest.of(other))))
    assert ("file", "copy.safetensors", "", [new]) in found
    assert ("weights", "model.safetensors", "", commits(repo)) in found


def test_the_beginning_of_a_digest_is_enough(repo: Path) -> None:
    whole = Digest.of(b"one")
    expected = places(look(repo, str(whole)))
    assert places(look(repo, str(whole)[:15])) == expected
    assert places(look(repo, whole.hex[:8])) == expected
    assert places(look(repo, whole.hex)) == expected
    write(repo, {whole.hex[:8]: "a file of that name"})
    assert gitprov(repo, "trace", whole.hex[:8]).code == 1
    refused(repo, "trace", "blake3:0123456", code=2, says="no digest and no beginning of one")
    refused(repo, "trace", "blake3:" + 65 * "0", code=2, says="no digest and no beginning of one")


def test_a_beginning_that_several_digests_have_is_refused(repo: Path) -> None:
    found: dict[str, str] = {}
    number = 0
    while True:  # two digests with the same eight digits cost 65,000 attempts or so
        text = f"{number}"
        start = Digest.of(text.encode()).hex[:8]
        if start in found:
            break
        found[start] = text
        number += 1
    write(repo, {"twins/a": text, "twins/b": found[start]})
    ok(repo, "add", "--quiet", "twins")
    dated(repo, 4, "Twins")
    refused(repo, "trace", start, code=2, says="may mean several digests")


def test_a_record_root_is_found(repo: Path) -> None:
    root = ok(repo, "log", "--json").json["commits"][0]["root"]
    assert places(look(repo, root)) == [("record", "", "", commits(repo)[2:])]


def test_what_is_not_checked_out_is_found_through_the_store(repo: Path) -> None:
    expected = places(look(repo, "data/train/1"))
    for name in ("data/train/1", "data/train/2", "data/test/1"):
        (repo / name).unlink()
    for name in ("data/train", "data/test", "data"):
        (repo / name).rmdir()
    assert places(look(repo, "data/train/1")) == expected
    assert places(look(repo, "data/test"))[0][:3] == ("folder", "data", "test")
    refused(repo, "trace", "data/none", code=2, says="there is no data/none in the artifact data")


def test_a_file_from_anywhere_is_found_by_its_bytes(repo: Path, tmp_path: Path) -> None:
    (tmp_path / "found.png").write_text("three")
    assert places(look(repo, "../found.png")) == [("file", "data", "test/1", commits(repo))]


def test_an_executable_file_and_a_symlink_are_files(repo: Path) -> None:
    write(repo, {"tools/run": "#!/bin/sh\n"})
    (repo / "tools/run").chmod(0o755)
    (repo / "tools/link").symlink_to("run")
    ok(repo, "add", "--quiet", "tools")
    new = dated(repo, 4, "Tools")
    assert places(look(repo, "tools/run")) == [("file", "tools", "run", [new])]
    assert places(look(repo, "tools/link")) == [("file", "tools", "link", [new])]


def test_code_is_left_to_git(repo: Path) -> None:
    ended = refused(repo, "trace", "a.py", code=2, says="a.py is tracked by git itself")
    assert "hint: git log -- a.py" in ended.err
    refused(repo, "trace", "nowhere", code=2, says="nowhere is not here")
    assert gitprov(repo, "trace").code == 2


def test_nothing_is_found_with_a_sentence_on_what_was_looked_through(repo: Path) -> None:
    ended = gitprov(repo, "trace", "blake3:" + 64 * "0")
    assert ended.code == 1
    assert "nothing binds it: looked through 3 recorded commits, 5 folders, 0 runs" in ended.out
    many = gitprov(repo, "trace", "data", "blake3:" + 64 * "0", "--json")
    assert (many.code, [one["found"] for one in many.json["traces"]]) == (1, [True, False])


def test_a_repository_without_any_record_has_nothing(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "empty")
    write(repo, {"x": "1"})
    ended = gitprov(repo, "trace", "x")
    assert (ended.code, "0 recorded commits" in ended.out) == (1, True)


def test_the_text_shows_first_and_last_commit_and_the_number(repo: Path) -> None:
    ok(repo, "anchor", "--quiet")
    one, two, three = (oid[:12] for oid in commits(repo))
    lines = ok(repo, "trace", "data/train/1").out.splitlines()
    assert lines == [
        "data/train/1",
        f"  content {Digest.of(b'one')}",
        "  file    data/train/1 in 3 commits",
        f"    from {one} 2026-01-01 Add data",
        "         tlog: final, under the head of size 3; proves no time",
        f"    to   {three} 2026-01-03 (HEAD) Change data",
        "         tlog: final, under the head of size 3; proves no time",
        f"  unverified: `gitprov verify {one}` judges",
    ]
    assert f"    {two} 2026-01-02 Change code" in ok(repo, "trace", "--all", "data/train/1").out


def test_json_lists_every_commit(repo: Path) -> None:
    value = ok(repo, "trace", "--json", "data/train/1").json
    assert value["schema"] == "gitprov/trace/v1"
    (binding,) = value["traces"][0]["bindings"]
    assert [one["commit"] for one in binding["commits"]] == commits(repo)
    assert [one["head"] for one in binding["commits"]] == [False, False, True]
    assert binding["commits"][0].keys() == {"commit", "subject", "time", "root", "anchor", "head"}
    assert binding["commits"][0]["time"] == 1767268800
    assert (binding["kind"], binding["artifact"], binding["path"]) == ("file", "data", "train/1")
    assert value["looked_through"]["read"] == {"notes": 3, "runs": 0, "manifests": 5}


def test_behind_a_model_are_the_code_and_the_data_of_its_first_commit(repo: Path) -> None:
    one = commits(repo)[0]
    (behind,) = look(repo, "model.safetensors").traces[0].behind
    assert (behind.artifact, behind.commit) == ("model.safetensors", one)
    assert [(item.path, item.kind) for item in behind.artifacts] == [("data", "data")]
    assert look(repo, "data/train/1").traces[0].behind == ()
    out = ok(repo, "trace", "model.safetensors").out
    assert f"  behind  model.safetensors\n    code  {one[:12]}\n    data  data " in out


def test_a_second_question_reads_nothing_again(repo: Path) -> None:
    first = look(repo, "data").looked
    assert (first.read_notes, first.read_manifests, first.commits) == (3, 5, 3)
    second = look(repo, "data/train/1").looked
    assert (second.read_notes, second.read_manifests, second.read_runs) == (0, 0, 0)
    assert (second.commits, second.manifests) == (3, 5)


def test_a_new_commit_costs_what_it_changed(repo: Path) -> None:
    look(repo, "data")
    write(repo, {"data/test/1": "changed, too"})
    ok(repo, "add", "--quiet", "data")
    new = dated(repo, 4, "Change a test")
    found = look(repo, "data/test/1")
    assert places(found) == [("file", "data", "test/1", [new])]
    assert (found.looked.read_notes, found.looked.read_manifests) == (1, 2)


def test_anchoring_changes_notes_and_brings_the_anchors(repo: Path) -> None:
    assert look(repo, "data").traces[0].bindings[0].commits[0].anchor is None
    ok(repo, "anchor", "--quiet")
    found = look(repo, "data")
    assert found.looked.read_notes == 3
    anchor = found.traces[0].bindings[0].commits[0].anchor
    assert anchor is not None
    assert (anchor.network, anchor.status, anchor.time) == ("tlog", "final", None)


def test_notes_that_git_fans_out_are_not_read_again(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    many = many_commits(repo, 300)
    ok(repo, "record", "--quiet", "main~100")
    ok(repo, "record", "--quiet", "main~299..main~101")
    first = look(repo, "blake3:00000000").looked
    ok(repo, "record", "--quiet", "--all")
    second = look(repo, "blake3:00000000").looked
    assert (first.read_notes + second.read_notes, second.commits) == (len(many), 300)


def test_notes_that_are_gone_bind_nothing(repo: Path) -> None:
    one, two, three = commits(repo)
    look(repo, "data/train/1")
    git(repo, "notes", "--ref=gitprov", "remove", two)
    assert places(look(repo, "data/train/1")) == [("file", "data", "train/1", [one, three])]
    git(repo, "update-ref", "-d", "refs/notes/gitprov")
    assert gitprov(repo, "trace", "data/train/1").code == 1


def test_a_rewritten_notes_ref_whose_old_trees_are_gone_is_read_anew(repo: Path) -> None:
    expected = places(look(repo, "data/train/1"))
    tree = git(repo, "rev-parse", "refs/notes/gitprov^{tree}")
    new = git(repo, "commit-tree", "-m", "squashed", tree)
    git(repo, "notes", "--ref=gitprov", "append", "-m", "\n", commits(repo)[0])
    look(repo, "data/train/1")
    git(repo, "update-ref", "refs/notes/gitprov", new)
    git(repo, "reflog", "expire", "--expire=now", "--all")
    git(repo, "gc", "--quiet", "--prune=now")
    assert places(look(repo, "data/train/1")) == expected


def test_fetched_notes_count_and_their_commits_are_waited_for(repo: Path, tmp_path: Path) -> None:
    other = clone(repo, tmp_path / "other")
    git(other, "fetch", "--quiet", "origin", "refs/notes/gitprov:refs/notes/gitprov")
    ok(other, "init", "--no-hooks", "--quiet")
    write(other, {"solo": "one"})
    ok(other, "add", "--quiet", "solo")
    new = dated(other, 5, "Elsewhere")
    look(repo, "data")
    git(repo, "fetch", "--quiet", other, "refs/notes/gitprov:refs/notes/other/gitprov")
    found = look(repo, "data/train/1")
    assert found.looked.read_notes == 1
    assert ("file", "solo", "", [new]) in places(found)
    assert found.looked.missing_commits == 1
    assert "this clone does not have the commit" in ok(repo, "trace", "data/train/1").out
    git(repo, "fetch", "--quiet", other, "main:refs/remotes/other/main")
    found = look(repo, "data/train/1")
    assert found.looked.missing_commits == 0
    solo = next(one for one in found.traces[0].bindings if one.artifact == "solo")
    assert solo.commits[0].subject == "Elsewhere"


def test_folders_that_the_store_lacks_are_asked_for_again(repo: Path, tmp_path: Path) -> None:
    other = clone(repo, tmp_path / "other")
    git(other, "fetch", "--quiet", "origin", "refs/notes/gitprov:refs/notes/gitprov")
    digest = str(Digest.of(b"one"))
    ended = gitprov(other, "trace", digest)
    assert ended.code == 1
    assert "passed over: 2 folders not in the store" in ended.err
    assert places(look(other, str(_root(repo)))) == [("folder", "data", "", commits(repo)[2:])]
    ok(other, "init", "--no-hooks", "--quiet", "--store", repo / ".git/gitprov")
    assert places(look(other, digest)) == [("file", "data", "train/1", commits(repo))]
    assert look(other, digest).looked.missing_manifests == 0


def _root(repo: Path) -> Digest:
    text = (repo / "data.prov").read_text()
    return Digest.parse(text.partition("root: ")[2].partition("\n")[0])


def test_the_index_is_made_anew_when_it_is_gone_damaged_or_of_another_version(repo: Path) -> None:
    index = repo / ".git/gitprov/trace.db"
    expected = places(look(repo, "data/train/1"))
    index.unlink()
    assert places(look(repo, "data/train/1")) == expected
    index.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert places(look(repo, "data/train/1")) == expected
    whole = index.read_bytes()
    index.write_bytes(whole[:4096] + bytes([0xA5]) * (len(whole) - 4096))
    assert places(look(repo, "data/train/1")) == expected
    assert look(repo, "data/train/1").looked.read_notes == 0


def test_a_folder_in_which_nothing_changes_is_one_row_however_many_versions(repo: Path) -> None:
    for day in range(4, 9):
        write(repo, {"data/train/2": f"version {day}"})
        ok(repo, "add", "--quiet", "data")
        dated(repo, day, "Change")
    found = look(repo, "data/train/1")
    assert places(found) == [("file", "data", "train/1", commits(repo))]
    with sqlite3.connect(repo / ".git/gitprov/trace.db") as db:
        query = "SELECT COUNT(*) FROM entries WHERE name = '1'"
        assert db.execute(query).fetchone()[0] == 2  # data/train/1 and data/test/1


def test_folders_within_folders_that_repeat_end_somewhere(repo: Path) -> None:
    with Workspace.open(str(repo)) as ws, ws.store.writer() as writer:
        digest, kind, size = writer.add(b"one"), "f", 3
        for _ in range(20):
            entries = [Entry(name, kind, digest, size) for name in (b"a", b"b")]
            manifest = Manifest.of(entries)
            writer.add_manifest(manifest.root.raw, manifest.to_bytes())
            digest, kind, size = manifest.root.raw, "d", 2 * size
    pointer = (repo / "data.prov").read_text().splitlines()
    pointer[1] = "path: bomb"
    pointer[4] = f"root: {Digest(digest)}"
    (repo / "bomb.prov").write_text("\n".join(pointer) + "\n")
    dated(repo, 4, "A bomb")
    found = look(repo, str(Digest.of(b"one")))
    assert found.traces[0].left_out
    assert found.looked.read_manifests == 25
    assert "more places than were looked at" in ok(repo, "trace", str(Digest.of(b"one"))).out


def test_names_that_would_steer_a_terminal_are_escaped(repo: Path) -> None:
    path = RepoPath.parse("data/\u202eevil".encode())
    write(repo, {path.raw.decode(): "evil"})
    ok(repo, "add", "--quiet", "data")
    dated(repo, 4, "\x1b[31mred")
    out = ok(repo, "trace", str(Digest.of(b"evil"))).out
    assert "\x1b" not in out
    assert "\u202e" not in out
