"""Files of DVC and git-lfs, whatever is in them: read, or refused calmly; never anything else."""

import json
from typing import Any

import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gitprov.config.dvc_files import DvcOut, dvc_outs
from gitprov.core.paths import RepoPath
from gitprov.errors import GitprovError, MalformedError
from gitprov.model.dvc_dir import parse_dir
from gitprov.model.lfs_pointer import MAX_LFS_BYTES, LfsPointer

MD5 = "9dd4e461268c8034f5c8564e155c67a6"
MOST_SHOWN = 4000
"""Characters of a sentence about a file, whatever the file says."""

WORDS = st.sampled_from(
    ["outs", "path", "md5", "stages", "schema", "2.0", "wdir", "cache", "do", "${x}", "../..",
     "/etc/x", ".git/x", MD5, MD5 + ".dir", "a", "a/b", "A", "hash", "isexec", "relpath", "."]
)  # fmt: skip
SCALARS: st.SearchStrategy[Any] = st.one_of(
    WORDS, st.text(max_size=20), st.integers(), st.booleans(), st.none(), st.floats(), st.dates()
)
KEYS: st.SearchStrategy[Any] = st.one_of(WORDS, st.integers(), st.dates(), st.none())
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
OUTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "path": WORDS | ANYTHING,
            "md5": st.just(MD5) | st.just(MD5 + ".dir") | ANYTHING,
            "hash": st.just("md5") | ANYTHING,
            "cache": st.booleans(),
            "files": ANYTHING,
        },
    ),
    max_size=3,
)
STAGE = ANYTHING | st.fixed_dictionaries(
    {"outs": OUTS | ANYTHING}, optional={"wdir": ANYTHING, "do": ANYTHING}
)
STAGES = st.dictionaries(KEYS, STAGE, max_size=3)


class Dumper(yaml.SafeDumper):
    """Writes no aliases, which would be refused before anything is looked at."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def as_yaml(value: object) -> bytes:
    return yaml.dump(value, Dumper=Dumper).encode("utf-8", "surrogatepass")


def assert_short(error: GitprovError) -> None:
    assert len(str(error)) < MOST_SHOWN


def check(name: bytes, data: bytes, pipeline: bytes | None) -> None:
    try:
        found = dvc_outs(RepoPath(name), data, pipeline)
    except MalformedError as exc:
        assert_short(exc)
        return
    for out in found:
        if isinstance(out, DvcOut):
            assert out.path.raw
            assert RepoPath.parse(out.path.raw) == out.path
        else:
            assert len(out.path) + len(out.why) < MOST_SHOWN


@given(st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_any_bytes_as_a_dvc_file(data: bytes, pipeline: bytes | None) -> None:
    check(b"a/x.dvc", data, None)
    check(b"a/dvc.lock", data, pipeline)


@given(OUTS | ANYTHING, ANYTHING)
@example([{"path": "x" * (1 << 16), "md5": MD5}], ".")
@example([{"path": "../" * 9000, "md5": MD5}], ".")
def test_any_outputs_in_a_dvc_file(outs: object, wdir: object) -> None:
    check(b"a/x.dvc", as_yaml({"outs": outs, "wdir": wdir}), None)


@given(STAGES | ANYTHING, STAGES | ANYTHING)
@example({1: {"outs": []}}, {})
@example({"a": {"outs": [{"path": ["x"]}]}}, {"a": {"outs": [{"x": {"cache": False}}]}})
@example({"a" * 60_000: {"outs": [{"path": "x"}]}}, {"a" * 60_000: {"wdir": "${x}"}})
@example({"a" * 60_000: 1}, None)
def test_any_stages_in_a_lock_and_beside_it(stages: object, pipeline: object) -> None:
    data = as_yaml({"schema": "2.0", "stages": stages})
    check(b"a/dvc.lock", data, as_yaml({"stages": pipeline}))


def check_list(data: bytes) -> None:
    try:
        rows = parse_dir(data)
    except GitprovError as exc:
        assert_short(exc)
        return
    assert len({path for path, _ in rows}) == len(rows)
    for path, md5 in rows:
        assert len(md5) == 32
        assert path
        assert RepoPath.parse(path).raw == path


@given(st.binary(max_size=300))
@example(b"[" * 100_000)
@example(b'[{"md5":"x","relpath":"\\ud800"}]')
def test_any_bytes_as_a_list_of_files(data: bytes) -> None:
    check_list(data)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"relpath": WORDS | ANYTHING, "md5": st.just(MD5) | ANYTHING}, optional={"x": WORDS}
        ),
        max_size=4,
    )
)
@example([{"md5": "", "relpath": "a" * 1_000_000}])
@example([{"md5": MD5, "relpath": "a/" * 100_000}])
def test_any_list_of_files(rows: list[dict[str, object]]) -> None:
    check_list(json.dumps(rows, default=str, skipkeys=True).encode())


START = b"version https://git-lfs.github.com/spec/v1\n"
LINES = st.lists(
    st.sampled_from([b"oid sha256:" + b"0" * 64, b"size 1", b"size 01", b"size -1", b"ext-0-x y"])
    | st.binary(max_size=100),
    max_size=4,
).map(b"\n".join)


@given(st.binary(max_size=100) | LINES.map(START.__add__) | LINES.map(lambda x: START + x + b"\n"))
@example(START + b"oid sha256:" + b"0" * 64 + b"\nsize " + b"9" * 17 + b"\n")
@example(START + b"x" * 2000)
def test_any_bytes_as_an_lfs_pointer(data: bytes) -> None:
    try:
        pointer = LfsPointer.parse(data)
    except MalformedError as exc:
        assert_short(exc)
        return
    if pointer is not None:
        assert len(data) <= MAX_LFS_BYTES
        assert 0 <= pointer.size < 10**16
        # It is read as git-lfs writes it, and no other way.
        assert data.removesuffix(b"\n") == START + (
            f"oid sha256:{pointer.sha256}\nsize {pointer.size}".encode()
        )
