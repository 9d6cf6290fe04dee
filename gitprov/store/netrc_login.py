"""Finds the password of a server in ~/.netrc, where curl, ftp and git look for it."""

import netrc
import os
from collections.abc import Mapping

from gitprov.core.paths import show
from gitprov.errors import UsageError


def login(host: str, user: str | None, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """Returns the user and the password that a server is shown; None when the file names none.

    Args:
        host: the server. The entry `default`, which is for every host, does not count.
        user: who it has to be, when the address says so.
        environ: says where the file is: `NETRC`, or `HOME`.

    Raises:
        UsageError: the file cannot be read.
    """
    path = environ.get("NETRC") or os.path.join(environ.get("HOME", "/"), ".netrc")
    try:
        hosts = netrc.netrc(path).hosts
    except FileNotFoundError:
        return None
    except netrc.NetrcParseError as exc:
        # Its text may be a part of the file.
        raise UsageError(f"{show(os.fsencode(path))} is malformed in line {exc.lineno}") from None
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{show(os.fsencode(path))} cannot be read") from exc
    found = hosts.get(host)
    if found is None or not found[2] or (user is not None and found[0] != user):
        return None
    return found[0], found[2]
