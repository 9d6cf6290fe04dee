"""Makes a repository with the real DVC; DVC's own Python runs this, in one process.

Usage: python -P dvc_story.py FOLDER (-P: a module beside this one is called calendar). Afterwards
FOLDER/repo is the repository, and FOLDER/expected has what `dvc checkout` gives for each commit, by
its subject.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from dvc.cli import main as dvc  # type: ignore[import-not-found]

DATA = ("data", "model.safetensors", "run me", "deep", "out")


def git(*args: str) -> None:
    subprocess.run(["git", *args], check=True, stdin=subprocess.DEVNULL)


def run(*args: str) -> None:
    verb = 2 if args[0] == "stage" else 1
    assert dvc([*args[:verb], "-q", *args[verb:]]) == 0, args


def commit(subject: str) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", subject)


def model(value: int) -> bytes:
    header = {"w": {"dtype": "U8", "shape": [1000], "data_offsets": [0, 1000]}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes([value]) * 1000


def tell() -> None:
    git("init", "-q", "-b", "main")
    Path("README").write_text("before DVC\n")
    commit("start")
    Path("data/train").mkdir(parents=True)
    Path("data/ünïcode").mkdir()
    Path("data/train/1.png").write_bytes(b"one")
    Path("data/train/2.png").write_bytes(b"one")  # the same content twice
    Path("data/ünïcode/é.txt").write_bytes(b"a\r\nb\r\n")
    Path("data/empty").write_bytes(b"")
    Path("data/large.bin").write_bytes(bytes(range(256)) * 1200)
    Path("model.safetensors").write_bytes(model(1))
    Path("run me").write_bytes(b"#!/bin/sh\n")
    Path("run me").chmod(0o755)
    Path("deep/er").mkdir(parents=True)
    Path("deep/er/x.csv").write_bytes(b"1,2\n")
    run("init")
    run("add", "data", "model.safetensors", "run me", "deep/er/x.csv")
    commit("first")
    git("tag", "v1")
    Path("data/train/1.png").write_bytes(b"another one")
    Path("data/train/3.png").write_bytes(b"three")
    run("add", "data")
    commit("second")
    git("checkout", "-q", "-b", "side", "v1")
    run("checkout", "--force")
    Path("run me").write_bytes(b"#!/bin/sh\nexit 1\n")
    run("add", "run me")
    commit("side")
    git("checkout", "-q", "main")
    git("merge", "-q", "-m", "merge", "side")
    run("checkout", "--force")
    Path("stages").mkdir()
    copy = "python -c \"open('../out/a.txt','w').write(open('../deep/er/x.csv').read()*2)\""
    Path("out").mkdir()
    run("stage", "add", "-n", "copy", "-w", "stages", "-d", "../deep/er/x.csv", "-o",
        "../out/a.txt", copy.replace("python", sys.executable))  # fmt: skip
    measure = "import json; json.dump({'f1': 1}, open('m.json','w'))"
    run("stage", "add", "-n", "measure", "-M", "m.json", f'{sys.executable} -c "{measure}"')
    run("repro")
    commit("pipeline")


def keep(repo: Path, expected: Path) -> None:
    for subject, rev in (("first", "v1"), ("second", "main~2"), ("side", "side"),
                         ("merge", "main~1"), ("pipeline", "main")):  # fmt: skip
        git("checkout", "-q", rev)
        run("checkout", "--force")
        for name in DATA:
            source, target = repo / name, expected / subject / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(
                    source, target, ignore=shutil.ignore_patterns(".gitignore", "*.dvc")
                )
            elif source.exists():
                shutil.copy2(source, target)


if __name__ == "__main__":
    top = Path(sys.argv[1])
    (top / "repo").mkdir(parents=True)
    os.chdir(top / "repo")
    tell()
    keep(top / "repo", top / "expected")
