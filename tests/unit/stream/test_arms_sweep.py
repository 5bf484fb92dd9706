"""Sweeps and rounds of an experiment between models: each arm's learners are brought to its model, and back."""

from collections.abc import Sequence

from adapters.redis import Client
from schemas.experiments import Arm, Experiment, ExperimentStarted
from stream.arms import Split
from stream.lists import Marked
from stream.refresh import Refresher
from stream.serving import Serving
from stream.view import ShardView
from tests.served import Log, enrolled, listed, marks, serving, watched
from tests.unit.stream.test_sweep import swept


def split_between(epoch: int, ended_epoch: int = -1) -> Split:
    """Return the split of an experiment between the live model and `m-2`, which may have ended."""
    arms = (Arm(name="live", share=0.5), Arm(name="m-2", model="m-2", share=0.5))
    experiment = Experiment(ExperimentStarted(name="x", salt="s", arms=arms), epoch, 0, ended_epoch=ended_epoch)
    return Split(left=(experiment,)) if ended_epoch >= 0 else Split(experiment, frozenset({"m-2"}))


async def versions(client: Client, users: Sequence[str]) -> dict[str, int]:
    """Return the model epoch of each learner's list."""
    return {user: one.version.model_epoch for user in users if (one := await listed(client, user))}


async def test_an_experiment_sweeps_those_of_an_arm_to_its_model_and_its_end_brings_them_back(
    client: Client, view: ShardView, log: Log
) -> None:
    users, split = [f"u{i:02d}" for i in range(25)], split_between(7)
    of_arm = {user for user in users if split.model_of(user)}
    assert 5 < len(of_arm) < 20
    await log.append(*(enrolled(user, "c00") for user in users))
    await Refresher(client, 5, 64).drain(view, serving())

    live, own = watched(), watched()
    running = Serving(live, 5, 3, split, {"m-2": own})
    places = await swept(client, view, running, 10)
    assert places[-1] == "5::7:m-2 3 -inf"
    assert await versions(client, users) == {user: 7 if user in of_arm else 5 for user in users}
    assert (live.learners, own.learners) == (0, len(of_arm)), "nobody else is computed"

    await log.append(*(enrolled(user, "c01") for user in users))
    await Refresher(client, 5, 8).drain(view, running)
    assert await marks(client) == set()
    assert await versions(client, users) == {user: 7 if user in of_arm else 5 for user in users}
    assert (live.learners, own.learners) == (25 - len(of_arm), 2 * len(of_arm))

    again = watched()
    ended = Serving(again, 5, 3, split_between(7, ended_epoch=9))
    await swept(client, view, ended, 10)
    assert await versions(client, users) == {user: 9 if user in of_arm else 5 for user in users}
    assert again.learners == len(of_arm)
    await Refresher(client, 5, 64).refresh([Marked(view, user) for user in users], running)
    assert await versions(client, users) == {user: 9 if user in of_arm else 5 for user in users}, "a late worker"


async def test_whose_model_is_not_loaded_yet_keeps_list_and_mark(client: Client, view: ShardView, log: Log) -> None:
    """A list of the live model would stand in the way of the arm's once a model was promoted meanwhile."""
    users, split = [f"u{i:02d}" for i in range(12)], split_between(7)
    of_arm = {user for user in users if split.model_of(user)}
    await log.append(*(enrolled(user, "c00") for user in users))
    await Refresher(client, 5, 64).drain(view, Serving(watched(), 8, 3, Split(split.experiment)))
    assert await versions(client, users) == dict.fromkeys(sorted(set(users) - of_arm), 8)
    assert await marks(client) == of_arm
    await Refresher(client, 5, 64).drain(view, Serving(watched(), 8, 3, split, {"m-2": watched()}))
    assert await versions(client, users) == {user: 7 if user in of_arm else 8 for user in users}
