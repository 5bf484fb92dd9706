"""The network that is trained and the NumPy code that serves must be one and the same function."""

import numpy as np
import torch

from recommender.model import NeuMF
from recommender.neumf import Scorer
from recommender.tower import Histories, learner_vectors, pool
from trainer.histories import padded
from trainer.network import HistoryNeuMF

DECAYS = np.array([0.0, 0.8, 1.0], dtype=np.float32)


def _histories() -> Histories:
    starts = np.array([0, 3, 3, 4])
    courses = np.array([1, 5, 2, 0], dtype=np.int32)
    weights = np.array([1.0, -0.5, 1.5, 0.1], dtype=np.float32)
    return Histories(starts, courses, weights, np.array([0, 1, 2, 0], dtype=np.int32))


def _network() -> tuple[HistoryNeuMF, NeuMF]:
    torch.manual_seed(1)
    network = HistoryNeuMF(7, 6, len(DECAYS))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return network, NeuMF(decays=DECAYS, **network.arrays())


def test_pooled_histories_are_those_of_the_serving_tower() -> None:
    network, neumf = _network()
    pooled = network.pooled(padded(_histories(), DECAYS)).detach().numpy()
    np.testing.assert_allclose(pooled, pool(DECAYS, neumf.history, _histories()), atol=1e-6)
    assert (pooled[1] == 0).all()


def test_logits_are_those_of_the_serving_scorer() -> None:
    network, neumf = _network()
    towers = network.towers(padded(_histories(), DECAYS))
    courses = np.array([[0, 3], [6, 2], [1, 1]])
    trained = network.logits(towers, torch.from_numpy(courses)).detach().numpy()
    vectors = learner_vectors(neumf, _histories())
    served = Scorer(neumf).logits(vectors, np.repeat(np.arange(3), 2), courses.ravel())
    np.testing.assert_allclose(trained.ravel(), served, atol=1e-5)


def test_gmf_logits_are_what_the_index_searches_by() -> None:
    network, neumf = _network()
    towers = network.towers(padded(_histories(), DECAYS))
    every = network.gmf_logits(towers, torch.arange(7)).detach().numpy()
    gmf = learner_vectors(neumf, _histories()).gmf
    np.testing.assert_allclose(every, (gmf * neumf.gmf_out) @ neumf.gmf_course.T + neumf.bias, atol=1e-5)
