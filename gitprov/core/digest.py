"""32-byte digests as values with exactly one text form each."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from blake3 import blake3

from gitprov.errors import MalformedError

DIGEST_BYTES = 32
"""The length of every digest in gitprov, in bytes."""

_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class _Tagged:
    """32 raw bytes that print as `<algorithm>:<64 lowercase hex>`."""

    raw: bytes
    algorithm: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuses any other length."""
        if len(self.raw) != DIGEST_BYTES:
            raise MalformedError(f"a digest has {DIGEST_BYTES} bytes, this one {len(self.raw)}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parses the text form. `parse(str(d)) == d`, and no other spelling is accepted."""
        name, colon, value = text.partition(":")
        if name != cls.algorithm or not colon or not _HEX.fullmatch(value):
            raise MalformedError(f"not a {cls.algorithm} digest: {text[:100]!r}")
        return cls(bytes.fromhex(value))

    @property
    def hex(self) -> str:
        """The 64 lowercase hex digits without the algorithm."""
        return self.raw.hex()

    def __str__(self) -> str:
        """The one text form."""
        return f"{self.algorithm}:{self.raw.hex()}"


class Digest(_Tagged):
    """32 bytes of BLAKE3, written `blake3:<64 lowercase hex>`."""

    __slots__ = ()
    algorithm: ClassVar[str] = "blake3"

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Hashes bytes: what `b3sum` prints for a file that holds them."""
        return cls(blake3(data).digest())


class Sha256Digest(_Tagged):
    """32 bytes of SHA-256, written `sha256:<64 lowercase hex>`: roots of the log."""

    __slots__ = ()
    algorithm: ClassVar[str] = "sha256"
