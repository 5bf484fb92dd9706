"""What a training comes to: what the command line prints, and what the trainer's child hands back."""

from collections.abc import Callable

import msgspec

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction (0 to 1) of all that is done."""


def no_progress(what: str, fraction: float) -> None:
    """Take no notice of progress."""


class TrainResult(msgspec.Struct, frozen=True, kw_only=True):
    """A training's outcome. `reason` says why it was, or was not, published.

    `champion_metrics` are those of what it had to beat: the popular list on the same tail of the log.
    """

    version: str = ""
    digest: str = ""
    offsets: dict[str, list[int]] = {}
    metrics: dict[str, float] = {}
    champion_metrics: dict[str, float] = {}
    published: bool
    reason: str
    seconds: float = 0.0
