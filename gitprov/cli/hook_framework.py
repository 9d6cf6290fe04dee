"""Reads how git called a hook from what the pre-commit framework says of it in the environment.

The framework hands neither git's arguments nor its stdin on. It exports `PRE_COMMIT_*` variables
instead (pre_commit/commands/run.py), and it does not say which of git's hooks it is.
"""

from collections.abc import Mapping

from gitprov.cli.hook import Call

_NOWHERE = "0" * 40


def call_of(env: Mapping[str, str], part: str) -> Call:
    """Returns the call of git that the framework is in the middle of."""
    if part == "check":
        return Call("pre-commit")
    if part == "anchor":
        return _push(env)
    if rewrite := env.get("PRE_COMMIT_REWRITE_COMMAND"):
        return Call("post-rewrite", (rewrite,))
    if squash := env.get("PRE_COMMIT_IS_SQUASH_MERGE"):
        return Call("post-merge", (squash,))
    if checkout := env.get("PRE_COMMIT_CHECKOUT_TYPE"):
        ends = (env.get("PRE_COMMIT_FROM_REF", ""), env.get("PRE_COMMIT_TO_REF", ""))
        return Call("post-checkout", (*ends, checkout))
    return Call("post-commit")


def _push(env: Mapping[str, str]) -> Call:
    """Of several pushed refs the framework names one; of a branch that is all new, no commits."""
    branch = env.get("PRE_COMMIT_LOCAL_BRANCH", "HEAD")
    there = env.get("PRE_COMMIT_REMOTE_BRANCH", branch)
    new = env.get("PRE_COMMIT_TO_REF") or branch
    line = f"{branch} {new} {there} {env.get('PRE_COMMIT_FROM_REF') or _NOWHERE}\n"
    remote = env.get("PRE_COMMIT_REMOTE_NAME", "origin")
    return Call("pre-push", (remote, env.get("PRE_COMMIT_REMOTE_URL", remote)), line.encode())
