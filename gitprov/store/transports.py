"""Opens a remote by its address: the one list of what remotes can be made of."""

from collections.abc import Callable, Mapping

from gitprov.config.remote_url import RemoteUrl
from gitprov.store.transport import Patience, Transport

Opener = Callable[[RemoteUrl, Mapping[str, str], Mapping[str, str], Patience], Transport]


def open_transport(
    url: str,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    *,
    patience: Patience | None = None,
) -> Transport:
    """Returns the remote at an address; most are asked for the first time when they are used.

    Args:
        url: the address.
        options: `endpoint`, `region`, `profile`, `instance_metadata` ("true"), those that are set.
        environ: where credentials are looked for.
        patience: how long it is waited for.

    Raises:
        UsageError: the address cannot be used, or a library is missing.
        UnavailableError: no credentials; or a folder that is not there.
    """
    parsed = RemoteUrl.parse(url)
    return _OPENERS[parsed.scheme](parsed, options, environ, patience or Patience())


def _folder(
    url: RemoteUrl, _: Mapping[str, str], __: Mapping[str, str], ___: Patience
) -> Transport:
    from gitprov.store.transport_folder import FolderTransport

    return FolderTransport(url.path)


def _object(
    url: RemoteUrl, options: Mapping[str, str], environ: Mapping[str, str], patience: Patience
) -> Transport:
    from gitprov.store.event_loop import is_lost

    if is_lost():
        from gitprov.store.transport_process import ProcessTransport

        return ProcessTransport(str(url), options, environ, patience)
    from gitprov.store.object_stores import open_object_store  # obstore, an extra

    return open_object_store(url, options, environ, patience)


def _ssh(
    url: RemoteUrl, _: Mapping[str, str], environ: Mapping[str, str], patience: Patience
) -> Transport:
    from gitprov.store.transport_sftp import SftpTransport  # paramiko, an extra

    return SftpTransport(url, environ, patience)


def _through_fsspec(
    url: RemoteUrl, _: Mapping[str, str], environ: Mapping[str, str], patience: Patience
) -> Transport:
    from gitprov.store.transport_fsspec import open_fsspec  # fsspec, an extra

    return open_fsspec(url, environ, patience)


_OPENERS: dict[str, Opener] = {
    "file": _folder,
    "ssh": _ssh,
    "fsspec": _through_fsspec,
    **dict.fromkeys(("s3", "gs", "az", "http", "https"), _object),
}
