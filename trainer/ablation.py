"""Ablations: the models with one part left out or one setting changed, on the same tests as the whole models."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from recommender.blend import DEFAULT_BLEND
from recommender.content import nearest
from schemas.errors import ConfigurationError
from trainer.contender import Contender
from trainer.contenders import CONTENDERS
from trainer.intervals import intervals, numbered
from trainer.known import Known
from trainer.metrics import TOP, by_test
from trainer.scoreboard import Scoreboard
from trainer.served import Part, Served
from trainer.text import text_model
from trainer.verdict import Metrics

WHOLE: Final = ("neumf", "hybrid")
"""The models that may be ablated."""

SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {
    "softmax": {"train_softmax_negatives": 1},
    "dropout": {"train_dropout": 0.0},
    "bce": {"train_loss": "focal"},
    "decays": {"train_decays": (0.8,)},
    "next": {"ease_next_weight": 0.0},
}
"""Variant -> settings in place of those given."""

_OF_HYBRID: Final[Mapping[str, Callable[[], Contender]]] = {
    "network": lambda: Served(Part.ITEM_ITEM),
    "item_item": lambda: Served(Part.NEUMF),
    "fit": lambda: Served(Part.NEUMF, Part.ITEM_ITEM, blend=DEFAULT_BLEND),
}

VARIANTS: Final[Mapping[str, str]] = {
    "softmax": "one rival in the softmax",
    "dropout": "no dropout",
    "bce": "focal loss in place of bce",
    "decays": "one decay, .8",
    "network": "no network",
    "item_item": "no item-item",
    "next": "no next-course weights",
    "content": "no text",
    "fit": "blend not fitted",
}
"""Variant -> what is said of it. The first four change the network."""

_COMPARED: Final = (f"recall@{TOP}", f"ndcg@{TOP}")


class Variant(NamedTuple):
    """A model that is not whole: how it is made, and what it is fitted on in place of what is known."""

    whole: str
    make: Callable[[], Contender]
    known: Callable[[Known], Known]


def variants(names: Iterable[str], models: Iterable[str]) -> dict[str, Variant]:
    """Return the variants of those of the models that have the part, by what they are called.

    Raises ConfigurationError for an unknown part, or if no model has one of the parts.
    """
    names, models, found = tuple(names), tuple(models), {}
    for name in names:
        if name not in VARIANTS:
            raise ConfigurationError(f"there is no ablation {name!r}; known are {', '.join(VARIANTS)}")
        known = _known(name)
        for whole in WHOLE:
            if whole in models and (whole == "hybrid" or _is_of_network(name)):
                make = _OF_HYBRID.get(name, CONTENDERS[whole])
                found[f"{whole}, {VARIANTS[name]}"] = Variant(whole, make, known)
    if names and not found:
        raise ConfigurationError(f"none of the models {', '.join(models)} has {', '.join(names)}: add hybrid")
    return found


def _is_of_network(name: str) -> bool:
    return any(setting.startswith("train_") for setting in SETTINGS.get(name, {}))


def _known(name: str) -> Callable[[Known], Known]:
    """Return what changes that which is known: once a fit, for all models of the variant."""
    if name == "content":
        return lru_cache(maxsize=1)(_without_text)
    if name in SETTINGS:
        return lru_cache(maxsize=1)(lambda known: known.under(SETTINGS[name]))
    return lambda known: known


def _without_text(known: Known) -> Known:
    text = text_model(known.interactions.course_ids, {})
    return known.sharing_network(replace(known, text=text, content=nearest(text.rows)))


def compared(boards: Mapping[str, Scoreboard], found: Mapping[str, Variant], num_courses: int) -> dict[str, Metrics]:
    """Return the metrics of the whole models and of the variants, and what these lose, test by test.

    `METRIC_change` is the variant's value minus that of the whole model on the same tests, with its 95 % interval.
    """
    wholes = {variant.whole: boards[variant.whole] for variant in found.values()}
    rows = {name: board.metrics(num_courses) for name, board in wholes.items()}
    for name, variant in found.items():
        rows[name] = boards[name].metrics(num_courses) | change(boards[name], wholes[variant.whole])
    kept = (*_COMPARED, *(f"{metric}_change" for metric in _COMPARED))
    wanted = {f"{metric}{end}" for metric in kept for end in ("", "_low", "_high")} | {"tests"}
    return {name: {metric: value for metric, value in row.items() if metric in wanted} for name, row in rows.items()}


def change(board: Scoreboard, whole: Scoreboard) -> Metrics:
    """Return by how much a model is better than another on the same tests, with intervals by learner."""
    mine, others = (by_test(np.array(one.ranks, dtype=np.int64)) for one in (board, whole))
    values = {f"{metric}_change": mine[metric] - others[metric] for metric in _COMPARED}
    means = {name: round(float(one.mean()), 6) for name, one in values.items()}
    return {**means, **intervals(values, numbered(board.user_ids), board.seed)}
