"""One YAML string on one line, spelled as PyYAML's safe dumper spells it."""

import yaml

from gitprov.errors import MalformedError

_WIDE = 1 << 20
_STRING = "tag:yaml.org,2002:str"


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
        # Composing runs no constructor: `!!bool x` and its like make PyYAML's own ones crash.
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as exc:
        reason = str(exc).partition("\n")[0]
        raise MalformedError(f"not a YAML string: {text[:80]!r} ({reason})") from None
    if not isinstance(node, yaml.ScalarNode) or node.tag != _STRING:
        raise MalformedError(f"not a YAML string: {text[:80]!r}")
    value: str = node.value
    return value
