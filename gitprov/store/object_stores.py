"""Opens a remote in an object store (s3://, gs://, az://) or on a web server, through obstore."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gitprov.config.remote_url import RemoteUrl
from gitprov.errors import UsageError
from gitprov.store.credentials_aws import s3_settings
from gitprov.store.credentials_cloud import azure_settings, google_settings
from gitprov.store.transport import Patience
from gitprov.store.transport_object import ObjectPlace, ObjectTransport
from gitprov.store.transport_web import WebTransport

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def open_object_store(
    url: RemoteUrl, options: Mapping[str, str], environ: Mapping[str, str], patience: Patience
) -> ObjectTransport:
    """Returns the remote at an address of an object store or a web server; asks nobody yet.

    Raises:
        UsageError: obstore is not installed, or does not know what to do with the address.
        UnavailableError: no credentials.
    """
    try:
        import obstore.store as stores
        from obstore.exceptions import BaseError
    except ImportError as exc:
        raise UsageError(
            f"{url.scheme}:// needs obstore", hint="pip install 'gitprov[s3]'"
        ) from exc

    def opened(silence: float) -> "ObjectStore":
        client: Any = {
            "allow_http": url.scheme == "http" or settings_http,
            "connect_timeout": timedelta(seconds=patience.connect),
            "read_timeout": f"{max(1, round(silence * 1000))}ms",
            "timeout": timedelta(hours=1),
        }
        # Trying again is ours: obstore would also repeat what cannot help, and not a cut body.
        shared: Any = {"client_options": client, "retry_config": {"max_retries": 0}}
        if url.scheme in {"http", "https"}:
            return stores.HTTPStore.from_url(str(url), **shared)
        kind = {"s3": stores.S3Store, "gs": stores.GCSStore, "az": stores.AzureStore}[url.scheme]
        store: ObjectStore = kind(url.host, prefix=url.path or None, **settings, **shared)
        return store

    settings = _settings(url, options, environ)
    endpoint = settings.get("endpoint") or settings.get("base_url")
    settings_http = isinstance(endpoint, str) and endpoint.startswith("http://")
    where = f"{url} at {endpoint}" if endpoint else str(url)
    try:
        # A body is sent within `sending`: that clock does not stop while bytes go out.
        both = opened(patience.silence), opened(patience.sending)
    except (BaseError, ValueError, TypeError) as exc:
        reason = str(exc).partition("\n")[0]
        raise UsageError(f"{where} cannot be used: {reason:.200}") from exc
    kind = WebTransport if url.scheme in {"http", "https"} else ObjectTransport
    return kind(ObjectPlace(str(url), where, *both), patience)


def _settings(
    url: RemoteUrl, options: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Any]:
    if url.scheme == "gs":
        return dict(google_settings(options, environ))
    if url.scheme == "az":
        return dict(azure_settings(options, environ))
    if url.scheme != "s3":
        return {}
    settings: dict[str, Any] = dict(s3_settings(options, environ))
    if "access_key_id" in settings:
        # Handed over in one piece: a token in the environment must not meet a profile's keys.
        keys = {key: settings.pop(key) for key in ("access_key_id", "secret_access_key")}
        keys["token"] = settings.pop("session_token", None)
        settings["credential_provider"] = lambda: {**keys, "expires_at": None}
    return settings
