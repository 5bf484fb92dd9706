"""The one vocabulary of all models that an evaluation compares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from recommender.history import Learner
from recommender.listing import Recommendation
from recommender.model import Floats
from schemas.candidates import Candidate
from schemas.events import AnyEvent
from trainer.known import Known


class Contender(Protocol):
    """A model: fitted on everything known until a moment, then kept up to date event by event.

    A learner's history comes with the learner, as in serving: what he did since the fit counts in every answer. Answers
    hold no course that is taken, refused or retired. Before `fit` or `load` there are none.
    """

    @property
    def course_ids(self) -> tuple[str, ...]:
        """Ids of all n courses, in the order of `scores`."""
        ...

    def fit(self, known: Known) -> None:
        """Learn from everything known until `known.until_us`; equal seeds, equal answers."""
        ...

    def learn(self, event: AnyEvent) -> None:
        """Take in an event since the fit, in the order of time: what it says of courses for everybody."""
        ...

    def recommend(self, learners: Sequence[Learner], limit: int) -> list[Recommendation]:
        """Return a list a learner, best first; without a history by popularity, unless the model knows better."""
        ...

    def scores(self, learners: Sequence[Learner]) -> Floats:
        """Return the score of every course, (B, n); -inf where it can't be listed."""
        ...

    def similar(self, course_id: str, limit: int) -> tuple[Candidate, ...]:
        """Return the courses most like one, best first; none for an unknown one."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `fit` learned into a folder: arrays, nothing that runs when it is read."""
        ...

    def load(self, folder: Path, known: Known) -> None:
        """Become the model that `save` wrote, over the same courses: in place of `fit`, and `known` as there."""
        ...
