"""What git-lfs keeps becomes gitprov's: repositories made by the real git-lfs."""

import hashlib
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.support.cli import gitprov, ok, refused
from tests.support.migration import folder_digest, git_lfs_path
from tests.support.repos import commit, configure, git, make_repo, write

LARGE = bytes(range(256)) * 1200


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two commits and a tag; `images` is wholly in LFS, `data` in part."""
    repo = make_repo(tmp_path_factory.mktemp("lfs") / "repo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", git_lfs_path())
        tell(repo)
    return repo


def tell(repo: Path) -> None:
    commit(repo, {"README": "before LFS\n"}, "start")
    git(repo, "lfs", "install", "--local")
    git(repo, "lfs", "track", "*.bin", "images/**")
    files = {f"images/ü/{n}.png": f"image {n}" for n in range(3)}
    write(repo, {**files, "images/empty": "", "data/a.bin": LARGE, "data/README": "text\n"})
    write(repo, {"tool.bin": "#!/bin/sh\n"})
    (repo / "tool.bin").chmod(0o755)
    (repo / "images" / "link").symlink_to("ü/1.png")
    git(repo, "add", "-A")
    commit(repo, message="first")
    git(repo, "tag", "v1")
    write(repo, {"images/ü/9.png": "nine", "data/a.bin": b"changed"})
    git(repo, "add", "-A")
    commit(repo, message="second")
    ok(repo, "init", "--no-hooks", "--quiet")
    git(repo, "add", "-A")
    commit(repo, message="gitprov")


@pytest.fixture
def repo(told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy that the test may change."""
    monkeypatch.setenv("PATH", git_lfs_path())
    shutil.copytree(told, tmp_path / "repo", symlinks=True)
    return tmp_path / "repo"


def data_of(repo: Path) -> dict[str, str]:
    """The files, and git-lfs' store; not what gitprov writes."""
    ours = (".prov", ".gitignore")
    return folder_digest(
        repo,
        lambda name: name.endswith(ours) or (name.startswith(".git") and "/lfs" not in name),
    )


def added(repo: Path, at: Path, *artifacts: str) -> dict[str, str]:
    """The pointers that `gitprov add` writes for the same files."""
    other = make_repo(at)
    for name in artifacts:
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        if (repo / name).is_dir():
            shutil.copytree(repo / name, other / name, symlinks=True)
        else:
            shutil.copy2(repo / name, other / name)
    ok(other, "add", "--quiet", *artifacts)
    return {name: (other / f"{name}.prov").read_text() for name in artifacts}


def stored(repo: Path, content: bytes) -> Path:
    name = hashlib.sha256(content).hexdigest()
    return repo / ".git" / "lfs" / "objects" / name[:2] / name[2:4] / name


def test_files_and_folders_become_artifacts_as_add_would_make_them(
    repo: Path, tmp_path: Path
) -> None:
    before = data_of(repo)
    done = ok(repo, "import-lfs", "images", "data/a.bin", "tool.bin", "--json").json
    assert {item["path"]: item["here"] for item in done["artifacts"]} == {
        "images": "same",
        "data/a.bin": "same",
        "tool.bin": "same",
    }
    assert data_of(repo) == before
    for name, text in added(repo, tmp_path / "o", "images", "data/a.bin", "tool.bin").items():
        assert (repo / f"{name}.prov").read_text() == text
    commit(repo, message="imported")
    assert git(repo, "lfs", "ls-files") == ""
    assert git(repo, "status", "--porcelain") == ""
    ok(repo, "record", "--quiet")
    assert ok(repo, "verify", "--deep", "--require-data", "--json").json["verdict"] == "pass"


def test_removing_the_artifacts_and_a_reset_undo_it(repo: Path) -> None:
    commit(repo, {"data/.gitignore": "*.tmp\n"}, "ignore")
    before = data_of(repo)
    ok(repo, "import-lfs", "images", "data/a.bin", "--quiet")
    ok(repo, "remove", "images", "data/a.bin")
    assert data_of(repo) == before
    git(repo, "reset", "-q")
    assert git(repo, "status", "--porcelain") == ""
    assert len(git(repo, "lfs", "ls-files").splitlines()) == 6


def test_without_a_path_every_file_is_one_artifact(repo: Path) -> None:
    write(repo, {".gitattributes": "*.bin filter=lfs -text\nimages/**/*.png filter=lfs -text\n"})
    commit(repo, {".gitattributes": (repo / ".gitattributes").read_text()}, "attributes")
    done = ok(repo, "import-lfs", "--json").json
    assert len(done["artifacts"]) == 6
    assert (repo / "images" / "ü" / "9.png.prov").exists()


def test_pointers_that_git_would_keep_in_lfs_are_refused_with_the_way_out(repo: Path) -> None:
    done = gitprov(repo, "import-lfs")
    assert done.code == 2
    assert "git would keep images/ü/0.png.prov in LFS as well" in done.err
    assert "gitprov import-lfs 'images/ü'" in done.err
    assert (repo / "tool.bin.prov").exists()
    past = refused(repo, "import-lfs", "--all-revisions", code=2, says="in LFS as well")
    assert "gitprov import-lfs --all-revisions 'images/ü'" in past.err


def run_as_shown(folder: Path, hint: str) -> None:
    """Does what a hint says, as a user who copies it would."""
    (command,) = re.findall(r"\(gitprov (import-lfs [^)]*)\)", hint)
    ok(folder, *shlex.split(command), "--quiet")


@pytest.mark.parametrize("where", [".", "data"])
def test_a_hint_can_be_run_where_it_was_shown(repo: Path, where: str) -> None:
    write(repo, {"my  dir/a b.png": "in a folder with spaces"})
    attributes = (repo / ".gitattributes").read_text() + "my*dir/* filter=lfs -text\n"
    write(repo, {".gitattributes": attributes.replace("images/**", "images/**/*.png")})
    git(repo, "add", "-A")
    commit(repo, message="spaces")
    done = gitprov(repo / where, "import-lfs")
    assert done.code == 2
    run_as_shown(repo / where, done.err)
    again = ok(repo / where, "import-lfs")  # before the commit
    assert "not imported: my  dir: it is an artifact already" in again.err
    commit(repo, message="imported")
    assert git(repo, "lfs", "ls-files") == ""


def test_what_an_earlier_import_made_is_said_to_be_an_artifact_already(repo: Path) -> None:
    ok(repo, "import-lfs", "images", "data/a.bin", "tool.bin", "--quiet")
    commit(repo, message="imported")
    said = {
        "tool.bin": "it is an artifact already",
        "images/ü": "it lies inside the artifact images",
        "data": "what lies in it is artifacts already, data/a.bin for one",
    }
    for name, why in said.items():
        assert ok(repo, "import-lfs", name).err == f"gitprov: not imported: {name}: {why}\n"
    assert ok(repo, "import-lfs").err.count("it is an artifact already") == 3
    refused(repo, "import-lfs", "tool.bin", "README", code=2, says="README is no LFS file")


def test_totals_count_only_what_is_imported(repo: Path) -> None:
    done = gitprov(repo, "import-lfs", "-n", "--json").json
    assert (len(done["artifacts"]), done["files"]) == (2, 2)  # images/** would catch the pointers
    assert gitprov(repo, "import-lfs", "-n", "data", "--json").json["files"] == 0
    stored(repo, b"nine").unlink()
    (repo / "images" / "ü" / "9.png").unlink()
    assert gitprov(repo, "import-lfs", "-n", "images", "--json").json["files"] == 0
    assert gitprov(repo, "import-lfs", "images", "--json").json["files"] == 0


@pytest.mark.parametrize("options", [[], ["--all-revisions"]])
def test_a_dry_run_writes_nothing_at_all(repo: Path, options: list[str]) -> None:
    before = folder_digest(repo)
    done = ok(repo, "import-lfs", "images", "data/a.bin", "--dry-run", "--json", *options).json
    assert done["dry_run"]
    assert done["files"] == (5 if not options else 6)
    assert folder_digest(repo) == before


def test_every_revision_has_pointers_in_the_place_of_lfs_files(repo: Path, tmp_path: Path) -> None:
    refs = set(git(repo, "show-ref").splitlines())
    before, index = data_of(repo), (repo / ".git" / "index").read_bytes()
    args = ("images", "data/a.bin", "tool.bin")
    done = ok(repo, "import-lfs", "--all-revisions", "--json", *args).json
    assert (done["commits"], done["rewritten"], done["recorded"]) == (4, 3, 3)
    assert data_of(repo) == before
    assert (repo / ".git" / "index").read_bytes() == index
    assert refs <= set(git(repo, "show-ref").splitlines())
    names = git(repo, "ls-tree", "-r", "--name-only", "imported/v1").splitlines()
    assert names == [
        *(".gitattributes", ".gitignore", "README", "data/.gitignore", "data/README"),
        *("data/a.bin.prov", "images.prov", "tool.bin.prov"),
    ]
    git(repo, "checkout", "-q", "v1")
    for name, text in added(repo, tmp_path / "o", *args).items():
        assert git(repo, "show", f"imported/v1:{name}.prov") + "\n" == text
    assert ok(repo, "verify", "--deep", "--json", "v1..imported/main").json["verdict"] == "pass"
    git(repo, "worktree", "add", "-q", str(tmp_path / "old"), "imported/v1")
    ok(tmp_path / "old", "checkout", "--quiet")
    assert (tmp_path / "old" / "data" / "a.bin").read_bytes() == LARGE
    assert git(tmp_path / "old", "status", "--porcelain") == ""


def test_what_is_missing_or_damaged_is_named_and_the_rest_imported(repo: Path) -> None:
    stored(repo, b"nine").unlink()
    (repo / "images" / "ü" / "9.png").unlink()  # else git-lfs would store it anew by itself
    changed = stored(repo, b"changed")
    changed.chmod(0o644)
    changed.write_bytes(b"CHANGED")
    done = gitprov(repo, "import-lfs", "images", "data/a.bin", "tool.bin")
    assert done.code == 1
    assert "images: ü/9.png: its data (SHA-256 " in done.err
    assert "git lfs fetch" in done.err
    assert f"{changed} is damaged: its SHA-256 is" in done.err
    assert "hint: delete the damaged file, then git lfs fetch brings it anew" in done.err
    staged = git(repo, "diff", "--cached", "--name-only").splitlines()
    assert staged == [".gitignore", "tool.bin", "tool.bin.prov"]
    changed.write_bytes(b"longer than it was")
    assert "has 18 bytes, and should have 7" in gitprov(repo, "import-lfs", "data/a.bin").err
    past = gitprov(repo, "import-lfs", "--all-revisions", "images", "--json")
    assert past.code == 3
    assert [(item["path"], item["commits"]) for item in past.json["left"]] == [("images", 2)]


def lfs_pointer(content: bytes, more: str = "") -> str:
    oid, size = hashlib.sha256(content).hexdigest(), len(content)
    return f"version https://git-lfs.github.com/spec/v1\n{more}oid sha256:{oid}\nsize {size}\n"


def test_what_only_looks_like_a_pointer_is_refused_or_content(repo: Path) -> None:
    """These go past git-lfs' filter, as a hand or a server can write them."""
    good = lfs_pointer(b"nine")
    write(
        repo,
        {
            "odd/size.dat": good.replace("size 4", "size 9007199254740999999"),
            "odd/wrong.dat": good.replace("size 4", "size 5"),
            "odd/ext.dat": lfs_pointer(b"nine", f"ext-0-x sha256:{'0' * 64}\n"),
            "odd/long.dat": good + "x" * 1024,
            "odd/path.dat": good.replace("sha256:", "sha256:../"),
        },
    )
    git(repo, "add", "-A")
    commit(repo, message="odd")
    names = ("size", "wrong", "ext", "path")
    done = gitprov(repo, "import-lfs", *[f"odd/{name}.dat" for name in names], "--json")
    assert done.code == 1
    assert done.json["artifacts"] == []
    assert [item["exit_code"] for item in done.json["left"]] == [1, 1, 1, 1]
    refused(repo, "import-lfs", "odd/long.dat", code=2, says="is no LFS file")
    assert "odd: ext.dat: its LFS pointer uses an ext" in gitprov(repo, "import-lfs", "odd").err


def test_a_folder_that_git_keeps_in_part_is_refused_and_says_which_file(repo: Path) -> None:
    done = gitprov(repo, "import-lfs", "data")
    assert done.code == 2
    assert "data: README: git itself keeps it, not git-lfs" in done.err
    assert git(repo, "diff", "--cached", "--name-only") == ""


def test_staged_changes_are_not_lost(repo: Path) -> None:
    write(repo, {"images/ü/9.png": "changed"})
    git(repo, "add", "-A")
    refused(repo, "import-lfs", "images", code=2, says="images/ü/9.png has staged changes")


def test_a_pointer_that_gitprov_has_moved_on_is_left_and_named(repo: Path) -> None:
    ok(repo, "import-lfs", "data/a.bin", "--quiet")
    write(repo, {"data/a.bin": "newer"})
    ok(repo, "add", "--quiet", "data/a.bin")
    ours = git(repo, "show", ":data/a.bin.prov")
    done = ok(repo, "import-lfs", "data/a.bin")
    says = "data/a.bin: it is an artifact already, of another version than git-lfs's"
    assert says in done.err
    assert git(repo, "show", ":data/a.bin.prov") == ours
    git(repo, "reset", "-q", "--", "data/a.bin")  # in one commit both git-lfs and gitprov have it
    commit(repo, message="both")
    assert (
        f"{says}, and stays as it is, in 1 commit"
        in ok(repo, "import-lfs", "data/a.bin", "--all-revisions").err
    )
    assert git(repo, "show", "imported/main:data/a.bin.prov") == ours


def test_many_files_of_one_folder_had_better_be_one_artifact(repo: Path) -> None:
    write(repo, {f"many/{n}.bin": str(n) for n in range(25)})
    git(repo, "add", "-A")
    commit(repo, message="many")
    says = "many holds nothing but LFS files: `gitprov import-lfs {}` makes one artifact of it\n"
    assert says.format("many") in gitprov(repo, "import-lfs", "--dry-run").err
    assert says.format("../many") in gitprov(repo / "data", "import-lfs", "--dry-run").err


def test_git_lfs_own_storage_setting_is_followed(repo: Path) -> None:
    (repo / ".git" / "lfs").rename(repo.parent / "elsewhere")
    git(repo, "config", "lfs.storage", str(repo.parent / "elsewhere"))
    assert ok(repo, "import-lfs", "tool.bin", "--json").json["artifacts"]


@pytest.mark.parametrize("options", [[], ["-n"], ["--all-revisions"], ["--all-revisions", "-n"]])
def test_a_path_that_git_lfs_never_had_is_refused_and_nothing_imported(
    repo: Path, options: list[str]
) -> None:
    refs = git(repo, "show-ref")
    for name in ("README", "nowhere"):
        says = f"{name} is no LFS file of {'any' if '--all-revisions' in options else 'the curr'}"
        done = refused(repo, "import-lfs", *options, "images", name, code=2, says=says)
        every = "--all-revisions " if "--all-revisions" in options else ""
        hint = f"hint: gitprov import-lfs {every}--dry-run lists what git-lfs keeps"
        assert hint in done.err
    assert git(repo, "show-ref") == refs
    assert not (repo / "images.prov").exists()


def unsmudged(repo: Path, at: Path) -> Path:
    """A clone that has the data of LFS files only in git-lfs' store."""
    git(repo, "lfs", "uninstall", "--local")
    git(at.parent, "clone", "-q", repo, at)
    configure(at)
    git(at, "lfs", "install", "--local", "--skip-smudge")
    git(at, "lfs", "fetch", repo.as_uri(), "main")
    return at


def test_data_takes_the_place_of_lfs_pointers_on_disk(repo: Path, tmp_path: Path) -> None:
    clone = unsmudged(repo, tmp_path / "clone")
    assert (clone / "data" / "a.bin").read_text().startswith("version https://git-lfs")
    done = ok(clone, "import-lfs", "data/a.bin", "images")
    assert "only LFS pointers lay at images: its data is there now" in done.err
    assert (clone / "data" / "a.bin").read_bytes() == b"changed"
    assert (clone / "images" / "ü" / "9.png").read_bytes() == b"nine"
    assert {i["state"] for i in ok(clone, "status", "--json").json["artifacts"]} == {"clean"}
    assert (clone / "tool.bin").read_text().startswith("version https://git-lfs")


def test_what_was_changed_beside_lfs_pointers_stays(repo: Path, tmp_path: Path) -> None:
    clone = unsmudged(repo, tmp_path / "clone")
    write(clone, {"images/ü/0.png": "mine"})
    (clone / "images" / "ü" / "1.png").unlink()
    done = ok(clone, "import-lfs", "images")
    assert "what lies at images differs: gitprov status images" in done.err
    assert (clone / "images" / "ü" / "0.png").read_bytes() == b"mine"
    assert (clone / "images" / "ü" / "9.png").read_bytes() == b"nine"
    (status,) = ok(clone, "status", "--json").json["artifacts"]
    assert [change["path"] for change in status["changes"]] == ["ü/0.png", "ü/1.png"]
