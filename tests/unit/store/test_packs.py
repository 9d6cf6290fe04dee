"""The pack format: exact bytes, and what is made of bytes that are not exact."""

import os
import struct
from pathlib import Path

import pytest

from gitprov.store.packs import (
    BLOB,
    MAGIC,
    MANIFEST,
    RECORD_HEADER,
    Damage,
    DamagedRecordError,
    PackFile,
    PackWriter,
    Record,
)
from tests.unit.store.support import BLOBS, digest_of, listing


def write(path: Path, *blobs: tuple[int, bytes, bytes]) -> PackWriter:
    writer = PackWriter(str(path))
    writer.append_many(list(blobs))
    writer.finish()
    writer.close()
    return writer


def blob(data: bytes) -> tuple[int, bytes, bytes]:
    return BLOB, digest_of(data), data


def scan(path: Path) -> list[Record | Damage]:
    return list(PackFile(str(path)).scan())


def test_a_pack_is_exactly_what_the_format_says(tmp_path: Path) -> None:
    manifest = listing()
    write(tmp_path / "pack", blob(b"one"), (MANIFEST, manifest.root.raw, manifest.to_bytes()))
    data = manifest.to_bytes()
    assert (tmp_path / "pack").read_bytes() == (
        b"gitprov-pack\x00\x00\x00\x01"
        + (digest_of(b"one") + b"b" + struct.pack(">Q", 3) + b"one")
        + (manifest.root.raw + b"m" + struct.pack(">Q", len(data)) + data)
    )


def test_a_pack_read_from_its_start_gives_what_was_written(tmp_path: Path) -> None:
    manifest = listing()
    written = [*map(blob, BLOBS), (MANIFEST, manifest.root.raw, manifest.to_bytes())]
    writer = write(tmp_path / "pack", *written)
    records = [item for item in scan(tmp_path / "pack") if isinstance(item, Record)]
    assert [(r.kind, r.digest, r.data) for r in records] == written
    assert all(record.good for record in records)
    assert [(r.digest, r.offset, len(r.data), r.kind) for r in records] == writer.rows


def test_records_longer_than_a_buffer_and_across_its_border_survive(tmp_path: Path) -> None:
    sizes = [1 << 20, 1, (1 << 20) - RECORD_HEADER, 3_000_000, 0, 4095, 4097, 700_000, 700_000]
    blobs = [os.urandom(size) for size in sizes]
    writer = write(tmp_path / "pack", *map(blob, blobs))
    pack = PackFile(str(tmp_path / "pack"))
    assert [pack.read(*row) for row in writer.rows] == blobs
    assert pack.size == writer.size


def test_a_pack_is_read_only(tmp_path: Path) -> None:
    write(tmp_path / "pack", blob(b"one"))
    assert (tmp_path / "pack").stat().st_mode & 0o777 == 0o444


def test_a_record_elsewhere_or_of_another_name_size_or_kind_is_refused(tmp_path: Path) -> None:
    writer = write(tmp_path / "pack", *map(blob, BLOBS))
    pack = PackFile(str(tmp_path / "pack"))
    digest, offset, size, kind = writer.rows[1]
    assert pack.read(digest, offset, size, kind) == BLOBS[1]
    for row in [
        (digest, offset + 1, size, kind),
        (digest, offset - 1, size, kind),
        (digest, 0, size, kind),
        (digest, -5, size, kind),
        (digest, pack.size, 0, kind),
        (digest, 1 << 62, size, kind),
        (digest, offset, size + 1, kind),
        (digest, offset, size - 1, kind),
        (digest, offset, -1, kind),
        (digest, offset, 1 << 62, kind),
        (digest, offset, size, MANIFEST),
        (digest, offset, size, 0),
        (digest_of(b"other"), offset, size, kind),
    ]:
        with pytest.raises(DamagedRecordError):
            pack.read(*row)


def test_after_damage_the_next_good_record_is_found(tmp_path: Path) -> None:
    blobs = [b"first", b"second" * 100, b"third"]
    writer = write(tmp_path / "pack", *map(blob, blobs))
    data = bytearray((tmp_path / "pack").read_bytes())
    # The size of the second record now says more than there is.
    at = writer.rows[1][1] + 33
    data[at : at + 8] = struct.pack(">Q", 1 << 40)
    (tmp_path / "bad").write_bytes(data)
    items = scan(tmp_path / "bad")
    assert [item.data for item in items if isinstance(item, Record) and item.good] == [
        b"first",
        b"third",
    ]
    assert [item.offset for item in items if isinstance(item, Damage)] == [writer.rows[1][1]]


def test_a_truncated_pack_gives_what_is_whole_at_every_length(tmp_path: Path) -> None:
    writer = write(tmp_path / "pack", *map(blob, [b"first", b"second"]))
    data = (tmp_path / "pack").read_bytes()
    end_of_first = writer.rows[1][1]
    for length in range(len(data)):
        (tmp_path / "short").write_bytes(data[:length])
        good = [i.data for i in scan(tmp_path / "short") if isinstance(i, Record) and i.good]
        assert good == ([b"first"] if length >= end_of_first else [])


def test_a_huge_size_in_a_header_reads_nothing(tmp_path: Path) -> None:
    for kind in (b"b", b"m"):
        for size in (1 << 63, (1 << 64) - 1, 1 << 40):
            data = MAGIC + digest_of(b"x") + kind + struct.pack(">Q", size) + b"x"
            (tmp_path / "pack").write_bytes(data)
            assert [type(item) for item in scan(tmp_path / "pack")] == [Damage]


def test_a_sparse_pack_of_a_terabyte_costs_no_memory(tmp_path: Path) -> None:
    with (tmp_path / "pack").open("wb") as file:
        file.write(MAGIC + digest_of(b"x") + b"b" + struct.pack(">Q", 1 << 39))
        file.truncate(1 << 40)
    assert isinstance(next(PackFile(str(tmp_path / "pack")).scan()), Damage)


def test_a_pack_made_of_false_beginnings_ends(tmp_path: Path) -> None:
    false = b"b" + struct.pack(">Q", 200_000)
    (tmp_path / "pack").write_bytes(MAGIC + b"\xff" * 41 + false * 40_000)
    assert all(isinstance(item, Damage) for item in scan(tmp_path / "pack"))


def test_bytes_that_are_no_pack_give_damage_and_nothing_else(tmp_path: Path) -> None:
    for data in (b"", b"gitprov", os.urandom(5000), MAGIC[:-1] + b"\x02" + bytes(100)):
        (tmp_path / "pack").write_bytes(data)
        assert {type(item) for item in scan(tmp_path / "pack")} == {Damage}
