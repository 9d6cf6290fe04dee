"""The list of checks, in the order in which a report shows them (DESIGN section 8)."""

from collections.abc import Callable

from gitprov.model.report import Finding
from gitprov.verify.anchors import anchors
from gitprov.verify.artifacts import artifacts
from gitprov.verify.evidence import CommitEvidence
from gitprov.verify.logs import log
from gitprov.verify.policy import Policy
from gitprov.verify.records import record_matches, record_present
from gitprov.verify.required import policy_met
from gitprov.verify.runs import runs

Check = Callable[[CommitEvidence, Policy], tuple[Finding, ...]]
"""A pure function: never raises for evidence, however hostile."""


CHECKS: tuple[Check, ...] = (
    record_present,
    record_matches,
    artifacts,
    log,
    anchors,
    runs,
    policy_met,
)
