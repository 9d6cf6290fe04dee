"""The list of checks, in the order in which a report shows them (DESIGN section 8)."""

from collections.abc import Callable

from gitprov.model.report import Finding, Verdict
from gitprov.verify.anchors import anchors, passing_networks
from gitprov.verify.artifacts import artifacts
from gitprov.verify.evidence import CommitEvidence
from gitprov.verify.logs import log
from gitprov.verify.policy import Policy
from gitprov.verify.records import record_matches, record_present
from gitprov.verify.runs import runs

Check = Callable[[CommitEvidence, Policy], tuple[Finding, ...]]
"""A pure function: never raises for evidence, however hostile."""


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


CHECKS: tuple[Check, ...] = (
    record_present,
    record_matches,
    artifacts,
    log,
    anchors,
    runs,
    policy_met,
)
