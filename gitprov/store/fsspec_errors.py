"""What a filesystem of fsspec raises when something fails, in our words and families.

Each is another library with errors of its own. Most are OSErrors; FTP has its reply's number in the
text, what speaks HTTP has a status.
"""

import errno
import re

from gitprov.core.paths import printable
from gitprov.errors import EnvironmentFault, GitprovError, UnavailableError
from gitprov.store.transport import MissingError, TransientError

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REPLY = re.compile(r"([1-6]\d\d)[ -]")
_SHOWN = 160
_LOGIN_HINT = "credentials come from ~/.netrc, ~/.config/fsspec or what the library looks at"
_SPACE_HINT = "gitprov gc --remote frees what nothing refers to"


def our_error(exc: Exception, name: str, where: str, *, writing: bool) -> GitprovError:
    """Returns the error to raise for one that fsspec, or the library behind it, raised.

    Args:
        exc: what it raised.
        name: of the object that was asked for; "" for all of them.
        where: the remote, as it is shown.
        writing: whether something was to be changed there.
    """
    said = printable(" ".join(str(exc).split()))[:_SHOWN] or type(exc).__name__
    kind, number = type(exc).__name__, _number(exc)
    if isinstance(exc, FileNotFoundError) and not writing:
        return MissingError(name, where)
    if number in {401, 530, 532}:
        return UnavailableError(
            f"{where} does not accept the credentials: {said}", hint=_LOGIN_HINT
        )
    if number in {452, 507, 552} or getattr(exc, "errno", None) in _NO_SPACE:
        return EnvironmentFault(f"there is no space left in {where}: {said}", hint=_SPACE_HINT)
    if isinstance(exc, (TimeoutError, ConnectionError, EOFError)) or _may_pass(kind, number):
        return TransientError(f"{where} does not answer as it should: {said}")
    if isinstance(exc, OSError) and exc.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return TransientError(f"{where} cannot be reached: {said}")
    what = name or "the list"
    if writing:
        return EnvironmentFault(f"{what} cannot be written to {where}: {said}")
    return UnavailableError(f"{what} of {where} cannot be read: {said}", hint=_LOGIN_HINT)


def _may_pass(kind: str, number: int) -> bool:
    """FTP's replies of 400 to 499 say "not now"; HTTP's do not, and come in other classes."""
    return kind == "error_temp" or (number in {429, 500, 502, 503, 504} and kind != "error_perm")


def _number(exc: Exception) -> int:
    """The status of HTTP, or the reply of FTP, or 0."""
    response = getattr(exc, "response", None)
    for one in (getattr(exc, "status", None), getattr(response, "status_code", None)):
        if isinstance(one, int):
            return one
    found = _REPLY.match(str(exc)) if type(exc).__module__ == "ftplib" else None
    return int(found[1]) if found else 0
