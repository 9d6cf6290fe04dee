"""What a repository demands of a commit: networks that must witness it, keys that count."""

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from gitprov.core.canonical import Json
from gitprov.errors import MalformedError, UsageError
from gitprov.model.signed_note import VerifierKey
from gitprov.verify.trust import Trust, parse_block

NETWORKS = ("tlog", "ethereum", "bitcoin", "opentimestamps", "ipfs")
"""The networks that a policy may name."""

MAX_KEYS = 1000


@dataclass(frozen=True, slots=True)
class Requirement:
    """At least so many of these networks; "all" is all of them, "any" is one."""

    at_least: int
    networks: tuple[str, ...]

    @classmethod
    def all_of(cls, *networks: str) -> Self:
        """Every network."""
        return cls(len(networks), networks)

    @classmethod
    def any_of(cls, *networks: str) -> Self:
        """One of the networks."""
        return cls(1, networks)

    @classmethod
    def parse(cls, value: Json) -> Self | None:
        """Parses `[tlog]`, `{all: […]}`, `{any: […]}` or `{at_least: 2, of: […]}`.

        Raises:
            UsageError: any other shape, an unknown network, a number that cannot be met.
        """
        place = "policy.required"
        if isinstance(value, list):
            networks = _networks(value, place)
            return cls.all_of(*networks) if networks else None
        if not isinstance(value, dict):
            raise UsageError(f"{place} must be a list of networks, or all, any, at_least with of")
        _check_keys(value, ("all", "any", "at_least", "of"), place)
        if set(value) == {"all"}:
            return cls.all_of(*_some(value["all"], f"{place}.all"))
        if set(value) == {"any"}:
            return cls.any_of(*_some(value["any"], f"{place}.any"))
        if set(value) == {"at_least", "of"}:
            number, networks = value["at_least"], _some(value["of"], f"{place}.of")
            if isinstance(number, bool) or not isinstance(number, int):
                raise UsageError(f"{place}.at_least must be a whole number")
            if not 1 <= number <= len(networks):
                raise UsageError(f"{place}.at_least must be from 1 to {len(networks)}")
            return cls(number, networks)
        raise UsageError(
            f"{place} must have one of: all, any, at_least with of",
            hint="for example: required: {any: [tlog, opentimestamps]}",
        )

    def met_by(self, networks: Collection[str]) -> bool:
        """Whether enough of the wanted networks are among these."""
        return sum(network in networks for network in self.networks) >= self.at_least

    def __str__(self) -> str:
        """The requirement as a reader says it."""
        names = ", ".join(self.networks)
        if len(self.networks) == 1:
            return names
        if self.at_least == len(self.networks):
            return f"all of {names}"
        return f"one of {names}" if self.at_least == 1 else f"{self.at_least} of {names}"


@dataclass(frozen=True, slots=True)
class Policy:
    """What is required and what is trusted.

    Attributes:
        required: which networks must witness a record, or None.
        tlog_keys: verifier keys of the logs that count; empty: any log, and the report says so.
        require_data: data that is nowhere here is UNKNOWN, not SKIP (`--require-data`), and what
            the store has of it is hashed.
        trust: what is trusted of the other networks.
    """

    required: Requirement | None = None
    tlog_keys: tuple[str, ...] = ()
    require_data: bool = False
    trust: Mapping[str, Trust] = field(default_factory=dict)

    @property
    def pinned(self) -> tuple[VerifierKey, ...]:
        """The keys of `tlog_keys`; UsageError when one is not a verifier key."""
        return pinned_keys(self.tlog_keys, place="policy.tlog.keys")

    def trusting(self, blocks: Iterable[str]) -> Self:
        """Returns the same policy, which also trusts these blocks to be in their chains.

        Raises:
            UsageError: one is not the hash of a block.
        """
        hashes = frozenset(parse_block(text) for text in blocks)
        more = {
            name: replace(trust, blocks=trust.blocks | hashes)
            for name in ("ethereum", "bitcoin", "opentimestamps")
            for trust in [self.trust.get(name, Trust())]
        }
        return replace(self, trust={**self.trust, **more})

    @classmethod
    def parse(cls, section: Mapping[str, Json] | None) -> Self:
        """Parses the section `policy` of the configuration; None is the empty policy.

        Raises:
            UsageError: an unknown key (the nearest known one is named) or a wrong type.
        """
        if section is None:
            return cls()
        if not isinstance(section, Mapping):
            raise UsageError("policy must be a mapping")
        _check_keys(section, ("required", "require_data", *NETWORKS), "policy")
        require_data = section.get("require_data", False)
        if not isinstance(require_data, bool):
            raise UsageError("policy.require_data must be true or false")
        sections: dict[str, Mapping[str, Json]] = {}
        for network in NETWORKS:
            value = section.get(network)
            if value is None:
                continue
            if not isinstance(value, dict):
                raise UsageError(f"policy.{network} must be a mapping")
            sections[network] = dict(value)
        tlog = sections.pop("tlog", {})
        _check_keys(tlog, ("keys",), "policy.tlog")
        required = section.get("required")
        return cls(
            required=None if required is None else Requirement.parse(required),
            tlog_keys=_keys(tlog.get("keys"), "policy.tlog.keys"),
            require_data=require_data,
            trust={name: Trust.parse(name, value) for name, value in sections.items()},
        )


def pinned_keys(texts: Iterable[str], *, place: str) -> tuple[VerifierKey, ...]:
    """Parses keys that a person named; `place` says where.

    Raises:
        UsageError: one is not a verifier key.
    """
    keys: list[VerifierKey] = []
    for text in texts:
        try:
            keys.append(VerifierKey.parse(text))
        except MalformedError:
            raise UsageError(
                f"{place}: {text[:120]!r} is not a verifier key",
                hint="it looks like gitprov/<repository>/<log id>+<8 hex digits>+<base64>",
            ) from None
    return tuple(keys)


def _keys(value: Json, place: str) -> tuple[str, ...]:
    texts = _strings([] if value is None else value, place)
    if len(texts) > MAX_KEYS:
        raise UsageError(f"{place} has more than {MAX_KEYS} keys")
    pinned_keys(texts, place=place)
    return texts


def _some(value: Json, place: str) -> tuple[str, ...]:
    networks = _networks(value, place)
    if not networks:
        raise UsageError(f"{place} names no network")
    return networks


def _networks(value: Json, place: str) -> tuple[str, ...]:
    names = _strings(value, place)
    for name in names:
        if name not in NETWORKS:
            raise UsageError(f"{place}: unknown network {name!r}", hint=_nearest(name, NETWORKS))
    return names


def _strings(value: Json, place: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise UsageError(f"{place} must be a list")
    texts = tuple(item for item in value if isinstance(item, str))
    if len(texts) != len(value):
        raise UsageError(f"{place} must be a list of strings")
    if len(set(texts)) != len(texts):
        raise UsageError(f"{place} names something twice")
    return texts


def _check_keys(value: Iterable[object], known: tuple[str, ...], place: str) -> None:
    for key in value:
        if key not in known:
            raise UsageError(f"unknown key {key!r} in {place}", hint=_nearest(str(key), known))


def _nearest(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
