"""A repository: where it is, what its refs say, and how its objects are read."""

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Self, cast

from gitprov.errors import EnvironmentFault, UsageError
from gitprov.git.command import Git, GitError, printable
from gitprov.git.objects import ObjectReader
from gitprov.platform.files import fault

MINIMUM_GIT = "2.31"

_OWN_REFS = ("refs/notes/*", "refs/gitprov/*", "refs/stash")
# The first is known from git 2.44 on; the second stops the older ones at the transport.
_OFFLINE = {"GIT_NO_LAZY_FETCH": "1", "GIT_ALLOW_PROTOCOL": "none"}
_BELOW = ("refs/", "refs/tags/", "refs/heads/", "refs/remotes/")
"""Where git looks for a short name, in this order; at the end also for a remote's HEAD."""

_RANGE = re.compile(r"\.{2,3}")
_SUFFIX = re.compile(r"[~^:]|@\{")
_ABBREVIATED = re.compile(r"(?:.*-g)?([0-9a-fA-F]{4,64})", re.ASCII | re.DOTALL)
_LOCK_PAUSE_SECONDS = 0.05
_LOCK_ATTEMPTS = 40


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository as seen from one worktree. Close it, or use it in a `with`.

    Attributes:
        git_dir: absolute; `<common>/worktrees/<name>` in a linked worktree.
        common_dir: absolute; shared by all worktrees.
        worktree: its top, absolute, or None in a bare repository.
        object_format: what its object ids are.
        is_shallow: whether history is cut off.
        git: runs git on it, in the worktree's top (or in the git dir when there is none).
        objects: reads its objects.
    """

    git_dir: str
    common_dir: str
    worktree: str | None
    object_format: Literal["sha1", "sha256"]
    is_shallow: bool
    git: Git = field(repr=False, compare=False)
    objects: ObjectReader = field(repr=False, compare=False)

    @classmethod
    def discover(
        cls,
        cwd: str,
        *,
        git_dir: str | None = None,
        work_tree: str | None = None,
        offline: bool = False,
    ) -> Self:
        """Finds the repository around a folder, with one call of git.

        Args:
            cwd: where to look from.
            git_dir: the user's own `GIT_DIR`; never the one that git gives to a hook.
            work_tree: the user's own `GIT_WORK_TREE`.
            offline: whether reading objects must not fetch what a partial clone lacks (hooks).

        Raises:
            UsageError: there is none.
            EnvironmentFault: git is too old, or refuses the repository.
        """
        given = {"GIT_DIR": git_dir, "GIT_WORK_TREE": work_tree}
        env = {name: value for name, value in given.items() if value is not None}
        if not os.path.isdir(cwd):
            raise UsageError(f"there is no folder {cwd}")
        values = _rev_parse(Git(cwd, env=env))
        object_format, shallow, git_dir, common_dir, top = values
        env["GIT_DIR"] = git_dir
        if top is not None:
            env["GIT_WORK_TREE"] = top
        git = Git(top or git_dir, env=env)
        reading = Git(git.cwd, env={**env, **_OFFLINE}) if offline else git
        return cls(
            git_dir=git_dir,
            common_dir=common_dir,
            worktree=top,
            object_format=cast("Literal['sha1', 'sha256']", object_format),
            is_shallow=shallow == "true",
            git=git,
            objects=ObjectReader(reading),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes that read objects."""
        self.objects.close()

    @property
    def hash_len(self) -> int:
        """The length of an object id in bytes."""
        return 20 if self.object_format == "sha1" else 32

    @property
    def data_dir(self) -> str:
        """Our folder in the repository, shared by all worktrees; made when it is not there."""
        path = os.path.join(self.common_dir, "gitprov")
        if not os.path.isdir(path):
            try:
                os.makedirs(path, mode=0o700, exist_ok=True)
            except OSError as exc:
                raise fault(exc, "create", path) from exc
        return path

    @property
    def hooks_dir(self) -> str:
        """The folder where git looks for hooks: `core.hooksPath`, or `hooks` in the common dir."""
        return self.git.text("rev-parse", "--path-format=absolute", "--git-path", "hooks")

    def resolve(self, rev: str) -> str:
        """Returns the full id of the commit that a revision names.

        Raises:
            UsageError: there is no such commit, or the name may mean several.
        """
        check_rev(rev)
        self._check_ambiguous([_name_in(rev)])
        found = self.objects.get(rev + "^{commit}")
        if found is None or found.type != "commit":
            raise UsageError(f"there is no commit {rev!r}", hint=self._deepen())
        return found.oid

    def head(self) -> str | None:
        """Returns the id of the current commit, None before the first one."""
        found = self.objects.get("HEAD^{commit}")
        return None if found is None else found.oid

    def rev_list(
        self, *revs: str, everything: bool = False, limit: int | None = None, reverse: bool = False
    ) -> list[str]:
        """Returns commits, newest first.

        Args:
            revs: revisions or ranges (`A..B`).
            everything: all refs but our own and the stash, and HEAD.
            limit: at most so many, the newest.
            reverse: oldest first.

        Raises:
            UsageError: a revision is unknown, or a name in it may mean several.
        """
        for rev in revs:
            check_rev(rev)
        self._check_ambiguous(_name_in(part) for rev in revs for part in _RANGE.split(rev))
        options = ["--topo-order"]
        if limit is not None:
            options.append(f"--max-count={limit}")
        if reverse:
            options.append("--reverse")
        if everything:
            options += [f"--exclude={pattern}" for pattern in _OWN_REFS] + ["--all"]
        done = self.git.call("rev-list", *options, *revs, "--")
        if done.returncode:
            raise UsageError(
                f"cannot list the commits of {' '.join(revs)}: {_last(done.stderr)}",
                hint=self._deepen(),
            )
        return done.stdout.decode("ascii").split()

    def _deepen(self) -> str | None:
        return "this clone is shallow: `git fetch --unshallow`" if self.is_shallow else None

    def _check_ambiguous(self, names: Iterable[str]) -> None:
        """Refuses names that stand for more than one thing.

        git takes the first it finds and only warns: whoever may push a tag `origin/main` would
        decide what the user's `origin/main` means. A full id and `HEAD` cost nothing here.
        """
        short = {name for name in names if not self._is_certain(name)}
        # A pattern that is no name of a ref would be a glob.
        places = {name: _places(name) for name in short if not set(name) & set("*?[\\")}
        if not places:
            return
        patterns = [place for some in places.values() for place in some]
        output = self.git.run("for-each-ref", "--format=%(refname)", *patterns)
        present = set(os.fsdecode(output).splitlines())
        for name, some in sorted(places.items()):
            if name in present:
                continue  # a full name comes first, and nothing can hide it
            found = [place for place in some if place in present]
            if name.startswith("refs/") and found:
                raise UsageError(f"there is no {name}, only {', '.join(found)}")
            hint = f"give the full name of the ref: {found[-1]}" if found else None
            if found:
                found += [f"the commit {oid}" for oid in self._abbreviated(name)]
            if len(found) > 1:
                raise UsageError(f"{name!r} is ambiguous: {', '.join(found)}", hint=hint)

    def _is_certain(self, name: str) -> bool:
        if name in ("", "@", "HEAD"):
            return True
        if len(name) == 2 * self.hash_len and _ABBREVIATED.fullmatch(name):
            return True
        # ORIG_HEAD, FETCH_HEAD and their like; a ref of that name does not hide them.
        return name.endswith("_HEAD") and os.path.isfile(os.path.join(self.git_dir, name))

    def _abbreviated(self, name: str) -> list[str]:
        """The commits that a name, as an abbreviated id or as git describe's, could mean."""
        found = _ABBREVIATED.fullmatch(name)
        if found is None:
            return []
        done = self.git.call("rev-parse", f"--disambiguate={found[1].lower()}")
        oids = done.stdout.decode("ascii").split()
        headers = ((oid, self.objects.header(oid)) for oid in oids)
        return [oid for oid, header in headers if header and header.type == "commit"]

    def refs(self, prefix: str) -> dict[str, str]:
        """Returns refs below a prefix, or the ref of that very name, with what they point to."""
        output = self.git.run("for-each-ref", "--format=%(objectname) %(refname)", prefix)
        lines = (line.partition(" ") for line in os.fsdecode(output).splitlines())
        return {name: oid for oid, _, name in lines}

    def ref(self, name: str) -> str | None:
        """Returns the commit that a full ref name points to, or None."""
        found = self.objects.get(name + "^{commit}")
        return None if found is None else found.oid

    def update_ref(self, ref: str, new: str, old: str | None) -> bool:
        """Moves a ref by compare-and-swap; None as `old` means that it must not exist yet.

        Returns:
            False when the ref is not at `old` any more; nothing is changed then.
        """
        expected = old or "0" * (2 * self.hash_len)
        for attempt in range(_LOCK_ATTEMPTS):
            done = self.git.call("update-ref", ref, new, expected)
            if done.returncode == 0:
                return True
            if self.refs(ref).get(ref) != old:
                return False
            if b".lock': File exists" not in done.stderr or attempt == _LOCK_ATTEMPTS - 1:
                raise GitError("update-ref", done.returncode, done.stderr)
            time.sleep(_LOCK_PAUSE_SECONDS)
        return False

    def in_progress_rebase(self) -> bool:
        """Whether a rebase (or `git am`) is under way in this worktree."""
        return any(
            os.path.isdir(os.path.join(self.git_dir, name))
            for name in ("rebase-merge", "rebase-apply")
        )

    def config(self, name: str) -> list[str]:
        """Returns all values of a configuration variable, the strongest last."""
        output = self.git.run("config", "--null", "--get-all", name, ok=(0, 1))
        return [os.fsdecode(value) for value in output.split(b"\0")[:-1]]


def check_rev(rev: str) -> None:
    """Refuses what git would take for an option, and what cannot be a revision."""
    if not rev or rev.startswith("-") or "\n" in rev or "\0" in rev:
        raise UsageError(f"not a revision: {rev!r}")


def _name_in(rev: str) -> str:
    """The name that a revision begins with: `main` in `main~2`, `^main` and `main@{1}`."""
    return _SUFFIX.split(rev.removeprefix("^"), maxsplit=1)[0]


def _places(name: str) -> list[str]:
    return [name, *(place + name for place in _BELOW), f"refs/remotes/{name}/HEAD"]


def _rev_parse(git: Git) -> tuple[str, str, str, str, str | None]:
    questions = (
        "--show-object-format",
        "--is-shallow-repository",
        "--absolute-git-dir",
        "--git-common-dir",
        "--show-toplevel",
    )
    done = git.call("rev-parse", "--path-format=absolute", *questions)
    lines = os.fsdecode(done.stdout).removesuffix("\n").split("\n")
    if lines[0].startswith("--"):
        raise EnvironmentFault(f"git is too old: gitprov needs {MINIMUM_GIT} or newer")
    if len(lines) < 4 or lines[0] not in ("sha1", "sha256"):
        _explain(git, done.stderr)
    # git stops at the last question when there is no worktree; the answers before it stand.
    if len(lines) > 5 or (done.returncode and len(lines) > 4):
        lines = lines[:2] + _one_by_one(git, questions[2:])
    top = lines[4] if len(lines) > 4 and lines[4] else None
    return lines[0], lines[1], lines[2], lines[3], top


def _one_by_one(git: Git, questions: tuple[str, ...]) -> list[str]:
    """Asks again singly: a path holds a newline, so that the lines cannot be told apart."""
    return [git.text("rev-parse", "--path-format=absolute", q, ok=(0, 128)) for q in questions]


def _explain(git: Git, stderr: bytes) -> None:
    said = printable(stderr)
    if "not a git repository" in said:
        raise UsageError(f"not a git repository: {git.cwd}", hint="`git init` makes one")
    if "dubious ownership" in said:
        raise EnvironmentFault(
            f"git does not trust {git.cwd}: it belongs to another user",
            hint=f"git config --global --add safe.directory {git.cwd}",
        )
    raise GitError("rev-parse", 128, stderr)


def _last(stderr: bytes) -> str:
    return (printable(stderr).splitlines() or ["unknown revision"])[-1]
