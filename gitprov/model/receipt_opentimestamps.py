"""The receipt of an OpenTimestamps anchor (docs/formats.md section 7.1)."""

import base64
import binascii
from dataclasses import dataclass
from typing import Self

from gitprov.core.canonical import Fields, Json
from gitprov.errors import MalformedError

MAX_OTS_BYTES = 100_000
"""A larger timestamp file is refused; one of four calendars has some 3,000 bytes."""

_WHAT = "an OpenTimestamps receipt"


@dataclass(frozen=True, slots=True)
class OpenTimestampsReceipt:
    """A detached timestamp file, as the stock client reads and writes it."""

    ots: bytes

    @classmethod
    def parse(cls, receipt: Json) -> Self:
        """Parses a receipt. `parse(x.to_json()) == x`.

        Raises:
            MalformedError: it is not `{"ots": <base64>}`, or too large.
        """
        fields = Fields(receipt, what=_WHAT)
        text = fields.text("ots")
        fields.end()
        if len(text) > MAX_OTS_BYTES * 4 // 3 + 4:
            raise MalformedError(f"{_WHAT}: 'ots' has more than {MAX_OTS_BYTES} bytes")
        try:
            ots = base64.b64decode(text.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            raise MalformedError(f"{_WHAT}: 'ots' is not base64") from None
        if base64.b64encode(ots).decode() != text:
            raise MalformedError(f"{_WHAT}: 'ots' is not canonical base64")
        return cls(ots)

    def to_json(self) -> dict[str, Json]:
        """Returns the receipt as a JSON object."""
        return {"ots": base64.b64encode(self.ots).decode()}
