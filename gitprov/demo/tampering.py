"""The second half of the story: four ways to cheat, each found, named, and repaired."""

from gitprov.demo import digits
from gitprov.demo.building import COLLEAGUE, FORGER, OWNER, REMOTE, replace_text
from gitprov.demo.stage import Stage

_IN_STORE = "data/3/0013.png"
_IN_WORKTREE = "data/7/0017.png"
_NOTES = "refs/notes/gitprov"


def _bad(line: str) -> bool:
    return "FAIL" in line


def store(stage: Stage) -> None:
    """One byte of one image, inside the store."""
    with open(stage.path(OWNER, _IN_STORE), "rb") as file:
        content = file.read()
    pack = digits.flip_byte_of(content, stage.path(OWNER, ".git", "gitprov", "packs"))
    stage.tell(f"one bit of {_IN_STORE} flips inside .git/gitprov/packs/{pack}")
    said = stage.gitprov(OWNER, "fsck", code=1)
    stage.claim(f"fsck names {_IN_STORE}", holds=said.says(_IN_STORE))
    said = stage.gitprov(OWNER, "verify", "--deep", code=1, lines=_bad)
    named = said.says("FAIL", "artifacts", _IN_STORE)
    stage.claim(f"verify --deep names {_IN_STORE}", holds=named)
    stage.tell("that has set the damaged blob aside, as gitprov fsck --quarantine does,")
    stage.tell("and the worktree still has the image, so adding it again repairs the store:")
    stage.gitprov(OWNER, "add", "data")
    said = stage.gitprov(OWNER, "fsck")
    stage.claim("the store is intact again", holds=said.says("intact"))
    said = stage.gitprov(OWNER, "verify", "--deep", lines=_last)
    stage.claim("and verify --deep passes", holds=said.says("PASS: everything"))


def worktree(stage: Stage) -> None:
    """One pixel of one image, in the worktree."""
    old, new = digits.change_pixel(stage.path(OWNER, _IN_WORKTREE))
    stage.tell(f"one pixel of {_IN_WORKTREE} changes from {old} to {new}")
    said = stage.gitprov(OWNER, "verify", code=1, lines=_bad)
    stage.claim(f"verify names {_IN_WORKTREE}", holds=said.says("FAIL", _IN_WORKTREE))
    said = stage.git(
        OWNER, "commit", "--allow-empty", "-m", "Nothing to see here", code=1, lines=None
    )
    stage.claim("the pre-commit hook refuses to commit it", holds=said.says("data"))
    stage.gitprov(OWNER, "checkout", "--force", "data")
    said = stage.gitprov(OWNER, "verify", lines=_last)
    stage.claim("the image is restored, and verify passes", holds=said.says("PASS: everything"))


def note(stage: Stage) -> None:
    """One hex digit of one note."""
    honest = stage.quietly(OWNER, "git", "rev-parse", _NOTES).strip()
    text = stage.quietly(OWNER, "git", "notes", "--ref=gitprov", "show", "HEAD")
    before, found, after = text.partition('"path":"data","root":"blake3:')
    other = "0" if after[:1] != "0" else "1"
    blob = stage.quietly(
        OWNER, "git", "hash-object", "-w", "--stdin", stdin=before + found + other + after[1:]
    ).strip()
    stage.tell("in the note of HEAD the first hex digit of the root of data is another one")
    stage.git(OWNER, "notes", "--ref=gitprov", "add", "--force", "-C", blob, "HEAD")
    said = stage.gitprov(OWNER, "verify", code=1, lines=_bad)
    named = said.says("FAIL", "record-matches", "data: recorded")
    stage.claim("verify names the leaf that was changed, data", holds=named)
    stage.git(OWNER, "update-ref", _NOTES, honest)
    said = stage.gitprov(OWNER, "verify", lines=_last)
    stage.claim("with the old note back, verify passes", holds=said.says("PASS: everything"))


def history(stage: Stage) -> None:
    """One commit of the history, and the notes copied over."""
    stage.tell("somebody who may push pretends that the model was trained in another way")
    stage.git(".", "clone", "--quiet", REMOTE, FORGER)
    stage.git(FORGER, "fetch", "--quiet", "origin", f"{_NOTES}:{_NOTES}")
    stage.git(FORGER, "checkout", "--quiet", "HEAD~1")
    stage.tell("train.py now says LEARNING_RATE = 0.05")
    replace_text(stage.path(FORGER, "train.py"), "LEARNING_RATE = 0.5", "LEARNING_RATE = 0.05")
    stage.git(FORGER, "commit", "--quiet", "--no-verify", "--all", "--amend", "--no-edit")
    stage.git(FORGER, "cherry-pick", "main")
    stage.git(FORGER, "checkout", "--quiet", "-B", "forged")
    for old, new in (("main~1", "forged~1"), ("main", "forged")):
        stage.git(FORGER, "notes", "--ref=gitprov", "copy", old, new)
    stage.git(FORGER, "push", "--quiet", "--force", "origin", "forged:main", _NOTES)
    stage.tell("the colleague looks at what came in, with the policy of their own main:")
    stage.git(COLLEAGUE, "fetch", "--quiet")
    said = _review(stage)
    both = len([line for line in said.splitlines() if "FAIL" in line and "copied" in line]) == 2
    stage.claim("verify names both new commits: their notes speak of other commits", holds=both)


def forged_log(stage: Stage) -> None:
    """The forger makes new records, in a log with a key of their own."""
    stage.git(FORGER, "notes", "--ref=gitprov", "remove", "forged~1", "forged")
    stage.gitprov(FORGER, "init", "--no-hooks", lines=lambda line: line.startswith("log"))
    stage.gitprov(FORGER, "record", "main~2..forged")
    stage.gitprov(FORGER, "anchor")
    refs = (_NOTES, "refs/gitprov/log/*")
    stage.git(FORGER, "push", "--quiet", "--force", "origin", *refs)
    stage.git(COLLEAGUE, "fetch", "--quiet")
    said = _review(stage)
    stage.claim(
        "the new records are in no log that counts: the policy pins the owner's key",
        holds="no entry of the 1 log here is the record root" in said,
    )
    said = _review(stage, policy="main~1", code=0)
    stage.claim(
        "under the policy before the key was pinned they pass, as what they are: new commits",
        holds="PASS: everything" in said,
    )
    check = stage.gitprov(COLLEAGUE, "verify", "main~1", lines=lambda line: "  log  " in line)
    stage.claim("the owner's log still holds the commit as it was", holds=check.says("PASS", "log"))
    stage.tell("the owner pushes the honest history again")
    stage.git(OWNER, "push", "--quiet", "--force", "origin", "main")
    stage.git(COLLEAGUE, "fetch", "--quiet")
    said = stage.gitprov(COLLEAGUE, "verify", "origin/main", lines=_last).text
    stage.claim("origin/main verifies again", holds="PASS: everything" in said)


def finish(stage: Stage) -> None:
    """Everything is as it was."""
    for folder in (OWNER, COLLEAGUE):
        said = stage.gitprov(folder, "verify", "--deep", "main~2..main", lines=_last)
        stage.claim(f"{folder} verifies, every byte of it", holds=said.says("PASS: everything"))
    left = stage.quietly(OWNER, "git", "status", "--porcelain")
    stage.claim("and nothing is left over in the worktree", holds=left == "")


def _last(line: str) -> bool:
    return line.startswith("✓ PASS: ")


def _review(stage: Stage, *, policy: str = "main", code: int = 1) -> str:
    """Verifies what a push has brought, as a reviewer or CI does."""
    arguments = ("verify", "main..origin/main", "--policy-from", policy)
    return stage.gitprov(COLLEAGUE, *arguments, code=code, lines=_verdicts).text


def _verdicts(line: str) -> bool:
    return "FAIL" in line or line.startswith(("commit", "✓ "))
