"""NeuMF as its paper has it: a table of learners, GMF and MLP trained together from the start (He et al., WWW 2017).

A control: what the history tower is worth. It knows the learners of the fit alone, as they were then.
"""

from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recommender.history import Learner
from recommender.model import Floats
from trainer.adam import Adam
from trainer.baseline import Arrays, Baseline, cosines
from trainer.device import device_of, make_deterministic
from trainer.examples import ahead, batches
from trainer.fit import LAST_RATE, Plan, newest, trainable
from trainer.interactions import Interactions
from trainer.known import Known
from trainer.losses import binary_cross_entropy
from trainer.metrics import gains_of
from trainer.network import MLP_WIDTHS
from trainer.sampling import Taken, draw_negatives
from trainer.settings import TrainerSettings
from trainer.stopping import Validation

_DEVIATION = 0.01


class TableNeuMF(nn.Module):
    """The network over m learners and n courses."""

    def __init__(self, num_learners: int, num_courses: int, dimensions: int) -> None:
        super().__init__()
        self.gmf_learner, self.mlp_learner = (nn.Embedding(num_learners, dimensions) for _ in range(2))
        self.gmf_course, self.mlp_course = (nn.Embedding(num_courses, dimensions) for _ in range(2))
        for table in (self.gmf_learner, self.mlp_learner, self.gmf_course, self.mlp_course):
            nn.init.normal_(table.weight, std=_DEVIATION)
        self.first = nn.Linear(2 * dimensions, MLP_WIDTHS[0])
        layers = [nn.Linear(*pair) for pair in pairwise(MLP_WIDTHS)]
        relu = nn.ReLU(inplace=True)
        self.rest = nn.Sequential(relu, *(one for layer in layers for one in (layer, relu)))
        self.gmf_out = nn.Linear(dimensions, 1, bias=False)
        self.mlp_out = nn.Linear(MLP_WIDTHS[-1], 1)

    def forward(self, learners: Tensor, courses: Tensor) -> Tensor:
        """Return the logits of learner b, (B,), with courses[b, p], (B, P).

        The first layer is split: the learner's half once a learner, the course's half once a course.
        """
        own, other = self.first.weight.chunk(2, dim=1)  # (128, d) each
        learner_half = nn.functional.linear(self.mlp_learner(learners), own, self.first.bias)  # (B, 128)
        course_half = nn.functional.embedding(courses, self.mlp_course.weight @ other.T)  # (B, P, 128)
        deep = self.mlp_out(self.rest(course_half.add_(learner_half.unsqueeze(1))))  # (B, P, 1)
        query = self.gmf_learner(learners) * self.gmf_out.weight  # (B, d)
        logits: Tensor = (torch.bmm(self.gmf_course(courses), query.unsqueeze(2)) + deep).squeeze(2)  # (B, P)
        return logits

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """Return the parameters by name."""
        return {name: value.cpu().numpy().copy() for name, value in self.state_dict().items()}


class Training:
    """A training on the enrolments before a moment, epoch by epoch."""

    def __init__(
        self, interactions: Interactions, settings: TrainerSettings, seed: int, until_us: int | None = None
    ) -> None:
        self._interactions, self._settings = interactions, settings
        make_deterministic(seed, settings.train_threads)
        self._rng = np.random.default_rng(seed)
        self._rows = newest(interactions, trainable(interactions, until_us), settings.train_max_targets)
        self._taken = interactions.taken_before(until_us)
        self.learners = np.unique(interactions.learner[self._rows])  # (m,)
        self.network = TableNeuMF(len(self.learners), len(interactions.course_ids), settings.train_dimensions)
        self._plan, rate = Plan.of(len(self._rows), settings), settings.train_learning_rate
        self._device = device_of(settings.train_device)
        self.network.to(self._device)
        self._adam = Adam(self.network.parameters(), rate, LAST_RATE * rate, self._plan.steps)

    def epochs(self) -> Iterator[int]:
        """Train; yield the number of epochs after each."""
        for epoch in range(self._settings.train_epochs):
            for _ in self.steps():
                pass
            yield epoch + 1

    def steps(self) -> Iterator[int]:
        """Train one epoch; yield the number of enrolments of each step."""
        for owners, pairs in ahead(self._pairs()):
            self._adam.step(binary_cross_entropy(self.logits(owners, pairs)))
            yield len(owners)

    def _pairs(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield the learners, (B,), and courses, (B, 1 + N), of each step; column 0 was taken, the rest are not."""
        for batch in batches(self._rows, self._plan.batch, self._rng):
            owners = self._interactions.learner[batch]
            negatives = draw_negatives(Taken.of(self._taken, owners), self._settings.train_negatives, self._rng)
            yield owners, np.concatenate([self._interactions.course[batch][:, None], negatives], axis=1)

    def logits(self, owners: NDArray[np.int64], courses: NDArray[np.int64]) -> Tensor:
        """Return the logits of learners, (B,), rows of the interactions, with courses, (B, P)."""
        rows = torch.from_numpy(np.searchsorted(self.learners, owners)).to(self._device)
        logits: Tensor = self.network(rows, torch.from_numpy(courses).to(self._device))
        return logits


def best_epochs(known: Known) -> int:
    """Return the number of epochs that suits the validation, of learners known before; the most if there is none."""
    settings, interactions = known.settings, known.interactions
    validation = Validation.of(interactions, known.split, settings, known.seed)
    training = Training(interactions, settings, known.seed, known.validation_us)
    if validation is None or not (tried := np.isin(interactions.learner[validation.rows], training.learners)).any():
        return settings.train_epochs
    owners, pairs = interactions.learner[validation.rows[tried]], validation.pairs[tried]
    scores: list[float] = []
    for epoch in training.epochs():
        with torch.no_grad():
            scores.append(ndcg_of(training.logits(owners, pairs).cpu().numpy()))
        if epoch - int(np.argmax(scores)) > settings.train_patience:
            break
    return int(np.argmax(scores)) + 1


def ndcg_of(logits: Floats) -> float:
    """Return the mean NDCG@10 of column 0 among all columns, ties against it.

    >>> round(ndcg_of(np.array([[3, 1, 2], [1, 0, 1]], dtype=np.float32)), 3)
    0.815
    """
    ranks = 1 + (logits[:, 1:] >= logits[:, :1]).sum(axis=1)
    return float(gains_of(ranks).mean())


class NeuMFById(Baseline):
    """A learner unknown at the fit gets the popular courses; one who was known, no more than he got then."""

    def train(self, known: Known) -> Arrays:
        """Return the network's parameters, and the learners of its tables, (m,)."""
        epochs = best_epochs(known)
        training = Training(known.interactions, known.settings, known.seed, known.until_us)
        for _ in islice(training.epochs(), epochs):
            pass
        user_ids = [known.interactions.user_ids[row] for row in training.learners.tolist()]
        return {"user_ids": np.array(user_ids, dtype=np.str_), **training.network.arrays()}

    def use(self, arrays: Arrays, known: Known) -> None:
        """Score by these parameters from now on."""
        super().use(arrays, known)
        self._row_of = {user_id: row for row, user_id in enumerate(arrays["user_ids"].tolist())}
        parameters = {name: torch.from_numpy(one) for name, one in arrays.items() if name != "user_ids"}
        self._network = TableNeuMF(len(self._row_of), *arrays["gmf_course.weight"].shape)
        self._network.load_state_dict(parameters)

    @torch.no_grad()
    def score(self, learners: Sequence[Learner]) -> Floats:
        """Return the logits of those who were known, (B, n)."""
        found = np.zeros((len(learners), len(self.course_ids)), dtype=np.float32)
        every = torch.arange(found.shape[1])[None]
        for place, learner in enumerate(learners):
            if learner.user_id in self._row_of:
                found[place] = self._network(torch.tensor([self._row_of[learner.user_id]]), every)[0].numpy()
        return found

    def alike(self, course: int) -> Floats:
        """Return the cosines of the courses' vectors to one, (n,)."""
        tables = self.arrays["gmf_course.weight"], self.arrays["mlp_course.weight"]
        return cosines(np.hstack(tables), course)
