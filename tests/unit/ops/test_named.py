"""Which paths a digest has, going up from it."""

from gitprov.model.entry import Entry
from gitprov.ops.named import MAX_NAMES, paths_of


def digest(number: int) -> bytes:
    return number.to_bytes(32, "big")


def folder(**entries: int) -> list[Entry]:
    """A manifest: names that begin with `d` are folders."""
    return [
        Entry(name.encode(), "d" if name.startswith("d") else "f", digest(number), 1)
        for name, number in entries.items()
    ]


def test_a_blob_has_the_paths_of_all_versions() -> None:
    manifests = [
        (digest(1), folder(a=10, dx=3)),
        (digest(2), folder(b=10, dx=3)),
        (digest(3), folder(c=10, e=11)),
    ]
    tops = [(b"data", digest(1)), (b"data", digest(2)), (b"model", digest(10))]
    found = paths_of({digest(10), digest(3), digest(99)}, tops, manifests)
    assert found == {
        digest(10): ("data/a", "data/b", "data/dx/c", "model"),
        digest(3): ("data/dx",),
    }


def test_only_a_few_are_named() -> None:
    manifests = [(digest(1), folder(**{f"f{number}": 10 for number in range(1000)}))]
    found = paths_of({digest(10)}, [(b"data", digest(1))], manifests)
    assert len(found[digest(10)]) == MAX_NAMES


def test_folders_that_multiply_end() -> None:
    depth = 60
    manifests = [(digest(n), folder(da=n + 1, db=n + 1)) for n in range(depth)]
    found = paths_of({digest(depth)}, [(b"data", digest(0))], manifests)
    assert len(found[digest(depth)]) == MAX_NAMES
