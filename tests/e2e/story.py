"""One real repository that has been through the whole local story, and the tools to damage it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.support.repos import bare, commit, git, isolated_environment, make_repo, write

FILES: Mapping[str, str | bytes] = {
    "data/train/1.png": b"one",
    "data/train/2.png": b"two",
    "data/test/1.png": b"three",
    "data/run me": "#!/bin/sh\n",
    "model.safetensors": bytes(300_000),
}
"""What the story's artifacts hold; `data/run me` is executable, and `data/link` a symlink."""


@dataclass(frozen=True)
class Ran:
    """What one command left behind."""

    code: int
    out: str
    err: str

    @cached_property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)

    def findings(self, verdict: str) -> list[tuple[str, str, str]]:
        """Check, subject and detail of all findings with that verdict."""
        return [
            (finding["check"], finding["subject"], finding["detail"])
            for one in self.json["commits"]
            for finding in one["findings"]
            if finding["verdict"] == verdict
        ]

    def failed(self) -> dict[str, str]:
        """Check -> details of what failed."""
        failed: dict[str, str] = {}
        for check, subject, detail in self.findings("fail"):
            failed[check] = f"{failed.get(check, '')}{subject}: {detail}\n"
        return failed


def gitprov(folder: Path, *args: str | Path, env: Mapping[str, str] | None = None) -> Ran:
    """Runs the command line as its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "gitprov", *map(str, args)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=isolated_environment(**(env or {})),
        check=False,
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


def ok(folder: Path, *args: str | Path) -> Ran:
    """Runs the command line, which must succeed."""
    ran = gitprov(folder, *args)
    assert ran.code == 0, (args, ran.out, ran.err)
    return ran


@dataclass(frozen=True)
class Story:
    """A repository with two commits made with gitprov, anchored and pushed to a bare remote.

    Attributes:
        top: the folder around everything.
        repo: the worktree.
        origin: the bare remote.
        before: the commit from before gitprov was there.
        first: the commit that added the artifacts.
        head: the commit after it, which changed only code.
    """

    top: Path
    before: str
    first: str
    head: str

    @property
    def repo(self) -> Path:
        return self.top / "work"

    @property
    def origin(self) -> Path:
        return self.top / "origin.git"

    @property
    def data_dir(self) -> Path:
        return self.repo / ".git/gitprov"

    @cached_property
    def log_ref(self) -> str:
        return git(self.repo, "for-each-ref", "--format=%(refname)", "refs/gitprov/log/")

    def verify(self, *args: str) -> Ran:
        """Runs `gitprov verify --json`; the exit code must be the one of the verdict."""
        ran = gitprov(self.repo, "verify", "--json", *args)
        assert ran.code == {"pass": 0, "fail": 1, "unknown": 3}[ran.json["verdict"]], ran
        return ran

    def note(self, rev: str = "HEAD") -> list[dict[str, Any]]:
        """The lines of a commit's note."""
        return [json.loads(line) for line in self.raw_note(rev).splitlines()]

    def raw_note(self, rev: str = "HEAD") -> str:
        return git(self.repo, "notes", "--ref=gitprov", "show", git(self.repo, "rev-parse", rev))

    def set_note(self, lines: list[dict[str, Any]] | str, rev: str = "HEAD") -> None:
        """Puts another note onto a commit, with git alone."""
        text = lines if isinstance(lines, str) else "".join(sorted(map(_canonical, lines)))
        blob = git(self.repo, "hash-object", "-w", "--stdin", input=text.encode())
        git(self.repo, "notes", "--ref=gitprov", "add", "-f", "-C", blob, rev)
        self.forget_remote()

    def edit_note(self, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Changes the line of one type in the note of HEAD."""
        lines = self.note()
        for line in lines:
            if line["type"] == kind:
                change(line)
        self.set_note(lines)

    def forget_remote(self) -> None:
        """Drops what the remote has sent: the union of all notes would still hold the old lines."""
        for ref in git(self.repo, "for-each-ref", "--format=%(refname)").splitlines():
            if ref.startswith(("refs/notes/origin/", "refs/gitprov/remotes/")):
                git(self.repo, "update-ref", "-d", ref)

    def log_file(self, path: str) -> bytes:
        done = subprocess.run(
            ["git", "cat-file", "blob", f"{self.log_ref}:{path}"],
            cwd=self.repo, capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout

    def log_files(self) -> list[str]:
        return git(self.repo, "ls-tree", "-r", "--name-only", self.log_ref).splitlines()

    def set_log(self, files: Mapping[str, bytes | None], ref: str | None = None) -> None:
        """Writes files into the log's ref, None to remove one, with git alone."""
        ref = ref or self.log_ref
        index = {"GIT_INDEX_FILE": str(self.top / "index")}
        git(self.repo, "read-tree", self.log_ref, env=index)
        for path, data in files.items():
            if data is None:
                git(self.repo, "update-index", "--force-remove", path, env=index)
                continue
            blob = git(self.repo, "hash-object", "-w", "--stdin", input=data)
            place = f"100644,{blob},{path}"
            git(self.repo, "update-index", "--add", "--cacheinfo", place, env=index)
        tree = git(self.repo, "write-tree", env=index)
        made = git(self.repo, "commit-tree", tree, "-m", "tampered", "-p", self.log_ref)
        git(self.repo, "update-ref", ref, made)
        self.forget_remote()


def tell(top: Path, *, object_format: str = "sha1") -> Story:
    """Makes the repository; slow, so a test session does it once and copies it."""
    origin = bare(top / "origin.git", object_format=object_format)
    repo = make_repo(top / "work", object_format=object_format)
    git(repo, "remote", "add", "origin", f"../{origin.name}")
    before = commit(repo, {"README.md": "A library\n"}, "Before gitprov")
    git(repo, "push", "--quiet", "-u", "origin", "main")
    ok(repo, "init")
    write(repo, FILES)
    (repo / "data/run me").chmod(0o755)
    (repo / "data/link").symlink_to("train/1.png")
    ok(repo, "add", "data", "model.safetensors")
    first = commit(repo, {"train.py": "import data\n"}, "Add the data")
    head = commit(repo, {"train.py": "import model\n"}, "Train on it")
    ok(repo, "anchor")
    git(repo, "push", "--quiet")
    return Story(top, before, first, head)


def copy_of(story: Story, top: Path) -> Story:
    """Returns a copy that a test may damage."""
    shutil.copytree(story.top, top, symlinks=True)
    return Story(top, story.before, story.first, story.head)


def without_git() -> dict[str, str]:
    """An environment in which there is no git, and nothing of git's configuration."""
    return {"PATH": "/nowhere"}


def _canonical(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text + "\n"
