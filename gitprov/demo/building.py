"""The first half of the story: data, a model, commits, a push, a clone, a proof."""

import filecmp
import os
import re
import shutil

from gitprov.demo import digits
from gitprov.demo.stage import Stage

OWNER, REMOTE, COLLEAGUE, FORGER, ELSEWHERE = (
    "digits",
    "digits.git",
    "colleague",
    "forger",
    "elsewhere",
)
"""The folders of the story."""

_PROVEN = "data/5/0015.png"
_OTHER = "data/5/0025.png"
_PNG = b"\x89PNG\r\n\x1a\n"


def write_data(stage: Stage) -> None:
    """Real images and a training script."""
    os.mkdir(stage.path(OWNER))
    count = digits.write_images(stage.path(OWNER, "data"))
    with open(stage.path(OWNER, "train.py"), "w", encoding="utf-8") as file:
        file.write(digits.train_script())
    stage.tell(f"{count:,} images in {OWNER}/data/<class>/<number>.png, and {OWNER}/train.py")
    images = _images(stage.path(OWNER, "data"))
    whole = len(images) == count and all(_starts(path, _PNG) for path in images)
    stage.claim(f"{len(images):,} PNG files are on disk", holds=whole)


def train(stage: Stage) -> None:
    """A small model, really trained."""
    said = stage.python(OWNER, "train.py")
    _claim_accuracy(stage, said.text)
    exists = os.path.isfile(stage.path(OWNER, "model.safetensors"))
    stage.claim("it wrote model.safetensors", holds=exists)


def start(stage: Stage) -> None:
    """A repository with gitprov in it."""
    stage.git(OWNER, "init", "--quiet")
    stage.gitprov(OWNER, "init")
    hooks = os.listdir(stage.path(OWNER, ".git", "hooks"))
    installed = {"pre-commit", "post-commit", "pre-push"} <= set(hooks)
    stage.claim("from now on git's hooks do the work", holds=installed)


def add(stage: Stage) -> None:
    """The data goes into the store, pointers into git."""
    said = stage.gitprov(OWNER, "add", "data", "model.safetensors")
    stage.git(OWNER, "add", "train.py")
    stage.git(OWNER, "status", "--short", lines=None)
    tracked = stage.quietly(OWNER, "git", "ls-files").split()
    images = [name for name in tracked if name.endswith((".png", ".safetensors"))]
    stage.claim(
        "two artifacts are in the store; git tracks their pointers and no image",
        holds=said.says("data", "1,797 files")
        and {"data.prov", "model.safetensors.prov"} <= set(tracked)
        and not images,
    )


def commit(stage: Stage) -> None:
    """The post-commit hook makes the record."""
    stage.git(OWNER, "commit", "--quiet", "-m", "Digits and a first model")
    said = stage.gitprov(OWNER, "log")
    bound = said.says("root", "blake3:") and said.says("data", "1,797") and said.says("model")
    stage.claim("the commit has a record: code, data and model under one root", holds=bound)


def change(stage: Stage) -> None:
    """Other data, another model, another commit."""
    rescanned = [f"data/8/{name}" for name in sorted(os.listdir(stage.path(OWNER, "data/8")))[:5]]
    stage.tell("five eights are scanned again, brighter, and train.py trains twice as long")
    for name in rescanned:
        digits.brighten(stage.path(OWNER, name))
    replace_text(stage.path(OWNER, "train.py"), "EPOCHS = 150", "EPOCHS = 300")
    _claim_accuracy(stage, stage.python(OWNER, "train.py").text)
    said = stage.gitprov(OWNER, "diff")
    named = re.findall(r"^ *~ (8/\S+)", said.text, re.MULTILINE)
    stage.claim(
        "diff names the five images, and no other",
        holds=[f"data/{name}" for name in named] == rescanned,
    )
    stage.gitprov(OWNER, "add", "data", "model.safetensors")
    stage.git(OWNER, "commit", "--quiet", "-am", "Scan some eights again and train longer")
    said = stage.gitprov(OWNER, "log", "-n", "1", lines=2)
    stage.claim("the second commit has a root of its own", holds=said.says("root", "blake3:"))


def pin(stage: Stage) -> None:
    """A policy: whose log counts."""
    said = stage.gitprov(OWNER, "log", "--keys")
    key = re.search(r"gitprov/digits/\S+", said.text)
    lines = [
        "policy:",
        "  required: [tlog]",
        "  tlog:",
        f"    keys: [{key[0] if key else 'none'}]",
    ]
    with open(stage.path(OWNER, ".gitprov.yaml"), "a", encoding="utf-8") as file:
        file.write("\n" + "\n".join(lines) + "\n")
    stage.tell("into .gitprov.yaml goes:")
    for line in lines:
        stage.tell(f"    {line}")
    stage.git(OWNER, "commit", "--quiet", "-am", "Say whose log counts")
    stage.claim("the policy names this clone's log", holds=key is not None)


def push(stage: Stage) -> None:
    """The pre-push hook signs the log and takes it along."""
    stage.quietly(".", "git", "init", "--quiet", "--bare", REMOTE)
    stage.git(OWNER, "remote", "add", "origin", f"../{REMOTE}")
    said = stage.git(OWNER, "push", "--quiet", "-u", "origin", "main", lines=None)
    refs = stage.quietly(REMOTE, "git", "for-each-ref", "--format=%(refname)")
    stage.claim(
        "the log is signed; notes and log are on the remote beside main",
        holds=said.says("signed log head 3")
        and "refs/notes/gitprov\n" in refs
        and "refs/gitprov/log/" in refs,
    )
    said = stage.gitprov(OWNER, "verify")
    stage.claim("gitprov verify: everything holds", holds=said.says("PASS: everything"))


def clone(stage: Stage) -> None:
    """A colleague gets code from the remote, data from the shared store, and verifies."""
    stage.git(".", "clone", "--quiet", REMOTE, COLLEAGUE)
    store = f"../{OWNER}/.git/gitprov"
    stage.gitprov(COLLEAGUE, "init", "--store", store, lines=_fetches)
    stage.gitprov(COLLEAGUE, "checkout")
    same = _same(stage.path(OWNER, "data"), stage.path(COLLEAGUE, "data"))
    stage.claim("the colleague has the same 1,797 images, byte for byte", holds=same)
    said = stage.gitprov(COLLEAGUE, "verify", "--all", "--deep")
    stage.claim("all three commits verify there, every byte", holds=said.says("3 pass"))


def prove(stage: Stage) -> None:
    """A proof about one image travels alone."""
    os.mkdir(stage.path(ELSEWHERE))
    stage.gitprov(OWNER, "prove", _PROVEN, "-o", "image.proof")
    os.replace(stage.path(OWNER, "image.proof"), stage.path(ELSEWHERE, "image.proof"))
    for name in (_PROVEN, _OTHER):
        shutil.copy(stage.path(OWNER, name), stage.path(ELSEWHERE))
    stage.tell(f"image.proof and two images are copied into {ELSEWHERE}/, which is no repository")
    said = stage.gitprov(ELSEWHERE, "check", "image.proof", os.path.basename(_PROVEN))
    stage.claim(
        "the proof holds for its image, up to the signed head, with nothing but the file",
        holds=said.says("PASS", "data-matches") and said.says("PASS", "signature"),
    )
    said = stage.gitprov(
        ELSEWHERE,
        "check",
        "image.proof",
        os.path.basename(_OTHER),
        code=1,
        lines=lambda line: "FAIL" in line,
    )
    stage.claim("another image fails against it", holds=said.says("FAIL", "data-matches"))


def _fetches(line: str) -> bool:
    return line.startswith(("log", "git fetch"))


def _claim_accuracy(stage: Stage, text: str) -> None:
    found = re.search(r"accuracy ([0-9.]+)%", text)
    good = found is not None and float(found[1]) >= 90
    stage.claim("the model reads more than 9 of 10 images it has never seen", holds=good)


def _images(folder: str) -> list[str]:
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names)


def _starts(path: str, magic: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(magic)) == magic


def _same(left: str, right: str) -> bool:
    names = [os.path.relpath(path, left) for path in _images(left)]
    if names != [os.path.relpath(path, right) for path in _images(right)]:
        return False
    _, differ, failed = filecmp.cmpfiles(left, right, names, shallow=False)
    return not differ and not failed


def replace_text(path: str, old: str, new: str) -> None:
    """Replaces a piece of a text file."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))
