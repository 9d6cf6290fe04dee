"""What pre-commit refuses: the message names the file and what to do about it."""

from pathlib import Path

import pytest

from tests.e2e.hook_repos import Ran, change_data, gitprov, head, holds, run
from tests.support.repos import git, make_repo, write

KEYS = {
    "key.pem": "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n"
    "-----END PRIVATE KEY-----\n",
    "rsa": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n"
    "MIIEowIBAAKCAQEAx0vkQh5Q8m5dVZ4q0Xn0q8tQpJXv9Yc1m2nYx3r4s5t6u7v8\n",
    "windows": "-----BEGIN EC PRIVATE KEY-----\r\n"
    "MHcCAQEEIIrYSSNQFaA2Hwf1duRSxKtLYX5CB04fSeQ6tF1aY/PuoAoGCCqGSM49\r\n",
    "id_ed25519": "-----BEGIN OPENSSH PRIVATE KEY-----\n"
    "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW\n",
    "log.key": "PRIVATE+KEY+example.org/log+c74f20a3+"
    "ATEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEy\n",
    "inside.py": 'KEY = """-----BEGIN PRIVATE KEY-----\n'
    "MC4CAQAwBQYDK2VwBCIEIHcHbQpzGKV9PBbBclGyZkXfTC+H68CZKrF3+6UduSwq\n"
    '"""\n',
}


def refused(repo: Path, *options: str) -> Ran:
    """Commits, which must fail and leave everything as it is."""
    before = head(repo)
    ran = run(repo, "git", "commit", "-qm", "x", *options, code=1)
    assert head(repo) == before
    assert "nothing was committed" in ran.err
    return ran


def configured(repo: Path, text: str) -> None:
    """Adds hook settings to the configuration."""
    old = (repo / ".gitprov.yaml").read_text()
    write(repo, {".gitprov.yaml": f"{old}hooks:\n  {text}\n"})


def staged(repo: Path, path: str, content: str | bytes) -> None:
    """Writes and stages one file."""
    write(repo, {path: content})
    git(repo, "add", "-f", "--", path)


def test_a_changed_artifact_must_be_added_again(repo: Path) -> None:
    write(repo, {"data/a.txt": "changed"})
    staged(repo, "code.py", "two")
    ran = refused(repo)
    assert "gitprov: error: data is not what its staged pointer says" in ran.err
    assert "gitprov add data" in ran.err
    gitprov(repo, "add", "data")
    run(repo, "git", "commit", "-qm", "x")
    holds(repo)


@pytest.mark.parametrize("change", ["a file more", "a file less", "a file for a folder"])
def test_every_kind_of_change_is_seen(repo: Path, change: str) -> None:
    if change == "a file more":
        write(repo, {"data/b.txt": "b"})
    else:
        (repo / "data/a.txt").unlink()
    if change == "a file for a folder":
        (repo / "data/same.txt").unlink()
        (repo / "data").rmdir()
        write(repo, {"data": "a file"})
    staged(repo, "code.py", "two")
    assert "data is not what" in refused(repo).err


def test_a_pointer_that_was_added_but_changed_again_is_refused(repo: Path) -> None:
    write(repo, {"data/a.txt": "two"})
    gitprov(repo, "add", "data")
    write(repo, {"data/a.txt": "three"})
    assert "data is not what its staged pointer says" in refused(repo).err


def test_only_staged_pointers_are_compared_when_that_is_configured(repo: Path) -> None:
    configured(repo, "check: staged")
    write(repo, {"data/a.txt": "changed"})
    staged(repo, "code.py", "two")
    run(repo, "git", "commit", "-qm", "x")
    write(repo, {"data/a.txt": "two"})
    gitprov(repo, "add", "data")
    write(repo, {"data/a.txt": "three"})
    assert "data is not what its staged pointer says" in refused(repo).err


def test_no_pointer_is_compared_when_that_is_switched_off(repo: Path) -> None:
    configured(repo, "check: off")
    write(repo, {"data/a.txt": "two"})
    gitprov(repo, "add", "data")
    write(repo, {"data/a.txt": "three"})
    run(repo, "git", "commit", "-qm", "x")
    staged(repo, "key.pem", KEYS["key.pem"])
    assert "key.pem holds a private key" in refused(repo).err


def test_an_artifact_that_is_not_checked_out_is_fine(repo: Path) -> None:
    run(repo, "rm", "-rf", "data")
    staged(repo, "code.py", "two")
    run(repo, "git", "commit", "-qm", "x")
    holds(repo)


@pytest.mark.parametrize("name", KEYS)
def test_a_staged_private_key_is_refused(repo: Path, name: str) -> None:
    staged(repo, f"my keys/{name}", KEYS[name])
    ran = refused(repo)
    assert f"gitprov: error: my keys/{name} holds a private key" in ran.err
    assert "git rm --cached 'my keys/" in ran.err


@pytest.mark.parametrize(
    "text",
    [
        (
            "-----BEGIN PUBLIC KEY-----\n"
            "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        ),
        "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Q0Qw\n",
        "grep -r 'BEGIN PRIVATE KEY' . # -----BEGIN PRIVATE KEY-----\n",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_only_speaks_of_keys_is_no_key(repo: Path, text: str) -> None:
    staged(repo, "notes.txt", text)
    run(repo, "git", "commit", "-qm", "x")


def test_a_key_in_an_older_commit_does_not_stop_the_next(repo: Path) -> None:
    staged(repo, "key.pem", KEYS["key.pem"])
    run(repo, "git", "commit", "-qnm", "x")
    staged(repo, "code.py", "two")
    run(repo, "git", "commit", "-qm", "x")
    git(repo, "rm", "-q", "key.pem")
    run(repo, "git", "commit", "-qm", "x")


def test_a_staged_file_over_the_limit_is_refused(repo: Path) -> None:
    configured(repo, "max_staged_file: 64KiB")
    staged(repo, "fits.bin", bytes(64 << 10))
    run(repo, "git", "commit", "-qm", "x")
    staged(repo, "big file.bin", bytes((64 << 10) + 1))
    ran = refused(repo)
    assert "gitprov: error: big file.bin is larger than 65,536 bytes, too large for git" in ran.err
    assert "git rm --cached 'big file.bin' && gitprov add 'big file.bin'" in ran.err
    assert "hooks.max_staged_file" in ran.err


def test_the_hint_for_a_big_file_works(repo: Path) -> None:
    configured(repo, "max_staged_file: 1KiB")
    staged(repo, "big.bin", bytes(2048))
    refused(repo)
    git(repo, "rm", "-q", "--cached", "big.bin")
    gitprov(repo, "add", "big.bin")
    run(repo, "git", "commit", "-qm", "x")
    holds(repo)


def test_no_limit_allows_any_size(repo: Path) -> None:
    configured(repo, "max_staged_file: 0")
    staged(repo, "big.bin", bytes(11 << 20))
    run(repo, "git", "commit", "-qm", "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense\n", "data.prov is not well formed"),
        ("", "data.prov is not well formed"),
        ("x" * 100_000, "data.prov"),
        (None, "which is not its own name"),
    ],
)
def test_a_pointer_edited_into_nonsense_is_refused(repo: Path, text: str | None, said: str) -> None:
    pointer = (repo / "data.prov").read_text()
    staged(repo, "data.prov", pointer.replace("path: data", "path: dato") if text is None else text)
    assert said in refused(repo).err


@pytest.mark.parametrize("check", ["all", "staged"])
def test_a_symlinked_pointer_is_refused(repo: Path, check: str) -> None:
    configured(repo, f"check: {check}")
    (repo / "other.prov").symlink_to("data.prov")
    git(repo, "add", "-f", "other.prov")
    ran = refused(repo)
    assert "the pointer other.prov is a symlink" in ran.err


def test_a_pointer_inside_a_submodule_is_the_submodules_own(repo: Path, tmp_path: Path) -> None:
    inner = make_repo(tmp_path / "inner")
    write(inner, {"x.prov": "no pointer of ours\n"})
    git(inner, "add", "x.prov")
    git(inner, "commit", "-qm", "x")
    allow = ("-c", "protocol.file.allow=always")
    run(repo, "git", *allow, "submodule", "-q", "add", inner, "sub.prov")
    run(repo, "git", "commit", "-qm", "sub")
    holds(repo)


def test_every_problem_is_told_at_once(repo: Path) -> None:
    write(repo, {"data/a.txt": "changed"})
    staged(repo, "key.pem", KEYS["key.pem"])
    staged(repo, "other.prov", "nonsense")
    err = refused(repo).err
    assert err.count("gitprov: error: ") == 3
    assert "--no-verify" in err


def test_an_untouched_key_in_a_changed_mode_is_looked_at(repo: Path) -> None:
    staged(repo, "key.pem", KEYS["key.pem"])
    git(repo, "update-index", "--chmod=+x", "key.pem")
    assert "key.pem holds a private key" in refused(repo).err


def test_names_in_messages_are_printable(repo: Path) -> None:
    staged(repo, "a\x1b[31m\n.pem", KEYS["key.pem"])
    err = refused(repo).err
    assert "\x1b" not in err
    assert "a\\x1b[31m\\n.pem holds a private key" in err


def test_the_first_commit_is_checked_too(tmp_path: Path) -> None:
    repo = make_repo(tmp_path / "r")
    gitprov(repo, "init")
    staged(repo, "key.pem", KEYS["key.pem"])
    ran = run(repo, "git", "commit", "-qm", "x", code=1)
    assert "key.pem holds a private key" in ran.err
    assert git(repo, "rev-list", "--all") == ""


def test_a_clean_artifact_costs_no_words(repo: Path) -> None:
    change_data(repo, "two")
    staged(repo, "code.py", "two")
    assert run(repo, "git", "commit", "-qm", "x").err == ""


def test_an_address_with_a_password_is_not_committed(repo: Path) -> None:
    old = (repo / ".gitprov.yaml").read_text()
    address = "s3://AKIA:secretpw@bucket/x"
    write(repo, {".gitprov.yaml": f'{old}remotes:\n  team:\n    url: "{address}"\n'})
    git(repo, "add", ".gitprov.yaml")
    ran = refused(repo)
    assert "may hold no password" in ran.err
    assert "secretpw" not in ran.err
    write(repo, {".gitprov.yaml": f"{old}remotes:\n  team:\n    url: s3://bucket/x\n"})
    git(repo, "add", ".gitprov.yaml")
    run(repo, "git", "commit", "-qm", "x")
