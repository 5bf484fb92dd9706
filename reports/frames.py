"""A data set as data frames."""

from typing import Final, NamedTuple

import pandas as pd

from datasets.dataset import Dataset
from schemas.courses import Course

TAKING: Final = ("enrolled", "dropped", "progressed", "completed", "rated", "graded")
"""Events after which a course counts as taken."""


class Frames(NamedTuple):
    """A data set's events, in the order of time, and its courses.

    `events`: `user_id`, `course_id` (None where an event is about none), `type`, `at` (UTC), `value`, `scale`.
    `courses`: the fields of `schemas.courses.Course`; what is unknown is empty or None.
    """

    events: pd.DataFrame
    courses: pd.DataFrame

    def taken(self) -> pd.DataFrame:
        """Return each learner and course once, by its first enrolment; where no event is one, by whatever takes it."""
        kinds = self.kinds()
        events = self.events[self.events["type"].isin(kinds)]
        return events.drop_duplicates(["user_id", "course_id"])

    def kinds(self) -> tuple[str, ...]:
        """Return the types of events that count as taking a course here."""
        return ("enrolled",) if (self.events["type"] == "enrolled").any() else TAKING

    def course_ids(self) -> set[str]:
        """Return all courses: those of the catalogue, and those that only events know."""
        return {*self.courses["course_id"], *self.events["course_id"].dropna()}


def frames_of(dataset: Dataset) -> Frames:
    """Return a data set as frames."""
    events = pd.DataFrame(
        {
            "user_id": pd.Series([event.user_id for event in dataset.events], dtype="str"),
            "course_id": pd.Series([getattr(event, "course_id", None) for event in dataset.events], dtype="str"),
            "type": pd.Categorical([event.type_name for event in dataset.events]),
            "at": pd.to_datetime(pd.Series([event.occurred_us for event in dataset.events], dtype="int64"), unit="us"),
            "value": [getattr(event, "value", None) for event in dataset.events],
            "scale": [getattr(event, "scale", None) for event in dataset.events],
        }
    )
    fields = Course.__struct_fields__
    courses = {name: pd.Series([getattr(course, name) for course in dataset.courses], dtype=object) for name in fields}
    return Frames(events, pd.DataFrame(courses))
