"""The check `artifacts`: the data that is here against the manifests, one finding per artifact."""

from gitprov.model.record import ArtifactLeaf, Record
from gitprov.model.report import Finding, Verdict
from gitprov.verify.evidence import ArtifactEvidence, Change, CommitEvidence, How
from gitprov.verify.policy import Policy
from gitprov.verify.sentences import MAX_NAMED, count, listed

NAME = "artifacts"

_HOW: dict[How, str] = {
    "corrupt": "damaged in the store:",
    "modified": "modified",
    "added": "added",
    "deleted": "deleted",
    "missing": "missing in the store:",
}
"""In the order in which a sentence names them: the worst first."""


def artifacts(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """Each artifact's files here are those of its manifest, and its pointer says the truth."""
    if not isinstance(evidence.recomputed, Record):
        detail = "the commit's own record is needed first"
        return (Finding(NAME, Verdict.UNKNOWN, "", detail),)
    found = {artifact.path: artifact for artifact in evidence.artifacts}
    findings = [
        _unlooked(leaf) if leaf.path not in found else _artifact(leaf, found[leaf.path], policy)
        for leaf in evidence.recomputed.artifacts
    ]
    if not findings:
        findings.append(Finding(NAME, Verdict.SKIP, "", "the commit has no artifacts"))
    return tuple(findings)


def _unlooked(leaf: ArtifactLeaf) -> Finding:
    return Finding(NAME, Verdict.UNKNOWN, leaf.path, "its data was not looked at")


def _artifact(leaf: ArtifactLeaf, found: ArtifactEvidence, policy: Policy) -> Finding:
    wrong = [change for change in found.changes if change.how != "missing"]
    absent = Verdict.UNKNOWN if policy.require_data else Verdict.SKIP
    files = count(leaf.files, "file")
    verdict, detail = Verdict.UNKNOWN, found.problem or "its data could not be read"
    if wrong or found.state in {"modified", "corrupt"}:
        verdict, detail = Verdict.FAIL, _named(found)
        if found.same_weights:
            detail += "; same weights, other container"
        detail = "; ".join((detail, *found.misstated))
    elif found.misstated:
        verdict, detail = Verdict.FAIL, "; ".join(found.misstated)
    elif found.state == "clean":
        again = "; the store was hashed again and matches" if found.rehashed else ""
        again += _ignored(found.ignored)
        verdict, detail = Verdict.PASS, f"{files} in the worktree as recorded{again}"
    elif found.state == "missing":
        verdict, detail = absent, _named(found)
    elif found.state == "absent":
        verdict, detail = absent, f"its data is not here ({files}, {count(leaf.size, 'byte')})"
    elif found.state == "not-checked-out" and found.rehashed:
        detail = f"{files} in the store, hashed again and as recorded; not checked out"
        verdict = Verdict.PASS
    elif found.state == "not-checked-out":
        verdict, detail = absent, "in the store, not checked out; `--deep` hashes the store again"
    return Finding(NAME, verdict, leaf.path, detail)


def _ignored(number: int) -> str:
    if not number:
        return ""
    verb = "is" if number == 1 else "are"
    return f"; {count(number, 'ignored name')} beside them {verb} no part of it"


def _named(found: ArtifactEvidence) -> str:
    if not found.changes:
        return {
            "corrupt": "its data in the store is corrupt",
            "missing": "the store lacks some of its data",
        }.get(found.state, "its data differs from what is recorded")
    number = len(found.changes)
    return f"{count(number, 'file')} differ{'s' * (number == 1)}: {_by_kind(found.changes)}"


def _by_kind(changes: tuple[Change, ...]) -> str:
    """Names up to `MAX_NAMED` files in all, and counts the rest."""
    parts: list[str] = []
    left = MAX_NAMED
    unnamed = 0
    for how, words in _HOW.items():
        paths = [change.path for change in changes if change.how == how]
        if paths[:left]:
            parts.append(f"{words} {listed(paths[:left])}")
        unnamed += len(paths[left:])
        left -= len(paths[:left])
    return "; ".join(parts) + (f" and {unnamed:,} more" if unnamed else "")
