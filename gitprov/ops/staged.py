"""What the pre-commit hook refuses: pointers that lie, files too large for git, private keys."""

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from gitprov.config import TRACKED_NAME, load_yaml
from gitprov.core.paths import RepoPath, show
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.git.command import split_nul
from gitprov.model.pointer import MAX_POINTER_BYTES, SUFFIX, Pointer, is_pointer_name
from gitprov.ops.pointers import artifact_path, on_disk, parse_pointer
from gitprov.workspace import Workspace

if TYPE_CHECKING:
    from gitprov.worktree.tree import Tree

_SCANNED_BYTES = 1 << 20
"""Private keys are looked for in staged files up to this size."""

_PRIVATE_KEY = re.compile(
    rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\r?\n"
    rb"(?:[A-Za-z-]+: [^\n]*\n|\r?\n)*[A-Za-z0-9+/=]{40}"
    rb"|PRIVATE\+KEY\+[^\s+]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{40}"
    rb"|AGE-SECRET-KEY-1[0-9A-Z]{58}"
)
_MAY_HOLD_COIN_KEY = re.compile(
    rb"(?i:key)[\"']?\s{0,4}[:=]|[5KLc9][1-9A-HJ-NP-Za-km-z]{50}|\"[cC]rypto\""
)
_REGULAR = {b"100644", b"100755"}
_LINK = b"120000"

# What git leaves in its folder while it moves pointers by itself.
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


class Problem(NamedTuple):
    """One reason to refuse a commit, and what to do about it."""

    message: str
    hint: str | None


def check_staged(ws: Workspace, *, index_file: str | None = None) -> list[Problem]:
    """Returns what is wrong with what is about to be committed.

    Args:
        ws: the workspace.
        index_file: the index that git gave to the hook (`git commit -a` uses one of its own).
    """
    hooks = ws.config.hooks
    staged = list(_staged(ws, index_file))
    problems = [
        problem
        for path, mode, oid in staged
        if mode in _REGULAR
        for problem in _check_file(ws, path, oid)
    ]
    if hooks.check != "off":
        changed = {path for path, _, _ in staged}
        problems += _check_pointers(ws, index_file, changed, every=hooks.check != "staged")
    return problems


def _staged(ws: Workspace, index_file: str | None) -> Iterator[tuple[bytes, bytes, str]]:
    """What is added or changed: paths with their modes and the ids of their git objects."""
    output = ws.repo.git.run(
        *("diff", "--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--no-ext-diff"),
        "--diff-filter=AMT",
        index_file=index_file,
    )
    fields = split_nul(output)
    for header, path in zip(fields[::2], fields[1::2], strict=True):
        _, mode, _, oid, _ = header.split(b" ")
        yield path, mode, oid.decode()


def _check_file(ws: Workspace, path: bytes, oid: str) -> Iterator[Problem]:
    limit = ws.config.hooks.max_staged_file
    shown = show(path)
    try:
        found = ws.objects.get(oid, limit=limit or _SCANNED_BYTES)
    except MalformedError:
        if limit:
            yield Problem(
                f"{shown} is larger than {limit:,} bytes, too large for git",
                f"git rm --cached {word(path)} && gitprov add {word(path)}, "
                "or raise hooks.max_staged_file in .gitprov.yaml",
            )
        return
    data = b"" if found is None else found.data[:_SCANNED_BYTES]
    if _MAY_HOLD_COIN_KEY.search(data):
        from gitprov.ops.tracked_keys import key_kinds  # only for files that give a reason

        for kind in key_kinds(data):
            yield Problem(
                f"{shown} holds {kind}",
                f"git rm --cached {word(path)}; a key that was pushed once must be replaced",
            )
    if path == TRACKED_NAME.encode():
        yield from _check_remotes(data)
    if _PRIVATE_KEY.search(data):
        yield Problem(
            f"{shown} holds a private key",
            f"git rm --cached {word(path)}; a key that was pushed once must be replaced",
        )


def _check_remotes(data: bytes) -> Iterator[Problem]:
    """An address with a password must not even be committed: it would be pushed."""
    from gitprov.config.remotes import RemotesConfig  # only for commits that change the file

    try:
        section = load_yaml(data.decode("utf-8", "replace"), what=TRACKED_NAME).get("remotes")
        RemotesConfig.of(section if isinstance(section, dict) else {}, {})
    except UsageError as exc:
        yield Problem(str(exc), exc.hint)


def _check_pointers(
    ws: Workspace, index_file: str | None, changed: set[bytes], *, every: bool
) -> Iterator[Problem]:
    output = ws.repo.git.run("ls-files", "-s", "-z", "--", f"*{SUFFIX}", index_file=index_file)
    for item in split_nul(output):
        header, _, path = item.partition(b"\t")
        mode, oid, stage = header.split(b" ")
        if stage != b"0" or not is_pointer_name(path) or not (every or path in changed):
            continue
        if mode == _LINK:
            yield Problem(
                f"the pointer {show(path)} is a symlink, which binds nothing",
                f"git rm --cached {word(path)}, then put a regular file in its place",
            )
        if mode not in _REGULAR:
            continue
        try:
            pointer = parse_pointer(RepoPath(path), _pointer_data(ws, oid.decode()))
            yield from _compare(ws, artifact_path(RepoPath(path)), pointer, path in changed)
        except GitprovError as exc:
            yield Problem(str(exc), exc.hint)


def _pointer_data(ws: Workspace, oid: str) -> bytes:
    try:
        return ws.objects.need(oid, "blob", limit=MAX_POINTER_BYTES)
    except MalformedError:
        return bytes(MAX_POINTER_BYTES + 1)  # too large: the parser says so, and names the file


def _compare(
    ws: Workspace, artifact: RepoPath, pointer: Pointer, changed: bool
) -> Iterator[Problem]:
    if not os.path.lexists(on_disk(ws.worktree, artifact)):
        if changed:  # the others were asked when they were new
            yield from _misstated(artifact, _in_store(ws, pointer))
        return
    # Only commits with artifacts pay for these.
    from gitprov.ops.store_link import store_link
    from gitprov.worktree.scan import Scanner

    tree = Scanner(ws.worktree, ws.stats, store_link=store_link(ws)).scan(artifact, lenient=True)
    if tree.root == pointer.root.raw and tree.type == pointer.type:
        from gitprov.ops.claims import misstated
        from gitprov.ops.manifests import top_entry

        yield from _misstated(artifact, misstated(top_entry(pointer), pointer.files, tree))
    if _holds(ws, artifact, pointer, tree):
        return
    yield Problem(
        f"{artifact} is not what its staged pointer says",
        f"`gitprov add {word(artifact.raw)}` stages what is on disk, "
        f"`gitprov checkout {word(artifact.raw)}` restores what is staged, "
        "`gitprov status` shows the difference",
    )


def _misstated(artifact: RepoPath, wrong: list[str]) -> Iterator[Problem]:
    for sentence in wrong:
        yield Problem(
            f"the staged pointer of {artifact} is wrong: {sentence}",
            f"`gitprov add {word(artifact.raw)}` writes it anew",
        )


def _in_store(ws: Workspace, pointer: Pointer) -> list[str]:
    """What a pointer to data that is not checked out states wrongly, as far as the store tells."""
    from gitprov.ops.claims import survey
    from gitprov.ops.manifests import top_entry

    try:
        return survey(ws.store, top_entry(pointer), pointer.files).wrong
    except GitprovError:
        return []  # what is damaged contradicts nothing; `gitprov status` shows it


def _holds(ws: Workspace, artifact: RepoPath, pointer: Pointer, tree: "Tree") -> bool:
    from gitprov.ops.differences import odd_names

    if odd_names(tree):
        return False
    if tree.root == pointer.root.raw and tree.type == pointer.type:
        return True
    from gitprov.ops.checkouts import checked_out
    from gitprov.ops.differences import differences
    from gitprov.ops.manifests import top_entry

    # A merge has moved the pointer and only that; once it is committed, the hooks restore the rest.
    known = checked_out(ws, artifact)
    here = known.whole
    if here is not None and here.digest == tree.root and _is_under_way(ws):
        return True
    try:
        # Of a part, only that. Where all is here and only the root differs, a manifest lies.
        return known.is_partial and not differences(ws, artifact, top_entry(pointer), tree)
    except UnavailableError:
        return False  # without the manifest it is known that it differs, and not where


def word(path: bytes) -> str:
    """Returns a path as one word of a command line that a user may copy."""
    import shlex  # only on the way to a refusal

    return shlex.quote(show(path))


def _is_under_way(ws: Workspace) -> bool:
    return any(os.path.lexists(os.path.join(ws.repo.git_dir, name)) for name in _UNDER_WAY)
