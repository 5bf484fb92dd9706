"""The models that an evaluation compares, by name."""

from collections.abc import Callable, Mapping
from typing import Final

from trainer.contender import Contender
from trainer.ials import IALS
from trainer.itemknn import ItemKNN
from trainer.neumf_id import NeuMFById
from trainer.served import Part, Served, only
from trainer.svd import PureSVD

CONTENDERS: Final[Mapping[str, Callable[[], Contender]]] = {
    "popular": lambda: Served(blend=only("popular")),
    "content": lambda: Served(blend=only("content")),
    "itemknn": ItemKNN,
    "svd": PureSVD,
    "ease": lambda: Served(Part.EASE, blend=only("item_item")),
    "ials": IALS,
    "neumf_id": NeuMFById,
    "neumf": lambda: Served(Part.NEUMF, blend=only("collaborative", empty="collaborative")),
    "hybrid": lambda: Served(Part.NEUMF, Part.ITEM_ITEM),
}
"""All models, unfitted. `hybrid` is what the trainer publishes."""
