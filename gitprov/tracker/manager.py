"""`BlockchainManager`: hashes of one's own into the log and to the networks."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitprov.anchors.registry import open_anchor
from gitprov.core.canonical import dumps
from gitprov.core.digest import Digest
from gitprov.core.merkle import RUN
from gitprov.errors import GitprovError, UsageError
from gitprov.model.note import StatementLine
from gitprov.model.report import Verdict
from gitprov.ops.networks import anchors_config, chosen_networks, network_states
from gitprov.ops.statements import head_commit, log_entry, state, statements
from gitprov.ops.verify_runs import verify_statement
from gitprov.tracker.report import verdict_json
from gitprov.tracker.session import Config, Session, locators
from gitprov.workspace import Workspace

if TYPE_CHECKING:
    from gitprov.model.run import Leaf

_HASH = re.compile(r"(?:0x|[a-z0-9_-]{1,16}:)?([0-9a-fA-F]{64})", re.ASCII)


class BlockchainManager:
    """Stores hashes on the configured networks, and tells whether they are there.

    A thin face over gitprov's log and anchors: a hash becomes a leaf, with its metadata, and the
    leaf's root an entry of the log, whose signed head the networks witness.
    """

    def __init__(self, config: Config = None) -> None:
        """Takes the earlier system's configuration, as a dict or a file.

        Raises:
            UsageError: it cannot be used, or there is no repository here.
        """
        self._session = Session.begin(config)

    def store_merkle_hash(
        self,
        merkle_root_hash: str,
        metadata: Mapping[str, Any] | None = None,
        networks: Sequence[str] | None = None,
    ) -> dict[str, str]:
        """Stores a hash with what is said of it.

        Args:
            merkle_root_hash: 64 hexadecimal digits, with or without `0x` or `sha256:` in front.
            metadata: bound together with it.
            networks: the networks; the configured ones by default.

        Returns:
            Network -> transaction id; a network that is down is left out, and tried again later.
        """
        from gitprov.tracker.recorded import Recorded

        digits = _digits(merkle_root_hash)
        leaf: Leaf = {
            "metadata": Recorded(metadata or {}, "metadata", self._session.redactor).json,
            "type": "hash",
            "value": digits,
        }
        root = Digest(RUN.leaf(dumps(leaf)))
        with self._session.workspace() as ws:
            chosen = self._chosen(ws, networks)
            index = state(ws, head_commit(ws), f"hash/{digits}", root, [leaf])
            return locators(self._session.witness(ws, chosen, index))

    def verify_merkle_hash(
        self, merkle_root_hash: str, transaction_ids: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Tells whether a hash was stored, and whether every transaction named is of it.

        Returns:
            `verified`, `verdict`, `metadata`, and by network `verdict` and `detail`.
        """
        digits = _digits(merkle_root_hash)
        with self._session.workspace() as ws:
            self._session.refresh(ws)
            lines = [one for one in statements(ws) if one.name == f"hash/{digits}"]
            if not lines:
                return {"verified": False, "verdict": "fail", "metadata": [], "networks": {}}
            report = verify_statement(
                ws, lines, means=self._session.means(ws), now=int(time.time())
            )
            networks = verdict_json(report)["stages"].get(f"hash/{digits}", {})
            known = self._locators(ws, lines)
        for network, transaction in (transaction_ids or {}).items():
            if transaction not in known.get(network, ()):
                networks[network] = {
                    "verdict": Verdict.FAIL.value,
                    "detail": f"{transaction} is no transaction for this hash",
                }
        failed = any(one["verdict"] == "fail" for one in networks.values())
        verdict = Verdict.FAIL if failed else report.verdict
        return {
            "verified": verdict is Verdict.PASS,
            "verdict": verdict.value,
            "metadata": [leaf.get("metadata") for line in lines for leaf in line.leaves],
            "networks": networks,
        }

    def get_transaction_info(self, transaction_ids: Mapping[str, str]) -> dict[str, Any]:
        """Returns what is known of transactions, and what their networks say of them now.

        Args:
            transaction_ids: network -> transaction id, as `store_merkle_hash` returned them.
        """
        found: dict[str, Any] = {}
        with self._session.workspace() as ws:
            self._session.refresh(ws)
            for network, transaction in transaction_ids.items():
                found[network] = {
                    "transaction": transaction,
                    **self._info(ws, network, transaction),
                }
        return found

    def _info(self, ws: Workspace, network: str, transaction: str) -> dict[str, Any]:
        if network == "tlog":
            return {"state": "final", "detail": "an entry of this clone's signed log"}
        jobs = [
            job
            for one in network_states(ws)
            if one.network == network
            for job in one.jobs
            if job.locator == transaction
        ]
        if not jobs:
            return {"state": "unknown", "detail": "this clone has not sent it"}
        job = jobs[-1]
        info: dict[str, Any] = {"state": job.state, "detail": job.detail, "receipt": job.receipt}
        means = self._session.means(ws)
        try:
            with means.http() as http:
                anchor = open_anchor(network, anchors_config(ws), means, http)
                [answer] = anchor.gather([job.receipt])
        except GitprovError as exc:
            return {**info, "problem": str(exc)}
        return {
            **info,
            "chain": answer.chain,
            "block": answer.block,
            "time": answer.time,
            "confirmations": answer.confirmations,
            "problem": answer.problem or answer.contradiction,
        }

    def _chosen(self, ws: Workspace, networks: Sequence[str] | None) -> tuple[str, ...]:
        if networks is None:
            return self._session.networks(ws)
        config = anchors_config(ws)
        for name in networks:
            if name != "tlog" and not config.is_set_up(name):
                raise UsageError(
                    f"{name} is no network that is set up here",
                    hint=f"configured: {', '.join(('tlog', *config.networks))}",
                )
        return chosen_networks(config, networks) if set(networks) - {"tlog"} else ()

    def _locators(self, ws: Workspace, lines: Sequence[StatementLine]) -> dict[str, set[str]]:
        """The transactions that witness a head which covers one of the roots."""
        known: dict[str, set[str]] = {}
        for line in lines:
            entry = log_entry(ws, line.root)
            if entry is None:
                continue
            origin, index = entry
            known.setdefault("tlog", set()).add(f"{origin}#{index}")
            for one in network_states(ws):
                for job in one.jobs:
                    if job.live and job.size > index:
                        known.setdefault(one.network, set()).add(job.locator)
        return known


def _digits(text: str) -> str:
    found = _HASH.fullmatch(str(text))
    if found is None:
        raise UsageError(
            "a Merkle root hash has 64 hexadecimal digits", hint="for example hashlib's hexdigest()"
        )
    return found[1].lower()
