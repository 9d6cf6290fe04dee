"""Addresses of repositories: what git would take for an option or a command is refused."""

import pytest

from gitprov.config.git_url import MAX_URL_CHARS, GitUrl
from gitprov.errors import UsageError


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/team/data.git",
        "http://127.0.0.1:3000/a",
        "ssh://git@example.org:2222/srv/data.git",
        "ssh://[::1]/srv/a",
        "file:///srv/data.git",
        "file:///srv/with space",
        "git@example.org:team/data.git",
        "example.org:data",
    ],
)
def test_what_git_fetches_from_is_a_url(text: str) -> None:
    url = GitUrl.parse(text)
    assert str(url) == text
    assert not url.is_path


@pytest.mark.parametrize("text", ["/srv/data", "../other", "data", "./a:b", "a/b:c", "~/x"])
def test_everything_else_is_a_path(text: str) -> None:
    url = GitUrl.parse(text)
    assert str(url) == text
    assert url.is_path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("--upload-pack=touch x", "begins with '-'"),
        ("-oProxyCommand=x:y", "begins with '-'"),
        ("ext::sh -c touch%20x", "run a program"),
        ("fd::17", "run a program"),
        ("::x", "run a program"),
        ("ext://x/y", "not known"),
        ("git://example.org/x", "not known"),
        ("ftp://example.org/x", "not known"),
        ("ssh://-oProxyCommand=touch%20x/y", "no name of a host"),
        ("ssh://a@-x/y", "no name of a host"),
        ("-x@host:y", "begins with '-'"),
        ("a@-x:y", "no name of a host"),
        ("host:-x", "no address"),
        ("host:/-x", "no address"),
        ("ssh://-u@host/y", "no user's name"),
        ("ssh://host", "ends with its path"),
        ("https://example.org/", "ends with its path"),
        ("file://host/x", "file:///path"),
        ("a\nb", "nobody sees"),
        ("https://example.org/\x1b[31m", "nobody sees"),
        ("/" + "x" * MAX_URL_CHARS, "too long"),
    ],
)
def test_what_cannot_be_used_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        GitUrl.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://ada:s3cret@example.org/x",
        "https://s3cret@example.org/x",
        "ssh://ada:s3cret@example.org/x",
        "https://example.org/x?token=s3cret",
        "https://example.org/x#s3cret",
        "ada:s3cret@example.org:x",
    ],
)
def test_no_secret_is_taken_and_none_is_shown(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        GitUrl.parse(text)
    assert "s3cret" not in f"{caught.value} {caught.value.hint}"
