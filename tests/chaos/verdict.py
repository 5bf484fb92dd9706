"""The verdict over a run: what was promised, held against what stands in log and state."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, cast

from adapters.redis import Client
from schemas.events import LearnerEvent, convert_event
from schemas.meta import Status
from tests.chaos import judge
from tests.chaos.record import Record
from tests.chaos.stack import Stack, until
from tests.chaos.standing import Standing, is_quiet, read_control, read_standing

QUIET_S: Final = 600.0
"""How long lag, marks and sweeps may take to go once the last fault is healed."""


@dataclass
class Verdict:
    """What was found. Every list holds what is wrong; all are empty if the guarantees held."""

    acked: int = 0
    learners: int = 0
    records: int = 0
    erased: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.wrong)

    def line(self) -> dict[str, Any]:
        """Return it for programs."""
        return {**asdict(self), "holds": self.holds}


def judge_standing(standing: Standing, acked: Sequence[LearnerEvent], erased: Sequence[str]) -> Verdict:
    """Return the verdict over what stands there. Pure."""
    logged = {entry.event.event_id for entry in standing.log}
    expected = judge.reference_states(standing.log)
    verdict = Verdict(len(acked), len(standing.states), len(standing.log), len(erased))
    verdict.lost = judge.lost(acked, logged, standing.states)
    verdict.doubled = judge.doubled(judge.reference_counts(expected), standing.counts)
    verdict.wrong = [
        *judge.different(expected, standing.states),
        *judge.reappeared(erased, standing.states, standing.listed),
        *_unfinished(standing),
    ]
    if standing.unreadable:
        verdict.wrong.append(f"{standing.unreadable} records are no events, and none such was sent")
    return verdict


def _unfinished(standing: Standing) -> list[str]:
    """Return what says that a shard or a list is not where the log ends."""
    found = []
    for shard, (meta, end) in enumerate(zip(standing.metas, standing.ends, strict=True)):
        if meta is None or (meta.status, meta.applied) != (Status.LIVE, end - 1):
            found.append(f"shard {shard} is {meta} where the log ends at {end}")
    if standing.marks:
        found.append(f"{standing.marks} learners are still marked")
    return found + [f"the list of {user_id} is stale" for user_id in standing.stale]


async def reach_verdict(stack: Stack, client: Client, record: Record, models: set[str]) -> Verdict:
    """Wait until all is quiet, then judge; the digest must be that of an undisturbed replay and of the log itself."""
    published = await quiet(stack, client)
    acked = [cast(LearnerEvent, convert_event(body)) for body in record.acked_hard]
    erased = [user_id for user_id, learner in record.promised.items() if learner.is_erased]
    verdict = judge_standing(await read_standing(client, stack.connections), acked, erased)
    await digests(stack, verdict)
    if unknown := models - {"", *published}:
        verdict.wrong.append(f"readers were shown models that nobody published: {sorted(unknown)}")
    return verdict


async def quiet(stack: Stack, client: Client) -> set[str]:
    """Wait until every shard has all of the log and every list is of the live model; return the published models."""
    state = await read_control(stack.connections)
    await until(lambda: is_quiet(client, stack.connections, state.model_epoch), "every shard is quiet", QUIET_S)
    return set(state.models)


async def digests(stack: Stack, verdict: Verdict) -> None:
    """Compare the live state with a replay and with the log folded in memory."""
    verdict.digests = {
        "live": (await stack.ask("state", "digest"))["digest"],
        "replay": (await stack.ask("replay"))["digest"],
        "log": (await stack.ask("state", "digest", "--as-of", "2099-01-01T00:00:00+00:00"))["digest"],
    }
    if len(set(verdict.digests.values())) != 1:
        verdict.wrong.append(f"the digests differ: {verdict.digests}")
