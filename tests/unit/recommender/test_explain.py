"""What each entry adds decomposes the scores exactly."""

from collections.abc import Callable

import numpy as np

from recommender.evidence import gather
from recommender.history import Learner
from recommender.model import Model
from recommender.popularity import Popularity
from recommender.recommend import Recommender, prepare


def test_entries_add_up_to_the_gmf_part(model_of: Callable[..., Model], enrolled_in: Callable[..., Learner]) -> None:
    model = model_of(n=20)
    recommender = Recommender(prepare(model), {}, Popularity())
    evidence = gather([enrolled_in("c03", "c07", "c11"), enrolled_in("c01")], recommender.universe)
    collaborative = recommender.universe.prepared.collaborative
    assert collaborative is not None
    assert evidence.vectors is not None
    recent = evidence.recent
    added = np.zeros((2, 4), dtype=np.float32)
    for k in range(3):
        parts = evidence.entry_shares[:, k, None] * collaborative.entry_vectors[k][recent.courses]
        np.add.at(added, recent.owners, parts)
    np.testing.assert_allclose(added + collaborative.neumf.gmf_empty, evidence.vectors.gmf, atol=1e-5)
