"""Events -> registers; folding is a join whatever the order, the duplicates and the erasures."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from recommender.fold import Fold, FoldedLearner, StateDigest, dump_learner, erased_through_us, updates
from schemas.events import (
    MAX_CLOCK_SKEW_S,
    Completed,
    Dropped,
    Enrolled,
    Erased,
    Feedback,
    Graded,
    LearnerEvent,
    ProfileUpdated,
    Progressed,
    Rated,
)
from schemas.registers import Rank, kind_of, split_record, unpack_score, unpack_stamp, unpack_text


def _event(kind: int, course: int, at: int, number: int, value: float) -> LearnerEvent:
    common = {"event_id": f"e{number}", "user_id": "u", "occurred_at": at}
    about = {**common, "course_id": f"c{course}"}
    match kind:
        case 0:
            return Enrolled(**about)  # type: ignore[arg-type]  # a dict of mixed values
        case 1:
            return Dropped(**about)  # type: ignore[arg-type]
        case 2:
            return Progressed(**about, value=value)  # type: ignore[arg-type]
        case 3:
            return Completed(**about)  # type: ignore[arg-type]
        case 4:
            return Rated(**about, value=1 + 4 * value, review="ok" if at % 2 else None)  # type: ignore[arg-type]
        case 5:
            return Graded(**about, value=100 * value)  # type: ignore[arg-type]
        case 6:
            return Feedback(**about, value="useful" if at % 2 else "not_for_me")  # type: ignore[arg-type]
        case 7:
            return ProfileUpdated(**common, interests=(f"w{number}",), level="x" if at % 2 else None)  # type: ignore[arg-type]
        case _:
            return Erased(**common)  # type: ignore[arg-type]


events = st.builds(
    _event,
    st.integers(0, 8), st.integers(0, 2), st.integers(0, 2_000), st.integers(0, 5), st.floats(0, 1, width=16),
)  # fmt: skip
appended = st.tuples(events, st.integers(0, 2_000_000))


@given(st.lists(appended, max_size=25), st.randoms(use_true_random=False))
def test_any_order_with_any_duplicates_ends_in_the_same_state(
    log: list[tuple[LearnerEvent, int]], random: Random
) -> None:
    once, shuffled = FoldedLearner(), FoldedLearner()
    for event, appended_ms in log:
        once.apply(event, appended_ms)
    again = [*log, *random.sample(log, len(log) // 2)]
    random.shuffle(again)
    for event, appended_ms in again:
        shuffled.apply(event, appended_ms)
    assert shuffled.dump("u") == once.dump("u")
    assert shuffled == once


def test_updates_carry_the_values() -> None:
    [(course, rated), (_, reviewed)] = updates(_event(4, 1, 3, 7, 0.5))
    assert (course, unpack_score(rated)) == ("c1", (3.0, 1.0, 5.0))
    assert kind_of(reviewed) == Rank.REVIEWED
    assert unpack_text(reviewed) == b"ok"
    assert updates(_event(8, 0, 1, 1, 0)) == []
    [(nobody, interests), (_, level)] = updates(_event(7, 0, 3, 7, 0))
    assert nobody is None
    assert unpack_text(interests) == b'["w7"]'
    assert unpack_text(level) == b'"x"'
    assert unpack_stamp(level).rank == Rank.LEVEL


def test_erasure_covers_the_skew_whichever_comes_first() -> None:
    edge = 1_000 + MAX_CLOCK_SKEW_S
    assert erased_through_us(1_000_000) == edge * 1_000_000
    erased, gone, kept = _event(8, 0, 5, 1, 0), _event(0, 1, edge, 2, 0), _event(0, 2, edge + 1, 3, 0)
    for order in ((erased, gone, kept), (gone, kept, erased)):
        folded = FoldedLearner()
        for event in order:
            folded.apply(event, 1_000_000)
        assert list(folded.records) == ["c2"]


def test_erasure_keeps_later_registers_of_the_same_record() -> None:
    folded = FoldedLearner()
    for event in (_event(0, 1, 10, 1, 0), _event(3, 1, 2_000, 2, 0), _event(8, 0, 5, 3, 0)):
        folded.apply(event, 1_000_000)
    assert list(split_record(folded.records["c1"])) == [Rank.COMPLETED]


def test_dump_tells_states_apart_and_is_empty_without_state() -> None:
    record = updates(_event(0, 1, 1, 1, 0))[0][1]
    assert dump_learner("u", {}, {}, {}, 0) == b""
    dumps = {
        dump_learner("u", {"c": record}, {}, {}, 0),
        dump_learner("v", {"c": record}, {}, {}, 0),
        dump_learner("u", {}, {"c": record}, {}, 0),
        dump_learner("u", {}, {}, {1: record}, 0),
        dump_learner("u", {"c": record}, {}, {}, 1),
        dump_learner("u", {"cc": record}, {}, {}, 0),
    }
    assert len(dumps) == 6


def test_digest_does_not_depend_on_the_order_of_learners() -> None:
    fold = Fold()
    for number in range(5):
        fold.apply(Enrolled(event_id="e", user_id=f"u{number}", course_id="c", occurred_at=number), 10_000)
    backwards = StateDigest()
    for user_id in sorted(fold.learners, reverse=True):
        backwards.add(user_id, fold.learners[user_id].records, {}, {}, 0)
    backwards.add("nobody", {}, {}, {}, 0)
    assert backwards.hexdigest() == fold.digest().hexdigest()
    assert (backwards.learners, backwards.records) == (5, 5)


def test_digests_of_shards_merge_into_that_of_all() -> None:
    record = updates(_event(0, 1, 1, 1, 0))[0][1]
    whole, parts = StateDigest(), [StateDigest(), StateDigest()]
    for number in range(4):
        whole.add(f"u{number}", {"c": record}, {}, {}, 0)
        parts[number % 2].add(f"u{number}", {"c": record}, {}, {}, 0)
    parts[0].merge(parts[1])
    assert parts[0].hexdigest() == whole.hexdigest()
    assert (parts[0].learners, parts[0].records) == (4, 4)


def test_the_first_moment_of_1970_counts_where_nothing_was_erased() -> None:
    folded = FoldedLearner()
    folded.apply(_event(0, 1, 0, 1, 0), 1_000)
    assert list(folded.records) == ["c1"]
