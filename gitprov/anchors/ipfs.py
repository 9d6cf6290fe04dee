"""IPFS: the signed head and the records as raw blocks, each named by its own BLAKE3 digest.

It proves that they can be had from somewhere, and no time; every sentence says so.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from gitprov.anchors.base import Anchor, Progress, Receipt, State, Statement, Submission
from gitprov.anchors.ipfs_client import Kubo, PinningService, from_gateway
from gitprov.config.anchors import IpfsConfig
from gitprov.core import car, cid
from gitprov.core.digest import Digest
from gitprov.errors import GitprovError, MalformedError, UnavailableError, UsageError
from gitprov.errors import VerificationError as WrongBytesError
from gitprov.model.receipt_ipfs import IpfsReceipt
from gitprov.platform.http import Http, shown
from gitprov.verify.evidence import Answer

MAX_CAR_BYTES = 128 << 20
"""More records at once than fit into this are not published with one head."""

_MAX_THREADS = 8
_WHAT = "availability, not time"


class IpfsAnchor(Anchor):
    """A Kubo node that keeps the blocks, gateways that show that others can have them."""

    def __init__(
        self,
        config: IpfsConfig,
        http: Http,
        *,
        secret: Callable[[str], str],
        clock: Callable[[], float],
    ) -> None:
        """Takes the configuration; `secret` resolves `env:NAME` in the pinning service's token."""
        if config.url is None:
            raise UsageError("anchors.ipfs.url is missing")
        self.config = config
        self._http = http
        self._kubo = Kubo(http, config.url)
        self._clock = clock
        self._service: PinningService | None = None
        if config.pinning_url is not None:
            token = secret(config.pinning_token or "")
            self._service = PinningService(http, config.pinning_url, token)

    @property
    def name(self) -> str:
        """The network's name."""
        return "ipfs"

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
        """Returns an archive of the head and of the records that it newly covers."""
        del earlier, replaces
        blocks = [statement.signed.encode()]
        size = 0
        for block in statement.blocks():
            size += len(block)
            if size > MAX_CAR_BYTES:
                raise UsageError(
                    f"the records have more than {MAX_CAR_BYTES >> 20} MiB, too many to publish "
                    "with one head",
                    hint="gitprov export --car FILE, then ipfs dag import FILE",
                )
            blocks.append(block)
        archive = car.write(blocks, roots=1)
        receipt = IpfsReceipt.of(statement.signed)
        return Submission(cid.to_text(receipt.digest), archive, "", receipt.to_json())

    def submit(self, submission: Submission) -> Progress:
        """Gives the archive to our node, and asks the pinning service for all that is in it."""
        self._kubo.import_car(submission.raw)
        if self._service is not None:
            codec, digest = cid.parse_bytes(car.roots_of(submission.raw)[0])
            origins = self._kubo.addresses()
            self._service.pin(digest, "gitprov", codec=codec, origins=origins)
        return self.refresh([submission], was="pending")

    def refresh(self, submissions: Sequence[Submission], *, was: State) -> Progress:
        """Asks whether our node, and a second place, has the head; see `Anchor.refresh`."""
        newest = submissions[-1]
        digest = IpfsReceipt.parse(newest.receipt).digest
        if self._kubo.get(digest) is None:
            detail = f"{self._kubo.where} does not have it any more ({_WHAT})"
            return Progress("pending", newest.locator, newest.receipt, detail, missing=True)
        served = next((where for where in self.config.gateways if self._serves(where, digest)), "")
        detail = f"pinned by {self._kubo.where}{self._pinned_elsewhere(newest)}"
        if served:
            detail += f"; served by {shown(served)}"
        elif was == "final":
            detail += "; no gateway serves it now"
        elif self.config.gateways:
            detail += "; no gateway serves it yet"
        else:
            detail += "; final when a gateway serves it, and anchors.ipfs.gateways names none"
        state: State = "final" if served or was == "final" else "included"
        return Progress(state, newest.locator, newest.receipt, f"{detail} ({_WHAT})")

    def gather(self, receipts: Sequence[Receipt]) -> list[Answer]:
        """Asks our node, then the gateways, for each head; see `Anchor.gather`.

        Who does not answer for one head is not asked for the others.
        """
        digests = [_digest(receipt) for receipt in receipts]
        unique = list(dict.fromkeys(digest for digest in digests if digest is not None))
        nothing = Answer("IPFS", problem="the receipt is not well formed")
        if not unique:
            return [nothing] * len(receipts)
        look = _Look(self._places())
        with ThreadPoolExecutor(max_workers=min(len(unique), _MAX_THREADS)) as pool:
            found = dict(zip(unique, pool.map(look.at, unique), strict=True))
        return [nothing if digest is None else found[digest] for digest in digests]

    def _places(self) -> "dict[str, _Ask]":
        places: dict[str, _Ask] = {self._kubo.where: self._kubo.get}
        for gateway in self.config.gateways:
            places[f"the gateway {shown(gateway)}"] = partial(from_gateway, self._http, gateway)
        return places

    def _serves(self, gateway: str, digest: Digest) -> bool:
        try:
            return from_gateway(self._http, gateway, digest) is not None
        except GitprovError:
            return False  # our own node has it; a gateway that lies or sleeps proves nothing

    def _pinned_elsewhere(self, submission: Submission) -> str:
        """What the pinning service says, for people: it is a claim, and no bytes."""
        if self._service is None:
            return ""
        try:
            codec, digest = cid.parse_bytes(car.roots_of(submission.raw)[0])
            state = self._service.state(digest, codec) or "not asked"
        except GitprovError as exc:
            return f"; {exc}"
        return f"; {self._service.where}: {state}"


_Ask = Callable[[Digest], bytes | None]
"""Returns the bytes that a place has, None when it has none; raises as `from_gateway` does."""


class _Look:
    """Looks for heads at places, from several threads."""

    def __init__(self, places: dict[str, _Ask]) -> None:
        self._places = places
        self._silent: dict[str, str] = {}

    def at(self, digest: Digest) -> Answer:
        """Asks one place after the other until one serves what the digest names."""
        wrong = ""
        lacking: list[str] = []
        problems: list[str] = []
        for where, ask in self._places.items():
            problem = self._silent.get(where)
            if problem is None:
                try:
                    if ask(digest) is not None:
                        return Answer(where, final=True)
                    lacking.append(where)
                    continue
                except WrongBytesError as exc:
                    wrong = wrong or str(exc)
                    continue
                except UnavailableError as exc:
                    problem = self._silent[where] = str(exc)
            problems.append(problem)
        if wrong:
            return Answer("IPFS", contradiction=wrong)
        if not lacking:
            return Answer("IPFS", problem="; ".join(problems))
        return Answer(" and ".join(lacking))


def _digest(receipt: Receipt) -> Digest | None:
    try:
        return IpfsReceipt.parse(receipt).digest
    except MalformedError:
        return None
