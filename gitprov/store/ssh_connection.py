"""One connection over SSH as the user's own ssh would make it, and its sessions of SFTP.

Keys, agent, names and jumps come from where ssh keeps them. A host that ssh does not know is
refused: whoever answers in its place would get the data.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitprov.config.remote_url import RemoteUrl
from gitprov.core.paths import printable
from gitprov.errors import UnavailableError, UsageError
from gitprov.store.transport import Patience, TransientError

_SESSIONS = 8
"""sshd allows ten for a connection (MaxSessions)."""

_WINDOW = 16 << 20
_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_SYSTEM_HOSTS = "/etc/ssh/ssh_known_hosts"

_LOG = logging.getLogger("gitprov.ssh")
# Where nobody listens, logging writes paramiko's tracebacks on stderr, beside the sentence of ours.
_LOG.addHandler(logging.NullHandler())
_LOG.propagate = False


@dataclass(frozen=True, slots=True)
class _Means:
    """What ssh's configuration says about a host."""

    host: str
    port: int
    user: str | None
    keys: tuple[str, ...]
    known_hosts: tuple[str, ...]
    jump: str | None


class SshConnection:
    """Connects when it is first used, and again after the connection broke."""

    def __init__(self, url: RemoteUrl, environ: Mapping[str, str], patience: Patience) -> None:
        """Reads ssh's configuration.

        Raises:
            UsageError: paramiko is not installed, or the configuration cannot be read.
        """
        try:
            import paramiko
        except ImportError as exc:
            raise UsageError("ssh:// needs paramiko", hint="pip install 'gitprov[ssh]'") from exc
        self._paramiko = paramiko
        self._where = str(url)
        self._command = _command(url)
        self._environ = environ
        self._patience = patience
        self._means = self._read_means(url)
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(_SESSIONS)
        self._client: Any = None
        self._idle: list[Any] = []
        self._closed = False

    @property
    def host(self) -> str:
        """The host's name as the user says it."""
        return self._means.host

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """Lends a session to one thread. An error that ends it ends the connection, too.

        Raises:
            TransientError: no connection, or it broke.
            UnavailableError: the host is not known, or does not let us in.
        """
        with self._slots:
            session = self._borrowed()
            try:
                yield session
            except (self._paramiko.SSHException, EOFError, TimeoutError, ConnectionError) as exc:
                self._drop()
                raise TransientError(
                    f"the connection to {self._where} broke: {_reason(exc)}"
                ) from exc
            except OSError as exc:
                if exc.errno is None and "closed" in str(exc).lower():
                    self._drop()
                    raise TransientError(f"the connection to {self._where} was closed") from exc
                self._give_back(session)
                raise
            except Exception:
                self._give_back(session)
                raise
            except BaseException:  # Ctrl-C: an answer may be on its way to nobody
                session.close()
                raise
            self._give_back(session)

    def fsync(self, session: Any, file: Any) -> None:
        """Waits for the other machine's disk, where its sshd knows how (OpenSSH's does)."""
        try:
            session._request(self._paramiko.sftp.CMD_EXTENDED, "fsync@openssh.com", file.handle)
        except OSError as exc:
            if "unsupported" not in str(exc).lower():
                raise

    def close(self) -> None:
        """Ends the connection for good."""
        self._closed = True
        self._drop()

    def _borrowed(self) -> Any:
        with self._lock:
            if self._closed:
                raise UnavailableError(f"the connection to {self._where} was closed")
            if self._client is None:
                self._client = self._connected()
            if self._idle:
                return self._idle.pop()
            client = self._client
        try:
            session = client.open_sftp()
        except (self._paramiko.SSHException, EOFError, OSError, AttributeError) as exc:
            self._drop()
            raise TransientError(f"{self._where} gives no session: {_reason(exc)}") from exc
        session.get_channel().settimeout(self._patience.silence)
        return session

    def _give_back(self, session: Any) -> None:
        with self._lock:
            if self._client is not None and session.get_channel().get_transport() is (
                self._client.get_transport()
            ):
                self._idle.append(session)
                return
        session.close()

    def _drop(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            self._idle.clear()
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        paramiko, means = self._paramiko, self._means
        client = paramiko.SSHClient()
        client.set_log_channel(_LOG.name)
        for path in means.known_hosts:
            with contextlib.suppress(OSError):
                client.load_system_host_keys(path)
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            client.connect(
                means.host,
                means.port,
                username=means.user,
                key_filename=list(means.keys),
                look_for_keys=False,
                sock=paramiko.ProxyCommand(means.jump) if means.jump else None,
                timeout=self._patience.connect,
                banner_timeout=self._patience.silence,
                auth_timeout=self._patience.silence,
                channel_timeout=self._patience.silence,
            )
        except Exception as exc:  # paramiko and what it uses raise all sorts of them
            client.close()
            raise self._refused(exc) from exc
        client.get_transport().window_size = _WINDOW
        client.get_transport().set_keepalive(15)
        return client

    def _refused(self, exc: Exception) -> UnavailableError:
        paramiko, host = self._paramiko, self._means.host
        works = f"does `{self._command}` work?"
        if isinstance(exc, paramiko.BadHostKeyException):
            name = host if self._means.port == 22 else f"'[{host}]:{self._means.port}'"
            return UnavailableError(
                f"{host} shows another host key than the one that ssh knows",
                hint=f"somebody may be in between; ask who runs it, then: ssh-keygen -R {name}",
            )
        if isinstance(exc, paramiko.AuthenticationException):
            return UnavailableError(
                f"{host} does not let us in: {_reason(exc)}",
                hint=f"{works} a key with a passphrase needs ssh-add",
            )
        if "not found in known_hosts" in str(exc):
            return UnavailableError(
                f"the host {host} is not known to ssh", hint=f"run `{self._command}` once"
            )
        if "No authentication methods available" in str(exc):
            return UnavailableError(
                f"there is no key for {host}: neither in ~/.ssh nor in an agent",
                hint=f"{works} a key with a passphrase needs ssh-add",
            )
        return TransientError(
            f"{self._where} cannot be reached: {_reason(exc)}",
            hint=f"{works} if not, see whether host and port are right, and sshd runs there",
        )

    def _read_means(self, url: RemoteUrl) -> _Means:
        home = self._environ.get("HOME", "/")
        folder = os.path.join(home, ".ssh")
        found: Mapping[str, Any] = {}
        try:
            path = os.path.join(folder, "config")
            if os.path.exists(path):
                found = self._paramiko.SSHConfig.from_path(path).lookup(url.host)
        except Exception as exc:  # each kind of mistake in the file has its own
            raise UsageError(f"~/.ssh/config cannot be read: {_reason(exc)}") from exc
        host, port = str(found.get("hostname", url.host)), url.port or int(found.get("port", 22))
        user = url.user or found.get("user") or self._environ.get("USER")
        keys = [os.path.expanduser(key) for key in found.get("identityfile", ())]
        keys += [os.path.join(folder, name) for name in _KEYS]
        hosts = str(found.get("userknownhostsfile", os.path.join(folder, "known_hosts"))).split()
        return _Means(
            host,
            port,
            user,
            tuple(key for key in keys if os.path.isfile(key)),
            (_SYSTEM_HOSTS, *(os.path.expanduser(path) for path in hosts)),
            _jump(found, host, port),
        )


def _jump(found: Mapping[str, Any], host: str, port: int) -> str | None:
    """The command that ssh's configuration connects through."""
    if found.get("proxycommand") not in {None, "none"}:
        return str(found["proxycommand"])
    through = found.get("proxyjump")
    if through in {None, "none"}:
        return None
    *before, last = str(through).split(",")
    jumps = f"-J {','.join(before)} " if before else ""
    return f"ssh {jumps}-W {host}:{port} {last}"


def _command(url: RemoteUrl) -> str:
    """What a person types to get there: through ssh's configuration, as we do."""
    port = f" -p {url.port}" if url.port not in {None, 22} else ""
    return f"ssh{port} {f'{url.user}@' if url.user else ''}{url.host}"


def _reason(exc: BaseException) -> str:
    said = str(exc)
    if isinstance(exc, OSError) and exc.strerror:
        said = exc.strerror  # without `[Errno -2]` before it
    # paramiko gives up waiting without a word, and then misses the session that there is not.
    is_late = any(isinstance(one, TimeoutError) for one in (exc, exc.__context__))
    if is_late or said == "No existing session":
        return "it did not answer in time"
    if said.startswith(("Error reading SSH protocol banner", "Indecipherable protocol version")):
        return "what answers there does not say that it is ssh"
    return printable(said)[:160] or type(exc).__name__
