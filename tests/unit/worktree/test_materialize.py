import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from gitprov.model.entry import Entry, manifest_root
from gitprov.model.manifest import Manifest
from gitprov.worktree.materialize import Materializer
from gitprov.worktree.place import LinkMode
from gitprov.worktree.plan import Plan, make_plan
from gitprov.worktree.reading import LARGE
from gitprov.worktree.scan import Scanner
from gitprov.worktree.tree import Tree
from tests.support.trees import DATA, Desk, File, Keeper, Link, Node, build, naive_root, read_back

BIG = os.urandom(LARGE) + b"!"
TREE: dict[bytes, Node] = {
    b"a": File(b"1"),
    b"run": File(b"2", executable=True),
    b"big": File(BIG),
    b"sub": {b"c": File(b"3"), b"l": Link(b"../a"), b"empty": {}},
}


def stored(desk: Desk, keeper: Keeper, tree: Node) -> Entry:
    """Puts a tree into the keeper and nowhere else."""
    build(desk.data, tree)
    entry = desk.add(keeper)
    desk.data.rename(desk.root / f"away {len(list(desk.root.iterdir()))}")
    return entry


def plan(
    desk: Desk,
    keeper: Keeper,
    want: Entry | None,
    *,
    expected: Entry | None = None,
    force: bool = False,
    path: RepoPath = DATA,
) -> Plan:
    scanner = Scanner(str(desk.root), desk.cache, store_link=keeper.store_link())
    return make_plan(
        scanner, keeper.load, path, want, expected=expected, artifact=DATA, force=force
    )


def apply(desk: Desk, keeper: Keeper, *plans: Plan, link: LinkMode = "auto") -> list[Tree | None]:
    made = Materializer(
        str(desk.root), desk.cache, keeper, link=link, store_link=keeper.store_link()
    )
    return made.apply(plans)


def checkout(
    desk: Desk,
    keeper: Keeper,
    want: Entry | None,
    *,
    expected: Entry | None = None,
    force: bool = False,
    path: RepoPath = DATA,
    link: LinkMode = "auto",
) -> Tree | None:
    made = plan(desk, keeper, want, expected=expected, force=force, path=path)
    return apply(desk, keeper, made, link=link)[0]


def forged(keeper: Keeper, *entries: Entry) -> Entry:
    """A manifest as an attacker writes it: nothing is checked but that its root is its digest."""
    root = manifest_root(entries)
    keeper.manifests[root] = Manifest(entries, Digest(root))
    return Entry(b"data", "d", root, sum(entry.size for entry in entries))


def blob(keeper: Keeper, data: bytes) -> bytes:
    digest = blake3(data).digest()
    keeper.blobs[digest] = data
    return digest


@pytest.fixture(params=["unnamed", "renamed"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a small file gets its name: at the end, or where that cannot be by a rename."""
    if request.param == "renamed":
        monkeypatch.setattr("gitprov.worktree.place._UNNAMED", 0)


@pytest.mark.usefixtures("way")
def test_everything_is_written_and_status_is_free_afterwards(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    desk.forget()
    tree = checkout(desk, keeper, entry)
    assert tree is not None
    assert tree.root == entry.digest == naive_root(TREE)
    assert read_back(desk.data) == TREE
    counter = Keeper()
    assert desk.scan(counter).root == entry.digest
    assert counter.blobs.keys() <= {blake3(b"../a").digest()}
    assert plan(desk, keeper, entry).is_empty


@pytest.mark.usefixtures("way")
def test_modes_are_the_users_own(desk: Desk, keeper: Keeper) -> None:
    old = os.umask(0o027)
    try:
        checkout(desk, keeper, stored(desk, keeper, TREE))
    finally:
        os.umask(old)
    modes = {n: stat.S_IMODE((desk.data / n).stat().st_mode) for n in ("a", "run", "big", "sub")}
    assert modes == {"a": 0o640, "run": 0o750, "big": 0o640, "sub": 0o750}


def test_a_change_right_after_a_checkout_is_seen(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    checkout(desk, keeper, entry)
    with (desk.data / "a").open("r+b") as file:
        file.write(b"9")
    assert desk.scan().root == naive_root({**TREE, b"a": File(b"9")})


def test_a_single_file_is_written_with_the_folders_above_it(desk: Desk, keeper: Keeper) -> None:
    build(desk.data, File(b"weights", executable=True))
    entry = desk.add(keeper)
    deep = RepoPath(b"models/2026/net.bin")
    scanner = Scanner(str(desk.root), desk.cache)
    made = make_plan(scanner, keeper.load, deep, entry, expected=None)
    [tree] = apply(desk, keeper, made)
    assert tree is not None
    assert tree.type == "exec"
    assert read_back(desk.root / "models") == {b"2026": {b"net.bin": File(b"weights", True)}}


def test_a_part_is_written_alone(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    sub = keeper.load(entry.digest).get(b"sub")
    checkout(desk, keeper, sub, path=RepoPath(b"data/sub"))
    assert read_back(desk.data) == {b"sub": TREE[b"sub"]}


def test_a_changed_file_is_a_conflict_and_nothing_is_written(desk: Desk, keeper: Keeper) -> None:
    new = stored(desk, keeper, {**TREE, b"a": File(b"new"), b"b": File(b"new")})
    old = stored(desk, keeper, TREE)
    mine: Node = {**TREE, b"a": File(b"mine"), b"b": File(b"my own")}
    build(desk.data, mine)
    made = plan(desk, keeper, new, expected=old)
    with pytest.raises(UsageError) as caught:
        apply(desk, keeper, made)
    assert "data/a was changed" in str(caught.value)
    assert "data/b is in the way" in str(caught.value)
    assert "--force" in (caught.value.hint or "")
    assert read_back(desk.data) == mine


def test_one_plan_with_a_conflict_holds_back_the_others(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    build(desk.data, {b"a": File(b"mine")})
    scanner = Scanner(str(desk.root), desk.cache)
    other = make_plan(scanner, keeper.load, RepoPath(b"other"), entry, expected=None)
    with pytest.raises(UsageError):
        apply(desk, keeper, other, plan(desk, keeper, entry))
    assert not (desk.root / "other").exists()


def test_a_long_list_of_conflicts_is_cut(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, {b"%d" % i: File(b"new") for i in range(50)})
    build(desk.data, {b"%d" % i: File(b"mine") for i in range(50)})
    with pytest.raises(UsageError, match="and 40 more"):
        checkout(desk, keeper, entry)


def test_files_that_the_new_version_lacks_go_and_others_stay(desk: Desk, keeper: Keeper) -> None:
    new = stored(desk, keeper, {b"a": File(b"1")})
    old = stored(desk, keeper, TREE)
    build(desk.data, {**TREE, b"mine": File(b"?"), b"sub": TREE[b"sub"]})
    build(desk.data / "sub", {b"mine too": File(b"?")})
    checkout(desk, keeper, new, expected=old)
    assert read_back(desk.data) == {
        b"a": File(b"1"),
        b"mine": File(b"?"),
        b"sub": {b"mine too": File(b"?")},
    }


def test_with_force_unknown_files_go_and_ignored_ones_stay(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    build(desk.root, {b".gitprovignore": File(b"*.log\n")})
    build(desk.data, {b"mine": File(b"?"), b"x.log": File(b"!"), b"d": {b"y.log": File(b"!")}})
    checkout(desk, keeper, entry, force=True)
    kept: Node = {b"x.log": File(b"!"), b"d": {b"y.log": File(b"!")}}
    assert read_back(desk.data) == {**TREE, **kept}  # type: ignore[dict-item]


def test_a_wanted_file_that_is_ignored_by_now_is_not_written_over(
    desk: Desk, keeper: Keeper
) -> None:
    entry = stored(desk, keeper, {b"x.log": File(b"old"), b"a": File(b"1")})
    build(desk.root, {b".gitprovignore": File(b"*.log\n")})
    build(desk.data, {b"x.log": File(b"mine")})
    with pytest.raises(UsageError, match=r"data/x\.log is in the way"):
        checkout(desk, keeper, entry)
    (desk.data / "x.log").write_bytes(b"old")
    checkout(desk, keeper, entry)
    checkout(desk, keeper, entry)
    assert read_back(desk.data) == {b"x.log": File(b"old"), b"a": File(b"1")}


def test_an_artifact_that_is_gone_is_removed(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    build(desk.data, TREE)
    assert checkout(desk, keeper, None, expected=entry) is None
    assert not desk.data.exists()


def test_a_deleted_file_comes_back(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    checkout(desk, keeper, entry)
    (desk.data / "sub" / "c").unlink()
    (desk.data / "big").unlink()
    checkout(desk, keeper, entry, expected=entry)
    assert read_back(desk.data) == TREE


def test_running_it_again_after_a_kill_finishes_the_job(desk: Desk, keeper: Keeper) -> None:
    new = stored(desk, keeper, {b"%02d" % i: File(b"new") for i in range(9)})
    old = stored(desk, keeper, {b"%02d" % i: File(b"old") for i in range(9)})
    half: dict[bytes, Node] = {b"%02d" % i: File(b"new" if i < 5 else b"old") for i in range(9)}
    build(desk.data, {**half, b".gitprov-tmp-123-0badf00d-4": File(b"ha")})
    checkout(desk, keeper, new, expected=old)
    assert read_back(desk.data) == {b"%02d" % i: File(b"new") for i in range(9)}


# ------------------------------------------------------------------ links to the store


@pytest.fixture
def objects(tmp_path: Path, keeper: Keeper) -> Path:
    keeper.objects = tmp_path / "objects"
    keeper.objects.mkdir()
    return keeper.objects


@pytest.mark.parametrize("link", ["auto", "copy", "hardlink", "symlink"])
def test_every_way_gives_the_same_artifact(
    desk: Desk, keeper: Keeper, objects: Path, link: LinkMode
) -> None:
    tree: Node = {**TREE, b"twin": File(BIG), b"big tool": File(BIG, executable=True)}
    entry = stored(desk, keeper, tree)
    got = checkout(desk, keeper, entry, link=link)
    assert got is not None
    assert got.root == entry.digest
    assert (desk.data / "big").read_bytes() == BIG
    assert os.access(desk.data / "big tool", os.X_OK)
    counter = Keeper(objects=objects)
    scanner = Scanner(str(desk.root), desk.cache, sink=counter, store_link=keeper.store_link())
    assert scanner.scan(DATA).root == entry.digest
    assert counter.blobs.keys() <= {blake3(b"../a").digest()}
    assert plan(desk, keeper, entry).is_empty


def test_a_hard_link_shares_the_bytes_and_is_read_only(
    desk: Desk, keeper: Keeper, objects: Path
) -> None:
    entry = stored(desk, keeper, TREE)
    checkout(desk, keeper, entry, link="hardlink")
    assert (desk.data / "big").samefile(objects / blake3(BIG).hexdigest())
    modes = {n: stat.S_IMODE((desk.data / n).stat().st_mode) for n in ("a", "run", "big")}
    assert modes == {"a": 0o444, "run": 0o555, "big": 0o444}


def test_replacing_a_hard_link_does_not_write_through_it(
    desk: Desk, keeper: Keeper, objects: Path
) -> None:
    new = stored(desk, keeper, {**TREE, b"big": File(BIG[::-1])})
    old = stored(desk, keeper, TREE)
    checkout(desk, keeper, old, link="hardlink")
    checkout(desk, keeper, new, expected=old, link="copy")
    assert (desk.data / "big").read_bytes() == BIG[::-1]
    assert (objects / blake3(BIG).hexdigest()).read_bytes() == BIG


def test_a_symlink_leads_to_the_store(desk: Desk, keeper: Keeper, objects: Path) -> None:
    checkout(desk, keeper, stored(desk, keeper, TREE), link="symlink")
    assert (desk.data / "big").readlink() == objects / blake3(BIG).hexdigest()


@pytest.mark.parametrize("link", ["auto", "hardlink", "symlink"])
def test_a_damaged_object_is_not_handed_out(
    desk: Desk, keeper: Keeper, objects: Path, link: LinkMode
) -> None:
    entry = stored(desk, keeper, TREE)
    place = objects / blake3(BIG).hexdigest()
    place.chmod(0o644)
    place.write_bytes(b"?" + BIG[1:])
    with pytest.raises(VerificationError, match="data/big"):
        checkout(desk, keeper, entry, link=link)
    assert not os.path.lexists(desk.data / "big")
    assert not [p for p in desk.data.iterdir() if p.name.startswith(".gitprov-tmp")]


def test_a_blob_that_is_missing_is_said(desk: Desk, keeper: Keeper) -> None:
    entry = stored(desk, keeper, TREE)
    del keeper.blobs[blake3(b"3").digest()]
    with pytest.raises(UnavailableError, match="data/sub/c"):
        checkout(desk, keeper, entry)


# ------------------------------------------------------------------ attacks


@pytest.mark.parametrize(
    "name",
    [b"", b".", b"..", b"a/b", b"/etc", b".git", b".GIT", b"git~1", b"a\\b", b"a\n", b"\xff"],
)
def test_a_hostile_name_is_refused_at_writing_too(desk: Desk, keeper: Keeper, name: bytes) -> None:
    entry = forged(keeper, Entry(name, "f", blob(keeper, b"evil"), 4))
    with pytest.raises(MalformedError):
        plan(desk, keeper, entry)
    assert not desk.data.exists()


@pytest.mark.parametrize("target", [b"/etc/passwd", b"../outside", b"", b"a\0b", b"x" * 5000])
def test_a_hostile_link_is_not_written(desk: Desk, keeper: Keeper, target: bytes) -> None:
    entry = forged(keeper, Entry(b"l", "l", blob(keeper, target), len(target)))
    with pytest.raises(MalformedError, match="data/l"):
        checkout(desk, keeper, entry)
    assert read_back(desk.data) == {}


@pytest.mark.parametrize("size", [0, 3, 5, LARGE])
def test_a_manifest_that_lies_about_a_size_is_refused(
    desk: Desk, keeper: Keeper, size: int
) -> None:
    entry = forged(keeper, Entry(b"a", "f", blob(keeper, b"four"), size))
    with pytest.raises(MalformedError, match="data/a"):
        checkout(desk, keeper, entry)
    assert read_back(desk.data) == {}


def test_a_link_where_a_folder_is_wanted_is_never_followed(
    desk: Desk, keeper: Keeper, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    entry = stored(desk, keeper, TREE)
    desk.data.mkdir()
    (desk.data / "sub").symlink_to(outside)
    with pytest.raises(UsageError, match="data/sub is in the way"):
        checkout(desk, keeper, entry)
    checkout(desk, keeper, entry, force=True)
    assert read_back(desk.data) == TREE
    assert not list(outside.iterdir())


def test_an_artifact_folder_that_is_a_link_is_not_followed(
    desk: Desk, keeper: Keeper, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    entry = stored(desk, keeper, TREE)
    desk.data.symlink_to(outside)
    with pytest.raises(UsageError, match="data is in the way"):
        checkout(desk, keeper, entry)
    with pytest.raises(MalformedError, match="data is a symbolic link"):
        checkout(desk, keeper, keeper.load(entry.digest).get(b"sub"), path=RepoPath(b"data/sub"))
    assert not list(outside.iterdir())


@pytest.mark.usefixtures("way")
def test_a_file_that_appears_after_the_plan_is_not_written_over(desk: Desk, keeper: Keeper) -> None:
    made = plan(desk, keeper, stored(desk, keeper, TREE))
    build(desk.data, {b"a": File(b"mine")})
    with pytest.raises(EnvironmentFault, match="data/a was changed by another program"):
        apply(desk, keeper, made)
    assert (desk.data / "a").read_bytes() == b"mine"


@pytest.mark.parametrize("removed", [False, True])
def test_a_file_that_changes_after_the_plan_is_not_lost(
    desk: Desk, keeper: Keeper, removed: bool
) -> None:
    new = stored(desk, keeper, {} if removed else {b"a": File(b"new")})
    old = stored(desk, keeper, {b"a": File(b"old")})
    build(desk.data, {b"a": File(b"old")})
    made = plan(desk, keeper, new, expected=old)
    (desk.data / "a").write_bytes(b"mine")
    with pytest.raises(EnvironmentFault, match="data/a was changed by another program"):
        apply(desk, keeper, made)
    assert (desk.data / "a").read_bytes() == b"mine"


def swap_for_ever(folder: Path, outside: Path, stop: threading.Event) -> None:
    aside = folder.with_name("aside")
    while not stop.is_set():
        with contextlib.suppress(OSError):
            folder.rename(aside)
            folder.symlink_to(outside)
        with contextlib.suppress(OSError):
            folder.unlink()
        with contextlib.suppress(OSError):
            aside.rename(folder)


def test_a_folder_swapped_for_a_link_all_the_time_never_leads_outside(
    desk: Desk, keeper: Keeper, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    build(outside, {b"%d" % i: File(b"safe") for i in range(40)})
    before = read_back(outside)
    tree: Node = {b"%d" % d: {b"%d" % i: File(b"new") for i in range(40)} for d in range(4)}
    entry = stored(desk, keeper, tree)
    desk.data.mkdir()
    stop = threading.Event()
    thread = threading.Thread(target=swap_for_ever, args=(desk.data / "1", outside, stop))
    thread.start()
    try:
        for _ in range(60):
            with contextlib.suppress(GitprovError):
                checkout(desk, keeper, entry, force=True)
            with contextlib.suppress(GitprovError):
                checkout(desk, keeper, None, expected=entry, force=True)
    finally:
        stop.set()
        thread.join()
    assert read_back(outside) == before


class Interrupted(Keeper):
    """A source that acts after each small blob it hands out."""

    act: Callable[[int], None]

    def many(self, digests: Iterable[bytes]) -> Iterator[tuple[bytes, bytes]]:
        for count, pair in enumerate(super().many(digests)):
            yield pair
            self.act(count)


def test_an_interrupt_leaves_whole_files_only(desk: Desk) -> None:
    keeper = Interrupted()
    entry = stored(desk, keeper, {b"%04d" % i: File(b"%d" % i) for i in range(2000)})

    def interrupt(count: int) -> None:
        if count == 1500:
            raise KeyboardInterrupt

    keeper.act = interrupt
    with pytest.raises(KeyboardInterrupt):
        checkout(desk, keeper, entry)
    names = sorted(p.name for p in desk.data.iterdir())
    assert 0 < len(names) < 2000
    assert all((desk.data / name).read_bytes() == b"%d" % int(name) for name in names)
    keeper.act = lambda _count: None
    done = checkout(desk, keeper, entry)
    assert done is not None
    assert done.root == entry.digest
