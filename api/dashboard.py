"""A learner's courses as the registers of the history tell them, with what is acknowledged but not yet merged. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from api.answers import LearnerCourse, Status, iso
from schemas.cards import Card
from schemas.pending import Pending
from schemas.registers import (
    ENROLMENT,
    Rank,
    split_record,
    unpack_fraction,
    unpack_score,
    unpack_stamp,
    unpack_text,
)


class Scored(NamedTuple):
    """A rating or grade, and its scale as LOW-HIGH."""

    value: float | None = None
    scale: str | None = None


def scored(register: bytes | None) -> Scored:
    """Return the rating or grade a register holds."""
    if register is None:
        return Scored()
    value, low, high = unpack_score(register)
    return Scored(value, f"{low:g}-{high:g}")


def status_of(registers: Mapping[int, bytes]) -> Status:
    """Return what a record says of a course: dropped, unless it was completed later; only rated is enrolled."""
    enrolment, completed = registers.get(ENROLMENT), registers.get(Rank.COMPLETED)
    dropped = enrolment is not None and unpack_stamp(enrolment).rank == Rank.DROPPED
    if completed and not (dropped and enrolment and enrolment > completed):
        return "completed"
    return "dropped" if dropped else "enrolled"


def _enrolled_at(register: bytes | None) -> str | None:
    stamp = unpack_stamp(register) if register else None
    return iso(stamp.occurred_us) if stamp and stamp.rank == Rank.ENROLLED else None


def learner_course(course_id: str, title: str, record: bytes) -> LearnerCourse:
    """Return what a record holds; a drop hides when the learner had enrolled."""
    registers = split_record(record)
    rating, grade = scored(registers.get(Rank.RATED)), scored(registers.get(Rank.GRADED))
    progress, review = registers.get(Rank.PROGRESSED), registers.get(Rank.REVIEWED)
    return LearnerCourse(
        course_id=course_id,
        title=title,
        status=status_of(registers),
        enrolled_at=_enrolled_at(registers.get(ENROLMENT)),
        progress=unpack_fraction(progress) if progress else None,
        rating=rating.value,
        rating_scale=rating.scale,
        review=unpack_text(review).decode() if review else None,
        grade=grade.value,
        grade_scale=grade.scale,
        last_event_at=iso(max(unpack_stamp(register).occurred_us for register in registers.values())),
    )


def _overlay(known: LearnerCourse | None, course_id: str, title: str, rank: Rank) -> LearnerCourse | None:
    """Return a course as an unmerged write of this rank changes it; None if the write does not concern this page."""
    if rank == Rank.FEEDBACK:
        return known
    status: Status = "dropped" if rank == Rank.DROPPED else "completed" if rank == Rank.COMPLETED else "enrolled"
    if known is None:
        return LearnerCourse(course_id=course_id, title=title, status=status)
    changes = rank in (Rank.ENROLLED, Rank.DROPPED) and not (rank == Rank.ENROLLED and known.status == "completed")
    return msgspec.structs.replace(known, status=status) if changes else known


def learner_courses(
    history: Mapping[str, bytes], unmerged: Mapping[str, Pending], cards: Mapping[str, Card]
) -> tuple[LearnerCourse, ...]:
    """Return a learner's courses, newest event first; a course of which only an unmerged write is known comes first."""

    def title(course_id: str) -> str:
        return cards[course_id].title if course_id in cards else course_id

    courses = {course_id: learner_course(course_id, title(course_id), one) for course_id, one in history.items() if one}
    for course_id, pending in unmerged.items():
        shown = _overlay(courses.get(course_id), course_id, title(course_id), pending.rank)
        if shown is not None:
            courses[course_id] = shown
    return _newest_first(courses.values())


def _newest_first(courses: Iterable[LearnerCourse]) -> tuple[LearnerCourse, ...]:
    by_id = sorted(courses, key=lambda course: course.course_id)
    return tuple(sorted(by_id, key=lambda course: course.last_event_at or "9", reverse=True))
