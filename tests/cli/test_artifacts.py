import json
import shutil
import stat
from pathlib import Path

import pytest

from gitprov.ops.staging import stage_paths
from gitprov.workspace import Workspace
from tests.support.cli import ok, refused
from tests.support.datasets import changes, files, make, states, with_folders
from tests.support.repos import commit, git, write


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make(tmp_path / "repo")


@pytest.fixture
def data(repo: Path) -> Path:
    return with_folders(repo)


def ignored(repo: Path, path: str) -> bool:
    return bool(git(repo, "check-ignore", path, check=False))


# ---------------------------------------------------------------- add


def test_adding_writes_and_stages_the_pointer_and_ignores_the_data(repo: Path) -> None:
    write(repo, {"data/a": "1"})
    added = ok(repo, "add", "data", "--json").json
    assert added["schema"] == "gitprov/add/v1"
    (artifact,) = added["artifacts"]
    assert artifact["path"] == "data"
    assert (artifact["kind"], artifact["size"], artifact["files"]) == ("data", 1, 1)
    assert artifact["state"] == "added"
    staged = git(repo, "diff", "--cached", "--name-only").splitlines()
    assert staged == [".gitignore", ".gitprov.yaml", "data.prov"]
    assert ignored(repo, "data/a")
    assert git(repo, "status", "--porcelain", "--untracked-files=all").count("?? ") == 0


def test_adding_again_says_unchanged_and_leaves_the_pointer_alone(data: Path) -> None:
    before = (data / "data.prov").stat()
    assert ok(data, "add", "data", "--json").json["artifacts"][0]["state"] == "unchanged"
    assert (data / "data.prov").stat().st_mtime_ns == before.st_mtime_ns


def test_a_new_artifact_that_collides_with_another_is_refused(data: Path) -> None:
    write(data, {"DATA/a": "1", "sub/straße": "1", "sub/STRASSE": "1", "sub/other": "1"})
    refused(data, "add", "DATA", code=2, says="the artifacts data and DATA collide")
    refused(data, "add", "sub/straße", "sub/STRASSE", "sub/other", code=2, says="collide")
    assert not list(data.glob("sub/*.prov"))
    ok(data, "add", "sub/straße", "sub/other")


def test_artifacts_that_collide_and_are_there_already_can_still_be_added(data: Path) -> None:
    shutil.copytree(data / "data", data / "DATA")
    pointer = (data / "data.prov").read_text()
    write(data, {"DATA.prov": pointer.replace("path: data", "path: DATA")})
    git(data, "add", "DATA.prov")
    ok(data, "add", "DATA", "data")


def test_no_stage_leaves_the_index_alone(repo: Path) -> None:
    write(repo, {"data/a": "1"})
    index = git(repo, "ls-files", "-s")
    ok(repo, "add", "--no-stage", "data")
    assert git(repo, "ls-files", "-s") == index
    assert states(repo) == {"data": "clean"}


@pytest.mark.parametrize(
    ("name", "kind"), [("m.pt", "model"), ("m.safetensors", "model"), ("m.csv", "data")]
)
def test_the_kind_goes_by_the_ending(repo: Path, name: str, kind: str) -> None:
    write(repo, {name: "1"})
    assert ok(repo, "add", name, "--json").json["artifacts"][0]["kind"] == kind


def test_the_kind_is_kept_when_an_artifact_is_added_again(repo: Path) -> None:
    write(repo, {"weights/a": "1"})
    ok(repo, "add", "--kind", "model", "weights")
    write(repo, {"weights/a": "2", "weights/b": "3"})
    assert ok(repo, "add", "weights", "--json").json["artifacts"][0]["kind"] == "model"
    assert ok(repo, "add", "weights/b", "--json").json["artifacts"][0]["kind"] == "model"
    again = ok(repo, "add", "--kind", "data", "weights", "--json").json["artifacts"][0]
    assert (again["kind"], again["state"]) == ("data", "modified")


def test_only_the_named_part_of_an_artifact_is_read_again(data: Path) -> None:
    write(data, {"data/a": "changed", "data/sub/new/deep": "new", "data/sub/b": "changed, too"})
    ok(data, "add", "data/sub")
    assert files(data) == {
        "data/a": 1,
        "data/other/d": 4,
        "data/sub/b": 12,
        "data/sub/c": 3,
        "data/sub/new/deep": 3,
    }
    assert changes(data) == {"a": "modified"}


def test_two_parts_in_one_command_are_both_kept(data: Path) -> None:
    write(data, {"data/sub/b": "changed", "data/other/new": "12345"})
    ok(data, "add", "data/sub/b", "data/other/new")
    assert files(data)["data/sub/b"] == 7
    assert files(data)["data/other/new"] == 5
    assert states(data) == {"data": "clean"}


def test_a_path_and_a_path_inside_it_are_one(data: Path) -> None:
    write(data, {"data/sub/b": "changed"})
    (added,) = ok(data, "add", "data", "data/sub/b", "data/", "--json").json["artifacts"]
    assert added["path"] == "data"
    assert states(data) == {"data": "clean"}


def test_a_new_nested_folder_becomes_part_of_its_artifact(data: Path) -> None:
    write(data, {"data/new/x/y/z": "1", "data/new/x/other": "2"})
    ok(data, "add", "data/new/x/y")
    assert files(data, "data/new") == {"data/new/x/y/z": 1}
    assert changes(data) == {"new/x/other": "added"}


def test_adding_a_deleted_path_takes_it_out(data: Path) -> None:
    (data / "data/sub/b").unlink()
    shutil.rmtree(data / "data/other")
    ok(data, "add", "data/sub/b", "data/other")
    assert files(data) == {"data/a": 1, "data/sub/c": 3}
    assert states(data) == {"data": "clean"}
    assert ok(data, "status", "--json").json["artifacts"][0]["files"] == 2


def test_a_part_that_is_nowhere_is_refused(data: Path) -> None:
    refused(data, "add", "data/nothing", code=2, says="neither on disk nor in the artifact")


def test_executable_bits_links_and_empty_folders_come_back(repo: Path) -> None:
    write(repo, {"data/run": "#!/bin/sh", "data/sub/file": "x", "data/'a b\"c é": "quoted"})
    (repo / "data/run").chmod(0o755)
    (repo / "data/link").symlink_to("sub/file")
    (repo / "data/empty/inner").mkdir(parents=True)
    ok(repo, "add", "data")
    shutil.rmtree(repo / "data")
    ok(repo, "checkout")
    assert (repo / "data/run").stat().st_mode & stat.S_IXUSR
    assert not (repo / "data/sub/file").stat().st_mode & stat.S_IXUSR
    assert (repo / "data/link").readlink() == Path("sub/file")
    assert list((repo / "data/empty").iterdir()) == [repo / "data/empty/inner"]
    assert (repo / "data/'a b\"c é").read_text() == "quoted"
    assert states(repo) == {"data": "clean"}


def test_a_changed_executable_bit_shows_and_is_restored(data: Path) -> None:
    (data / "data/a").chmod(0o755)
    assert changes(data) == {"a": "type"}
    assert "modified  a  (now executable)" in ok(data, "status").out
    assert "~ a  now executable" in ok(data, "diff").out
    refused(data, "checkout", code=2, says="data/a was changed")
    ok(data, "checkout", "--force")
    assert not (data / "data/a").stat().st_mode & stat.S_IXUSR
    (data / "data/a").chmod(0o755)
    ok(data, "add", "data")
    assert states(data) == {"data": "clean"}


def test_a_file_that_only_lost_its_bit_is_shown_with_one_root(repo: Path) -> None:
    write(repo, {"exe": "#!/bin/sh"})
    (repo / "exe").chmod(0o755)
    ok(repo, "add", "exe")
    (repo / "exe").chmod(0o644)
    head, line = ok(repo, "diff").out.splitlines()
    assert "→" not in head
    assert line.split() == ["~", "exe", "no", "longer", "executable"]


def test_a_link_in_the_place_of_a_file_is_called_one(data: Path) -> None:
    (data / "data/a").unlink()
    (data / "data/a").symlink_to("b")
    assert "modified  a  (now a symlink)" in ok(data, "status").out


def test_wide_letters_do_not_shift_the_columns(repo: Path) -> None:
    write(repo, {"naïve/日本.csv": "1", "plain/four.csv": "1", "accent/e\u0301.csv": "1"})
    ok(repo, "add", "naïve/日本.csv", "plain/four.csv", "accent/e\u0301.csv")
    lines = ok(repo, "status").out.splitlines()
    # Two cells for each Chinese letter, none for the accent set over its e.
    starts = {line.split()[0]: line.index("clean") for line in lines}
    assert starts["naïve/日本.csv"] + 2 == starts["plain/four.csv"]
    assert starts["accent/e\u0301.csv"] - 1 == starts["plain/four.csv"]


def test_an_empty_folder_that_is_gone_shows(repo: Path) -> None:
    (repo / "data/empty").mkdir(parents=True)
    ok(repo, "add", "data")
    (repo / "data/empty").rmdir()
    assert changes(repo) == {"empty/": "deleted"}
    ok(repo, "checkout")
    assert (repo / "data/empty").is_dir()


def test_an_empty_artifact_is_kept(repo: Path) -> None:
    (repo / "data").mkdir()
    ok(repo, "add", "data")
    assert states(repo) == {"data": "clean"}
    assert ok(repo, "ls", "data").out == ""
    (repo / "data").rmdir()
    ok(repo, "checkout")
    assert (repo / "data").is_dir()


def test_a_single_file_is_an_artifact(repo: Path) -> None:
    write(repo, {"model.pt": "weights"})
    (repo / "model.pt").chmod(0o755)
    ok(repo, "add", "model.pt")
    assert "type: exec" in (repo / "model.pt.prov").read_text()
    (repo / "model.pt").unlink()
    ok(repo, "checkout")
    assert (repo / "model.pt").read_text() == "weights"
    assert (repo / "model.pt").stat().st_mode & stat.S_IXUSR


def test_a_file_may_become_a_folder_and_back(repo: Path) -> None:
    write(repo, {"data": "file"})
    ok(repo, "add", "data")
    commit(repo, message="file")
    (repo / "data").unlink()
    write(repo, {"data/a": "1"})
    assert changes(repo) == {"": "deleted", "a": "added"}
    ok(repo, "add", "data")
    commit(repo, message="folder")
    for revision, expected in (("HEAD~", None), ("main", "1")):
        git(repo, "checkout", "--quiet", revision)
        ok(repo, "checkout")
        assert (repo / "data").is_dir() == (expected is not None)
        assert states(repo) == {"data": "clean"}


# ---------------------------------------------------------------- .gitprovignore, .gitignore


def test_ignored_names_are_left_out_and_are_no_change(repo: Path) -> None:
    write(repo, {"data/.gitprovignore": "*.tmp\n", "data/a": "1", "data/b.tmp": "2"})
    write(repo, {".gitprovignore": "__pycache__/\n", "data/__pycache__/c": "3"})
    ok(repo, "add", "data")
    assert files(repo) == {"data/.gitprovignore": 6, "data/a": 1}
    assert states(repo) == {"data": "clean"}
    assert ok(repo, "diff").out == ""
    commit(repo, message="data")
    ok(repo, "record")
    ok(repo, "verify", "HEAD")
    ok(repo, "checkout", "--force")
    assert (repo / "data/b.tmp").exists()


def test_data_that_is_only_ignored_survives_remove(repo: Path) -> None:
    write(repo, {"data/.gitprovignore": "*.tmp\n", "data/a": "1", "data/b.tmp": "2"})
    ok(repo, "add", "data")
    ok(repo, "remove", "--delete", "data")
    assert [path.name for path in (repo / "data").iterdir()] == ["b.tmp"]


@pytest.mark.parametrize(
    "name",
    ["#a", "!a", "a b ", "a  ", "[x]", "a*b", "a?", "é ü", "-rf", "--", "'q\"", "{a,b}", "~"],
)
def test_git_ignores_exactly_the_artifact(repo: Path, name: str) -> None:
    write(repo, {f"{name}/file": "1", "ab": "other", "x": "other", "sub/[x]": "other"})
    ok(repo, "add", "--", name)
    assert ignored(repo, f"./{name}/file")
    assert not any(ignored(repo, other) for other in ("ab", "x", "sub/[x]"))
    assert states(repo) == {name: "clean"}
    ok(repo, "remove", "--", name)
    assert not (repo / ".gitignore").exists()


def test_a_gitignore_without_a_last_newline_keeps_its_last_line(repo: Path) -> None:
    write(repo, {".gitignore": "*.log", "data/a": "1"})
    ok(repo, "add", "data")
    assert (repo / ".gitignore").read_text() == "*.log\n/data\n"
    ok(repo, "remove", "data")
    assert (repo / ".gitignore").read_text() == "*.log\n"


def test_an_artifact_is_ignored_even_where_a_line_takes_it_back(repo: Path) -> None:
    write(repo, {".gitignore": "/data\n!/data\n", "data/a": "1"})
    ok(repo, "add", "data")
    assert ignored(repo, "data/a")


def test_a_pointer_that_git_ignores_is_staged_all_the_same(repo: Path) -> None:
    write(repo, {".gitignore": "*.prov\n", "data/a": "1"})
    ok(repo, "add", "data")
    assert "data.prov" in git(repo, "ls-files").splitlines()


def test_artifacts_may_lie_in_folders_and_be_named_from_there(repo: Path) -> None:
    write(repo, {"sets/x/a": "1", "sets/y": "2"})
    ok(repo / "sets", "add", "x", "../sets/y")
    assert (repo / "sets/.gitignore").read_text() == "/x\n/y\n"
    assert states(repo / "sets/x") == {"sets/x": "clean", "sets/y": "clean"}
    assert files(repo / "sets", "x") == {"sets/x/a": 1}
    (repo / "sets/y").unlink()
    ok(repo / "sets", "checkout", "y")
    assert (repo / "sets/y").read_text() == "2"
    ok(repo, "-C", "sets", "remove", "x")
    assert states(repo) == {"sets/y": "clean"}


# ---------------------------------------------------------------- remove, ls, diff


def test_removing_keeps_the_data_and_adding_it_again_works(data: Path) -> None:
    removed = ok(data, "remove", "data", "--json").json["artifacts"]
    assert removed == [{"path": "data", "deleted": False}]
    assert git(data, "diff", "--cached", "--name-status").split("\n") == [
        "D\t.gitignore",
        "D\tdata.prov",
    ]
    assert (data / "data/a").exists()
    assert states(data) == {}
    assert ok(data, "add", "data", "--json").json["artifacts"][0]["state"] == "added"
    assert git(data, "status", "--porcelain") == ""


def test_deleting_refuses_to_lose_what_the_store_does_not_have(data: Path) -> None:
    write(data, {"data/a": "changed"})
    refused(data, "remove", "--delete", "data", code=2, says="data that the store does not have")
    assert (data / "data.prov").exists()
    ok(data, "checkout", "--force")
    ok(data, "remove", "--delete", "data")
    assert not (data / "data").exists()
    git(data, "reset", "--quiet", "--hard")
    ok(data, "checkout")
    assert (data / "data/a").read_text() == "1"


def test_an_artifact_never_committed_is_removed_without_a_trace(repo: Path) -> None:
    write(repo, {"data/a": "1"})
    ok(repo, "add", "data")
    ok(repo, "remove", "data")
    assert git(repo, "status", "--porcelain").splitlines() == ["A  .gitprov.yaml", "?? data/"]


def test_listing_names_every_file_of_every_artifact(data: Path) -> None:
    (data / "aaa").mkdir()
    write(data, {"model.pt": "m"})
    ok(data, "add", "aaa", "model.pt")
    assert list(files(data)) == ["data/a", "data/other/d", "data/sub/b", "data/sub/c", "model.pt"]
    assert files(data, "data/sub/b") == {"data/sub/b": 2}
    assert files(data, "HEAD:data/sub") == {"data/sub/b": 2, "data/sub/c": 3}
    refused(data, "ls", "HEAD:model.pt", code=2, says="model.pt is no artifact")
    refused(data, "ls", "data/nothing", code=2, says="there is no data/nothing in the artifact")


def test_diff_compares_revisions_pointers_and_the_worktree(data: Path) -> None:
    git(data, "tag", "one")
    write(data, {"data/sub/b": "longer", "data/new": "1"})
    (data / "data/a").unlink()
    against_disk = ok(data, "diff", "--json").json["artifacts"][0]["changes"]
    assert {c["path"]: c["how"] for c in against_disk} == {
        "a": "deleted",
        "new": "added",
        "sub/b": "modified",
    }
    ok(data, "add", "data")
    assert ok(data, "diff").out == ""
    commit(data, message="two")
    for words in (["one", "HEAD"], ["one..HEAD"], ["one..", "--", "data"], ["one", "--", "data"]):
        assert ok(data, "diff", *words).out.count("\n") == 4, words
    refused(data, "diff", "one", "HEAD", "--", "other", code=2, says="other is no artifact")


def test_a_word_that_is_a_revision_and_a_path_has_to_be_told_apart(data: Path) -> None:
    git(data, "branch", "data")
    refused(data, "diff", "data", code=2, says="both a revision and a path")
    ok(data, "diff", "data", "--")
    ok(data, "diff", "--", "data")


def test_json_is_one_object_on_stdout_and_nothing_else(data: Path) -> None:
    for verb in ("add data", "status", "diff", "ls", "checkout", "gc", "fsck", "remove data"):
        ended = ok(data, *verb.split(), "--json")
        document = json.loads(ended.out)
        assert document["schema"] == f"gitprov/{verb.split()[0]}/v1"
        assert ended.err == ""


def test_quiet_says_nothing(data: Path) -> None:
    for verb in ("add data", "checkout", "gc", "fsck", "remove data"):
        assert ok(data, *verb.split(), "--quiet").out == ""


def test_staging_nothing_stages_nothing(data: Path) -> None:
    write(data, {"data/new": "1", "junk": "1"})
    index = git(data, "ls-files", "-s")
    with Workspace.open(str(data)) as ws:
        stage_paths(ws, [])
    assert git(data, "ls-files", "-s") == index
