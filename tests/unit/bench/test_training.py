"""The bench of training measures two trainings of the same network on the same pairs."""

import numpy as np
import torch

from bench.plain_training import Pairs, PlainTraining
from bench.training import interactions, measure
from trainer.settings import TrainerSettings


def test_enrolments_are_in_order_and_none_is_twice() -> None:
    found = interactions(20, 50, 300)
    pairs = list(zip(found.learner.tolist(), found.course.tolist(), strict=True))
    assert len(set(pairs)) == len(pairs) == 300
    last = int(np.flatnonzero(found.learner == 7)[-1])
    history = found.history_courses[found.history_starts[last] : found.history_starts[last + 1]]
    assert history.tolist() == [course for learner, course in pairs if learner == 7][:-1]


def test_a_plain_pair_is_taken_or_not() -> None:
    positives = [(0, 1), (0, 2), (1, 3)]
    pairs = Pairs(positives, 5, negatives=2, seed=1)
    assert len(pairs) == 9
    for place in range(9):
        learner, course, label = pairs[place]
        assert (label == 1.0) == (place % 3 == 0) == ((learner, course) in positives)


def test_the_plain_loop_learns() -> None:
    torch.set_num_threads(1)
    positives = [(learner, course) for learner in range(8) for course in range(16) if learner % 2 == course % 2]
    plain = PlainTraining(positives, (8, 16, 8), 4, 0.01, 1)
    assert plain.run(1.0)[0] > 0
    with torch.no_grad():
        own, other = plain.network(torch.tensor([0, 0]), torch.tensor([2, 3])).tolist()
    assert own > other


def test_both_are_measured() -> None:
    found = measure(TrainerSettings(train_dimensions=8), 0.05, (30, 60, 600))
    assert min(found) > 0
    assert found.ratio > 0 and found.threads == 1
