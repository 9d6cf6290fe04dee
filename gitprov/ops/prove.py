"""`gitprov prove` and `gitprov check`: one file of an artifact, bound to a signed head."""

import os
from collections.abc import Sequence

from blake3 import blake3

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath, show
from gitprov.errors import MalformedError, UnavailableError, UsageError, VerificationError
from gitprov.git.log import LogReader, known_logs, read_log_key
from gitprov.git.notes import Notes
from gitprov.model.bundle import MAX_BUNDLE_BYTES, Bundle
from gitprov.model.manifest import Manifest
from gitprov.model.note import AnchorLine
from gitprov.model.record import ArtifactLeaf, Record
from gitprov.model.report import Report
from gitprov.model.signed_note import VerifierKey
from gitprov.ops.manifests import loader
from gitprov.ops.pointers import repo_path
from gitprov.ops.record import compute_record
from gitprov.platform.files import fault, read_bounded
from gitprov.verify.proof import check_bundle
from gitprov.workspace import Workspace

_CHUNK = 4 << 20


def prove(ws: Workspace, path: str, rev: str) -> Bundle:
    """Makes the proof that a commit binds one file.

    Args:
        ws: the workspace.
        path: the file, as the user typed it.
        rev: the commit.

    Raises:
        UsageError: it is no file of an artifact of that commit.
        UnavailableError: no anchor covers the commit yet, or a manifest is not here.
    """
    top = ws.repo.worktree
    where = RepoPath.parse(os.fsencode(path)) if top is None else repo_path(top, ws.cwd, path)
    commit = ws.repo.resolve(rev)
    record = compute_record(ws, commit)
    ws.digests.save()
    anchors = _anchors(ws, commit, record)
    manifests = _manifests(ws, where, record)
    return Bundle.build(where, manifests, record, anchors, vkeys=_keys(ws, anchors))


def check(proof: str, datafile: str | None, keys: Sequence[str] = ()) -> tuple[Bundle, Report]:
    """Checks a proof; no repository is needed.

    Args:
        proof: the path of the proof.
        datafile: the file to compare with it, if any.
        keys: the logs' keys that the user trusts.

    Raises:
        MalformedError: the proof is not well formed.
        UnavailableError: a file is not there.
    """
    bundle = Bundle.parse(read_bounded(proof, MAX_BUNDLE_BYTES).removesuffix(b"\n"))
    digest: Digest | None = None
    size: int | None = None
    if datafile is not None:
        digest, size = _hash(datafile, is_link=bundle.file.kind == "l")
    return bundle, check_bundle(bundle, digest, size, keys)


def _hash(path: str, *, is_link: bool) -> tuple[Digest, int]:
    hasher = blake3(max_threads=blake3.AUTO)
    size = 0
    try:
        if is_link and os.path.islink(path):
            target = os.fsencode(os.readlink(path))
            return Digest.of(target), len(target)
        with open(path, "rb") as file:
            while piece := file.read(_CHUNK):
                hasher.update(piece)
                size += len(piece)
    except FileNotFoundError as exc:
        raise UnavailableError(f"there is no file {path}") from exc
    except OSError as exc:
        raise fault(exc, "read", path) from exc
    return Digest(hasher.digest()), size


def _anchors(ws: Workspace, commit: str, record: Record) -> list[AnchorLine]:
    lines = [
        line
        for line in Notes(ws.repo).lines(commit)
        if isinstance(line, AnchorLine) and line.commit == commit and line.root == record.root
    ]
    if not lines:
        raise UnavailableError(
            f"no anchor covers the record of {commit[:12]} yet",
            hint="`gitprov anchor` signs this clone's log; for others' commits, `git fetch`",
        )
    return lines


def _keys(ws: Workspace, anchors: Sequence[AnchorLine]) -> list[VerifierKey]:
    """The public keys of the logs that signed, as far as they are here."""
    own = read_log_key(ws.repo)
    texts = [own.vkey] if own else []
    texts += [LogReader.open(ws.repo, ref.ref).vkey() or "" for ref in known_logs(ws.repo)]
    keys: dict[str, VerifierKey] = {}
    for text in texts:
        try:
            key = VerifierKey.parse(text)
        except MalformedError:
            continue
        if any(str(line.receipt.get("checkpoint", "")).startswith(key.name) for line in anchors):
            keys[str(key)] = key
    return list(keys.values())


def _manifests(ws: Workspace, path: RepoPath, record: Record) -> list[Manifest]:
    leaf = _leaf(path, record)
    names = path.parts[len(leaf.path.split("/")) :]
    if leaf.entry != "dir":
        size = ws.store.sizes([leaf.root.raw]).get(leaf.root.raw, leaf.size)
        _need_size(leaf.path, leaf.size, size)
        return []
    load = loader(ws.store)
    manifests = [load(leaf.root.raw)]
    _need_size(leaf.path, leaf.size, manifests[0].size)
    for name in names[:-1]:
        entry = manifests[-1].get(name)
        if entry is None or entry.kind != "d":
            raise UsageError(f"there is no {path} in the artifact {leaf.path} at that commit")
        manifests.append(load(entry.digest))
        _need_size(show(name), entry.size, manifests[-1].size)
    last = manifests[-1].get(names[-1]) if names else None
    if last is None or last.kind == "d":
        absent = bool(names) and last is None
        what = "not in that commit" if absent else "a folder, and a proof is about one file"
        raise UsageError(f"{path} is {what}", hint=f"gitprov ls {leaf.path} lists its files")
    return manifests


def _need_size(what: str, said: int, size: int) -> None:
    """Refuses to make a proof that nobody could check: a proof holds every size on the way."""
    if said != size:
        raise VerificationError(
            f"no proof can hold: the commit says size {said} of {what}, and it is {size}",
            hint="gitprov add writes pointer and manifests anew; commit them, then prove that",
        )


def _leaf(path: RepoPath, record: Record) -> ArtifactLeaf:
    for leaf in record.artifacts:
        if RepoPath(leaf.path.encode()).contains(path):
            return leaf
    raise UsageError(
        f"{path} is in no artifact of that commit", hint="gitprov log shows its artifacts"
    )
