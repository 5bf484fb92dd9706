"""What must hold of state and log once all is quiet. Pure: what stands there -> what is wrong with it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from schemas.events import Feedback, LearnerEvent, ProfileUpdated
from schemas.ids import event_uuid
from tests.reference import Cell, Logged, ReferenceLearner, enrolled, learner, writes

Counts = dict[tuple[str, int], int]


def by_learner(log: Sequence[Logged]) -> dict[str, list[Logged]]:
    """Return the events of each learner."""
    own: dict[str, list[Logged]] = defaultdict(list)
    for entry in log:
        own[entry.event.user_id].append(entry)
    return own


def reference_states(log: Sequence[Logged]) -> dict[str, ReferenceLearner]:
    """Return the state of every learner who has any, by the reference model."""
    states = {user_id: learner(own, user_id) for user_id, own in by_learner(log).items()}
    return {user_id: state for user_id, state in states.items() if state != ReferenceLearner()}


def reference_counts(states: Mapping[str, ReferenceLearner]) -> Counts:
    """Return current enrolments by course and day."""
    return dict(Counter(pair for state in states.values() for pair in enrolled(state).items()))


def _cells(state: ReferenceLearner, event: LearnerEvent) -> Mapping[str, Cell]:
    """Return the cells that an event may have written, by kind."""
    if isinstance(event, ProfileUpdated):
        return state.profile
    if isinstance(event, Feedback):
        return {"feedback": state.feedback[event.course_id]} if event.course_id in state.feedback else {}
    return state.courses.get(getattr(event, "course_id", ""), {})


def is_counted(state: ReferenceLearner, event: LearnerEvent) -> bool:
    """Whether each cell an event writes holds it or a later writer, or an erasure covers it."""
    if event.occurred_us <= state.erased_through_us:
        return True
    cells, event_id = _cells(state, event), event_uuid(event.event_id)
    return all(
        kind in cells and cells[kind] >= (event.occurred_us, rank, event_id, content)
        for kind, (rank, content) in writes(event).items()
    )


def lost(acked: Sequence[LearnerEvent], logged: Collection[str], states: Mapping[str, ReferenceLearner]) -> list[str]:
    """Return the acknowledged events that the log does not hold, or the state does not count."""
    complaints = []
    for event in acked:
        if event.event_id not in logged:
            complaints.append(f"{event.event_id} ({event.type_name} of {event.user_id}) is not in the log")
        elif not is_counted(states.get(event.user_id, ReferenceLearner()), event):
            complaints.append(f"{event.event_id} ({event.type_name} of {event.user_id}) is not in the state")
    return complaints


def doubled(expected: Counts, found: Counts) -> list[str]:
    """Return the courses and days whose count is not that of the registers."""
    return [
        f"{course} on day {day}: {found.get((course, day), 0)} counted, {expected.get((course, day), 0)} enrolled"
        for course, day in sorted({*expected, *found})
        if found.get((course, day), 0) != expected.get((course, day), 0)
    ]


def different(expected: Mapping[str, ReferenceLearner], found: Mapping[str, ReferenceLearner]) -> list[str]:
    """Return the learners whose state is not the one the log says."""
    return [
        f"the state of {user_id} is not what the log says"
        for user_id in sorted({*expected, *found})
        if expected.get(user_id) != found.get(user_id)
    ]


def reappeared(erased: Collection[str], found: Mapping[str, ReferenceLearner], listed: Collection[str]) -> list[str]:
    """Return the erased learners of whom anything is left."""
    left = [user_id for user_id in sorted(erased) if user_id in found and _is_something(found[user_id])]
    return [f"{user_id} was erased and is still there" for user_id in left] + [
        f"{user_id} was erased and still has a list" for user_id in sorted(set(erased) & set(listed))
    ]


def _is_something(state: ReferenceLearner) -> bool:
    return bool(state.courses or state.feedback or state.profile)
