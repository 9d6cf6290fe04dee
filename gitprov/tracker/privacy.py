"""The privacy budget of a run whose optimizer Opacus makes private."""

import gc
import sys

from gitprov.core.canonical import Json
from gitprov.model.run import Run
from gitprov.tracker.values import describe

_DELTAS = ("delta", "target_delta")
_DELTA = 1e-5


def privacy_budget(run: Run) -> dict[str, Json] | None:
    """Returns what was spent, None where Opacus' `PrivacyEngine` is not in use.

    The engine is found among the living objects: it knows of the steps that were made, and the
    training code need not hand it over. δ is the one that the run's configuration or results name
    (`delta`, `target_delta`), else 1e-5, and stands in the record either way.
    """
    opacus = sys.modules.get("opacus")
    if opacus is None:
        return None
    engines = [one for one in gc.get_objects() if type(one) is opacus.PrivacyEngine]
    steps = [one for one in engines if len(one.accountant) > 0]
    if not steps:
        return None
    delta = _delta(run)
    spent: list[Json] = [describe(float(one.get_epsilon(delta))) for one in steps]
    mechanisms: list[Json] = [one.accountant.mechanism() for one in steps]
    return {"delta": delta, "epsilon": spent, "mechanism": mechanisms}


def _delta(run: Run) -> float:
    for leaf in (*run.of_type("results"), *run.of_type("config")):
        value = leaf.get("value")
        if isinstance(value, dict):
            for key in _DELTAS:
                found = value.get(key)
                if isinstance(found, float) and 0 < found < 1:
                    return found
    return _DELTA
