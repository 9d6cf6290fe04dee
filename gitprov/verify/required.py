"""The check `policy`: enough of the networks that the policy requires hold a final anchor."""

from gitprov.model.report import Finding, Verdict
from gitprov.verify.anchors import passing_networks
from gitprov.verify.evidence import CommitEvidence
from gitprov.verify.policy import Policy


def policy_met(evidence: CommitEvidence, policy: Policy) -> tuple[Finding, ...]:
    """Enough of the required networks hold a final anchor of the record."""
    name, required = "policy", policy.required
    if required is None:
        return (Finding(name, Verdict.SKIP, "", "the policy requires no network"),)
    passing = passing_networks(evidence, policy, Verdict.PASS)
    if required.met_by(passing):
        return (Finding(name, Verdict.PASS, "", f"required {required}: anchored"),)
    lacking = ", ".join(network for network in required.networks if network not in passing)
    detail = f"required {required}: no final anchor that holds on {lacking}"
    open_ = passing_networks(evidence, policy, Verdict.PASS, Verdict.UNKNOWN)
    verdict = Verdict.UNKNOWN if required.met_by(open_) else Verdict.FAIL
    if verdict is Verdict.UNKNOWN:
        detail += ", but some could not be checked"
    return (Finding(name, verdict, "", detail),)
