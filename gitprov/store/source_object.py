"""Reads a dataset in an object store: lists it, hashes it, fetches it; whole objects or pieces."""

import asyncio
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from blake3 import blake3

from gitprov.config.remote_url import RemoteUrl
from gitprov.core.paths import show
from gitprov.errors import MalformedError, UsageError
from gitprov.platform.files import fault
from gitprov.store.base import FileChangedError
from gitprov.store.event_loop import is_lost
from gitprov.store.object_stores import open_object_store
from gitprov.store.source import MAX_OBJECTS, Address, Item, batches
from gitprov.store.transport import MissingError, Patience, TransientError

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

_AT_ONCE = 16
_PIECE = 4 << 20
_PIECES_AT_ONCE = 4
_MAX_NAME_BYTES = 4096


class Fetched(NamedTuple):
    """What came of an object.

    Attributes:
        digest: of what came; b"" for the marker of a folder, which is no file.
        data: the bytes of a small one.
        file: a file without a name that holds a big one; the caller closes it.
    """

    digest: bytes
    data: bytes = b""
    file: BinaryIO | None = None


class ObjectSource:
    """A dataset in an object store. Methods may be called by several threads; not across a fork."""

    def __init__(
        self, address: Address, environ: Mapping[str, str], patience: Patience | None = None
    ) -> None:
        """Asks nobody yet.

        Raises:
            UsageError: it is no object store, obstore is not installed, or this process was forked
                from one that has used it.
            UnavailableError: no credentials.
        """
        import obstore

        if is_lost():
            raise UsageError(
                "this process was forked from one that had used an object store, so it cannot",
                hint="start the executor's processes with spawn or forkserver",
            )
        self._obstore = obstore
        options = dict(address.options)
        url = object_url(address.url)
        self._transport = open_object_store(url, options, environ, patience or Patience())

    def close(self) -> None:
        """Ends the connections."""
        self._transport.close()

    @property
    def where(self) -> str:
        """The address as it is shown to people."""
        return self._transport.where

    def listing(self) -> Iterator[Item]:
        """Yields every object.

        Raises:
            MalformedError: there are too many, or a name is too long for a path.
            UnavailableError: as `Transport`.
        """
        for number, meta in enumerate(self._transport.everything()):
            if number >= MAX_OBJECTS:
                raise MalformedError(f"{self.where} has more than {MAX_OBJECTS:,} objects")
            yield self._item(meta)

    def find(self, name: str) -> Item | None:
        """Returns one object, None when there is none."""

        async def head(store: "ObjectStore") -> "ObjectMeta":
            meta: ObjectMeta = await self._obstore.head_async(store, name)
            return meta

        try:
            return self._item(self._transport.ask(head, name))
        except MissingError:
            return None

    def digests(self, items: Sequence[Item]) -> list[bytes]:
        """Returns the BLAKE3 of each; b"" for an empty object that only marks a folder.

        Memory stays below about 16 MiB, however large an object is.

        Raises:
            FileChangedError: an object is not the one that was listed.
            UnavailableError: as `Transport`.
        """
        found: list[bytes] = []
        for group in batches(items, count=_AT_ONCE, size=_PIECE):
            if group[0].size > _PIECE:
                hasher = blake3()
                for piece in self.pieces(group[0]):
                    hasher.update(piece)
                found.append(hasher.digest())
            else:
                datas = self.read(group)
                found += [b"" if data is None else blake3(data).digest() for data in datas]
        return found

    def fetch(self, items: Sequence[Item], tmp: str) -> list[Fetched]:
        """Brings objects here, big ones into files without a name below `tmp`; raises the same."""
        found: list[Fetched] = []
        try:
            for group in batches(items, count=_AT_ONCE, size=_PIECE):
                if group[0].size > _PIECE:
                    found.append(self._fetch_big(group[0], tmp))
                    continue
                for data in self.read(group):
                    if data is None:
                        found.append(Fetched(b""))
                    else:
                        found.append(Fetched(blake3(data).digest(), data))
        except BaseException:
            for one in found:
                if one.file is not None:
                    one.file.close()
            raise
        return found

    def _fetch_big(self, item: Item, tmp: str) -> Fetched:
        os.makedirs(tmp, exist_ok=True)
        file: BinaryIO = tempfile.TemporaryFile(dir=tmp)  # noqa: SIM115  # handed on
        try:
            hasher = blake3()
            for piece in self.pieces(item):
                hasher.update(piece)
                file.write(piece)
            file.flush()
        except OSError as exc:
            file.close()
            raise fault(exc, "write", tmp) from exc
        except BaseException:
            file.close()
            raise
        return Fetched(hasher.digest(), file=file)

    def read(self, items: Sequence[Item]) -> list[bytes | None]:
        """Returns the bytes of a few small objects; None for an empty one that is not there.

        An object store has no folders; some tools make an empty object `name/` for one, which is
        listed as `name` and cannot be got.
        """

        async def whole(store: "ObjectStore", item: Item) -> bytes | None:
            try:
                answer = await self._obstore.get_async(store, item.name)
            except FileNotFoundError:
                if not item.size:
                    return None
                raise self._changed(item) from None
            self._check(answer.meta, item)
            data = bytes(await answer.bytes_async())
            if len(data) != item.size:
                raise TransientError(f"{self._shown(item)} came only in part")
            return data

        async def all_of_them(store: "ObjectStore") -> list[bytes | None]:
            return await asyncio.gather(*(whole(store, item) for item in items))

        return self._transport.ask(all_of_them, items[0].name)

    def pieces(self, item: Item) -> Iterator[bytes]:
        """Yields an object's bytes in order, a few MiB at a time."""
        step = _PIECE * _PIECES_AT_ONCE

        async def one(store: "ObjectStore", start: int) -> bytes:
            end = min(start + _PIECE, item.size)
            try:
                answer = await self._obstore.get_async(
                    store, item.name, options={"range": (start, end)}
                )
            except FileNotFoundError:
                raise self._changed(item) from None
            self._check(answer.meta, item)
            data = bytes(await answer.bytes_async())
            if len(data) != end - start:
                raise TransientError(f"{self._shown(item)} came only in part")
            return data

        for first in range(0, item.size, step):
            starts = range(first, min(first + step, item.size), _PIECE)

            async def some(store: "ObjectStore", starts: range = starts) -> list[bytes]:
                return await asyncio.gather(*(one(store, start) for start in starts))

            yield from self._transport.ask(some, item.name)

    def _item(self, meta: "ObjectMeta") -> Item:
        name = meta["path"]
        if len(name.encode()) > _MAX_NAME_BYTES:
            raise MalformedError(f"{self.where} has a name of more than {_MAX_NAME_BYTES} bytes")
        modified = int(meta["last_modified"].timestamp())
        return Item(name, meta["size"], _plain(meta["e_tag"]), modified)

    def _check(self, meta: "ObjectMeta", item: Item) -> None:
        """Refuses an answer about other bytes than those that were listed."""
        now = self._item(meta)
        told = bool(item.etag and now.etag)
        same = now.etag == item.etag if told else now.modified == item.modified
        if not same or now.size != item.size:
            raise self._changed(item)

    def _changed(self, item: Item) -> FileChangedError:
        return FileChangedError(
            f"{self._shown(item)} changed while it was read", hint="run the command again"
        )

    def _shown(self, item: Item) -> str:
        return f"{show(item.name.encode())} of {self.where}"


def object_url(text: str) -> RemoteUrl:
    """Returns the address of a dataset in an object store.

    Raises:
        UsageError: it is something else.
    """
    url = RemoteUrl.parse(text)
    if url.scheme not in {"s3", "gs", "az"}:
        raise UsageError(
            f"{url.scheme}:// cannot be added from: only object stores list what they have",
            hint="known: s3://BUCKET/PREFIX gs://BUCKET/PREFIX az://CONTAINER/PREFIX",
        )
    return url


def _plain(etag: str | None) -> str:
    """An ETag without what differs between a listing and an answer: quotes, and W/ before them."""
    return (etag or "").removeprefix("W/").strip('"')
