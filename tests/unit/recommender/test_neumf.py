"""NeuMF in NumPy against the formula written down naively."""

from collections.abc import Callable

import numpy as np

from recommender.model import NeuMF
from recommender.neumf import Scorer
from recommender.tower import Vectors


def test_split_first_layer_equals_concatenation(neumf_of: Callable[..., NeuMF]) -> None:
    neumf = neumf_of(n=50, d=8)
    random = np.random.default_rng(3)
    vectors = Vectors(*random.normal(size=(3, 7, 8)).astype(np.float32))
    rows, courses = np.divmod(np.arange(7 * 50), 50)
    logits = Scorer(neumf).logits(vectors, rows, courses)
    first = np.vstack([neumf.w1_learner, neumf.w1_course])
    for row, course in ((0, 0), (3, 17), (6, 49)):
        both = np.concatenate([vectors.mlp[row], neumf.mlp_course[course]])
        hidden = np.maximum(both @ first + neumf.b1, 0)
        hidden = np.maximum(hidden @ neumf.w2 + neumf.b2, 0)
        hidden = np.maximum(hidden @ neumf.w3 + neumf.b3, 0)
        gmf = (neumf.gmf_out * vectors.gmf[row] * neumf.gmf_course[course]).sum()
        wanted = gmf + hidden @ neumf.mlp_out + neumf.bias[course]
        np.testing.assert_allclose(logits[row * 50 + course], wanted, rtol=1e-3, atol=1e-4)


def test_chunks_do_not_matter(neumf_of: Callable[..., NeuMF]) -> None:
    scorer, vectors = Scorer(neumf_of()), Vectors(*np.ones((3, 1, 4), dtype=np.float32))
    rows = np.zeros(5_000, dtype=np.int64)
    logits = scorer.logits(vectors, rows, rows + 3)
    assert len(logits) == 5_000
    np.testing.assert_allclose(logits, logits[0], rtol=1e-5)
