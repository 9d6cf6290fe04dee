"""The pointer of git-lfs, version 1 of its specification: read only, never written."""

import re
from dataclasses import dataclass
from typing import Self

from gitprov.errors import MalformedError

MAX_LFS_BYTES = 1024
"""The specification's limit; what is larger is content, whatever it says."""

_START = b"version https://git-lfs.github.com/spec/v1\n"
_OLD_START = b"version https://hawser.github.com/spec/v1\n"
_OID = re.compile(rb"oid sha256:([0-9a-f]{64})")
_SIZE = re.compile(rb"size (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class LfsPointer:
    """SHA-256 (64 hexadecimal digits) and size in bytes of a file that git-lfs keeps."""

    sha256: str
    size: int

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Reads a git blob; None when it does not begin as a pointer.

        Raises:
            MalformedError: it begins as one, and is none.
        """
        if not data.startswith((_START, _OLD_START)) or len(data) > MAX_LFS_BYTES:
            return None
        lines = data.removesuffix(b"\n").split(b"\n")[1:]
        if any(line.startswith(b"ext-") for line in lines):
            raise MalformedError(
                "its LFS pointer uses an extension: what is stored is not the file"
            )
        oid = _OID.fullmatch(lines[0]) if len(lines) == 2 else None
        size = _SIZE.fullmatch(lines[1]) if oid else None
        if oid is None or size is None:
            raise MalformedError("it begins as an LFS pointer, and is none")
        return cls(oid[1].decode(), int(size[1]))
