"""Asks the networks what they say now about receipts: each network once, side by side."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gitprov.anchors.registry import ANCHORS, Means, open_anchor
from gitprov.config.anchors import AnchorsConfig
from gitprov.errors import GitprovError
from gitprov.model.note import AnchorLine
from gitprov.verify.anchors import lines_that_count
from gitprov.verify.evidence import Answer, CommitEvidence, answer_key

if TYPE_CHECKING:
    from gitprov.anchors.base import Receipt

MAX_RECEIPTS = 200_000
"""More different receipts than this are not asked for at once: a note can hold thousands."""


def gather_answers(
    commits: Iterable[CommitEvidence], config: AnchorsConfig, means: Means
) -> dict[str, Answer]:
    """Returns the answers to all lines of these commits that count, by `answer_key`.

    A network that is not set up in this clone is not asked. It never raises: who does not answer,
    or cannot be asked, is an answer with a problem.
    """
    wanted: dict[str, dict[str, AnchorLine]] = {}
    for evidence in commits:
        for network in dict.fromkeys(line.network for line in evidence.anchors):
            if network not in ANCHORS:
                continue
            lines = wanted.setdefault(network, {})
            for line in lines_that_count(network, evidence):
                lines.setdefault(answer_key(line), line)
    asked = [(name, lines) for name, lines in wanted.items() if lines and config.is_set_up(name)]
    if not asked:
        return {}
    with ThreadPoolExecutor(max_workers=len(asked)) as pool:
        found = pool.map(lambda item: _ask(item[0], item[1], config, means), asked)
        return {key: answer for answers in found for key, answer in answers.items()}


def _ask(
    network: str, lines: dict[str, AnchorLine], config: AnchorsConfig, means: Means
) -> dict[str, Answer]:
    keys = list(lines)[:MAX_RECEIPTS]
    receipts: Sequence[Receipt] = [lines[key].receipt for key in keys]
    try:
        with means.http() as http:
            answers = open_anchor(network, config, means, http).gather(receipts)
    except GitprovError as exc:
        answers = [Answer(asked=network, problem=str(exc))] * len(keys)
    return dict(zip(keys, answers, strict=True))
