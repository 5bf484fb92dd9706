"""A learner's embedding, packed: u64 model epoch + 1, then f16 a dimension, big-endian."""

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

_EPOCH: Final = struct.Struct(">Q")


class Embedding(NamedTuple):
    """The tower's output for a learner, and the model it belongs to."""

    model_epoch: int
    vector: tuple[float, ...]


def pack_embedding(model_epoch: int, vector: Sequence[float]) -> bytes:
    """Return the packed embedding.

    >>> unpack_embedding(pack_embedding(4, [0.5, -2.0]))
    Embedding(model_epoch=4, vector=(0.5, -2.0))
    """
    return _EPOCH.pack(model_epoch + 1) + struct.pack(f">{len(vector)}e", *vector)


def unpack_embedding(packed: bytes) -> Embedding:
    """Return the embedding that was packed."""
    dimensions = (len(packed) - _EPOCH.size) // 2
    vector = struct.unpack_from(f">{dimensions}e", packed, _EPOCH.size)
    return Embedding(_EPOCH.unpack_from(packed)[0] - 1, vector)
