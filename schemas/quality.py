"""Live quality: how first enrolments stood in the lists that stood before them, added up by day and shard.

A day's hash holds, by `EPOCH STRATEGY HISTORY MEASURE`, integers that only grow: `tests`, `hits` (within the first
`CUTOFF` places) and `micro` (sum of 1 / place, in millionths). It is soft state: it counts what the stream saw, is
outside the digest, is not rebuilt, and expires.
"""

from typing import Final, NamedTuple

CUTOFF: Final = 10
KEPT_DAYS: Final = 14
SHARED: Final = "shared"
"""Stands for a strategy where the learner had no list, so that the popular one stood."""
HISTORIES: Final = ("0", "1", "2-5", "6+")
"""Numbers of courses taken before."""

_MICRO: Final = 1_000_000
_LEAST: Final = (0, 1, 2, 6)


class Slot(NamedTuple):
    """What tests are added up by."""

    model_epoch: int
    strategy: str
    history: str


class Tally(NamedTuple):
    """What was added up: tests, hits within the first `CUTOFF` places, and millionths of reciprocal ranks."""

    tests: int = 0
    hits: int = 0
    micro: int = 0

    def plus(self, other: "Tally") -> "Tally":
        """Return both together."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))

    @property
    def hit_rate(self) -> float:
        """Share of the tests that were hits."""
        return self.hits / self.tests

    @property
    def reciprocal_rank(self) -> float:
        """Mean of 1 / place; 0 where a course stood nowhere."""
        return self.micro / self.tests / _MICRO


def tally_of(place: int | None) -> Tally:
    """Return what one test adds, by the place the course stood at, from 1 (None: nowhere).

    >>> tally_of(3), tally_of(50), tally_of(None)
    (Tally(tests=1, hits=1, micro=333333), Tally(tests=1, hits=0, micro=20000), Tally(tests=1, hits=0, micro=0))
    """
    return Tally(1) if place is None else Tally(1, int(place <= CUTOFF), round(_MICRO / place))


def history_of(length: int) -> str:
    """Return the name of a history's length.

    >>> [history_of(length) for length in (0, 1, 2, 5, 6, 80)]
    ['0', '1', '2-5', '2-5', '6+', '6+']
    """
    return HISTORIES[sum(length >= least for least in _LEAST) - 1]


def fields_of(slot: Slot, tally: Tally) -> dict[str, int]:
    """Return what a tally adds to the fields of its day's hash.

    >>> fields_of(Slot(7, "hybrid", "2-5"), Tally(1, 0, 20000))
    {'7 hybrid 2-5 tests': 1, '7 hybrid 2-5 micro': 20000}
    """
    name = f"{slot.model_epoch} {slot.strategy} {slot.history}"
    return {f"{name} {measure}": value for measure, value in tally._asdict().items() if value}


def add_fields(tallies: dict[Slot, Tally], fields: dict[bytes, bytes]) -> None:
    """Add a day's hash, as Redis answers it, to what was added up before."""
    for name, value in fields.items():
        epoch, strategy, history, measure = name.decode().split(" ")
        slot = Slot(int(epoch), strategy, history)
        tallies[slot] = tallies.get(slot, Tally()).plus(Tally(**{measure: int(value)}))
