"""A remote behind a web server, which can only be read."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence

from gitprov.errors import UnavailableError
from gitprov.store.transport import (
    LIST_NAME,
    MAX_LIST_BYTES,
    Listed,
    MissingError,
    Patience,
    Range,
    Source,
    check_name,
    check_prefix,
    read_list,
    read_only,
)
from gitprov.store.transport_object import NoRangesError, ObjectPlace, ObjectTransport

_MAX_WHOLE = 256 << 20
_KEPT_BYTES = 64 << 20
"""Whole objects that are kept in memory where a server knows no ranges: two packs."""


class WebTransport(ObjectTransport):
    """Plain HTTP. A server that ignores `Range` sends every pack whole, and each only once."""

    def __init__(self, place: ObjectPlace, patience: Patience) -> None:
        """Knows nothing of the server yet."""
        super().__init__(place, patience)
        self._lock = threading.Lock()
        self._ranged: bool | None = None
        self._smallest: Listed | None = None
        self._whole: OrderedDict[str, bytes] = OrderedDict()

    @property
    def read_only(self) -> bool:
        """A web server takes nothing."""
        return True

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`. The object `list` says what there is."""
        prefix = check_prefix(prefix)
        try:
            data = self.get(LIST_NAME, limit=MAX_LIST_BYTES)
        except MissingError as exc:
            raise UnavailableError(
                f"{self.url} has no list of its objects, and a web server cannot make one",
                hint="`gitprov remote index NAME`, where it can be written to, makes one",
            ) from exc
        for one in read_list(data, self.where):
            if not prefix or one.name.startswith(prefix + "/"):
                yield one

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        data = super().get(name, limit=limit)
        if data and (self._smallest is None or len(data) < self._smallest.size):
            self._smallest = Listed(name, len(data))
        return data

    def _covering(self, name: str, ranges: Sequence[Range]) -> tuple[dict[Range, memoryview], int]:
        if self._knows_ranges():
            try:
                return super()._covering(name, ranges)
            except NoRangesError:
                self._ignores_ranges()
        # One at a time: threads that read from one pack are to wait for it, not to ask again.
        with self._lock:
            came = 0
            data = self._whole.get(name)
            if data is None:
                data = self.get(name, limit=_MAX_WHOLE)
                came = len(data)
                self._keep(name, data)
        return {(0, len(data)): memoryview(data)}, came

    def _keep(self, name: str, data: bytes) -> None:
        self._whole[name] = data
        while len(self._whole) > 1 and sum(map(len, self._whole.values())) > _KEPT_BYTES:
            self._whole.popitem(last=False)

    def _knows_ranges(self) -> bool:
        """Finds it out on the smallest object that has come: whoever ignores ranges sends it all.

        An answer that is not read to its end costs megabytes all the same, on their way already.
        """
        with self._lock:
            if self._ranged is None and self._smallest is not None:
                try:
                    super()._covering(self._smallest.name, [(0, 1)])
                except NoRangesError:
                    self._ignores_ranges()
                except UnavailableError:
                    return True  # what is asked for will say why
                else:
                    self._ranged = True
        return self._ranged is not False

    def _ignores_ranges(self) -> None:
        if self._ranged is not False:
            self._ranged = False
            self._patience.tell(f"{self.url} ignores ranges and sends whole packs")

    def put(self, name: str, data: Source) -> bool:
        """A web server takes nothing."""
        check_name(name)
        raise read_only(self.where)

    def replace(self, name: str, data: Source) -> None:
        """A web server takes nothing."""
        check_name(name)
        raise read_only(self.where)

    def delete(self, names: Iterable[str]) -> None:
        """A web server takes nothing."""
        raise read_only(self.where)
