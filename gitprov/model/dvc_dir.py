"""The list of a folder's files as DVC keeps it: `<md5>.dir`, JSON, in its cache."""

import re

import msgspec

from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError

MAX_DIR_BYTES = 256 << 20
"""A larger list (about two million files) is refused before it is parsed."""

_MAX_SHOWN = 200
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


class _Item(msgspec.Struct):
    md5: str
    relpath: str


_decode = msgspec.json.Decoder(list[_Item]).decode


def parse_dir(data: bytes) -> list[tuple[bytes, str]]:
    """Returns the path of each file below the folder, and its MD5.

    Raises:
        MalformedError: it is no such list; or a path leads out of the folder, or occurs twice.
    """
    if len(data) > MAX_DIR_BYTES:
        raise MalformedError(f"a list of files is larger than {MAX_DIR_BYTES} bytes")
    try:
        items = _decode(data)
        rows = [(item.relpath.encode(), item.md5) for item in items]
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as exc:
        raise MalformedError(f"not a list of files as DVC writes it: {exc}") from None
    seen: set[bytes] = set()
    for path, md5 in rows:
        if not path or not _MD5.fullmatch(md5):
            raise MalformedError(f"the file '{show(path)[:_MAX_SHOWN]}' has no name or no MD5")
        RepoPath.parse(path)
        if path in seen:
            raise MalformedError(f"the file '{show(path)}' occurs twice")
        seen.add(path)
    return rows
