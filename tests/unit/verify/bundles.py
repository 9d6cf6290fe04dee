"""Proofs of two files: one deep inside a dataset, one that is itself the artifact."""

from gitprov.core.digest import Digest
from gitprov.core.paths import RepoPath
from gitprov.model.bundle import Bundle
from gitprov.model.entry import Entry
from gitprov.model.manifest import Manifest
from gitprov.model.note import AnchorLine
from gitprov.model.record import ArtifactLeaf, Record
from tests.unit.verify.support import KEY, digest, log_of, record_of

CONTENT = b"the pixels of image 1"


def _file(name: str, content: bytes) -> Entry:
    return Entry(name.encode(), "f", Digest.of(content).raw, len(content))


TRAIN = Manifest.of([_file("image 1.png", CONTENT), _file("image 2.png", b"2"), _file("é", b"3")])
TOP = Manifest.of(
    [
        _file("README", b"hello\n"),
        _file("labels.csv", b"1,2\n"),
        Entry(b"train", "d", TRAIN.root.raw, TRAIN.size),
    ]
)
MANIFESTS = (TOP, TRAIN)
RECORD = Record.of(
    record_of().code,
    [
        ArtifactLeaf("data", "data", "dir", TOP.root, TOP.size, 5),
        ArtifactLeaf("models/net.pt", "model", "file", digest("weights"), 7, 1),
        ArtifactLeaf("models/run", "model", "exec", digest("run"), 3, 1),
    ],
)
LOG = log_of(root=RECORD.root)


def bundle() -> Bundle:
    """The proof of a file two directories deep."""
    path = RepoPath.parse(b"data/train/image 1.png")
    return Bundle.build(path, MANIFESTS, RECORD, [_anchor()], vkeys=[KEY.verifier])


def model_bundle(path: bytes = b"models/net.pt") -> Bundle:
    """The proof of an artifact that is a file."""
    return Bundle.build(RepoPath.parse(path), (), RECORD, [_anchor()], vkeys=[KEY.verifier])


def _anchor() -> AnchorLine:
    return LOG.anchor(6, record_root=RECORD.root)
