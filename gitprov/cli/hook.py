"""The door for git's hooks: `gitprov hook NAME …`. It loads no library for command lines.

`git commit` waits for what happens here, so every import is one that the hook at hand needs. NAME
is a hook of git's, or the part of one that the pre-commit framework runs (hook_framework.py).
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gitprov.core.paths import printable
from gitprov.errors import GitprovError, VerificationError
from gitprov.workspace import Workspace

PUSHING = "GITPROV_PUSHING"
"""Set by `gitprov.git.sync` around its own pushes, and known here without loading that."""

_HOOKS_DIR = "GITPROV_HOOKS_DIR"
_READS_STDIN = frozenset(("pre-push", "post-rewrite"))


class Call(NamedTuple):
    """How git calls a hook: its name, its arguments, what it reads."""

    name: str
    argv: Sequence[str] = ()
    stdin: bytes = b""

    @property
    def refuses(self) -> bool:
        """Whether the hook's exit code can stop what git is doing."""
        return self.name.startswith("pre-")


Part = Callable[[Workspace, Call], int]


def run_hook(arguments: Sequence[str]) -> int:
    """Runs one hook: the one that was there before ours first, then ours.

    Returns:
        The exit code for git. Only pre-commit and pre-push can refuse anything.
    """
    name, argv = (arguments[0], arguments[1:]) if arguments else ("", ())
    if name in HOOKS:
        if name == "pre-push" and os.environ.get(PUSHING):
            return 0  # our own push of the notes: the user's push has run the hooks already
        call = Call(name, argv, _stdin(name))
        code = _legacy(call)
        if code and call.refuses:
            return code
        return _run(call, HOOKS[name]) or code
    if name in FRAMEWORK:
        from gitprov.cli.hook_framework import call_of

        call = call_of(os.environ, name)
        part = FRAMEWORK[name].get(call.name)
        return _run(call, (part,)) if part else 0
    _say(f"error: gitprov hook takes one of: {', '.join([*HOOKS, *FRAMEWORK])}")
    return 2


def tell(word: str, exc: GitprovError) -> None:
    """Writes an error or a warning, with its hint."""
    _say(f"{word}: {exc}")
    if exc.hint:
        _say(f"hint: {exc.hint}")


def _say(text: str) -> None:
    sys.stderr.write(f"gitprov: {printable(text)}\n")


def _run(call: Call, parts: Iterable[Part]) -> int:
    try:
        with _workspace() as ws:
            return max(_guarded(call, part, ws) for part in parts)
    except GitprovError as exc:
        return _failed(call, exc)


def _guarded(call: Call, part: Part, ws: Workspace) -> int:
    """Runs one part; what goes wrong in it keeps no other from running."""
    try:
        return part(ws, call)
    except GitprovError as exc:
        return _failed(call, exc)
    except KeyboardInterrupt:
        return 130
    except Exception as exc:  # noqa: BLE001 - a bug of ours must not lose anybody's commit
        bug = GitprovError(f"a bug in the {call.name} hook: {type(exc).__name__}: {exc}")
        # What could not be checked is not let through; --no-verify is there for that.
        refused = call.name == "pre-commit"
        tell("error" if refused else "warning", bug)
        return bug.exit_code if refused else 0


def _failed(call: Call, exc: GitprovError) -> int:
    tell("error" if call.refuses else "warning", exc)
    return exc.exit_code if call.refuses else 0


def _stdin(name: str) -> bytes:
    # At a terminal we would wait for somebody who does not know that we do.
    if name not in _READS_STDIN or sys.stdin is None or sys.stdin.isatty():
        return b""
    return sys.stdin.buffer.read()


def _legacy(call: Call) -> int:
    """Runs the hook that was there before ours; 0 when there is none."""
    folder = os.environ.get(_HOOKS_DIR, "")
    if not folder or not os.path.lexists(os.path.join(folder, f"{call.name}.legacy")):
        return 0
    from gitprov.git.hooks import run_legacy

    stdin = call.stdin if call.name in _READS_STDIN else None
    try:
        return run_legacy(folder, call.name, call.argv, stdin)
    except GitprovError as exc:
        return _failed(call, exc)


def _workspace() -> Workspace:
    # git names the repository in GIT_DIR; from a worktree without a .git file only that finds it.
    git_dir, work_tree = os.environ.get("GIT_DIR"), os.environ.get("GIT_WORK_TREE")
    ws = Workspace.open(
        os.getcwd(),
        waiting=_say,
        git_dir=os.path.abspath(git_dir) if git_dir else None,
        work_tree=os.path.abspath(work_tree) if work_tree else None,
        offline=True,
    )
    ws.objects.start()  # it gets ready while Python imports what the hook needs
    return ws


def _check(ws: Workspace, call: Call) -> int:
    del call
    from gitprov.ops.staged import check_staged

    index_file = os.environ.get("GIT_INDEX_FILE")
    problems = check_staged(ws, index_file=os.path.abspath(index_file) if index_file else None)
    for problem in problems:
        tell("error", VerificationError(problem.message, hint=problem.hint))
    if problems:
        _say("nothing was committed; `git commit --no-verify` commits all the same")
    return 1 if problems else 0


def _record_commit(ws: Workspace, call: Call) -> int:
    del call
    from gitprov.ops.hooks import after_commit

    after_commit(ws)
    if ws.config_says(b"post_commit"):
        from gitprov.cli.hook_background import anchor_in_background

        anchor_in_background(ws)
    return 0


def _record_rewritten(ws: Workspace, call: Call) -> int:
    from gitprov.ops.hooks import after_rewrite, parse_rewritten

    after_rewrite(ws, parse_rewritten(call.stdin), amended=_is_amend(call))
    return 0


def _record_merge(ws: Workspace, call: Call) -> int:
    from gitprov.ops.hooks import after_merge

    if not _is_squash(call):
        after_merge(ws)
    return 0


def _restore_committed(ws: Workspace, call: Call) -> int:
    """A cherry-pick, a revert, the end of a merge: the commit moved pointers, git only those."""
    del call
    from gitprov.ops.hooks import moves_artifacts

    # During a rebase the last commit is what counts; post-rewrite restores it.
    if ws.repo.in_progress_rebase() or not moves_artifacts(ws):
        return 0
    return _restore(ws, "HEAD~1")


def _restore_rewritten(ws: Workspace, call: Call) -> int:
    return 0 if _is_amend(call) else _restore(ws, "ORIG_HEAD")


def _restore_merged(ws: Workspace, call: Call) -> int:
    return _restore(ws, "HEAD" if _is_squash(call) else "ORIG_HEAD")


def _restore_checked_out(ws: Workspace, call: Call) -> int:
    changed_branch = len(call.argv) > 2 and call.argv[2] == "1"
    if not changed_branch:
        return 0
    if ws.repo.in_progress_rebase():
        from gitprov.ops.hooks import rebase_goes_on

        # It begins with a checkout, and may yet be given up; post-rewrite restores its end.
        if rebase_goes_on(ws):
            return 0
    return _restore(ws, call.argv[0])


def _restore(ws: Workspace, previous: str) -> int:
    if ws.config.hooks.restore == "off":
        return 0
    from gitprov.ops.hooks import any_artifacts

    if not any_artifacts(ws):
        return 0
    from gitprov.ops.restore import restore

    restored = restore(ws, previous=previous)
    for path in restored.updated:
        _say(f"restored {path}")
    for path in restored.dropped:
        _say(f"removed {path}, which is not part of this commit")
    for message in restored.left:
        _say(message)
    return 0


def _push(ws: Workspace, call: Call) -> int:
    from gitprov.cli.hook_push import before_push

    return before_push(ws, call.argv, call.stdin, say=_say, tell=tell)


def _is_amend(call: Call) -> bool:
    return list(call.argv[:1]) == ["amend"]


def _is_squash(call: Call) -> bool:
    return list(call.argv[:1]) == ["1"]


HOOKS: dict[str, tuple[Part, ...]] = {
    "pre-commit": (_check,),
    "post-commit": (_record_commit, _restore_committed),
    "post-rewrite": (_record_rewritten, _restore_rewritten),
    "pre-push": (_push,),
    "post-checkout": (_restore_checked_out,),
    "post-merge": (_record_merge, _restore_merged),
}
"""What each of git's hooks does."""

FRAMEWORK: dict[str, dict[str, Part]] = {
    "check": {"pre-commit": _check},
    "record": {
        "post-commit": _record_commit,
        "post-rewrite": _record_rewritten,
        "post-merge": _record_merge,
    },
    "anchor": {"pre-push": _push},
    "checkout": {
        "post-commit": _restore_committed,
        "post-rewrite": _restore_rewritten,
        "post-checkout": _restore_checked_out,
        "post-merge": _restore_merged,
    },
}
"""The same by what the user chose in .pre-commit-config.yaml, and by git's hook."""
