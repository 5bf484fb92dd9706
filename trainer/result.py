"""What a training comes to: what the command line prints, and what the trainer's child hands back."""

from collections.abc import Callable

import msgspec

from schemas.manifest import Comparison

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction (0 to 1) of all that is done."""


def no_progress(what: str, fraction: float) -> None:
    """Take no notice of progress."""


class TrainResult(msgspec.Struct, frozen=True, kw_only=True):
    """A training's outcome. `reason` says why it was, or was not, published.

    `metrics`, `champion_metrics` (the popular list's if there was no champion) and `popular_metrics` are of the same
    cases. `epochs` were best on the validation part; it took `passes` to see that.
    """

    version: str = ""
    digest: str = ""
    offsets: dict[str, list[int]] = {}
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    popular_metrics: dict[str, float] = {}
    comparisons: tuple[Comparison, ...] = ()
    epochs: int = 0
    passes: int = 0
    published: bool
    reason: str
    seconds: float = 0.0
