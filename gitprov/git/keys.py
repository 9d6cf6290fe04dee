"""The key of this clone's log: made once, mode 0600, never in git."""

import os

from gitprov.errors import MalformedError, UnavailableError
from gitprov.git.log import MAX_KEY_BYTES, PRIVATE_KEY_FILE, PUBLIC_KEY_FILE, LogKey
from gitprov.git.repo import Repository
from gitprov.model.signed_note import SignerKey
from gitprov.platform.files import atomic_write, fault, read_bounded
from gitprov.platform.locks import Waiting, file_lock


def ensure_log_key(
    repo: Repository, repository_name: str, *, waiting: Waiting | None = None
) -> LogKey:
    """Returns the public key of this clone's log, and makes the pair when there is none.

    Raises:
        MalformedError: the files do not belong together.
    """
    folder = repo.data_dir
    with file_lock(os.path.join(folder, "key.lock"), waiting=waiting):
        signer = load_signer(repo)
        if signer is None:
            signer = SignerKey.generate(repository_name)
            # The private key first: a public key without one would be a log that nobody can sign.
            atomic_write(
                os.path.join(folder, PRIVATE_KEY_FILE),
                signer.to_text().encode() + b"\n",
                mode=0o600,
            )
        key = LogKey.parse(str(signer.verifier))
        public = os.path.join(folder, PUBLIC_KEY_FILE)
        line = key.vkey.encode() + b"\n"
        try:
            known = read_bounded(public, MAX_KEY_BYTES)
        except UnavailableError:
            atomic_write(public, line, mode=0o644)
        else:
            if known != line:
                raise MalformedError(
                    f"{public} is not the public half of {PRIVATE_KEY_FILE}",
                    hint=f"move {public} away: it is made again from the private key",
                )
    return key


def load_signer(repo: Repository) -> SignerKey | None:
    """Returns the private key of this clone's log, or None.

    Raises:
        MalformedError: the file is not a key, or others may read it.
    """
    path = os.path.join(repo.data_dir, PRIVATE_KEY_FILE)
    try:
        text = read_bounded(path, MAX_KEY_BYTES).decode("utf-8", "replace")
    except UnavailableError:
        return None
    try:
        if os.stat(path).st_mode & 0o077:
            raise MalformedError(
                f"others may read the private key {path}", hint=f"chmod 600 {path}"
            )
    except OSError as exc:
        raise fault(exc, "examine", path) from exc
    return SignerKey.parse(text.removesuffix("\n"))
