"""The checks `record-present` and `record-matches`: the note against the commit."""

from collections.abc import Iterator

from gitprov.model.note import MalformedLine, RecordLine, UnknownLine
from gitprov.model.record import ArtifactLeaf, CodeLeaf, Record
from gitprov.model.report import Finding, Verdict
from gitprov.verify.evidence import CommitEvidence, Malformed, Unavailable
from gitprov.verify.policy import Policy
from gitprov.verify.sentences import count, short

PRESENT = "record-present"
MATCHES = "record-matches"


def record_present(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """The note holds a record of this commit."""
    del policy
    if evidence.records:
        return (Finding(PRESENT, Verdict.PASS, "", "the note holds a record of this commit"),)
    verdict, detail = Verdict.FAIL, "the note holds no record of this commit"
    if _foreign(evidence):
        commit = short(_foreign(evidence)[0].commit)
        detail = f"the note holds only the record of another commit, {commit}"
    elif not evidence.lines and evidence.notes_known:
        detail = "no note holds a record of this commit; `gitprov record` makes one"
    elif not evidence.lines:
        verdict = Verdict.UNKNOWN
        detail = "no notes of gitprov are in this clone; `gitprov init` fetches them"
    return (Finding(PRESENT, verdict, "", detail),)


def record_matches(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """Every record line says what the commit itself gives, leaf by leaf."""
    del policy
    findings = [*_lines(evidence), *_several(evidence)]
    for line in evidence.records:
        findings.extend(_record(line, evidence))
    if not findings:
        findings.append(Finding(MATCHES, Verdict.SKIP, "", "there is no record to compare"))
    return tuple(findings)


def _record(line: RecordLine, evidence: CommitEvidence) -> Iterator[Finding]:
    if line.root != line.record.root:
        detail = f"recorded root {line.root}, but the recorded leaves give {line.record.root}"
        yield Finding(MATCHES, Verdict.FAIL, "root", detail)
    match evidence.recomputed:
        case Malformed(reason):
            detail = f"the commit gives no record: {reason}"
            yield Finding(MATCHES, Verdict.FAIL, "", detail)
        case Unavailable(reason):
            detail = f"the commit cannot be read here: {reason}"
            yield Finding(MATCHES, Verdict.UNKNOWN, "", detail)
        case Record() as given:
            different = list(_differences(line.record, given))
            for subject, detail in different:
                yield Finding(MATCHES, Verdict.FAIL, subject, detail)
            if not different and line.root == given.root:
                artifacts = count(len(given.artifacts), "artifact")
                detail = f"the code and {artifacts} are as recorded"
                yield Finding(MATCHES, Verdict.PASS, "", detail)


def _differences(recorded: Record, given: Record) -> Iterator[tuple[str, str]]:
    if recorded.code != given.code:
        yield "code", _code(recorded.code, given.code)
    old = {leaf.path: leaf for leaf in recorded.artifacts}
    new = {leaf.path: leaf for leaf in given.artifacts}
    for path in sorted(old.keys() | new.keys()):
        if path not in new:
            yield path, f"recorded {old[path].root}, but the commit has no pointer for it"
        elif path not in old:
            yield path, f"not recorded, but the commit has a pointer for it: {new[path].root}"
        elif old[path] != new[path]:
            yield path, _artifact(old[path], new[path])


def _code(recorded: CodeLeaf, given: CodeLeaf) -> str:
    if recorded.commit_blake3 != given.commit_blake3:
        text = f"recorded {recorded.commit_blake3}, the commit gives {given.commit_blake3}"
        return text + ("; its tree differs" if recorded.tree_blake3 != given.tree_blake3 else "")
    if recorded.tree_blake3 != given.tree_blake3:
        return f"recorded tree {recorded.tree_blake3}, the commit gives {given.tree_blake3}"
    if recorded.commit != given.commit:
        return f"recorded commit {recorded.commit}, this is {given.commit}"
    return f"recorded object format {recorded.object_format}, this is {given.object_format}"


def _artifact(recorded: ArtifactLeaf, given: ArtifactLeaf) -> str:
    if recorded.root != given.root:
        return f"recorded {recorded.root}, the commit gives {given.root}"
    old, new = recorded.to_json(), given.to_json()
    keys = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    parts = [
        f"recorded {key} {old.get(key, 'nothing')}, the commit gives {new.get(key, 'nothing')}"
        for key in keys
    ]
    return "; ".join(parts)


def _several(evidence: CommitEvidence) -> Iterator[Finding]:
    roots = sorted({str(line.root) for line in evidence.records})
    if len(evidence.records) > 1:
        named = f": {', '.join(roots)}" if len(roots) > 1 else f", all under the root {roots[0]}"
        number = count(len(evidence.records), "different record")
        yield Finding(
            MATCHES, Verdict.FAIL, "note", f"the note holds {number} of this commit{named}"
        )


def _lines(evidence: CommitEvidence) -> Iterator[Finding]:
    """What is in the note besides records and anchors of this commit."""
    for line in evidence.unique_lines:
        if isinstance(line, MalformedLine):
            detail = f"a line of the note is malformed: {line.reason}"
            yield Finding(MATCHES, Verdict.FAIL, "note", detail)
        elif isinstance(line, UnknownLine):
            detail = "a line of the note has a type that this version cannot check"
            yield Finding(MATCHES, Verdict.UNKNOWN, "note", detail)
    for record in _foreign(evidence):
        yield _copied(record, has_own=bool(evidence.records))


def _copied(line: RecordLine, *, has_own: bool) -> Finding:
    if line.record.code.commit != line.commit or line.record.root != line.root:
        detail = f"a record line names the commit {short(line.commit)}, but its leaves do not fit"
        return Finding(MATCHES, Verdict.FAIL, "note", detail)
    detail = f"a record of the commit {short(line.commit)} was copied here (notes.rewriteRef?)"
    if has_own:
        return Finding(MATCHES, Verdict.SKIP, "note", f"{detail} and does not count")
    return Finding(MATCHES, Verdict.FAIL, "note", f"{detail}; `gitprov record` makes the right one")


def _foreign(evidence: CommitEvidence) -> list[RecordLine]:
    return [
        line
        for line in evidence.unique_lines
        if isinstance(line, RecordLine) and line.commit != evidence.commit
    ]
