"""Builds evidence from the real record, log and keys; each test then bends one thing."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from gitprov.core.digest import Digest, Sha256Digest
from gitprov.core.merkle import LOG, consistency_proof, inclusion_proof, root, subtree_of
from gitprov.model.note import AnchorLine, NoteLine, RecordLine
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from gitprov.model.report import CommitReport, Finding, Verdict
from gitprov.model.signed_note import SignerKey, TreeHead, log_id
from gitprov.verify.engine import judge
from gitprov.verify.evidence import ArtifactEvidence, CommitEvidence, Head, LogEvidence
from gitprov.verify.policy import Policy

COMMIT = "9263b9f99b61e2364c862e1fdfdb2de1b5880056"
OTHER_COMMIT = "11" * 20


def digest(text: str) -> Digest:
    return Digest.of(text.encode())


def signer(repository: str, seed: int) -> SignerKey:
    """A key that is the same in every run."""
    secret = hashlib.sha256(f"{repository} {seed}".encode()).digest()
    public = SignerKey("unnamed", secret).verifier.public
    return SignerKey(f"gitprov/{repository}/{log_id(public)}", secret)


KEY = signer("demo", 1)
OTHER_KEY = signer("demo", 2)


def record_of(commit: str = COMMIT, *, data: str = "data") -> Record:
    code = CodeLeaf("sha1", commit, digest(f"raw {commit}"), digest(f"tree {commit}"))
    return Record.of(
        code,
        [
            ArtifactLeaf("data", "data", "dir", digest(data), 12, 3),
            ArtifactLeaf("models/net.pt", "model", "file", digest("weights"), 1255, 1),
        ],
    )


RECORD = record_of()
ROOT = RECORD.root


def record_line(record: Record = RECORD) -> RecordLine:
    return RecordLine(record.code.commit, record, record.root)


@dataclass(frozen=True)
class Log:
    """A log in memory, with everything that a test asks of one."""

    entries: tuple[bytes, ...]
    key: SignerKey = KEY

    @property
    def hashes(self) -> list[bytes]:
        return [LOG.leaf(entry) for entry in self.entries]

    @property
    def size(self) -> int:
        return len(self.entries)

    def root(self, size: int) -> Sha256Digest:
        return Sha256Digest(root(LOG, self.hashes[:size]))

    def head(self, size: int) -> Head:
        return Head(size, self.root(size))

    def checkpoint(self, size: int) -> str:
        return self.key.sign(TreeHead(self.key.name, size, self.root(size)))

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        return tuple(inclusion_proof(subtree_of(LOG, self.hashes), index, size))

    def evidence(
        self, record_root: Digest = ROOT, *, signed: int | None = None, seen: Head | None = None
    ) -> LogEvidence:
        held = record_root.raw in self.entries
        index = self.entries.index(record_root.raw) if held else None
        proofs = {
            size: tuple(consistency_proof(subtree_of(LOG, self.hashes), size, self.size))
            for size in range(self.size + 1)
        }
        return LogEvidence(
            key_id=self.key.verifier.key_id,
            size=self.size,
            root=self.root(self.size),
            vkey=str(self.key.verifier),
            index=index,
            path=() if index is None else self.path(index, self.size),
            checkpoint=None if signed is None else self.checkpoint(signed),
            seen=seen,
            consistency=proofs,
        )

    def anchor(
        self, size: int | None = None, *, record_root: Digest = ROOT, commit: str = COMMIT
    ) -> AnchorLine:
        at = self.size if size is None else size
        index = self.entries.index(record_root.raw)
        return AnchorLine(
            commit=commit,
            digest=self.root(at),
            index=index,
            network="tlog",
            path=self.path(index, at),
            receipt={"checkpoint": self.checkpoint(at)},
            root=record_root,
            size=at,
            status="final",
        )


def log_of(size: int = 7, at: int = 4, *, key: SignerKey = KEY, root: Digest = ROOT) -> Log:
    """A log with the record root as entry `at`."""
    entries = [digest(f"entry {number}").raw for number in range(size)]
    entries[at] = root.raw
    return Log(tuple(entries), key)


LOG_7 = log_of()


def good() -> CommitEvidence:
    """A commit that is recorded, logged, signed and anchored, with clean artifacts."""
    return CommitEvidence(
        commit=COMMIT,
        subject="Add the training data",
        recomputed=RECORD,
        lines=(record_line(), LOG_7.anchor(6)),
        artifacts=(
            ArtifactEvidence("data", "clean"),
            ArtifactEvidence("models/net.pt", "clean"),
        ),
        logs=(LOG_7.evidence(signed=7, seen=LOG_7.head(5)),),
    )


def with_lines(*lines: NoteLine) -> CommitEvidence:
    return replace(good(), lines=lines)


def with_logs(*logs: LogEvidence) -> CommitEvidence:
    return replace(good(), logs=logs)


def findings(
    evidence: CommitEvidence, check: str, policy: Policy | None = None
) -> tuple[Finding, ...]:
    report = judge(evidence, policy or Policy())
    return tuple(finding for finding in report.findings if finding.check == check)


def only(evidence: CommitEvidence, check: str, policy: Policy | None = None) -> Finding:
    (finding,) = findings(evidence, check, policy)
    return finding


def failing(report: CommitReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.verdict is Verdict.FAIL]


def verdicts(found: Sequence[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in found]
