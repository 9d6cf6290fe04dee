"""The section `remotes`, and the addresses in it."""

import pytest

from gitprov.config import Config
from gitprov.config.remote_url import SERVERS, SERVICES, RemoteUrl
from gitprov.config.remotes import RemotesConfig, check_remote_name
from gitprov.core.canonical import Json
from gitprov.errors import UsageError

GOOD = {
    "/srv/data": "/srv/data",
    "/srv//data/": "/srv/data",
    "file:///srv/data": "/srv/data",
    "/srv/a shared disk/x": "/srv/a shared disk/x",
    "file:///srv/a%20disk": "/srv/a disk",
    "s3://bucket": "s3://bucket",
    "s3://bucket/some/prefix/": "s3://bucket/some/prefix",
    "gs://my_bucket.example/x": "gs://my_bucket.example/x",
    "az://container/x": "az://container/x",
    "https://data.example:8443/x": "https://data.example:8443/x",
    "HTTP://data.example": "http://data.example",
    "ssh://me@host:2222/srv/x": "ssh://me@host:2222/srv/x",
    "sftp://host/srv/x": "ssh://host/srv/x",
    "ssh://[::1]:22/x": "ssh://[::1]:22/x",
    "ssh://host/with%20space": "ssh://host/with space",
    "ssh://host/a%3Fb%23c%25d": "ssh://host/a%3Fb%23c%25d",
    "ftp://me@files.example:2121//pub/x/": "ftp://me@files.example:2121/pub/x",
    "FTP://files.example": "ftp://files.example",
    "hf://datasets/us/our-data@main": "hf://datasets/us/our-data@main",
    "abfs://container/x": "abfs://container/x",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_has_one_spelling(text: str) -> None:
    url = RemoteUrl.parse(text)
    assert str(url) == GOOD[text]
    assert RemoteUrl.parse(str(url)) == url


SECRET = "hunter2"


@pytest.mark.parametrize(
    "text",
    [
        f"https://me:{SECRET}@host/x",
        f"https://{SECRET}@host/x",
        f"ssh://me:{SECRET}@host/x",
        f"s3://{SECRET}:x@bucket/x",
        f"s3://bucket/x?X-Amz-Signature={SECRET}",
        f"https://host/x?sig={SECRET}",
        f"https://host/x#{SECRET}",
        f"ftp://me:{SECRET}@host/x",
        f"webdav://{SECRET}:x@host/x",
        f"abfs://{SECRET}@container/x",
    ],
)
def test_an_address_that_holds_a_secret_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        RemoteUrl.parse(text)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "-x", "--upload-pack=x", "relative/folder", "/", "/a/../b", "xyz://host/x"),
        *("s3://", "s3:///x", "s3://a/../b", "s3://bucket:1/x", "s3://-x/y", "gdrive:x", "://x"),
        *("ssh://host", "ssh://-oProxyCommand=x/y", "ssh://-x@host/y", "ssh:///x", "https://"),
        *("https://-x/", "https://h:99999/", "http://h:x/", "file://host/x", "file:///", "s3:b"),
        *("/a\nb", "https://h/\x00", "s3://b\u202e/x", "ssh://h/a%0Ab", "s3://" + "a" * 2000),
        "https://[::1/x",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        RemoteUrl.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        *("simplecache::ftp://h/x", "ftp::file:///etc", "zip://x::ftp://h/x", "ftp://h/x::file:"),
        *("local:///etc", "memory://x", "dir:///etc", "cached://x", "reference://x", "data://x"),
        *("generic://x", "libarchive://x", "jupyter://h/x", "git://x/y", "github://o:r@m/x"),
        *("gitprov://x", "filecache://h/x", "blockcache://h/x", "tar://x", "zip://x", "dask://x"),
        *("ftp://h/*", "ftp://h/[a]", "ftp://h/a b", "ftp://h/%2e%2e/x", "ftp://h/../x", "hf://"),
        *("ftp://", "ftp:///x", "ftp://-h/x", "ftp://-x@h/y", "smb://h/{a,b}", "hf://a:b/c"),
    ],
)
def test_fsspec_is_handed_no_address_that_leads_elsewhere(text: str) -> None:
    with pytest.raises(UsageError):
        RemoteUrl.parse(text)


@pytest.mark.parametrize("scheme", SERVERS)
def test_a_tracked_file_names_no_server_that_is_shown_a_password(scheme: str) -> None:
    section: dict[str, Json] = {"a": {"url": f"{scheme}://evil.example/x"}}
    with pytest.raises(UsageError, match="cannot choose which server is shown a password"):
        RemotesConfig.of(section, {})
    assert RemotesConfig.of({}, section).remotes["a"].url == f"{scheme}://evil.example/x"


@pytest.mark.parametrize("scheme", SERVICES)
def test_a_tracked_file_may_name_a_bucket_of_a_service(scheme: str) -> None:
    section: dict[str, Json] = {"a": {"url": f"{scheme}://bucket/x"}}
    assert RemotesConfig.of(section, {}).remotes["a"].shared


@pytest.mark.parametrize("name", ["", "-x", "A", "a b", "a/b", ".a", "a" * 64, "ä", "a\n"])
def test_a_name_needs_no_quotes_anywhere(name: str) -> None:
    with pytest.raises(UsageError):
        check_remote_name(name)


def test_what_the_clone_says_wins_key_by_key() -> None:
    config = RemotesConfig.of(
        {"team": {"url": "s3://bucket/x", "region": "eu-central-1"}},
        {"team": {"endpoint": "https://minio.example/", "region": "x"}, "nas": {"url": "/nas"}},
    )
    team = config.remotes["team"]
    assert (team.url, team.region, team.shared) == ("s3://bucket/x", "x", True)
    assert team.options() == {"endpoint": "https://minio.example", "region": "x"}
    assert not config.remotes["nas"].shared
    assert list(config.remotes) == ["team", "nas"]


def test_an_address_of_the_clone_is_not_shared() -> None:
    config = RemotesConfig.of({"a": {"url": "s3://theirs"}}, {"a": {"url": "s3://ours"}})
    assert (config.remotes["a"].url, config.remotes["a"].shared) == ("s3://ours", False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("endpoint", "https://evil.example"),
        ("profile", "work"),
        ("instance_metadata", True),
        ("url", "/etc"),
        ("url", "file:///etc"),
    ],
)
def test_a_tracked_file_chooses_no_credentials_and_no_folder(key: str, value: Json) -> None:
    with pytest.raises(UsageError, match=r"\.gitprov\.yaml may not set remotes\.a\."):
        RemotesConfig.of({"a": {key: value}}, {})
    RemotesConfig.of({}, {"a": {key: value}})


@pytest.mark.parametrize(
    "section",
    [
        {"a": None},
        {"a": "s3://bucket"},
        {"A": {"url": "s3://bucket"}},
        {"a": {"url": 1}},
        {"a": {"url": "-x"}},
        {"a": {"url": "s3://bucket", "password": "x"}},
        {"a": {"url": "s3://bucket", "endpoint": "ftp://x"}},
        {"a": {"url": "s3://bucket", "endpoint": "http://u:p@x"}},
        {"a": {"url": "s3://bucket", "region": "$(x)"}},
        {"a": {"url": "s3://bucket", "instance_metadata": "yes"}},
    ],
)
def test_a_wrong_section_is_refused(section: dict[str, Json]) -> None:
    with pytest.raises(UsageError, match="remote"):
        RemotesConfig.of({}, section)


def test_what_has_no_address_here_is_no_remote() -> None:
    config = RemotesConfig.of({}, {"team": {"profile": "lab"}})
    assert config.remotes == {}


def test_the_only_remote_is_meant_when_none_is_named() -> None:
    one = RemotesConfig.of({}, {"a": {"url": "/a"}})
    assert one.chosen().name == one.chosen("a").name == "a"
    two = RemotesConfig.of({}, {"a": {"url": "/a"}, "b": {"url": "/b"}})
    with pytest.raises(UsageError, match="none is the default"):
        two.chosen()
    assert RemotesConfig(two.remotes, "b").chosen().name == "b"
    with pytest.raises(UsageError, match="remote_default"):
        RemotesConfig(two.remotes, "c").chosen()
    with pytest.raises(UsageError, match="no remote 'c'"):
        two.chosen("c")
    with pytest.raises(UsageError, match="no remote is known"):
        RemotesConfig().chosen("a")


def test_both_files_are_kept_apart() -> None:
    config = Config.of({"remotes": {"a": {}}, "remote_default": "a"}, {"remotes": {"b": {}}})
    assert config.remotes == ({"a": {}}, {"b": {}})
    assert config.remote_default == "a"
    with pytest.raises(UsageError, match="remotes must be a mapping"):
        Config.of({"remotes": []}, {})
    with pytest.raises(UsageError, match="remote_default must be"):
        Config.of({"remote_default": 1}, {})


def remotes(default: str | None = None, **urls: str) -> RemotesConfig:
    return RemotesConfig.of({}, {name: {"url": url} for name, url in urls.items()}, default)


@pytest.mark.parametrize(
    ("default", "urls", "read", "written"),
    [
        (None, {"nas": "/nas"}, "nas", "nas"),
        (None, {"web": "https://host/x"}, "web", None),
        (None, {"nas": "/nas", "web": "http://host"}, None, "nas"),
        ("web", {"nas": "/nas", "web": "http://host"}, "web", "nas"),
        ("web", {"nas": "/nas", "s3": "s3://bucket", "web": "http://host"}, "web", None),
        ("s3", {"nas": "/nas", "s3": "s3://bucket", "web": "http://host"}, "s3", "s3"),
        (None, {"nas": "/nas", "s3": "s3://bucket"}, None, None),
        ("gone", {"nas": "/nas"}, "gone", "gone"),
    ],
)
def test_what_can_only_be_read_is_never_meant_for_writing(
    default: str | None, urls: dict[str, str], read: str | None, written: str | None
) -> None:
    config = remotes(default, **urls)
    assert (config.meant(), config.meant(writing=True)) == (read, written)


@pytest.mark.parametrize("name", [None, "web"])
def test_who_writes_to_a_web_server_is_told_where_to(name: str | None) -> None:
    with pytest.raises(UsageError, match="can only be read") as caught:
        remotes(web="http://host/x").chosen(name, writing=True)
    assert "folder or bucket that it serves" in str(caught.value.hint)
