"""The champion: the trained model that is live, as far as it can be compared with."""

from itertools import zip_longest
from typing import NamedTuple

from adapters.bundles import BundleStore
from recommender.bundle import load_model, verify
from recommender.model import Model
from recommender.universe import prepare
from schemas.control import ModelPublished
from schemas.errors import BundleError
from schemas.topics import LEARNER_EVENTS


class Champion(NamedTuple):
    """A live model. It has seen nothing after `until_us`; `advantage` is what its recipe had over the popular list."""

    version: str
    model: Model
    until_us: int
    advantage: float = 0.0
    offsets: tuple[int, ...] = ()
    """Ends of `learner-events` that it was made from, by shard."""

    def lacks(self, offsets: dict[str, list[int]]) -> bool:
        """Return whether a log up to these ends holds events that the champion has not seen."""
        return any(end > seen for end, seen in zip_longest(offsets[LEARNER_EVENTS], self.offsets, fillvalue=0))


def load_champion(live: ModelPublished | None, store: BundleStore, force: bool = False) -> tuple[Champion | None, str]:
    """Return the champion, or None and why there is none; a bootstrap bundle is none.

    Raises BundleError if it cannot be loaded, unless by `force`: what cannot be compared with may not be replaced.
    """
    if live is None or live.bootstrap:
        return None, "there is no champion yet"
    try:
        folder = store.fetch(live.version)
        manifest, model = verify(folder), load_model(folder)
        prepare(model)  # fails now, if its index does not fit
    except (BundleError, OSError) as error:
        reason = f"the champion {live.version} cannot be loaded: {error}"
        if not force:
            raise BundleError(f"{reason}; --force trains without it") from None
        return None, reason
    if not manifest.newest_us:
        return None, f"the champion {live.version} does not say up to when it has seen events"
    seen = tuple(manifest.offsets.get(LEARNER_EVENTS, ()))
    beside_popular = [one.own - one.other for one in manifest.comparisons if one.against == "popular" and one.low > 0]
    return Champion(live.version, model, manifest.newest_us, min(beside_popular, default=0.0), seen), ""
