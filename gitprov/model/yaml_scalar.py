"""One YAML string on one line, spelled as PyYAML's safe dumper spells it."""

import yaml

from gitprov.errors import MalformedError

_WIDE = 1 << 20


def write_scalar(text: str) -> str:
    """Returns the spelling: plain where YAML allows it, else quoted."""
    spelled: str = yaml.safe_dump([text], allow_unicode=True, width=_WIDE, default_flow_style=False)
    return spelled.removeprefix("- ").removesuffix("\n")


def read_scalar(text: str) -> str:
    """Returns the string that a spelling stands for.

    Raises:
        MalformedError: it is no YAML, or not a string.
    """
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as exc:
        reason = str(exc).partition("\n")[0]
        raise MalformedError(f"not a YAML string: {text[:80]!r} ({reason})") from None
    if not isinstance(value, str):
        raise MalformedError(f"not a YAML string: {text[:80]!r}")
    return value
