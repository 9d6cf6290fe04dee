"""Judges a proof file without its repository: `gitprov check` (docs/formats.md, "Proof")."""

from collections.abc import Iterator, Sequence

from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import MANIFEST, RECORD
from gitprov.errors import VerificationError
from gitprov.model.bundle import Bundle, follow
from gitprov.model.entry import leaf
from gitprov.model.note import AnchorLine
from gitprov.model.pointer import NO_WEIGHTS, may_have_weights
from gitprov.model.report import CommitReport, Finding, Report, Verdict
from gitprov.model.signed_note import VerifierKey
from gitprov.verify.policy import pinned_keys
from gitprov.verify.sentences import count, short
from gitprov.verify.tlog import check_head, check_line, checkpoint_of, signer_of


def check_bundle(
    bundle: Bundle,
    data_digest: Digest | None = None,
    data_size: int | None = None,
    trusted_keys: Sequence[str] = (),
) -> Report:
    """Judges every step of a proof.

    Args:
        bundle: the proof.
        data_digest: the digest of the file at hand, or None when there is none.
        data_size: its size in bytes.
        trusted_keys: verifier keys that the reader trusts; one of them must have signed.

    Raises:
        UsageError: a trusted key is not a verifier key.
    """
    trusted = pinned_keys(trusted_keys, place="--key")
    findings = (
        _data(bundle, data_digest, data_size),
        _manifest(bundle),
        _record(bundle),
        *_anchors(bundle, trusted),
    )
    path = bundle.path.raw.decode()
    return Report((CommitReport(bundle.code.commit, path, bundle.root, findings),))


def _data(bundle: Bundle, digest: Digest | None, size: int | None) -> Finding:
    name, subject = "data-matches", bundle.path.raw.decode()
    if digest is None:
        return Finding(name, Verdict.SKIP, subject, "no data file was given to compare")
    if digest != bundle.file.digest:
        detail = f"the proof is of {bundle.file.digest}, the data file gives {digest}"
        return Finding(name, Verdict.FAIL, subject, detail)
    if size is not None and size != bundle.file.size:
        detail = f"the proof is of {count(bundle.file.size, 'byte')}, the data file has {size:,}"
        return Finding(name, Verdict.FAIL, subject, detail)
    return Finding(name, Verdict.PASS, subject, f"the data file is {digest}, as in the proof")


def _manifest(bundle: Bundle) -> Finding:
    name, subject = "manifest", bundle.artifact.path
    try:
        fault = _climb(bundle)
    except VerificationError as exc:
        fault = str(exc)
    if fault:
        return Finding(name, Verdict.FAIL, subject, fault)
    levels = count(len(bundle.manifest), "manifest")
    detail = f"the file leads to the artifact's root through {levels}"
    if not bundle.manifest:
        detail = "the file is the artifact itself"
    return Finding(name, Verdict.PASS, subject, detail)


def _climb(bundle: Bundle) -> str:
    """Follows the entries up to the artifact's root; returns what is wrong, or ""."""
    artifact, file = bundle.artifact, bundle.file
    # A note's leaf is held against the commit; of a proof's nobody has the pointer.
    if artifact.entry != "dir" and artifact.files != 1:
        return f"the artifact's leaf says files {artifact.files} of one file"
    if artifact.weights and not may_have_weights(artifact.kind, artifact.entry):
        return f"the artifact's leaf says weights, and {NO_WEIGHTS}"
    entries = bundle.entries()
    if not entries:
        wanted = {"file": "f", "exec": "x"}.get(artifact.entry)
        if (file.kind, file.digest, file.size) != (wanted, artifact.root, artifact.size):
            return "the file is not the one that the artifact's leaf names"
        return ""
    if artifact.entry != "dir":
        return "the artifact is not a directory"
    for entry, level in zip(entries, bundle.manifest, strict=True):
        if follow(MANIFEST, MANIFEST.leaf(leaf(entry)), level.route) != level.root.raw:
            return f"'{entry.name.decode()}' does not lead to the manifest root {level.root}"
    top = bundle.manifest[-1]
    if top.root != artifact.root:
        return f"the manifests lead to {top.root}, the artifact's root is {artifact.root}"
    if top.size != artifact.size:
        sizes = f"{count(top.size, 'byte')}, the artifact's leaf says {artifact.size:,}"
        return f"the artifact's manifest has {sizes}"
    return ""


def _record(bundle: Bundle) -> Finding:
    name, subject = "record", bundle.artifact.path
    code = follow(RECORD, RECORD.leaf(dumps(bundle.code.to_json())), bundle.code_route)
    if code != bundle.root.raw:
        detail = f"the code leads to {Digest(code)}, the artifact to {bundle.root}"
        return Finding(name, Verdict.FAIL, subject, detail)
    if any(step.side == "L" for step in bundle.code_route):
        return Finding(name, Verdict.FAIL, subject, "the code leaf is not the record's first leaf")
    if all(step.side == "R" for step in bundle.artifact_route):
        return Finding(name, Verdict.FAIL, subject, "the artifact stands where the code leaf must")
    detail = f"the code and the artifact lead to the record root {bundle.root}"
    return Finding(name, Verdict.PASS, subject, detail)


def _anchors(bundle: Bundle, trusted: tuple[VerifierKey, ...]) -> Iterator[Finding]:
    lines = [line for line in bundle.anchors if line.network == "tlog"]
    if not lines:
        yield Finding("log", Verdict.FAIL, "", "the proof holds no anchor line of a log")
    for line in lines:
        yield _log(line, bundle)
        yield from _signature(line, bundle, trusted)
    for line in bundle.anchors:
        if line.network != "tlog":
            detail = f"this version cannot check anchors of the network {line.network}"
            yield Finding(f"anchor:{line.network}", Verdict.UNKNOWN, "", detail)
    signers = {key for line in lines if (key := _signer(line, bundle.vkeys)) is not None}
    for key in bundle.vkeys:
        if key not in signers:
            yield Finding(
                "signature", Verdict.FAIL, key.name, "this key signed no head in the proof"
            )


def _log(line: AnchorLine, bundle: Bundle) -> Finding:
    detail = f"entry {line.index} of the log at size {line.size} is the record root"
    verdict = Verdict.PASS
    if line.commit != bundle.code.commit:
        verdict, detail = Verdict.FAIL, f"the anchor is of the commit {short(line.commit)}"
    elif line.root != bundle.root:
        verdict, detail = Verdict.FAIL, f"the anchor is of the record root {line.root}"
    elif line.status != "final":
        verdict, detail = Verdict.FAIL, f"the anchor is {line.status!r}, not final"
    else:
        try:
            check_line(line)
        except VerificationError as exc:
            verdict, detail = Verdict.FAIL, f"the record root does not lead to the head: {exc}"
    return Finding("log", verdict, "", detail)


def _signature(
    line: AnchorLine, bundle: Bundle, trusted: tuple[VerifierKey, ...]
) -> Iterator[Finding]:
    name = "signature"
    try:
        origin = check_head(line).origin
        signer = signer_of(checkpoint_of(line), trusted or bundle.vkeys)
    except VerificationError as exc:
        yield Finding(name, Verdict.FAIL, "", f"the signed head does not hold: {exc}")
        return
    if signer is None:
        whose = "a key that you do not trust" if trusted else "a key that is not in the proof"
        yield Finding(name, Verdict.FAIL, origin, f"the head is signed with {whose}")
        return
    yield Finding(name, Verdict.PASS, origin, f"the head of size {line.size} is signed by its log")
    if not trusted:
        detail = f"key not pinned: {signer}, compare it with --key"
        yield Finding(name, Verdict.SKIP, origin, detail)


def _signer(line: AnchorLine, keys: Sequence[VerifierKey]) -> VerifierKey | None:
    try:
        return signer_of(checkpoint_of(line), keys)
    except VerificationError:
        return None
