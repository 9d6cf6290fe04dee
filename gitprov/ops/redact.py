"""Keeps secrets out of what a run records: a run's file is committed, and pushed with the code."""

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import unquote, urlsplit

from gitprov.config.anchors import AnchorsConfig
from gitprov.core.canonical import Json

REDACTED = "[redacted]"
"""Stands in a text for the part that was a secret."""

_WHOLE_FROM = 8
"""So long a secret is found inside words, too; a shorter one (`user`) only as a word."""

_ALONE_BELOW = 4
"""A shorter secret is only a text that is nothing else: `1` stands in too many."""

_STRONG = r"passw(?:or)?d|passphrase|private[_-]?key|secret|api[_-]?key|credential"
_TOKEN = r"(?<!pad_)(?<!eos_)(?<!bos_)(?<!unk_)(?<!sep_)(?<!cls_)(?<!mask_)token(?!i[sz]|s)"  # noqa: S105
"""`token`, but no tokenizer, no number of tokens, and none of a tokenizer's own (`pad_token`)."""

_STRONG_NAME = re.compile(_STRONG, re.IGNORECASE)
_TOKEN_NAME = re.compile(_TOKEN, re.IGNORECASE)
_WORD = rf"[\w.-]*(?:{_STRONG}|{_TOKEN})[\w-]*"
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s'"&;|]+)"""
_ASSIGNED = re.compile(rf"({_WORD}=){_VALUE}", re.IGNORECASE)
_OPTION = re.compile(rf"(--?{_WORD}\s+)(?!-){_VALUE}", re.IGNORECASE)
_OPTION_ALONE = re.compile(rf"--?{_WORD}", re.IGNORECASE)
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://[^\s/:@?#]*:)[^\s/@?#]+(?=@)")
_KEY_VARIABLE = re.compile(r"GITPROV_[A-Z0-9_]*KEY|GITPROV_PASSPHRASE")
_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)


class Redactor:
    """Replaces secrets: those it is given, what stands under a secret's name, passwords in URLs."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Takes the secrets that are known; empty ones say nothing."""
        spelled: set[str] = set()
        for one in secrets:
            text = one.strip()
            found = _HEX.fullmatch(text)
            # A key of 64 digits is one with 0x, without it, and as a number.
            spelled |= {found[1], str(int(found[1], 16))} if found else {text}
        self._alone = frozenset(text for text in spelled if text)
        inside = [text for text in self._alone if len(text) >= _ALONE_BELOW]
        pattern = "|".join(_pattern(text) for text in sorted(inside, key=len, reverse=True))
        self._inside = re.compile(pattern, re.IGNORECASE) if pattern else None

    def holds_secret(self, text: str) -> bool:
        """Whether a text is, or has in it, one of the known secrets."""
        bare = text.strip()
        return bare in self._alone or bool(self._inside and self._inside.search(text))

    def text(self, text: str) -> str:
        """Returns a text with known secrets, and passwords in URLs, replaced."""
        if text.strip() in self._alone:
            return REDACTED
        if self._inside is not None:
            text = self._inside.sub(REDACTED, text)
        return _USERINFO.sub(rf"\g<1>{REDACTED}", text)

    def value(self, value: Json) -> Json:
        """Returns a described value with `{"$redacted":true}` for each secret in it."""
        if isinstance(value, dict):
            if any(key.startswith("$") for key in value):
                return {"$redacted": True} if self._is_secret_number(value) else value
            return {self.text(key): self._named(key, inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner) for inner in value]
        if isinstance(value, str):
            return {"$redacted": True} if self.holds_secret(value) else self.text(value)
        return value

    def argv(self, argv: Sequence[str]) -> list[str]:
        """Returns a command's arguments for the record: `--password x`, `TOKEN=x`, known secrets.

        The command itself is started with what it was given.
        """
        shown: list[str] = []
        hidden = False
        for word in argv:
            if hidden and not word.startswith("-"):
                shown.append(REDACTED)
                hidden = False
                continue
            hidden = _OPTION_ALONE.fullmatch(word) is not None
            text = self.text(word)
            text = _ASSIGNED.sub(rf"\g<1>{REDACTED}", text)
            shown.append(_OPTION.sub(rf"\g<1>{REDACTED}", text))
        return shown

    def _named(self, key: str, value: Json) -> Json:
        if _STRONG_NAME.search(key) and _says_something(value):
            return {"$redacted": True}
        # A number under such a name counts tokens; a credential is a text.
        if _TOKEN_NAME.search(key) and _has_text(value):
            return {"$redacted": True}
        return self.value(value)

    def _is_secret_number(self, value: dict[str, Json]) -> bool:
        number = value.get("$int")
        return isinstance(number, str) and self.holds_secret(number)


def secrets_of(config: AnchorsConfig, environ: Mapping[str, str]) -> list[str]:
    """Returns the passwords and tokens of a configuration, and the keys of an environment."""
    named = [config.bitcoin.password, config.ipfs.pinning_token]
    urls = [
        *(config.ethereum.url, config.bitcoin.url, config.ipfs.url, config.ipfs.pinning_url),
        *config.ipfs.gateways,
        *config.opentimestamps.calendars,
    ]
    secrets = [_resolved(one, environ) for one in named if one]
    secrets += [password for url in urls if url for password in _passwords(url)]
    secrets += [text for name, text in environ.items() if _KEY_VARIABLE.fullmatch(name)]
    return secrets


def _pattern(secret: str) -> str:
    escaped = re.escape(secret)
    return escaped if len(secret) >= _WHOLE_FROM else rf"(?<![^\W_]){escaped}(?![^\W_])"


def _resolved(value: str, environ: Mapping[str, str]) -> str:
    kind, _, name = value.partition(":")
    return environ.get(name, "") if kind == "env" else value


def _passwords(url: str) -> set[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return set()
    return {password, unquote(password)} if password else set()


def _says_something(value: Json) -> bool:
    return value is not None and not isinstance(value, bool) and value not in ("", [], {})


def _has_text(value: Json) -> bool:
    if isinstance(value, dict):
        if any(key.startswith("$") for key in value):
            return "$bytes" in value  # of the other forms, all are numbers
        return any(map(_has_text, value.values()))
    if isinstance(value, list):
        return any(map(_has_text, value))
    return isinstance(value, str) and bool(value)
