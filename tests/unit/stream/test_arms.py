"""Models by arm: which list is made with which, under an epoch that rises with each change and says which it was."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.bundles import BundleStore
from schemas.control import ControlRecord, ControlState, ModelPromoted, ModelPublished, ModelRolledBack, encode_control
from schemas.courses import Course
from schemas.experiments import Arm, ArmModelRefused, ExperimentEnded, ExperimentStarted, arm_of
from stream import attempts
from stream.arms import TRIES, split_of
from stream.serving import Serving, ServingRoom
from tests.models import going_live, small_model
from tests.unit.stream.test_serving import House

USERS = [f"u{i}" for i in range(12)]
VERSIONS = ("a", "b", "c")


def between(*models: str, name: str = "x") -> ExperimentStarted:
    """Return an experiment between these models in equal parts; empty: the live one."""
    share = 1 / len(models)
    return ExperimentStarted(
        name=name, salt="s", arms=tuple(Arm(name=one or "live", model=one, share=share) for one in models)
    )


class Refused:
    """Takes what a worker decides, to the log of a house."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.decisions: list[ArmModelRefused] = []

    async def __call__(self, decision: ArmModelRefused) -> None:
        """Append it."""
        self.decisions.append(decision)
        self.house.decide(decision)


@pytest.fixture
def house(tmp_path: Path) -> House:
    """Begin with a catalogue and without a model, and with a worker that may refuse."""
    return with_room(House(tmp_path))


def with_room(house: House) -> House:
    """Start the worker anew."""
    house.room = ServingRoom(BundleStore(str(house.store)), house.control, house.catalogue, Refused(house))
    return house


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Have a clock that is moved by hand."""
    now = [1_000.0]
    monkeypatch.setattr(attempts, "time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def seeds_of(serving: Serving) -> dict[str, int]:
    """Return the seed of the model that each learner's list is made with."""
    known = {small_model(seed).neumf.history.tobytes(): seed for seed in range(1, 5)}  # type: ignore[union-attr]
    models = {user: serving.of(user).recommender.universe.prepared.model.neumf for user in USERS}
    return {user: known[model.history.tobytes()] for user, model in models.items() if model}


def epochs_of(serving: Serving) -> dict[str, int]:
    """Return the model epoch of each learner's list."""
    return {user: serving.of(user).epochs[0] for user in USERS}


def in_arms(house: House) -> dict[str, str]:
    """Return each learner's arm in the experiment `x`."""
    return {user: arm_of(user, house.control.state.experiments["x"]).name for user in USERS}


async def experiment(house: House) -> tuple[int, int]:
    """Put m-1 live, and m-2 into an arm; return the two epochs."""
    live = await house.promote(1)
    house.decide(going_live(house.publish(2))[0], between("", "m-2"))
    await house.room.refresh()
    return live, house.control.state.offset


async def test_each_learner_is_given_the_model_of_the_arm_that_the_hash_says(house: House) -> None:
    live, started = await experiment(house)
    split = in_arms(house)
    assert set(split.values()) == {"live", "m-2"}
    assert seeds_of(house.current) == {user: 2 if arm == "m-2" else 1 for user, arm in split.items()}
    assert epochs_of(house.current) == {user: started if arm == "m-2" else live for user, arm in split.items()}
    assert house.current.epochs[0] == live, "shared lists are the live model's"
    assert house.room.num_missing == 0


async def test_the_end_brings_those_of_the_arm_back_and_concerns_nobody_else(house: House) -> None:
    live, _ = await experiment(house)
    house.decide(ExperimentEnded(name="x"))
    ended = house.control.state.offset
    await house.room.refresh()
    assert set(seeds_of(house.current).values()) == {1} and house.current.of_arms == {}
    assert epochs_of(house.current) == {u: ended if arm == "m-2" else live for u, arm in in_arms(house).items()}
    epoch = await house.promote(3)
    assert set(epochs_of(house.current).values()) == {epoch} and str(house.current.split) == ""


async def test_promotions_and_rollbacks_meanwhile_are_for_the_others(house: House) -> None:
    _, started = await experiment(house)
    promoted = await house.promote(3)
    split = in_arms(house)
    assert seeds_of(house.current) == {user: 2 if arm == "m-2" else 3 for user, arm in split.items()}
    assert epochs_of(house.current) == {user: started if arm == "m-2" else promoted for user, arm in split.items()}
    house.decide(ModelRolledBack(version="m-1"))
    await house.room.refresh()
    assert seeds_of(house.current) == {user: 2 if arm == "m-2" else 1 for user, arm in split.items()}


async def test_a_model_that_is_live_and_in_an_arm_is_loaded_once(house: House) -> None:
    await experiment(house)
    prepared = house.current.of_arms["m-2"].universe.prepared
    shutil.rmtree(house.store / "m-2")
    house.decide(ModelPromoted(version="m-2"))
    await house.room.refresh()
    assert house.current.recommender.universe.prepared is prepared
    assert house.room.load_failures == 0


async def test_catalogue_and_counts_reach_the_models_of_arms(house: House) -> None:
    await experiment(house)
    house.offer(Course(course_id="new", title="sql"))
    await house.room.refresh()
    house.room.take_counts({"c05": {10: 3}})
    made = house.current.of_arms["m-2"]
    assert "new" in made.universe.index_of
    assert made.popular.argmax() == made.course_ids.index("c05")


async def test_a_missing_model_is_refused_for_good_after_some_attempts_and_the_live_one_given(
    house: House, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    live = await house.promote(1)
    house.decide(*(going_live(house.publish(seed))[0] for seed in (2, 3)), between("", "m-2", "m-3"))
    started = house.control.state.offset
    shutil.rmtree(house.store / "m-2")
    while house.control.state.offset == started:
        assert clock[0] < 1_060, "within a minute"
        await house.room.refresh()
        split = in_arms(house)
        assert seeds_of(house.current) == {user: 3 if arm == "m-3" else 1 for user, arm in split.items()}
        assert {epochs_of(house.current)[user] for user, arm in split.items() if arm != "m-3"} == {live}
        assert house.room.num_missing == 1
        clock[0] += 1
    assert house.room.load_failures == TRIES
    running = house.control.state.experiment
    assert running and running.versions == {"m-3"} and "m-2 is not in" in running.refusals[0].reason
    assert any(said.startswith("ALARM: learners of arms with m-2") for said in caplog.messages)
    await house.room.refresh()
    back, started_and_refused = house.control.state.offset, {"live": live, "m-2": started + 1, "m-3": started}
    assert back == started + 1
    assert epochs_of(house.current) == {user: started_and_refused[arm] for user, arm in in_arms(house).items()}
    assert house.room.num_missing == 1, "as long as the experiment runs"
    house.publish(2)
    clock[0] += 1_000
    await house.room.refresh()
    assert "m-2" not in house.current.of_arms
    house.decide(ExperimentEnded(name="x"))
    assert house.room.num_missing == 0


async def test_a_model_that_comes_late_is_taken(house: House, clock: list[float]) -> None:
    await house.promote(1)
    house.decide(going_live(house.publish(2))[0])
    hidden = (house.store / "m-2").rename(house.store.parent / "hidden")
    house.decide(between("", "m-2"))
    await house.room.refresh()
    before = str(house.current.split)
    hidden.rename(house.store / "m-2")
    clock[0] += 2
    await house.room.refresh()
    assert set(seeds_of(house.current).values()) == {1, 2}
    assert str(house.current.split) != before, "another split is another sweep"


async def test_nothing_is_refused_while_the_live_model_cannot_be_had_either(house: House, clock: list[float]) -> None:
    await experiment(house)
    house.decide(*going_live(house.publish(3)))
    for version in ("m-2", "m-3"):
        shutil.rmtree(house.store / version)
    with_room(house)
    for _ in range(60):
        await house.room.refresh()
        clock[0] += 5
    assert house.room.is_behind and set(seeds_of(house.current).values()) == {1}
    running = house.control.state.experiment
    assert running and running.refusals == ()


# Whatever is decided, in whatever order workers learn of it.

decisions = st.lists(
    st.one_of(
        st.builds(ModelPromoted, version=st.sampled_from(VERSIONS)),
        st.builds(ModelRolledBack, version=st.sampled_from(VERSIONS)),
        st.tuples(st.sampled_from("xyz"), st.permutations(["", *VERSIONS]), st.integers(2, 4)).map(
            lambda drawn: between(*drawn[1][: drawn[2]], name=drawn[0])
        ),
        st.builds(ExperimentEnded, name=st.sampled_from("xyz")),
        st.builds(ArmModelRefused, experiment=st.sampled_from("xyz"), version=st.sampled_from(VERSIONS)),
    ),
    max_size=12,
)


def states_of(found: list[ControlRecord]) -> list[ControlState]:
    """Return the state after each decision, the models being published and `a` live at first."""
    records = [*(ModelPublished(version=one, digest=one) for one in VERSIONS), ModelPromoted(version="a"), *found]
    state, states = ControlState(), []
    for offset, record in enumerate(records):
        state = state.apply(encode_control(record), offset, offset)
        states.append(state)
    return states[len(VERSIONS) :]


def made_by(state: ControlState, live: tuple[int, str], loaded: frozenset[str], user_id: str) -> tuple[int, str] | None:
    """Return the epoch and the model of a learner's list, if it is made, by a worker with these models."""
    made_with: dict[str, Any] = {version: version for version in VERSIONS}  # a name stands for its recommender
    serving = Serving(made_with[live[1]], live[0], 0, split_of(state, live[0], loaded), made_with)
    if serving.waits(user_id):
        return None
    found: Any = serving.of(user_id)
    return found.epochs[0], found.recommender


def wanted_of(state: ControlState, user_id: str) -> str:
    """Return the model that a learner is to be given."""
    arm = arm_of(user_id, state.experiment) if state.experiment else None
    refused = {one.version for one in state.experiment.refusals} if state.experiment else set()
    return arm.model if arm and arm.model and arm.model not in refused else state.model_version


@given(decisions)
def test_an_epoch_rises_with_each_change_of_a_learners_model(found: list[ControlRecord]) -> None:
    everything = frozenset(VERSIONS)
    for user in USERS[:4]:
        before: tuple[int, str] | None = None
        for state in states_of(found):
            now = made_by(state, (state.model_epoch, state.model_version), everything, user)
            assert now is not None and now[1] == wanted_of(state, user)
            if before and now != before:
                assert now[0] > before[0]
            before = now


@given(decisions, st.data())
def test_a_lists_epoch_says_its_model_whoever_made_it_with_whatever_he_knew(
    found: list[ControlRecord], data: st.DataObject
) -> None:
    states = states_of(found)
    for _ in range(3):
        state = data.draw(st.sampled_from(states))
        live = data.draw(st.sampled_from([one for one in states[-1].lives if one[0] <= state.offset]))
        loaded = data.draw(st.frozensets(st.sampled_from(VERSIONS)))
        for user in USERS[:4]:
            made = made_by(state, live, loaded, user)
            right = made_by(states[-1], states[-1].lives[-1], frozenset(VERSIONS), user)
            if made is None:
                continue
            epoch, version = made
            assert right is not None and epoch <= right[0], "what is behind replaces nothing for good"
            assert states[-1].version_of(epoch, user) == version
            assert state.version_of(epoch, user) == version
