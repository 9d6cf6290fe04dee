"""Where credentials are looked for, and that nobody is asked for them over a network."""

from pathlib import Path

import pytest

from gitprov.errors import UnavailableError, UsageError
from gitprov.store.credentials_aws import NOWHERE, s3_settings
from gitprov.store.credentials_cloud import azure_settings, google_settings

KEYS = {"AWS_ACCESS_KEY_ID": "env-key", "AWS_SECRET_ACCESS_KEY": "env%secret"}


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    aws = tmp_path / ".aws"
    aws.mkdir()
    (aws / "credentials").write_text(
        "[default]\naws_access_key_id = default-key\naws_secret_access_key = a%b\n"
        "[lab]\naws_access_key_id=lab-key\naws_secret_access_key=lab\naws_session_token=token\n"
    )
    (aws / "config").write_text(
        "[default]\nregion = eu-central-1\n[profile lab]\nregion = eu-west-1\n"
        "endpoint_url = https://lab.example\n[profile sso]\nsso_session = x\n"
    )
    return {"HOME": str(tmp_path)}


def test_the_environment_comes_first(home: dict[str, str]) -> None:
    settings = s3_settings({}, {**home, **KEYS, "AWS_SESSION_TOKEN": "t", "AWS_REGION": "r"})
    assert settings == {
        "access_key_id": "env-key",
        "secret_access_key": "env%secret",
        "session_token": "t",
        "region": "r",
        "metadata_endpoint": NOWHERE,
    }


def test_then_the_profile(home: dict[str, str]) -> None:
    settings = s3_settings({}, home)
    assert (settings["access_key_id"], settings["secret_access_key"]) == ("default-key", "a%b")
    assert settings["region"] == "eu-central-1"
    lab = s3_settings({}, {**home, "AWS_PROFILE": "lab"})
    assert lab["access_key_id"] == "lab-key"
    assert lab["endpoint"] == "https://lab.example"


def test_a_profile_that_the_remote_names_comes_before_the_environment(home: dict[str, str]) -> None:
    settings = s3_settings({"profile": "lab", "region": "mine"}, {**home, **KEYS})
    assert settings["access_key_id"] == "lab-key"
    assert settings["session_token"] == "token"
    assert settings["region"] == "mine"


@pytest.mark.parametrize("profile", ["nobody", "sso"])
def test_a_profile_without_keys_is_named(home: dict[str, str], profile: str) -> None:
    with pytest.raises(UnavailableError, match=profile) as caught:
        s3_settings({"profile": profile}, {**home, **KEYS})
    assert caught.value.hint


def test_without_any_nobody_is_asked() -> None:
    with pytest.raises(UnavailableError, match="no credentials for S3"):
        s3_settings({}, {"HOME": "/nonexistent"})


def test_the_machines_own_role_is_asked_only_when_the_clone_says_so() -> None:
    settings = s3_settings({"instance_metadata": "true"}, {"HOME": "/nonexistent"})
    assert settings == {"region": "us-east-1"}


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "container_credentials_full_uri"),
    ],
)
def test_what_a_container_gives_is_used(name: str, key: str) -> None:
    settings = s3_settings({}, {"HOME": "/nonexistent", name: "/x"})
    assert settings[key] == "/x"
    assert settings["metadata_endpoint"] == NOWHERE


def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "credentials"
    path.write_text("aws_secret_access_key = hunter2\n")
    with pytest.raises(UsageError) as caught:
        s3_settings({}, {"HOME": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": str(path)})
    assert "hunter2" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_google_is_looked_for_in_its_places(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    with pytest.raises(UnavailableError, match="Google"):
        google_settings({}, environ)
    assert google_settings({"instance_metadata": "true"}, environ) == {}
    path = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert google_settings({}, environ) == {"application_credentials": str(path)}
    named = google_settings({}, {**environ, "GOOGLE_APPLICATION_CREDENTIALS": "/x"})
    assert named == {"application_credentials": "/x"}


def test_azure_is_looked_for_in_its_places() -> None:
    with pytest.raises(UnavailableError, match="no account"):
        azure_settings({}, {})
    account = {"AZURE_STORAGE_ACCOUNT_NAME": "a"}
    with pytest.raises(UnavailableError, match="no credentials"):
        azure_settings({}, account)
    assert azure_settings({}, {**account, "AZURE_STORAGE_ACCOUNT_KEY": "k"}) == {
        "account_name": "a",
        "account_key": "k",
    }
