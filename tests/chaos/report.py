"""What a run came to: a table for people, JSON for programs. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table

from tests.chaos.nemesis import Happened
from tests.chaos.verdict import Verdict


@dataclass
class Figures:
    """What was measured beside the faults, over all parts of a run. Stalls are the longest pauses."""

    seconds: float = 0.0
    unknown: int = 0
    ack_stall_s: float = 0.0
    answer_stall_s: float = 0.0
    fresh_stall_s: float = 0.0
    answers: int = 0
    degraded: int = 0
    degraded_with_taken: int = 0
    unavailable: int = 0
    models: list[str] = field(default_factory=list)

    def joined(self, other: "Figures") -> "Figures":
        """Return the figures of two parts of a run.

        >>> Figures(seconds=2, ack_stall_s=5).joined(Figures(seconds=1, ack_stall_s=3)).ack_stall_s
        5
        """
        mine, theirs, joined = asdict(self), asdict(other), dict[str, Any]()
        for name, value in mine.items():
            if name == "models":
                joined[name] = sorted({*value, *theirs[name]})
            else:
                joined[name] = max(value, theirs[name]) if "stall" in name else value + theirs[name]
        return Figures(**joined)


@dataclass(frozen=True)
class Kind:
    """All faults of one kind."""

    name: str
    count: int
    proof: str
    median_s: float
    max_s: float
    own_max_s: float | None


def by_kind(happened: Sequence[Happened]) -> list[Kind]:
    """Return the faults by kind, in order of name."""
    kinds = []
    for name in sorted({one.name for one in happened}):
        own = [one for one in happened if one.name == name]
        recoveries = [one.recovery_s for one in own if not one.error] or [float("nan")]
        owned = [one.own_s for one in own if one.own_s is not None]
        proof = next((one.proof for one in own if one.proof), "-")
        kinds.append(Kind(name, len(own), proof, median(recoveries), max(recoveries), max(owned, default=None)))
    return kinds


@dataclass
class Report:
    """A whole run."""

    seed: int
    happened: list[Happened]
    figures: Figures
    violations: int
    verdict: Verdict
    truncated: Verdict | None = None
    """What came of it when the log lost its beginning at the end."""

    @property
    def unproven(self) -> list[Happened]:
        """Faults that did not land, or after which the system did not come back."""
        return [one for one in self.happened if one.error]

    @property
    def holds(self) -> bool:
        """Whether every guarantee held, and every fault landed."""
        verdicts = [self.verdict, *([self.truncated] if self.truncated else [])]
        return all(one.holds for one in verdicts) and not self.violations and not self.unproven

    def answer(self) -> dict[str, Any]:
        """Return what programs are given."""
        return {
            "holds": self.holds,
            "seed": self.seed,
            "faults": len(self.happened),
            "unproven": [one.line() for one in self.unproven],
            "events_acknowledged": self.verdict.acked,
            "lost": len(self.verdict.lost),
            "doubled": len(self.verdict.doubled),
            "violations": self.violations,
            "kinds": [asdict(kind) for kind in by_kind(self.happened)],
            "figures": asdict(self.figures),
            "verdict": self.verdict.line(),
            "truncated": self.truncated.line() if self.truncated else None,
        }

    def shown(self) -> Group:
        """Return what people are shown."""
        faults = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in ("fault", "#", "recovery, median s", "max s", "its own shards, max s", "proof of the last kind"):
            faults.add_column(column, justify="right" if "s" in column.split() or column == "#" else "left")
        for kind in by_kind(self.happened):
            own = "" if kind.own_max_s is None else f"{kind.own_max_s:.1f}"
            faults.add_row(kind.name, str(kind.count), f"{kind.median_s:.1f}", f"{kind.max_s:.1f}", own, kind.proof)
        return Group(faults, self._totals())

    def _truncation(self) -> str:
        found = self.truncated
        if found is None:
            return "not tried"
        outcome = "as the rest of the log says, and told" if found.holds else f"wrong: {len(found.wrong)}"
        return f"{found.records:,} records left, {found.learners:,} learners, {outcome}"

    def _totals(self) -> Table:
        verdict, figures = self.verdict, self.figures
        rows: dict[str, object] = {
            "faults": f"{len(self.happened)}, of which {len(self.unproven)} unproven or not recovered from",
            "events acknowledged": f"{verdict.acked:,} of {verdict.learners:,} learners, {verdict.erased} erased",
            "records in the log": f"{verdict.records:,}",
            "sent again, for want of an answer": f"{figures.unknown:,}",
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "otherwise wrong": len(verdict.wrong),
            "answers": f"{figures.answers:,}, {figures.degraded:,} degraded, {figures.unavailable:,} not served",
            "invariants broken in answers": self.violations,
            "taken courses in degraded answers": figures.degraded_with_taken,
            "longest without an acknowledgement, s": f"{figures.ack_stall_s:.1f}",
            "longest without an answer, s": f"{figures.answer_stall_s:.1f}",
            "longest from acknowledged to listed, s": f"{figures.fresh_stall_s:.1f}",
            "digests": ", ".join(f"{name} {digest[:12]}" for name, digest in verdict.digests.items()),
            "after the log lost its beginning": self._truncation(),
            "verdict": "all guarantees held" if self.holds else "BROKEN",
        }
        table = Table.grid(padding=(0, 2))
        for name, value in rows.items():
            table.add_row(name, str(value))
        return table
