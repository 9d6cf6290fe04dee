"""The privacy budget of a run whose optimizer Opacus makes private."""

import gc
import logging
import sys
import weakref
from typing import Any

from gitprov.core.canonical import Json
from gitprov.model.run import Run
from gitprov.tracker.values import describe

_DELTAS = ("delta", "target_delta")
_DELTA = 1e-5
_LOG = logging.getLogger("gitprov")


class PrivacyWatch:
    """Finds what was spent between the moment when it is made and the end of a run.

    The engines of Opacus are found among the living objects: they know of the steps that were
    made, and the training code need not hand them over.
    """

    def __init__(self) -> None:
        """Notes what is spent already, by another run of this process."""
        self._before = [(weakref.ref(one), _history(one)) for one in _engines()]

    def budget(self, run: Run) -> dict[str, Json] | None:
        """Returns what was spent; None where no engine of Opacus made a step during the run.

        An engine whose steps began before the run is given with all of its steps: they are one
        budget. δ is the one that the run's configuration or results name (`delta`,
        `target_delta`), else 1e-5, and stands in the record either way. ε is None where the
        accountant cannot tell it.
        """
        known = {id(one): history for ref, history in self._before if (one := ref()) is not None}
        engines = [one for one in _engines() if _history(one) != known.get(id(one), [])]
        if not engines:
            return None
        delta = _delta(run)
        spent: list[Json] = [_epsilon(one, delta) for one in engines]
        mechanisms: list[Json] = [one.accountant.mechanism() for one in engines]
        return {"delta": delta, "epsilon": spent, "mechanism": mechanisms}


def _engines() -> list[Any]:
    opacus = sys.modules.get("opacus")
    kind = getattr(opacus, "PrivacyEngine", None)  # missing while it is being imported
    if kind is None:
        return []
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def _history(engine: Any) -> list[Any]:
    return [*engine.accountant.history]


def _epsilon(engine: Any, delta: float) -> Json:
    try:
        return describe(float(engine.get_epsilon(delta)))
    except (ArithmeticError, RuntimeError, ValueError) as exc:
        # Accountants refuse what is out of their range; a training that is over must not fail.
        _LOG.warning("Opacus cannot tell the epsilon for delta %s: %s", delta, exc)
        return None


def _delta(run: Run) -> float:
    for leaf in (*run.of_type("results"), *run.of_type("config")):
        value = leaf.get("value")
        if isinstance(value, dict):
            for key in _DELTAS:
                found = value.get(key)
                if isinstance(found, float) and 0 < found < 1:
                    return found
    return _DELTA
