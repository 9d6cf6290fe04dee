"""Finds credentials for Google's and Azure's object stores, and asks no server for any by itself.

As with S3, the libraries would ask the machine's own role when they find none; only a clone that
says `instance_metadata` lets them.
"""

import json
import os
from collections.abc import Mapping

from gitprov.errors import UnavailableError

_GOOGLE_FILES = (
    "GOOGLE_APPLICATION_CREDENTIALS",
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
)
_GOOGLE_KEYS = ("GOOGLE_SERVICE_ACCOUNT_KEY",)
_AZURE_KEYS = {
    "AZURE_STORAGE_ACCOUNT_KEY": "account_key",
    "AZURE_STORAGE_ACCESS_KEY": "account_key",
    "AZURE_STORAGE_SAS_KEY": "sas_key",
    "AZURE_STORAGE_SAS_TOKEN": "sas_key",
    "AZURE_STORAGE_TOKEN": "token",
}
_AZURE_LOGINS = (
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_FEDERATED_TOKEN_FILE",
)
_NOBODY = json.dumps(
    {"client_email": "", "disable_oauth": True, "private_key": "", "private_key_id": ""}
)
"""Without it obstore reads unsigned, and to write asks the machine's own role for a token."""


def google_settings(
    options: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str | bool]:
    """Returns what obstore's GCSStore is given.

    Raises:
        UnavailableError: no credentials, and the machine's own role may not be asked.
    """
    settings: dict[str, str | bool] = {}
    if "endpoint" in options:
        settings["base_url"] = options["endpoint"]
    if _is_true(environ, "GOOGLE_SKIP_SIGNATURE"):
        return {**settings, "skip_signature": True, "service_account_key": _NOBODY}
    for name in _GOOGLE_FILES:
        if environ.get(name):
            key = "application_credentials" if name == _GOOGLE_FILES[0] else "service_account"
            return {**settings, key: environ[name]}
    for name in _GOOGLE_KEYS:
        if environ.get(name):
            return {**settings, "service_account_key": environ[name]}
    folder = environ.get("CLOUDSDK_CONFIG") or os.path.join(
        environ.get("HOME", "/"), ".config", "gcloud"
    )
    path = os.path.join(folder, "application_default_credentials.json")
    if os.path.isfile(path):
        return {**settings, "application_credentials": path}
    if "instance_metadata" in options:
        return settings
    raise UnavailableError(
        "no credentials for Google Cloud Storage are in the environment or in ~/.config/gcloud",
        hint="gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS",
    )


def azure_settings(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str | bool]:
    """Returns what obstore's AzureStore is given; a client's login it reads from the environment.

    Raises:
        UnavailableError: no account or no credentials, and the machine's own role may not be asked.
    """
    settings: dict[str, str | bool] = {}
    account = environ.get("AZURE_STORAGE_ACCOUNT_NAME") or environ.get("AZURE_STORAGE_ACCOUNT")
    if account is None:
        raise UnavailableError(
            "no account for Azure is in the environment", hint="set AZURE_STORAGE_ACCOUNT_NAME"
        )
    settings["account_name"] = account
    if "endpoint" in options:
        settings["endpoint"] = options["endpoint"]
    if _is_true(environ, "AZURE_SKIP_SIGNATURE"):
        return {**settings, "skip_signature": True}
    for name, key in _AZURE_KEYS.items():
        if environ.get(name):
            return {**settings, key: environ[name]}
    if any(environ.get(name) for name in _AZURE_LOGINS) or "instance_metadata" in options:
        return settings
    if _is_true(environ, "AZURE_USE_AZURE_CLI"):
        return {**settings, "use_azure_cli": True}
    raise UnavailableError(
        "no credentials for Azure are in the environment",
        hint="set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN; after `az login`, "
        "AZURE_USE_AZURE_CLI=true",
    )


def _is_true(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "").lower() in {"true", "1"}
