"""`gitprov log --check`: has a remote's log only grown?"""

from gitprov.git.consistency import LogCheck, check_remote
from gitprov.workspace import Workspace


def check_remote_logs(ws: Workspace, remote: str) -> list[LogCheck]:
    """Fetches a remote's logs and proves that each only grew since it was seen last.

    Raises:
        UnavailableError: the remote does not answer.
    """
    return check_remote(ws.repo, remote)
