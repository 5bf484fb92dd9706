"""What is known of courses by their text alone: enough for a first bundle."""

from collections.abc import Mapping, Sequence

from recommender.content import fit_text, text_of
from recommender.model import Model, Text
from schemas.courses import Course


def text_model(course_ids: Sequence[str], courses: Mapping[str, Course]) -> Text:
    """Return the text of courses in this order; one that the catalogue does not know has none."""
    return fit_text([text_of(courses[one]) if one in courses else "" for one in course_ids])


def bootstrap_model(courses: Mapping[str, Course]) -> Model:
    """Return the model of a catalogue without events: lists by content alone."""
    course_ids = tuple(sorted(courses))
    return Model(course_ids, text_model(course_ids, courses))
