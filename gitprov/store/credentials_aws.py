"""Finds credentials for S3 where its tools keep them, and asks no server for any by itself.

Left alone, obstore asks 169.254.169.254 when it finds none: on somebody else's network that is
somebody else's machine. So they are looked for here first, in the order that boto3 has.
"""

import configparser
import os
from collections.abc import Mapping

from gitprov.errors import UnavailableError, UsageError

NOWHERE = "http://127.0.0.1:1"
"""What obstore is told to ask instead of the machine's own role."""

_HINT = (
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: gitprov remote add NAME "
    "URL --profile P"
)
_ELSEWHERE = ("sso_session", "sso_start_url", "credential_process", "role_arn", "login_session")
_KEYS = {
    "aws_access_key_id": "access_key_id",
    "aws_secret_access_key": "secret_access_key",
    "aws_session_token": "session_token",
}
_CONTAINER = {
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "container_credentials_relative_uri",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "container_credentials_full_uri",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "container_authorization_token_file",
}
_WEB_IDENTITY = {
    "AWS_WEB_IDENTITY_TOKEN_FILE": "web_identity_token_file",
    "AWS_ROLE_ARN": "role_arn",
    "AWS_ROLE_SESSION_NAME": "role_session_name",
}


def s3_settings(options: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str | bool]:
    """Returns what obstore's S3Store is given: credentials, region, endpoint.

    Args:
        options: those of the remote.
        environ: the environment.

    Raises:
        UnavailableError: no credentials, and the machine's own role may not be asked.
        UsageError: a file of AWS cannot be read.
    """
    profile = options.get("profile")
    section = _profile(profile or environ.get("AWS_PROFILE") or "default", environ)
    settings = _credentials(profile, section, options, environ)
    region = options.get("region") or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    settings["region"] = region or section.get("region") or "us-east-1"
    endpoint = (
        options.get("endpoint")
        or environ.get("AWS_ENDPOINT_URL_S3")
        or environ.get("AWS_ENDPOINT_URL")
        or section.get("endpoint_url")
    )
    if endpoint:
        settings["endpoint"] = endpoint
    if "instance_metadata" not in options:
        settings["metadata_endpoint"] = NOWHERE
    return settings


def _credentials(
    profile: str | None,
    section: Mapping[str, str],
    options: Mapping[str, str],
    environ: Mapping[str, str],
) -> dict[str, str | bool]:
    keys = {
        ours: environ[name.upper()] for name, ours in _KEYS.items() if environ.get(name.upper())
    }
    # A profile that the remote names is meant for it; the environment's keys may be for another.
    if profile is None and "access_key_id" in keys and "secret_access_key" in keys:
        return dict(keys)
    kept = {ours: section[name] for name, ours in _KEYS.items() if section.get(name)}
    if "access_key_id" in kept and "secret_access_key" in kept:
        return dict(kept)
    if profile is not None:
        raise _no_keys(profile, section)
    if environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"true", "1"}:
        return {"skip_signature": True}
    for names in (_WEB_IDENTITY, _CONTAINER):
        found = {ours: environ[name] for name, ours in names.items() if environ.get(name)}
        if found:
            return dict(found)
    if "instance_metadata" in options:
        return {}
    if any(key in section for key in _ELSEWHERE):
        raise _no_keys(environ.get("AWS_PROFILE") or "default", section)
    raise UnavailableError("no credentials for S3 are in the environment or in ~/.aws", hint=_HINT)


def _no_keys(profile: str, section: Mapping[str, str]) -> UnavailableError:
    if any(key in section for key in _ELSEWHERE):
        return UnavailableError(
            f"the AWS profile {profile!r:.80} gets its keys from elsewhere, which gitprov does not",
            hint=f'eval "$(aws configure export-credentials --profile {profile} --format env)"',
        )
    what = "has no keys" if section else "is not in ~/.aws"
    return UnavailableError(f"no credentials: the AWS profile {profile!r:.80} {what}", hint=_HINT)


def _profile(name: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What both files of AWS say about a profile; the one with the credentials wins."""
    home = os.path.join(environ.get("HOME", "/"), ".aws")
    config = environ.get("AWS_CONFIG_FILE") or os.path.join(home, "config")
    secret = environ.get("AWS_SHARED_CREDENTIALS_FILE") or os.path.join(home, "credentials")
    in_config = "default" if name == "default" else f"profile {name}"
    return {**_section(config, in_config), **_section(secret, name)}


def _section(path: str, name: str) -> dict[str, str]:
    # No interpolation: a secret may hold a %. No default section: that is a profile here.
    parser = configparser.ConfigParser(interpolation=None, default_section="\n", strict=False)
    try:
        parser.read(os.path.expanduser(path), encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError) as exc:
        # The text of the error may quote a line, and with it a secret.
        raise UsageError(f"{path} cannot be read: {type(exc).__name__}") from None
    return dict(parser[name]) if parser.has_section(name) else {}
