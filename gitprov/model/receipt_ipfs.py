"""The receipt of an IPFS anchor (docs/formats.md section 7.1)."""

from dataclasses import dataclass
from typing import Self

from gitprov.core import cid
from gitprov.core.canonical import Fields, Json
from gitprov.core.digest import Digest

_WHAT = "an IPFS receipt"


@dataclass(frozen=True, slots=True)
class IpfsReceipt:
    """The block that holds the signed head: its digest, which its CID is, and its text."""

    digest: Digest
    checkpoint: str

    @classmethod
    def of(cls, checkpoint: str) -> Self:
        """Returns the receipt of a signed head."""
        return cls(Digest.of(checkpoint.encode()), checkpoint)

    @classmethod
    def parse(cls, receipt: Json) -> Self:
        """Parses a receipt; whether the text is what the CID names is judged elsewhere.

        Raises:
            MalformedError: a field is missing, unknown or not well formed.
        """
        fields = Fields(receipt, what=_WHAT)
        parsed = cls(cid.parse(fields.text("cid")), fields.text("checkpoint"))
        fields.end()
        return parsed

    def to_json(self) -> dict[str, Json]:
        """Returns the receipt as a JSON object."""
        return {"cid": cid.to_text(self.digest), "checkpoint": self.checkpoint}
