"""What obstore says when something fails, in our words and families.

obstore has few types of errors, so most of it is in their text: the status of HTTP and, from S3,
the code of the XML behind it.
"""

import re

from gitprov.core.paths import printable
from gitprov.errors import EnvironmentFault, GitprovError, UnavailableError
from gitprov.store.transport import MissingError, TransientError

_STATUS = re.compile(r"status code: (\d{3})\b")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})")
_BUSY = {"408", "425", "429", "500", "502", "503", "504"}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_NO_USER = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "XAdminUserNotFound", "ExpiredToken"}
_ENDS_BEFORE = "Wanted range starting at"
"""What obstore says itself when a server sends nothing for a range that begins at the end."""

_AGAIN = "run it again: it goes on where it stopped"
_LINES = (
    ("ConnectionRefused", "the connection is refused", "is the server running, on this port?"),
    ("dns error", "nobody knows the name of its host", "look at the address and the network"),
    ("InvalidCertificate", "its certificate is not trusted here", "is it the right host?"),
    ("InvalidContentType", "it does not speak TLS", "http:// instead of https://, perhaps"),
    (r"hyper::Error\(\s*Parse", "it does not speak HTTP", "look at the port, and at http or https"),
    ("(Network|Host)Unreachable", "no way leads to it", "look at the address and the network"),
    (
        "TimedOut",
        "nothing has come for a long time",
        "look at the server and the network; " + _AGAIN,
    ),
    ("IncompleteBody|IncompleteMessage|UnexpectedEof", "the connection broke off", _AGAIN),
    ("ConnectionReset|ConnectionAborted|BrokenPipe", "the connection broke off", _AGAIN),
)
"""What Rust's debugging output says of a line that broke; in our words; and what to do about it."""

_SHOWN = 160
_NO_ACCESS = "look at the keys' rights, and whether they are those of this remote"


def is_broken_line(exc: Exception) -> bool:
    """Whether the line broke before an answer came."""
    return "error sending request" in str(exc) and not _STATUS.search(str(exc))


def our_error(exc: Exception, name: str, where: str, *, writing: bool) -> GitprovError:
    """Returns the error to raise for one that obstore raised.

    Args:
        exc: what it raised.
        name: of the object that was asked for.
        where: the remote, as it is shown.
        writing: whether something was to be changed there.
    """
    # Behind it comes the same once more, as Rust's debugging output, which alone says why.
    text, _, debug = str(exc).partition("\n\nDebug source")
    found = _STATUS.search(text)
    status = found[1] if found else ""
    if not status and not isinstance(exc, FileNotFoundError):
        for pattern, reason, hint in _LINES:
            if re.search(pattern, debug):
                return TransientError(f"{where} does not answer: {reason}", hint=hint)
    behind = text[found.end() :] if found else ""
    code = _CODE.search(behind)
    return _by_status(
        exc, status, code[1] if code else "", _said(text, behind), (name, where, writing)
    )


def _by_status(
    exc: Exception, status: str, code: str, said: str, asked: tuple[str, str, bool]
) -> GitprovError:
    name, where, writing = asked
    if code in _NO_BUCKET:
        return UnavailableError(
            f"{where}: there is no such bucket", hint="make it, or look at the address"
        )
    if code in _NO_USER or status == "401" or type(exc).__name__ == "UnauthenticatedError":
        return UnavailableError(f"{where} does not accept the credentials: {said}", hint=_NO_ACCESS)
    if status == "403":
        if writing:
            return EnvironmentFault(f"{where} lets nobody write with these credentials: {said}")
        return UnavailableError(f"{where} may not be read: {said}", hint=_NO_ACCESS)
    if isinstance(exc, FileNotFoundError):
        return MissingError(name, where)
    if status == "507" or code in {"InsufficientStorage", "QuotaExceeded"}:
        return EnvironmentFault(
            f"there is no space left in {where}",
            hint="gitprov gc --remote frees what nothing refers to",
        )
    if status == "416" or _ENDS_BEFORE in said:
        return UnavailableError(
            f"{name} of {where} is cut short: it ends before what was asked for"
        )
    if status in _BUSY or not status:
        return TransientError(f"{where} does not answer as it should: {said}")
    return UnavailableError(f"{where} answers {said}")


def _said(text: str, behind: str) -> str:
    """The server's own sentence where there is one; it comes from outside."""
    message, code = _MESSAGE.search(behind), _CODE.search(behind)
    if message and code:
        said = f"{message[1].rstrip('. ')} ({code[1]})"
    elif behind:
        status = _STATUS.search(text)
        said = f"{status[1] if status else ''}{behind.partition(':')[0]}"
    else:
        # The address was said before; what follows the dash is why.
        said = text.rpartition(" - ")[2].rpartition("HTTP error: ")[2]
    return printable(" ".join(said.split()))[:_SHOWN]
