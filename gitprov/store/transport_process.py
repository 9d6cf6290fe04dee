"""A remote that another process asks, for one that was forked.

obstore keeps threads that do not survive a fork and cannot be started anew in the child. So a
child whose parent had used it, such as a worker of torch's DataLoader, starts a fresh process of
this Python, which opens the remote and answers through two pipes.
"""

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, BinaryIO, cast

import msgspec

from gitprov.errors import (
    EnvironmentFault,
    GitprovError,
    MalformedError,
    UnavailableError,
    UsageError,
    VerificationError,
)
from gitprov.store.transport import (
    Listed,
    MissingError,
    Parts,
    Patience,
    Range,
    Source,
    TransientError,
    Transport,
)

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from gitprov.store.transport_process import serve; serve()"
)
_MOST_LISTED = 1 << 22
_END_SECONDS = 5.0
_LENGTH_BYTES = 8
_ERRORS: dict[str, Callable[..., GitprovError]] = {
    kind.__name__: kind
    for kind in (
        *(GitprovError, EnvironmentFault, MalformedError, TransientError),
        *(UnavailableError, UsageError, VerificationError),
    )
}


class ProcessTransport(Transport):
    """A remote in another process, which is asked one thing at a time."""

    def __init__(
        self,
        url: str,
        options: Mapping[str, str],
        environ: Mapping[str, str],
        patience: Patience,
    ) -> None:
        """Starts the process and has it open the remote.

        Raises:
            EnvironmentFault: it cannot be started.
            GitprovError: as `open_transport` does.
        """
        self._url = url
        self._lock = threading.Lock()
        command = [sys.executable, "-c", _START, json.dumps(sys.path)]
        try:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        except OSError as exc:
            raise EnvironmentFault(f"cannot start {sys.executable}: {exc.strerror}") from exc
        # Credentials go through the pipe: a command line is seen by everybody.
        waits = [patience.connect, patience.silence, patience.sending, [*patience.pauses]]
        self._read_only = self._ask("open", url, dict(options), dict(environ), waits)

    @property
    def url(self) -> str:
        """The address."""
        return self._url

    @property
    def read_only(self) -> bool:
        """Whether it is a web server."""
        return bool(self._read_only)

    def list(self, prefix: str = "") -> Iterator[Listed]:
        """See `Transport`."""
        for name, size in self._ask("list", prefix):
            yield Listed(name, size)

    def get(self, name: str, *, limit: int) -> bytes:
        """See `Transport`."""
        return bytes(self._ask("get", name, limit))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """See `Transport`."""
        return bytes(self._ask("get_range", name, start, length))

    def get_ranges(self, name: str, ranges: Sequence[Range]) -> Parts:
        """See `Transport`."""
        return [*self._ask("get_ranges", name, [*ranges])]

    def put(self, name: str, data: Source) -> bool:
        """See `Transport`."""
        return bool(self._ask("put", name, data if isinstance(data, str) else bytes(data)))

    def replace(self, name: str, data: Source) -> None:
        """See `Transport`."""
        self._ask("replace", name, data if isinstance(data, str) else bytes(data))

    def delete(self, names: Iterable[str]) -> None:
        """See `Transport`."""
        self._ask("delete", [*names])

    def close(self) -> None:
        """Ends the process."""
        asked = cast("BinaryIO", self._process.stdin)
        answered = cast("BinaryIO", self._process.stdout)
        with contextlib.suppress(OSError):
            asked.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:  # it waits for a server
            self._process.kill()
            self._process.wait()
        answered.close()  # last: another thread may be reading from it until the process has ended

    def _ask(self, *question: Any) -> Any:
        asked = cast("BinaryIO", self._process.stdin)
        answered = cast("BinaryIO", self._process.stdout)
        with self._lock:
            try:
                _write(asked, question)
                good, answer = _read(answered)
            except (OSError, EOFError, ValueError) as exc:  # ValueError: closed by another thread
                raise UnavailableError("the connection to the remote was closed") from exc
            except BaseException:
                # Interrupted between question and answer: the next question would get this answer.
                self._process.kill()
                raise
        if not good:
            raise _error(*answer)
        return answer


def serve() -> None:
    """Answers questions from stdin on stdout until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who asked
    asked, answered = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    transport: Transport | None = None
    while True:
        try:
            method, *args = _read(asked)
        except EOFError:
            break
        answer: tuple[bool, Any]
        try:
            if transport is None:
                transport = _open(*args)
                answer = True, transport.read_only
            else:
                answer = True, _METHODS[method](transport, *args)
        except GitprovError as exc:
            name = exc.name if isinstance(exc, MissingError) else ""
            answer = False, (type(exc).__name__, str(exc), exc.hint, name)
        try:
            _write(answered, answer)
        except OSError:  # nobody waits for it any more
            break
    if transport is not None:
        transport.close()


_METHODS: dict[str, Callable[..., Any]] = {
    "list": lambda transport, prefix: [*islice(transport.list(prefix), _MOST_LISTED)],
    "get": lambda transport, name, limit: transport.get(name, limit=limit),
    "get_range": lambda transport, *args: transport.get_range(*args),
    "get_ranges": lambda transport, *args: [bytes(one) for one in transport.get_ranges(*args)],
    "put": lambda transport, *args: transport.put(*args),
    "replace": lambda transport, *args: transport.replace(*args),
    "delete": lambda transport, names: transport.delete(names),
}


def _open(
    url: str, options: Mapping[str, str], environ: Mapping[str, str], waits: list[Any]
) -> Transport:
    from gitprov.store.transports import open_transport

    connect, silence, sending, pauses = waits
    patience = Patience(connect, silence, sending, tuple(pauses))
    return open_transport(url, options, environ, patience=patience)


def _write(pipe: BinaryIO, value: object) -> None:
    data = msgspec.msgpack.encode(value)
    pipe.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
    pipe.flush()


def _read(pipe: BinaryIO) -> Any:
    """Returns what `_write` wrote.

    Raises:
        EOFError: the other process has ended.
    """
    head = pipe.read(_LENGTH_BYTES)
    size = int.from_bytes(head, "big")
    data = pipe.read(size) if len(head) == _LENGTH_BYTES else b""
    if not data or len(data) < size:
        raise EOFError
    return msgspec.msgpack.decode(data)


def _error(kind: str, message: str, hint: str | None, name: str) -> GitprovError:
    if kind == MissingError.__name__:
        return MissingError(name, message.removesuffix(f" does not have {name}"))
    return _ERRORS.get(kind, GitprovError)(message, hint=hint)
