"""The configuration: frozen values from the text of two YAML files; it reads no file itself.

`.gitprov.yaml` is tracked, so it comes from whoever can push: it may not name folders, commands,
keys or credentials. `<git common dir>/gitprov/config.yaml` is this clone's own and may.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, Self, cast

from gitprov.core.canonical import Json
from gitprov.errors import UsageError

TRACKED_NAME = ".gitprov.yaml"
LOCAL_NAME = "config.yaml"
VERSION = 1

MAX_CONFIG_BYTES = 64 << 10
"""A configuration larger than this is refused before it is parsed."""

LinkMode = Literal["auto", "copy", "hardlink", "symlink"]
Restore = Literal["auto", "off"]
Check = Literal["all", "staged", "off"]
PostCommit = Literal["record", "anchor"]
PushData = Literal["auto", "off"]

_TOP = (
    *("gitprov", "name", "store", "hooks", "policy", "anchors"),
    *("remotes", "remote_default"),
)
_HOOKS = (
    *("check", "max_staged_file", "restore", "push_seconds", "post_commit", "anchor_seconds"),
    "push_data",
)
_MAX_DEPTH = 12
_MAX_SCALAR = 2000

_UNITS = {"": 1, "B": 1, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """Where the content store lies and how files get from it into the worktree."""

    path: str | None = None  # None: <git common dir>/gitprov
    link: LinkMode = "auto"  # auto: reflink, else copy


@dataclass(frozen=True, slots=True)
class HooksConfig:
    """What the hooks do.

    Attributes:
        check: which pointers pre-commit compares with the disk: all, only staged ones, none.
        max_staged_file: bytes; a larger file is refused by pre-commit. 0 allows any.
        restore: whether post-checkout and post-merge restore artifacts.
        push_seconds: how long pre-push may take for notes and log.
        post_commit: `anchor` also starts a submission in the background after each commit.
        anchor_seconds: how long pre-push may take for other networks; the rest is left to the next
            call.
        push_data: whether pre-push sends the data of what is pushed to the default remote.
    """

    check: Check = "all"
    max_staged_file: int = 10 << 20
    restore: Restore = "auto"
    push_seconds: int = 30
    post_commit: PostCommit = "record"
    anchor_seconds: int = 10
    push_data: PushData = "auto"


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is configured.

    `policy` is the raw section, which `verify.policy` reads; `anchors` are both files' raw
    sections, the tracked one first, which `config.anchors` reads: the hooks need neither. The same
    holds for `remotes`, which `config.remotes` reads; `remote_default` names one of them.
    """

    name: str | None = None
    store: StoreConfig = field(default_factory=StoreConfig)
    hooks: HooksConfig = field(default_factory=HooksConfig)
    policy: Mapping[str, Json] = field(default_factory=dict)
    anchors: tuple[Mapping[str, Json], Mapping[str, Json]] = ({}, {})
    remotes: tuple[Mapping[str, Json], Mapping[str, Json]] = ({}, {})
    remote_default: str | None = None

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that are named beside `tlog`, unchecked: enough to know if there are any."""
        for section in reversed(self.anchors):
            named = section.get("networks")
            if isinstance(named, list):
                return tuple(name for name in named if isinstance(name, str) and name != "tlog")
        return ()

    @classmethod
    def of(cls, tracked: Mapping[str, Json], local: Mapping[str, Json]) -> Self:
        """Reads both files' mappings; what the local one says wins.

        Raises:
            UsageError: an unknown key, a wrong value, or something a tracked file may not say.
        """
        config = _apply(cls(), tracked, _Place(".gitprov.yaml", tracked=True))
        return cast(
            "Self", _apply(config, local, _Place("this clone's config.yaml", tracked=False))
        )


class YamlLimits(NamedTuple):
    """How much of YAML is taken: characters of the text, characters of one value, depth."""

    text: int = MAX_CONFIG_BYTES
    scalar: int = _MAX_SCALAR
    depth: int = _MAX_DEPTH


_LIMITS = YamlLimits()


def load_yaml(text: str, *, what: str, limits: YamlLimits = _LIMITS) -> dict[str, Json]:
    """Returns the mapping in a YAML text; an empty text is an empty mapping.

    Raises:
        UsageError: no YAML, an alias (it can be a bomb), not a mapping.
    """
    import yaml  # 16 ms; the hooks read a cached form

    if len(text) > limits.text:
        raise UsageError(f"{what} is larger than {limits.text} bytes")
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is seven times faster
        _check_events(yaml.parse(text, loader), what, limits)
        value = yaml.load(text, loader)  # noqa: S506  # both are safe loaders
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        if "nesting depth" in str(exc):  # libyaml's own limit, which comes before ours
            raise UsageError(f"{what} is nested too deeply") from None
        raise UsageError(f"{what} is not YAML: {str(exc)[:300]}") from None
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{what} must be a mapping with text keys")
    return cast("dict[str, Json]", value)


def _check_events(events: Iterable[object], what: str, limits: YamlLimits) -> None:
    """Refuses what a configuration does not need and an attacker likes, before anything is made."""
    depth = 0
    for event in events:
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > limits.depth:
            raise UsageError(f"{what} is nested too deeply")
        if name == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise UsageError(f"{what} uses a YAML alias, which is not allowed here")
        if getattr(event, "tag", None) is not None:
            raise UsageError(f"{what} uses a YAML tag, which is not allowed here")
        if len(getattr(event, "value", "")) > limits.scalar:
            raise UsageError(f"{what} has a value of more than {limits.scalar} characters")


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    tracked: bool

    def wrong(self, key: str, wanted: str, value: Json) -> UsageError:
        return UsageError(f"{self.file}: {key} must be {wanted}, not {value!r}")


def _apply(config: Config, value: Mapping[str, Json], place: _Place) -> Config:
    _known(value, _TOP, "", place)
    if "gitprov" in value and value["gitprov"] != VERSION:
        raise UsageError(
            f"{place.file} is of version {value['gitprov']!r}; this gitprov reads {VERSION}",
            hint="install a newer gitprov",
        )
    if "name" in value:
        if not isinstance(value["name"], str) or not value["name"]:
            raise place.wrong("name", "a text", value["name"])
        config = replace(config, name=value["name"])
    if "policy" in value:
        config = replace(config, policy=_section(value, "policy", place))
    if "anchors" in value:
        section = _section(value, "anchors", place)
        tracked, local = config.anchors
        both = (section, local) if place.tracked else (tracked, section)
        config = replace(config, anchors=both)
    if "remotes" in value:
        section = _section(value, "remotes", place)
        tracked, local = config.remotes
        both = (section, local) if place.tracked else (tracked, section)
        config = replace(config, remotes=both)
    if "remote_default" in value:
        if not isinstance(value["remote_default"], str):
            raise place.wrong("remote_default", "the name of a remote", value["remote_default"])
        config = replace(config, remote_default=value["remote_default"])
    return replace(
        config,
        store=_store(config.store, _section(value, "store", place), place),
        hooks=_hooks(config.hooks, _section(value, "hooks", place), place),
    )


def _store(store: StoreConfig, value: Mapping[str, Json], place: _Place) -> StoreConfig:
    _known(value, ("path", "link"), "store.", place)
    if "path" in value:
        if place.tracked:
            raise UsageError(
                ".gitprov.yaml may not set store.path: a tracked file cannot choose folders",
                hint="set it for this clone: gitprov init --store FOLDER",
            )
        if not isinstance(value["path"], str) or not value["path"].startswith("/"):
            raise place.wrong("store.path", "an absolute path", value["path"])
        store = replace(store, path=value["path"])
    if "link" in value:
        link = _choice(value, "link", ("auto", "copy", "hardlink", "symlink"), "store.", place)
        store = replace(store, link=cast("LinkMode", link))
    return store


def _hooks(hooks: HooksConfig, value: Mapping[str, Json], place: _Place) -> HooksConfig:
    _known(value, _HOOKS, "hooks.", place)
    if "check" in value:
        check = _choice(value, "check", ("all", "staged", "off"), "hooks.", place)
        hooks = replace(hooks, check=cast("Check", check))
    if "restore" in value:
        restore = _choice(value, "restore", ("auto", "off"), "hooks.", place)
        hooks = replace(hooks, restore=cast("Restore", restore))
    if "max_staged_file" in value:
        limit = _size(value["max_staged_file"], "hooks.max_staged_file", place)
        hooks = replace(hooks, max_staged_file=limit)
    if "push_seconds" in value:
        hooks = replace(hooks, push_seconds=_seconds(value, "push_seconds", place))
    if "anchor_seconds" in value:
        hooks = replace(hooks, anchor_seconds=_seconds(value, "anchor_seconds", place))
    if "push_data" in value:
        sent = _choice(value, "push_data", ("auto", "off"), "hooks.", place)
        hooks = replace(hooks, push_data=cast("PushData", sent))
    if "post_commit" in value:
        chosen = _choice(value, "post_commit", ("record", "anchor"), "hooks.", place)
        hooks = replace(hooks, post_commit=cast("PostCommit", chosen))
    return hooks


def _seconds(value: Mapping[str, Json], key: str, place: _Place) -> int:
    seconds = value[key]
    if isinstance(seconds, bool) or not isinstance(seconds, int) or not 1 <= seconds <= 3600:
        raise place.wrong(f"hooks.{key}", "a number from 1 to 3600", seconds)
    return seconds


def _section(value: Mapping[str, Json], key: str, place: _Place) -> dict[str, Json]:
    section = value.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise place.wrong(key, "a mapping", section)
    return section


def _choice(
    value: Mapping[str, Json], key: str, allowed: tuple[str, ...], prefix: str, place: _Place
) -> str:
    chosen = value[key]
    # YAML reads a bare `off` as false.
    if chosen is False and "off" in allowed:
        return "off"
    if not isinstance(chosen, str) or chosen not in allowed:
        raise place.wrong(prefix + key, " or ".join(allowed), chosen)
    return chosen


def _size(value: Json, key: str, place: _Place) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str):
        digits = value.rstrip("BbKkMmGgIi ")
        unit = value[len(digits) :].strip().upper()
        if digits.isdecimal() and unit in _UNITS:
            return int(digits) * _UNITS[unit]
    raise place.wrong(key, "a number of bytes, KiB, MiB or GiB", value)


def _known(value: Mapping[str, Json], known: tuple[str, ...], prefix: str, place: _Place) -> None:
    for key in value:
        if key not in known:
            import difflib  # only on the way to an error

            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {prefix}{near[0]}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"{place.file} has the unknown key {prefix}{key}", hint=hint)
