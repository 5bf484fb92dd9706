"""A grade sheet as a request's body."""

from typing import Final

import msgspec

from api.problems import invalid
from schemas.events import Scale, scale_bounds
from schemas.ids import Id

MAX_GRADES: Final = 1_000


class SheetGrade(msgspec.Struct, frozen=True):
    """A grade of a sheet, on its scale."""

    course_id: Id
    grade: float
    scale: Scale = "0-100"


_sheet: Final[msgspec.json.Decoder[list[SheetGrade]]] = msgspec.json.Decoder(list[SheetGrade])


def read_sheet(body: bytes) -> dict[str, float]:
    """Return the grades of a sheet as fractions by course, oldest first; of several in one course the last counts.

    Raises the 422 problem that names what is wrong.

    >>> read_sheet(b'[{"course_id": "c1", "grade": 80}, {"course_id": "c2", "grade": 2, "scale": "1-5"}]')
    {'c1': 0.8, 'c2': 0.25}
    """
    try:
        listed = _sheet.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid("", f"the grade sheet cannot be read: {error}") from None
    if len(listed) > MAX_GRADES:
        raise invalid("", f"the grade sheet has {len(listed)} grades, more than {MAX_GRADES}")
    sheet: dict[str, float] = {}
    for place, one in enumerate(listed):
        sheet.pop(one.course_id, None)
        sheet[one.course_id] = _fraction(place, one)
    return sheet


def _fraction(place: int, one: SheetGrade) -> float:
    try:
        low, high = scale_bounds(one.scale)
    except ValueError as error:
        raise invalid(f"{place}.scale", str(error)) from None
    if not low <= one.grade <= high:
        raise invalid(f"{place}.grade", f"{one.grade:g} is off the scale {one.scale}")
    return (one.grade - low) / (high - low)
