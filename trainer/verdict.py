"""What the gate says of a model."""

import msgspec

from schemas.manifest import Comparison

Metrics = dict[str, float]


class Verdict(msgspec.Struct, frozen=True):
    """Whether to publish, and why; with the figures. A bootstrap model has none.

    `metrics`, `champion_metrics` (the popular list's if there was no champion) and `popular_metrics` are of the same
    cases.
    """

    publish: bool
    reason: str
    metrics: Metrics = {}
    champion_metrics: Metrics = {}
    popular_metrics: Metrics = {}
    comparisons: tuple[Comparison, ...] = ()
