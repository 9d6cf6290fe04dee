"""What DVC keeps becomes gitprov's: repositories made by the real DVC, with all their history."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from gitprov.platform.locks import file_lock
from tests.support.cli import gitprov, ok, refused
from tests.support.migration import dvc, folder_digest, tell_dvc_story
from tests.support.repos import commit, configure, git, make_repo, write

ARTIFACTS = ["data", "deep/er/x.csv", "model.safetensors", "out/a.txt", "run me"]
SUBJECTS = ["first", "second", "side", "merge", "pipeline"]


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "dvc"
    with file_lock(str(folder) + ".lock"):
        if not (folder / "told").exists():
            tell_dvc_story(folder)
            (folder / "told").touch()
    return folder


@pytest.fixture
def repo(told: Path, tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    shutil.copytree(told / "repo", repo, symlinks=True)
    configure(repo)
    ok(repo, "init", "--no-hooks", "--quiet")
    commit(repo, message="gitprov", options=["--all"])
    return repo


def pointers(repo: Path, rev: str) -> dict[str, str]:
    """The pointers of a commit by path."""
    names = git(repo, "ls-tree", "-r", "-z", "--name-only", rev).split("\0")
    return {name: git(repo, "show", f"{rev}:{name}") for name in names if name.endswith(".prov")}


def added(data: Path, at: Path) -> dict[str, str]:
    """The pointers that `gitprov add` writes for data that DVC checked out."""
    repo = make_repo(at)
    shutil.copytree(data, repo, dirs_exist_ok=True)
    ok(repo, "init", "--no-hooks", "--quiet")
    ok(repo, "add", "--quiet", *[name for name in ARTIFACTS if (repo / name).exists()])
    commit(repo)
    return pointers(repo, "HEAD")


def is_ours(name: str) -> bool:
    return name.endswith(".prov") or name == ".git" or name.startswith(".git/")


def cached(repo: Path, content: bytes) -> Path:
    files = (path for path in (repo / ".dvc" / "cache").rglob("*") if path.is_file())
    return next(path for path in files if path.read_bytes() == content)


def test_pointers_say_what_add_says_of_the_same_data(
    repo: Path, told: Path, tmp_path: Path
) -> None:
    before, refs = folder_digest(repo, is_ours), git(repo, "show-ref")
    done = ok(repo, "import-dvc", "--json").json
    assert [item["path"] for item in done["artifacts"]] == sorted(ARTIFACTS)
    assert {item["here"] for item in done["artifacts"]} == {"same"}
    assert [(item["path"], item["exit_code"]) for item in done["left"]] == [("m.json", 0)]
    assert folder_digest(repo, is_ours) == before
    assert git(repo, "show-ref") == refs
    assert {item["state"] for item in ok(repo, "status", "--json").json["artifacts"]} == {"clean"}
    staged = git(repo, "diff", "--cached", "--name-only", "-z").split("\0")[:-1]
    assert staged == sorted(f"{name}.prov" for name in ARTIFACTS)
    commit(repo, message="imported")
    assert pointers(repo, "HEAD") == added(told / "expected" / "pipeline", tmp_path / "other")
    assert "weights: " in pointers(repo, "HEAD")["model.safetensors.prov"]
    ok(repo, "record", "--quiet")
    assert ok(repo, "verify", "--deep", "--require-data", "--json").json["verdict"] == "pass"
    again = ok(repo, "import-dvc", "--json").json
    assert {item["state"] for item in again["artifacts"]} == {"unchanged"}
    assert git(repo, "status", "--porcelain") == ""


def test_dvc_goes_on_working(repo: Path) -> None:
    ok(repo, "import-dvc", "--quiet")
    assert "up to date" in dvc(repo, "status")


@pytest.mark.parametrize("options", [[], ["--all-revisions"]])
def test_a_dry_run_writes_nothing_at_all(repo: Path, options: list[str]) -> None:
    before = folder_digest(repo)
    done = ok(repo, "import-dvc", "--dry-run", "--json", *options).json
    assert done["size"] > 300_000
    assert folder_digest(repo) == before


def test_every_revision_has_its_pointers_and_the_old_ones_stay(
    repo: Path, told: Path, tmp_path: Path
) -> None:
    before = folder_digest(repo, lambda name: name == ".git" or name.startswith(".git/"))
    refs = set(git(repo, "show-ref").splitlines())
    index = (repo / ".git" / "index").read_bytes()
    done = ok(repo, "import-dvc", "--all-revisions", "--json").json
    assert done["artifacts"] == sorted(ARTIFACTS)
    assert (done["commits"], done["rewritten"], done["recorded"]) == (7, 6, 6)
    assert set(done["branches"]) == {
        "refs/heads/imported/main",
        "refs/heads/imported/side",
        "refs/tags/imported/v1",
    }
    assert folder_digest(repo, lambda n: n == ".git" or n.startswith(".git/")) == before
    assert (repo / ".git" / "index").read_bytes() == index
    assert refs <= set(git(repo, "show-ref").splitlines())
    form = "--format=%s%n%an %ae %ad%n%cn %ce %cd"
    old = git(repo, "log", "--topo-order", form, "main")
    assert git(repo, "log", "--topo-order", form, "imported/main") == old
    for subject in SUBJECTS:
        new = git(repo, "rev-list", "-1", f"--grep=^{subject}$", "imported/main")
        source = git(repo, "log", "-1", "--format=%(trailers:key=Imported-from,valueonly)", new)
        assert git(repo, "log", "-1", "--format=%s", source.strip()) == subject
        expected = added(told / "expected" / subject, tmp_path / subject)
        assert pointers(repo, new) == expected
        changed = git(repo, "diff", "--name-only", "-z", source.strip(), new).split("\0")[:-1]
        assert changed == sorted(expected)
    # What came before DVC is the same commit in both histories.
    roots = git(repo, "rev-list", "--max-parents=0", "main", "imported/main").split()
    assert len(roots) == 1
    verified = ok(repo, "verify", "--deep", "--json", "v1..imported/main").json
    assert verified["verdict"] == "pass"


def test_a_repeated_import_says_that_nothing_is_new(repo: Path) -> None:
    first = ok(repo, "import-dvc", "--all-revisions", "--json").json
    assert (first["new"], first["unchanged"]) == (6, [])
    refs = git(repo, "show-ref")
    again = ok(repo, "import-dvc", "--all-revisions", "--json").json
    assert (again["new"], again["rewritten"]) == (0, 6)
    assert again["branches"] == first["branches"]
    assert set(again["unchanged"]) == set(first["branches"])
    said = ok(repo, "import-dvc", "--all-revisions").out.splitlines()
    assert said[0] == "nothing new: 6 of 7 commits were made anew before"
    assert said[1].startswith("unchanged  refs/heads/imported/main  ")
    assert git(repo, "show-ref") == refs
    commit(repo, {"code.py": "1\n"}, "more")
    said = ok(repo, "import-dvc", "--all-revisions").out.splitlines()
    assert said[0] == "1 of 8 commits made anew, 7 recorded; 6 were made before"
    assert [line.split()[0] for line in said[1:4]] == ["made", "unchanged", "unchanged"]


def test_an_annotated_tag_is_copied_as_one_without_its_signature(repo: Path) -> None:
    signature = "-----BEGIN PGP SIGNATURE-----\n\nabc\n-----END PGP SIGNATURE-----\n"
    main = git(repo, "rev-parse", "main")
    for name, who in (("v2", "tagger Ada Löve <ada@example.org> 86400 +0130\n"), ("old", "")):
        text = f"object {main}\ntype commit\ntag {name}\n{who}\nWhy it is\n\n{signature}"
        made = git(repo, "hash-object", "-t", "tag", "-w", "--stdin", input=text.encode())
        git(repo, "update-ref", f"refs/tags/{name}", made)
    done = ok(repo, "import-dvc", "--all-revisions", "--json").json
    new = done["branches"]["refs/tags/imported/v2"]
    assert git(repo, "cat-file", "tag", "imported/v2") == (
        f"object {new}\ntype commit\ntag imported/v2\n"
        "tagger Ada Löve <ada@example.org> 86400 +0130\n\nWhy it is\n"
    )
    assert "tagger" not in git(repo, "cat-file", "tag", "imported/old")
    assert git(repo, "cat-file", "-t", "imported/v1") == "commit"
    again = ok(repo, "import-dvc", "--all-revisions", "--json").json
    assert again["branches"] == done["branches"]
    assert len(again["unchanged"]) == 5


@pytest.mark.parametrize("prefix", ["main", "v1"])
def test_a_name_that_git_cannot_have_beside_another_is_refused_before_anything_is_read(
    repo: Path, prefix: str
) -> None:
    shutil.rmtree(repo / ".dvc" / "cache")
    for options in ([], ["--dry-run"]):
        done = refused(
            repo, "import-dvc", "--all-revisions", "--branch", prefix, *options, code=2,
            says=f"/{prefix} cannot be made, because there is refs/",
        )  # fmt: skip
        assert "hint: choose another --branch PREFIX" in done.err


def test_an_imported_revision_is_checked_out_with_its_data(repo: Path, tmp_path: Path) -> None:
    ok(repo, "import-dvc", "--all-revisions", "--quiet")
    git(repo, "worktree", "add", "-q", str(tmp_path / "old"), "imported/v1")
    ok(tmp_path / "old", "checkout", "--quiet")
    assert (tmp_path / "old" / "data" / "train" / "1.png").read_bytes() == b"one"
    assert os.access(tmp_path / "old" / "run me", os.X_OK)
    assert git(tmp_path / "old", "status", "--porcelain") == ""


def test_a_later_import_goes_on_where_the_last_one_ended(repo: Path) -> None:
    first = ok(repo, "import-dvc", "--all-revisions", "--json").json
    commit(repo, {"code.py": "1\n"}, "more")
    second = ok(repo, "import-dvc", "--all-revisions", "--json").json
    name = "refs/heads/imported/main"
    assert git(repo, "rev-parse", "imported/main^") == first["branches"][name]
    assert second["rewritten"] == first["rewritten"] + 1


def test_a_branch_with_commits_of_its_own_is_not_written_over(repo: Path) -> None:
    git(repo, "branch", "imported/main", "main~1")
    says = "refs/heads/imported/main has commits that no import made"
    refused(repo, "import-dvc", "--all-revisions", code=2, says=says)
    assert git(repo, "rev-parse", "imported/main") == git(repo, "rev-parse", "main~1")
    assert git(repo, "for-each-ref", "refs/gitprov/importing") == ""
    done = ok(repo, "import-dvc", "--all-revisions", "--branch", "from-dvc", "--json").json
    assert "refs/heads/from-dvc/main" in done["branches"]


def test_an_import_of_less_does_not_take_the_place_of_an_import_of_more(repo: Path) -> None:
    """As import-lfs would after import-dvc."""
    first = ok(repo, "import-dvc", "--all-revisions", "--json").json
    says = "has artifacts that this import does not make: data for one"
    refused(repo, "import-dvc", "--all-revisions", "deep", code=2, says=says)
    name = "refs/heads/imported/main"
    assert git(repo, "rev-parse", "imported/main") == first["branches"][name]


def test_what_is_missing_is_named_and_the_rest_imported(repo: Path) -> None:
    cached(repo, b"three").unlink()
    done = gitprov(repo, "import-dvc")
    assert done.code == 3
    assert "data: 1 of its 6 files are not in DVC's cache, train/3.png for one" in done.err
    assert "4 distinct files read" in done.out  # what cannot be whole is not read
    assert "dvc fetch" in done.err
    assert not (repo / "data.prov").exists()
    assert (repo / "model.safetensors.prov").exists()
    (repo / ".dvc" / "cache" / "files").rename(repo.parent / "files")
    assert gitprov(repo, "import-dvc", "--json").json["artifacts"] == []
    assert ok(repo, "import-dvc", "model.safetensors", "--cache", "..", "--json").json["artifacts"]


def test_what_is_missing_in_some_revisions_comes_in_with_the_next_import(repo: Path) -> None:
    lost = cached(repo, b"three")
    lost.rename(repo.parent / "lost")
    done = gitprov(repo, "import-dvc", "--all-revisions", "--json")
    assert done.code == 3
    assert [(item["path"], item["commits"]) for item in done.json["left"] if item["exit_code"]] == [
        ("data", 4)
    ]
    assert "data.prov" not in pointers(repo, "imported/main")
    assert "data.prov" in pointers(repo, "imported/side")
    (repo.parent / "lost").rename(lost)
    ok(repo, "import-dvc", "--all-revisions", "--quiet")
    assert "data.prov" in pointers(repo, "imported/main")


def test_damage_in_the_cache_is_refused_and_named(repo: Path) -> None:
    damaged = cached(repo, b"three")
    damaged.chmod(0o644)
    damaged.write_bytes(b"THREE")
    for options in ([], ["--all-revisions"]):
        done = gitprov(repo, "import-dvc", *options)
        assert done.code == 1
        assert f"{damaged} is damaged: its MD5 is" in done.err
        assert "hint: delete the damaged file, then dvc fetch brings it anew" in done.err
    assert not (repo / "data.prov").exists()
    assert "data.prov" not in pointers(repo, "imported/main")


def test_data_that_was_changed_since_is_said_to_differ(repo: Path) -> None:
    (repo / "data" / "new").write_bytes(b"n")
    shutil.rmtree(repo / "deep")
    git(repo, "checkout", "--", "deep")
    done = ok(repo, "import-dvc", "--json").json
    here = {item["path"]: item["here"] for item in done["artifacts"]}
    assert (here["data"], here["deep/er/x.csv"]) == ("differs", "absent")
    assert "gitprov status data" in ok(repo, "import-dvc").err


OTHER = "x.csv: it is an artifact already, of another version than DVC's, and stays as it is"


@pytest.mark.parametrize("committed", [False, True])
def test_a_pointer_that_gitprov_has_moved_on_is_left_and_named(repo: Path, committed: bool) -> None:
    ok(repo, "import-dvc", "deep", "--quiet")
    commit(repo, message="imported")
    write(repo, {"deep/er/x.csv": "newer\n"})
    ok(repo, "add", "--quiet", "deep/er/x.csv")
    if committed:
        commit(repo, message="newer")
    ours = git(repo, "show", ":deep/er/x.csv.prov")
    done = ok(repo, "import-dvc", "deep")
    assert OTHER in done.err
    assert "modified" not in done.out
    assert git(repo, "show", ":deep/er/x.csv.prov") == ours
    assert "would compare  deep/er/x.csv" in ok(repo, "import-dvc", "deep", "-n").out
    shutil.rmtree(repo / "deep" / "er")
    git(repo, "checkout", "--", "deep")
    assert OTHER in ok(repo, "import-dvc", "deep").err  # with no data on disk, too
    past = ok(repo, "import-dvc", "deep", "--all-revisions")
    assert (f"{OTHER}, in 1 commit" in past.err) == committed
    assert (git(repo, "show", "imported/main:deep/er/x.csv.prov") == ours) == committed


def test_an_import_follows_what_dvc_adds_later(repo: Path) -> None:
    ok(repo, "import-dvc", "deep", "--quiet")
    write(repo, {"deep/er/x.csv": "newer\n"})
    dvc(repo, "add", "-q", "deep/er/x.csv")
    assert [i["state"] for i in ok(repo, "import-dvc", "deep", "--json").json["artifacts"]] == [
        "modified"
    ]


def as_dvc_2_wrote_it(repo: Path) -> None:
    """Moves the cache into DVC 2's layout, and takes the lines out that only DVC 3 writes."""
    for path in (repo / ".dvc" / "cache" / "files" / "md5").iterdir():
        path.rename(repo / ".dvc" / "cache" / path.name)
    shutil.rmtree(repo / ".dvc" / "cache" / "files")
    for path in [*repo.rglob("*.dvc"), repo / "dvc.lock"]:
        if path.is_file():
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if line.strip() != "hash: md5"))


def dos2unix(repo: Path) -> None:
    """Names the text with carriage returns as DVC 2 does: blind to them."""
    text = b"a\r\nb\r\n"
    old, new = (hashlib.md5(data).hexdigest() for data in (text, text.replace(b"\r", b"")))  # noqa: S324
    cache = repo / ".dvc" / "cache"
    pointer = repo / "data.dvc"
    name = next(line.split()[-1] for line in pointer.read_text().splitlines() if "md5" in line)
    listed = (cache / name[:2] / name[2:]).read_bytes().replace(old.encode(), new.encode())
    fresh = hashlib.md5(listed).hexdigest() + ".dir"  # noqa: S324
    for digest, data in ((new, text), (fresh, listed)):
        (cache / digest[:2]).mkdir(exist_ok=True)
        (cache / digest[:2] / digest[2:]).write_bytes(data)
    pointer.write_text(pointer.read_text().replace(name, fresh))


def test_the_layout_of_dvc_2_gives_the_same_roots(repo: Path, told: Path, tmp_path: Path) -> None:
    as_dvc_2_wrote_it(repo)
    dos2unix(repo)
    ok(repo, "import-dvc", "--quiet")
    commit(repo, message="imported")
    assert pointers(repo, "HEAD") == added(told / "expected" / "pipeline", tmp_path / "other")


def test_only_what_is_named_is_imported(repo: Path) -> None:
    done = ok(repo, "import-dvc", "deep", "model.safetensors.dvc", "--kind", "data", "--json").json
    assert [item["path"] for item in done["artifacts"]] == ["deep/er/x.csv", "model.safetensors"]
    assert {item["kind"] for item in done["artifacts"]} == {"data"}
    past = ok(repo, "import-dvc", "--all-revisions", "deep", "--json").json
    assert past["artifacts"] == ["deep/er/x.csv"]


@pytest.mark.parametrize("options", [[], ["-n"], ["--all-revisions"], ["--all-revisions", "-n"]])
def test_a_path_that_dvc_never_had_is_refused_and_nothing_imported(
    repo: Path, options: list[str]
) -> None:
    refs = git(repo, "show-ref")
    done = refused(repo, "import-dvc", *options, "data", "README", code=2, says="README is no out")
    every = "--all-revisions " if "--all-revisions" in options else ""
    assert f"hint: gitprov import-dvc {every}--dry-run lists what DVC keeps" in done.err
    assert git(repo, "show-ref") == refs
    assert not (repo / "data.prov").exists()


@pytest.mark.parametrize("options", [[], ["--all-revisions"]])
def test_an_output_that_git_keeps_may_be_named_and_is_left(repo: Path, options: list[str]) -> None:
    done = ok(repo, "import-dvc", *options, "m.json")
    assert "not imported: m.json: git keeps it, DVC does not (dvc.lock)" in done.err


def test_every_path_begins_at_the_top_of_the_repository(repo: Path) -> None:
    """DVC writes them as seen from the folder of its file, or from the `wdir` in it."""
    write(repo, {"sub/work/b": "b"})
    dvc(repo, "add", "-q", "sub/work/b")
    text = (repo / "sub" / "work" / "b.dvc").read_text() + "  cache: false\n"
    write(repo, {"sub/b.dvc": f"wdir: work\n{text}"})
    (repo / "sub" / "work" / "b.dvc").unlink()
    for options in ([], ["--json"]):
        done = ok(repo, "import-dvc", "sub", *options)
        assert "sub/work/b" in done.err + done.out
    assert [item["path"] for item in done.json["left"]] == ["sub/work/b"]


def test_links_into_the_cache_are_named_with_what_makes_files_of_them(repo: Path) -> None:
    dvc(repo, "config", "--local", "cache.type", "symlink")
    dvc(repo, "checkout", "-q", "--force", "--relink", "data", "run me")
    assert (repo / "data" / "train" / "1.png").is_symlink()
    done = ok(repo, "import-dvc", "data", "run me")
    says = (
        "gitprov: links into DVC's cache lie at run me: dvc unprotect 'run me' makes files of them"
    )
    assert says in done.err
    assert "dvc unprotect data" in done.err
    dvc(repo, "unprotect", "data", "run me")
    again = ok(repo, "import-dvc", "data", "--json").json
    assert [(item["state"], item["here"]) for item in again["artifacts"]] == [("unchanged", "same")]
