import os
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from blake3 import blake3

from gitprov.core.paths import RepoPath
from gitprov.errors import EnvironmentFault, MalformedError, UnavailableError
from gitprov.worktree.reading import LARGE
from gitprov.worktree.scan import Scanner
from gitprov.worktree.statcache import NEVER
from tests.support.trees import (
    DATA,
    Desk,
    File,
    Keeper,
    Link,
    Node,
    build,
    naive_root,
    settle,
)

BIG = os.urandom(LARGE) + b"!"


class OnFound:
    """Does something between the walk and the reading: progress is told in between."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act
        self.files = 0
        self.size = 0

    def found(self, files: int, size: int) -> None:
        self.files += files
        self.size += size
        self.act()

    def done(self, files: int, size: int) -> None:
        self.files -= files
        self.size -= size


def scan_while(desk: Desk, act: Callable[[], None], keeper: Keeper | None = None) -> bytes:
    progress = OnFound(act)
    return Scanner(str(desk.root), desk.cache, sink=keeper, progress=progress).scan(DATA).root


def test_a_single_file_is_an_artifact(desk: Desk, keeper: Keeper) -> None:
    desk.data.write_bytes(b"weights")
    tree = desk.scan(keeper)
    assert (tree.type, tree.root, tree.size, tree.files) == (
        "file",
        blake3(b"weights").digest(),
        7,
        1,
    )
    desk.data.chmod(0o755)
    assert desk.scan().type == "exec"


def test_a_single_file_is_not_read_twice(desk: Desk, keeper: Keeper) -> None:
    desk.data.write_bytes(b"weights")
    settle()
    assert desk.scan().root == desk.scan(keeper).root
    assert keeper.reads == 0


def test_a_file_that_becomes_a_folder_and_back_is_read_anew(desk: Desk) -> None:
    desk.data.write_bytes(b"1")
    settle()
    desk.scan()
    desk.data.unlink()
    build(desk.data, {b"data": File(b"1")})
    settle()
    assert desk.scan().root == naive_root({b"data": File(b"1")})
    (desk.data / "data").rename(desk.root / "moved")
    desk.data.rmdir()
    (desk.root / "moved").rename(desk.data)
    assert desk.scan().root == blake3(b"1").digest()


def test_only_what_changed_is_read_again(desk: Desk) -> None:
    build(desk.data, {b"%d" % d: {b"%d" % i: File(b"x") for i in range(9)} for d in range(3)})
    settle()
    desk.scan()
    (desk.data / "1" / "4").write_bytes(b"new")
    keeper = Keeper()
    desk.scan(keeper)
    assert keeper.reads == 1
    assert list(keeper.blobs.values()) == [b"new"]


def test_what_the_sink_lacks_is_read_although_the_cache_knows_it(desk: Desk) -> None:
    tree: Node = {b"a": File(b"1"), b"b": {b"c": File(b"2"), b"big": File(BIG), b"l": Link(b"c")}}
    build(desk.data, tree)
    settle()
    desk.scan()
    keeper = Keeper()
    entry = desk.add(keeper)
    assert entry.digest == naive_root(tree)
    assert sorted(keeper.blobs.values()) == sorted([b"1", b"2", b"c", BIG])
    assert len(keeper.manifests) == 2
    reads = keeper.reads
    del keeper.blobs[blake3(b"2").digest()]
    del keeper.manifests[entry.digest]
    desk.add(keeper)
    assert keeper.reads == reads + 1
    assert entry.digest in keeper.manifests


@pytest.mark.parametrize("size", [0, 1, LARGE - 1, LARGE, LARGE + 1, 40 << 20])
def test_files_of_any_size_have_their_plain_blake3(desk: Desk, size: int) -> None:
    data = os.urandom(1024) * (size // 1024) + b"x" * (size % 1024)
    build(desk.data, {b"file": File(data)})
    assert desk.scan().entries[0].digest == blake3(data).digest()


@pytest.mark.parametrize("parallel", [False, True])
def test_many_large_files_come_out_in_their_places(desk: Desk, parallel: bool) -> None:
    tree: dict[bytes, Node] = {b"%02d" % i: File(BIG + bytes([i])) for i in range(20)}
    middle: Node = {b"m%d" % i: File(bytes([i]) * 99_999) for i in range(99)}
    build(desk.data, {**tree, b"sub": tree, b"mid": middle})
    keeper = Keeper(parallel=parallel)
    desk.scan(keeper)
    desk.forget()
    assert desk.scan().root in keeper.manifests


def test_a_change_right_after_a_scan_is_seen_even_with_its_times_put_back(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"old")})
    path = desk.data / "a"
    for _ in range(20):
        before = path.stat()
        path.write_bytes(b"old")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert desk.scan().root == naive_root({b"a": File(b"old")})
        path.write_bytes(b"new")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert desk.scan().root == naive_root({b"a": File(b"new")})


def test_a_time_far_in_the_future_does_not_make_a_file_read_for_ever(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1")})
    os.utime(desk.data / "a", (4e9, 4e9))
    settle()
    desk.scan()
    keeper = Keeper()
    desk.scan(keeper)
    assert keeper.reads == 0


def test_progress_is_told_everything_once(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"12"), b"b": {b"c": File(BIG), b"l": Link(b"c")}, b"e": {}})
    for _ in range(2):
        progress = OnFound(lambda: None)
        Scanner(str(desk.root), desk.cache, progress=progress).scan(DATA)
        assert progress.files == 0
        settle()


def test_a_part_of_an_artifact_can_be_scanned(desk: Desk) -> None:
    inner: Node = {b"l": Link(b"../b"), b"c": File(b"1")}
    build(desk.data, {b"a": inner, b"b": File(b"2")})
    sub = RepoPath(b"data/a")
    scanner = Scanner(str(desk.root), desk.cache)
    assert scanner.scan(sub, artifact=DATA).root == naive_root(inner)
    with pytest.raises(MalformedError, match=r"data/a/l -> \.\./b leaves the artifact"):
        scanner.scan(sub)


@pytest.mark.parametrize("target", ["/etc/passwd", "..", "../x", "b/../../x", "b/c/../../../x"])
def test_a_link_that_leaves_the_artifact_is_named_with_its_target(desk: Desk, target: str) -> None:
    desk.data.mkdir()
    (desk.data / "l").symlink_to(target)
    with pytest.raises(MalformedError) as caught:
        desk.scan()
    assert str(caught.value) == f"the symbolic link data/l -> {target} leaves the artifact"
    assert caught.value.hint


@pytest.mark.parametrize("target", ["b", "./b", "nowhere", "sub//x"])
def test_a_link_that_stays_inside_is_kept_as_its_text(desk: Desk, target: str) -> None:
    build(desk.data, {b"l": Link(target.encode())})
    assert desk.scan().root == naive_root({b"l": Link(target.encode())})


def test_an_artifact_that_is_a_link_is_refused(desk: Desk, tmp_path: Path) -> None:
    desk.data.symlink_to(tmp_path)
    with pytest.raises(MalformedError, match="data is a symbolic link"):
        desk.scan()


def test_a_link_on_the_way_is_refused(desk: Desk, tmp_path: Path) -> None:
    build(tmp_path / "outside", {b"x": File(b"secret")})
    desk.data.symlink_to(tmp_path / "outside")
    with pytest.raises(MalformedError, match="data is a symbolic link, which is not followed"):
        desk.scan(path=RepoPath(b"data/x"))


def test_a_fifo_and_a_socket_are_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.data.mkdir()
    os.mkfifo(desk.data / "pipe")
    with pytest.raises(MalformedError, match="data/pipe is a FIFO"):
        desk.scan()
    (desk.data / "pipe").unlink()
    monkeypatch.chdir(desk.data)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock")
        with pytest.raises(MalformedError, match="data/sock is a socket"):
            desk.scan()


@pytest.mark.parametrize("name", [b".GIT", b"git~1", b"a\\b", b"a\nb", b".git "])
def test_a_name_that_cannot_be_kept_is_shown(desk: Desk, name: bytes) -> None:
    build(desk.data, {b"sub": {name: File(b"")}})
    with pytest.raises(MalformedError, match=r"in data/sub: the name '.*' is refused"):
        desk.scan()


def test_names_that_collide_by_case_are_refused(desk: Desk) -> None:
    build(desk.data, {b"a": File(b""), b"A": File(b"")})
    with pytest.raises(MalformedError, match="collide"):
        desk.scan()


def test_nothing_at_the_path_is_said(desk: Desk) -> None:
    with pytest.raises(UnavailableError, match="data is not in the worktree"):
        desk.scan()


def test_a_file_that_changes_before_it_is_read_is_read_as_it_is_then(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"old"), b"b": File(BIG)})

    def change() -> None:
        (desk.data / "a").write_bytes(b"newer")
        (desk.data / "b").write_bytes(BIG + b"more")

    wanted: Node = {b"a": File(b"newer"), b"b": File(BIG + b"more")}
    assert scan_while(desk, change) == naive_root(wanted)
    assert desk.scan().root == naive_root(wanted)


@pytest.mark.parametrize(("old", "new"), [(b"small", BIG), (BIG, b"small")])
def test_a_file_that_grows_or_shrinks_across_the_border_is_read(
    desk: Desk, old: bytes, new: bytes
) -> None:
    build(desk.data, {b"a": File(old)})
    keeper = Keeper()
    root = scan_while(desk, lambda: build(desk.data, {b"a": File(new)}), keeper)
    assert root == naive_root({b"a": File(new)})
    assert list(keeper.blobs.values()) == [new]


class Restless(Keeper):
    """Writes to each large file after reading it, some times."""

    times = 1

    def large(self, path: str, fd: int, size: int) -> bytes:
        digest = super().large(path, fd, size)
        if self.times:
            self.times -= 1
            Path(path).write_bytes(os.urandom(size))
        return digest


def test_a_file_that_changes_while_it_is_read_is_read_again(desk: Desk) -> None:
    build(desk.data, {b"a": File(BIG)})
    tree = desk.scan(Restless())
    assert tree.root == naive_root({b"a": File((desk.data / "a").read_bytes())})


def test_a_file_that_does_not_stop_changing_is_named(desk: Desk) -> None:
    build(desk.data, {b"a": File(BIG)})
    keeper = Restless()
    keeper.times = 9
    with pytest.raises(EnvironmentFault, match="data/a changed while it was read"):
        desk.scan(keeper)


def test_a_file_swapped_for_a_link_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    build(desk.data, {b"a": File(b"123456")})

    def swap() -> None:
        (desk.data / "a").unlink()
        (desk.data / "a").symlink_to(secret)

    keeper = Keeper()
    with pytest.raises(EnvironmentFault, match="data/a changed while it was read"):
        scan_while(desk, swap, keeper)
    assert not keeper.blobs


def test_a_file_swapped_for_a_fifo_does_not_hold_us_up(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"123456")})

    def swap() -> None:
        (desk.data / "a").unlink()
        os.mkfifo(desk.data / "a")

    with pytest.raises(EnvironmentFault, match="data/a"):
        scan_while(desk, swap)


def test_a_folder_swapped_for_a_link_is_not_followed(desk: Desk, tmp_path: Path) -> None:
    build(tmp_path / "outside", {b"a": File(b"secret")})
    build(desk.data, {b"sub": {b"a": File(b"public")}})
    acts = iter([None])

    def swap() -> None:
        if next(acts, 1) is None:  # after the walk of `data`, before that of `data/sub`
            (desk.data / "sub").rename(desk.root / "moved")
            (desk.data / "sub").symlink_to(tmp_path / "outside")

    keeper = Keeper()
    with pytest.raises(MalformedError, match="data/sub is a symbolic link"):
        scan_while(desk, swap, keeper)
    assert b"secret" not in keeper.blobs.values()


def test_temporary_files_of_a_killed_checkout_are_no_data(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1"), b".gitprov-tmp-1-0badf00d-2": File(b"half")})
    assert desk.scan().root == naive_root({b"a": File(b"1")})


def test_folders_nested_deeper_than_pythons_stack_are_scanned(desk: Desk) -> None:
    # Built one step at a time: the path as a whole is about as long as the system allows.
    fd = os.open(desk.root, os.O_RDONLY)
    for name in ["data", *["d"] * 1500]:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    try:
        assert desk.scan().files == 0
    finally:
        # pytest's own cleaning up walks recursively, and Python's stack ends before these do.
        subprocess.run(["rm", "-rf", "--", desk.data], check=True)


def test_a_lenient_scan_puts_aside_what_cannot_be_kept(desk: Desk) -> None:
    tree: dict[bytes, Node] = {b"a": File(b"1"), b"z": File(b"2")}
    build(desk.data, {**tree, b".git": {}, b"l": Link(b"/etc")})
    os.mkfifo(desk.data / "pipe")
    found = Scanner(str(desk.root), desk.cache).scan(DATA, lenient=True)
    assert found.root == naive_root(tree)
    assert set(found.odd) == {b".git", b"l", b"pipe"}


@contextmanager
def unprivileged() -> Iterator[None]:
    """Makes this process nobody for a while, when it is root: root may read everything."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("what", ["a", "sub"])
def test_what_may_not_be_read_is_named(desk: Desk, what: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        build(Path(place, "data"), {b"a": File(b"1"), b"b": File(b"2"), b"sub": {b"c": File(b"")}})
        hidden = Path(place, "data", what)
        hidden.chmod(0)
        scanner = Scanner(place, desk.cache)
        with unprivileged():
            with pytest.raises(EnvironmentFault, match=f"cannot .* data/{what}: Permission denied"):
                scanner.scan(DATA)
            found = scanner.scan(DATA, lenient=True)
        hidden.chmod(0o755)
        odd = found.odd if what == "a" else found.children[b"sub"].odd
        assert "Permission denied" in odd[b"a" if what == "a" else b""]
        assert scanner.scan(DATA).files == 3


def test_a_single_file_that_may_not_be_read_is_put_aside_by_a_lenient_scan(desk: Desk) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        hidden = Path(place, "data")
        build(hidden, File(b"1"))
        hidden.chmod(0)
        scanner = Scanner(place, desk.cache)
        with unprivileged():
            found = scanner.scan(DATA, lenient=True)
        assert "Permission denied" in found.odd[b""]
        assert found.root == bytes(32)
        assert scanner.scan(DATA).root == blake3(b"1").digest()


def test_a_file_that_is_too_fresh_is_remembered_so_that_it_never_matches(desk: Desk) -> None:
    build(desk.data, {b"a": File(b"1")})
    desk.scan()
    [row] = desk.cache.load(b"data").values()
    assert row.stats == NEVER
