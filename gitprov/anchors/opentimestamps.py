"""OpenTimestamps: calendars put the digest into Bitcoin's chain together with thousands of others.

It costs nothing and needs no key. Until a calendar's transaction is in a block the timestamp is a
promise (pending); `refresh` completes it. Only configured calendars are ever contacted: a note may
name any address.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.config.anchors import OpenTimestampsConfig
from gitprov.errors import MalformedError, UnavailableError, UsageError
from gitprov.model.receipt_opentimestamps import OpenTimestampsReceipt
from gitprov.platform.http import Http, shown
from gitprov.verify import ots
from gitprov.verify.evidence import Answer
from gitprov.verify.opentimestamps import fits
from gitprov.verify.sentences import listed

MAX_REPLY_BYTES = 10_000
"""A calendar's answer that is larger is refused."""

_DEPTH = 6
_MAX_THREADS = 8
_HEADERS = {"Accept": "application/vnd.opentimestamps.v1", "User-Agent": "gitprov"}
_NO_NODE = "no Bitcoin node is configured, which has the headers (anchors.bitcoin.url)"

AskHeaders = Callable[[Sequence[int]], list[Answer]]
"""Gives Bitcoin's active chain at heights."""


class OpenTimestampsAnchor(Anchor):
    """The calendars, and for the last step a Bitcoin node if this clone has one."""

    def __init__(
        self,
        config: OpenTimestampsConfig,
        http: Http,
        *,
        headers: AskHeaders | None,
        clock: Callable[[], float],
    ) -> None:
        """Takes the configuration; `headers` asks the Bitcoin node, None when there is none."""
        if config.minimum > len(config.calendars):
            raise UsageError(
                f"anchors.opentimestamps.minimum is {config.minimum}, "
                f"but there are {len(config.calendars)} calendars"
            )
        self.config = config
        self._http = http
        self._headers = headers
        self._clock = clock

    @property
    def name(self) -> str:
        """The network's name."""
        return "opentimestamps"

    def target(self) -> str:
        """Returns the network's name: there is one."""
        return self.name

    def prepare(
        self,
        statement: Statement,
        earlier: Sequence[Submission],
        *,
        replaces: Submission | None = None,
    ) -> Submission:
        """Returns the digest as what is to be sent; nothing is signed or paid."""
        del earlier, replaces
        ots.new(statement.digest.raw)  # a missing library is found out before anything is kept
        return Submission(statement.digest.hex, statement.digest.raw, "", {})

    def submit(self, submission: Submission) -> Progress:
        """Gives the digest to all calendars; at least `minimum` have to take it."""
        digest = submission.raw
        timestamp = ots.new(digest)
        problems: list[str] = []
        answers = self._each(self.config.calendars, lambda calendar: self._post(calendar, digest))
        for answer in answers:
            if isinstance(answer, str):
                problems.append(answer)
            else:
                ots.merge(timestamp, answer)
        if len(answers) - len(problems) < self.config.minimum:
            raise UnavailableError(
                f"{len(answers) - len(problems)} of {len(answers)} calendars took the digest, "
                f"{self.config.minimum} must: {'; '.join(problems)}"
            )
        return self._progress(submission.locator, ots.write(timestamp), was="pending")

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Asks the calendars whether their promises are kept; see `Anchor.refresh`."""
        newest = submissions[-1]
        if not newest.receipt:
            return self.submit(newest)
        old = OpenTimestampsReceipt.parse(newest.receipt).ots
        timestamp = ots.parse(old)
        found = ots.read(old)
        allowed = set(self.config.calendars)
        asked = [one for one in found.pending if one.uri.rstrip("/") in allowed]
        if not found.bitcoin:
            replies = self._each(asked, lambda one: self._get(one.uri.rstrip("/"), one.commitment))
            for promise, reply in zip(asked, replies, strict=True):
                if not isinstance(reply, str) and reply is not None:
                    _upgrade(timestamp, promise.commitment, reply)
        return self._progress(newest.locator, ots.write(timestamp), was=was)

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """Asks the Bitcoin node for the blocks that timestamps name; see `Anchor.gather`."""
        attested = [_attested(receipt) for receipt in receipts]
        wanted = sorted({one.height for some in attested for one in some})
        nothing = Answer("OpenTimestamps", problem=_NO_NODE)
        if not wanted or self._headers is None:
            return [nothing] * len(receipts)
        try:
            found = dict(zip(wanted, self._headers(wanted), strict=True))
        except UnavailableError as exc:
            return [Answer("OpenTimestamps", problem=str(exc))] * len(receipts)
        return [_best(some, found) if some else nothing for some in attested]

    def _progress(self, locator: str, raw: bytes, *, was: State) -> Progress:
        found = ots.read(raw)
        receipt = OpenTimestampsReceipt(raw).to_json()
        if not found.bitcoin:
            calendars = listed([one.uri for one in found.pending])
            detail = f"pending: promised by {calendars}; complete after some hours"
            return Progress("pending", locator, receipt, detail)
        height = found.bitcoin[0].height
        if self._headers is None:
            detail = f"attested by Bitcoin's block {height:,}; {_NO_NODE}"
            # What a calendar says is not proven here: it stays as far as it was.
            return Progress("final" if was == "final" else "included", locator, receipt, detail)
        heights = [one.height for one in found.bitcoin]
        answer = _best(found.bitcoin, dict(zip(heights, self._headers(heights), strict=True)))
        if not any(fits(one, answer) for one in found.bitcoin):
            raise UnavailableError(
                f"{answer.asked} has another block at height {height:,} than the timestamp says"
            )
        state: State = "final" if answer.confirmations >= _DEPTH else "included"
        detail = f"in block {answer.block}, {answer.confirmations:,} of {_DEPTH} confirmations"
        return Progress(state, locator, receipt, detail)

    def _each(self, items: Sequence[Any], ask: Callable[[Any], Any]) -> list[Any]:
        """Asks side by side; what goes wrong stands as a text in its place."""

        def guarded(item: Any) -> Any:
            try:
                return ask(item)
            except (UnavailableError, MalformedError) as exc:
                return str(exc)

        if not items:
            return []
        with ThreadPoolExecutor(max_workers=min(len(items), _MAX_THREADS)) as pool:
            return list(pool.map(guarded, items))

    def _post(self, calendar: str, digest: bytes) -> Any:
        reply = self._http.request(
            "POST", f"{calendar}/digest", body=digest, headers=_HEADERS, limit=MAX_REPLY_BYTES
        )
        return self._timestamp(calendar, reply.status, reply.body, digest)

    def _get(self, calendar: str, commitment: bytes) -> Any:
        url = f"{calendar}/timestamp/{commitment.hex()}"
        reply = self._http.request("GET", url, headers=_HEADERS, limit=MAX_REPLY_BYTES)
        if reply.status == 404:
            return None  # not in a block yet
        return self._timestamp(calendar, reply.status, reply.body, commitment)

    def _timestamp(self, calendar: str, status: int, body: bytes, message: bytes) -> Any:
        if status != 200:
            raise UnavailableError(f"{shown(calendar)} answers with HTTP {status}")
        try:
            return ots.parse_reply(body, message)
        except MalformedError as exc:
            raise UnavailableError(f"{shown(calendar)} answers wrongly: {exc}") from None


def _upgrade(timestamp: Any, commitment: bytes, reply: Any) -> None:
    """Puts what a calendar says now below its promise."""
    if timestamp.msg == commitment:
        ots.merge(timestamp, reply)
        return
    for below in timestamp.ops.values():
        _upgrade(below, commitment, reply)


def _attested(receipt: Receipt) -> tuple[ots.InBitcoin, ...]:
    try:
        return ots.read(OpenTimestampsReceipt.parse(receipt).ots).bitcoin
    except (MalformedError, UnavailableError):
        return ()


def _best(attested: Sequence[ots.InBitcoin], found: Mapping[int, Answer]) -> Answer:
    """The answer about the attestation that holds; else about the first."""
    holding = (found[one.height] for one in attested if fits(one, found[one.height]))
    return next(holding, found[attested[0].height])
