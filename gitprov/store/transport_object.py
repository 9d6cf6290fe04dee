"""A remote in an object store: s3://, gs://, az://."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from gitprov.core.paths import printable
from gitprov.errors import GitprovError, MalformedError, UnavailableError
from gitprov.platform.files import fault
from gitprov.store.event_loop import EventLoop
from gitprov.store.object_errors import is_broken_line, our_error
from gitprov.store.patience import patiently
from gitprov.store.transport import (
    Listed,
    MissingError,
    Parts,
    Patience,
    Range,
    Source,
    TransientError,
    Transport,
    check_name,
    check_prefix,
    check_ranges,
    cut_out,
    cut_short,
    gaps_joined,
    is_name,
    too_large,
)

if TYPE_CHECKING:
    from obstore import GetResult, ObjectMeta
    from obstore.store import ObjectStore

_T = TypeVar("_T")

_AT_ONCE = 8
_GAP = 1 << 18
"""Bytes that are read and thrown away rather than asking twice: a request costs about as much."""

_DELETED_AT_ONCE = 1000
_NOT_FINISHED = ("ConditionalRequestConflict", "OperationAborted")
"""S3: somebody writes the same name at this moment, and may yet fail."""


class NoRangesError(UnavailableError):
    """The server sends whole objects only."""


@dataclass(frozen=True, slots=True)
class ObjectPlace:
    """Where an object store is, for people and for messages, and how it is read and written."""

    url: str
    where: str
    reading: "ObjectStore"
    writing: "ObjectStore"


class ObjectTransport(Transport):
    """An object store through obstore."""

    def __init__(self, place: ObjectPlace, patience: Patience) -> None:
        """Starts the thread that waits for answers."""
        import obstore

        self._obstore = obstore
        self._place = place
        self._patience = patience
        self._loop = EventLoop()
        self._counting = threading.Lock()
        self._unasked = 0

    @property
    def url(self) -> str:
        """The address."""
        return self._place.url

    @property
    def read_only(self) -> bool:
        """An object store can be written, if the keys allow it."""
        return False

    @property
    def unasked(self) -> int:
        """See `Transport`."""
        return self._unasked

    @property
    def where(self) -> str:
        """The address and the server behind it, for messages."""
        return self._place.where

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`."""
        for one in self.everything(check_prefix(prefix)):
            if is_name(one["path"]):
                yield Listed(one["path"], one["size"])

    def everything(self, prefix: str = "") -> "Iterator[ObjectMeta]":
        """Yields what lies there by any name, sorted as the server sorts; also what is not ours."""
        last: str | None = None
        stream: Any = None

        async def following() -> "Sequence[ObjectMeta] | None":
            nonlocal stream
            if stream is None:  # at first, and after one that broke: names come sorted
                stream = self._obstore.list(
                    self._place.reading, prefix=prefix or None, offset=last, chunk_size=1000
                )
            try:
                batch: Sequence[ObjectMeta] | None = await anext(stream, None)
            except BaseException:
                stream = None
                raise
            return batch

        while (batch := self._ask(following, prefix or "the list", writing=False)) is not None:
            for one in batch:
                last = one["path"]
                yield one

    def ask(self, work: "Callable[[ObjectStore], Coroutine[Any, Any, _T]]", name: str) -> _T:
        """Runs what only reads, again where that can help; errors as those of `Transport`.

        Args:
            work: is given the store.
            name: what is asked for, for messages.
        """
        return self._ask(lambda: work(self._place.reading), name, writing=False)

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        check_name(name)

        async def whole() -> bytes:
            answer = await self._obstore.get_async(self._place.reading, name)
            if answer.meta["size"] > limit:
                raise too_large(name, self._place.where, limit)
            return bytes(await self._body(answer, limit, lambda: too_large(name, where, limit)))

        where = self._place.where
        return self._ask(whole, name, writing=False)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Transport`."""
        return self.get_ranges(name, [(start, length)])[0]

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """See `Transport`."""
        check_name(name)
        check_ranges(ranges)
        parts, came = self._covering(name, ranges)
        found = [cut_out(parts, wanted) for wanted in ranges]
        with self._counting:
            self._unasked += came - sum(len(part) for part in found)
        for wanted, part in zip(ranges, found, strict=True):
            if len(part) != wanted[1]:
                raise cut_short(name, self._place.where, wanted)
        return found

    def _covering(self, name: str, ranges: Sequence[Range]) -> tuple[dict[Range, memoryview], int]:
        """Returns what covers ranges, those that lie close together as one, and how much came.

        Raises:
            NoRangesError: the server sends whole objects only.
        """
        joined = gaps_joined(ranges, _GAP)
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(start: int, length: int) -> memoryview:
            async with slots:
                answer = await self._obstore.get_async(
                    self._place.reading, name, options={"range": (start, start + length)}
                )
                wrong = partial(cut_short, name, self._place.where, (start, length))
                data = await self._body(answer, length, wrong)
            if len(data) != length:
                raise wrong()
            return data

        async def all_of_them() -> "list[memoryview]":
            return await asyncio.gather(*(one(*wanted) for wanted in joined))

        parts = dict(zip(joined, self._ask(all_of_them, name, writing=False), strict=True))
        return parts, sum(len(part) for part in parts.values())

    async def _hung_up_as_it_is_there(self, exc: Exception, name: str) -> bool:
        """Whether a server did not wait for the bytes as the name is taken: it may hang up."""
        if is_broken_line(exc):
            with suppress(FileNotFoundError, self._obstore.exceptions.BaseError):
                await self._obstore.head_async(self._place.reading, name)
                return True
        return False

    async def _body(
        self, answer: "GetResult", most: int, wrong: Callable[[], GitprovError]
    ) -> memoryview:
        """Returns what an answer carries; a server that goes on after `most` bytes is left."""
        parts: list[memoryview] = []
        size = 0
        async for part in answer.stream(min_chunk_size=most + 1):
            parts.append(memoryview(part))
            size += len(parts[-1])
            if size > most:
                raise wrong()
        return parts[0] if len(parts) == 1 else memoryview(b"".join(parts))

    def put(self, name: str, data: Source) -> bool:
        """See `Transport`. An object travels in one request."""
        check_name(name)
        body = _content(data)

        async def create() -> bool:
            try:
                await self._obstore.put_async(
                    self._place.writing, name, body, mode="create", use_multipart=False
                )
            except Exception as exc:
                if await self._hung_up_as_it_is_there(exc, name):
                    return False
                raise
            return True

        async def look_and_put() -> bool:
            try:
                await self._obstore.head_async(self._place.reading, name)
            except FileNotFoundError:
                await self._obstore.put_async(self._place.writing, name, body, use_multipart=False)
                return True
            return False

        try:
            return self._ask(create, name, writing=True)
        except _ThereError:
            return False
        except _NoConditionError:
            # Two at once may both write, here: the same bytes under the same name.
            return self._ask(look_and_put, name, writing=True)

    def replace(self, name: str, data: Source) -> None:
        """See `Transport`."""
        check_name(name)
        body = _content(data)

        async def write() -> None:
            await self._obstore.put_async(self._place.writing, name, body, use_multipart=False)

        self._ask(write, name, writing=True)

    def delete(self, names: Iterable[str]) -> None:
        """See `Transport`."""
        rest = (check_name(name) for name in names)
        while some := [*islice(rest, _DELETED_AT_ONCE)]:
            self._delete(some)

    def close(self) -> None:
        """Ends what is under way."""
        self._loop.close()

    def _delete(self, names: Sequence[str]) -> None:
        async def delete() -> None:
            await self._obstore.delete_async(self._place.writing, [*names])

        try:
            self._ask(delete, names[0], writing=True)
        except MissingError:
            # Some stores mind; then one by one, so that one that is gone does not keep the others.
            for name in names if len(names) > 1 else ():
                self._delete([name])

    def _ask(
        self,
        work: "Callable[[], Coroutine[Any, Any, _T]]",
        name: str,
        *,
        writing: bool,
    ) -> _T:
        def once() -> _T:
            try:
                return self._loop.run(work())
            except GitprovError:
                raise
            except Exception as exc:
                raise self._translated(exc, name, writing=writing) from exc

        return patiently(self._patience, once)

    def _translated(self, exc: Exception, name: str, *, writing: bool) -> Exception:
        """One place for what obstore raises: its own tree, and some of Python's."""
        kind = type(exc).__name__
        text = str(exc)
        if kind == "AlreadyExistsError":
            if any(code in text for code in _NOT_FINISHED):
                return TransientError(f"{name} is being written by somebody else")
            return _ThereError()
        if kind == "InvalidPathError":
            reason = printable(" ".join(text.partition("\n\nDebug source")[0].split()))
            return MalformedError(
                f"{self._place.where} has an object whose name cannot be a path: {reason[:200]}",
                hint="rename the object",
            )
        if kind == "NotSupportedError" and not writing:
            return NoRangesError(f"{self._place.where} knows no ranges")
        if kind in {"NotSupportedError", "NotImplementedError"} or "status code: 501" in text:
            return _NoConditionError(f"{self._place.where} does not know how to do that: {name}")
        return our_error(exc, name, self._place.where, writing=writing)


class _ThereError(Exception):
    """The name was taken."""


class _NoConditionError(UnavailableError):
    """The server cannot write only where nothing is."""


def _content(data: Source) -> bytes:
    if not isinstance(data, str):
        return bytes(data)  # a request that was given up may still read it
    try:
        with open(data, "rb") as file:
            return file.read()
    except OSError as exc:
        raise fault(exc, "read", data) from exc
