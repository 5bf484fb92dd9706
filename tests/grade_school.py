"""A school whose grades are known: good and weak learners, easy and hard courses, two subjects that go apart."""

import random
from collections.abc import Iterator

from schemas.courses import Course
from schemas.events import Graded

SUBJECTS = ("maths", "arts")


def courses(per_subject: int = 6) -> list[Course]:
    """Return courses `maths-0` ... `arts-5`; the later ones are harder."""
    return [
        Course(course_id=f"{subject}-{number}", title=f"{subject} course", category=subject)
        for subject in SUBJECTS
        for number in range(per_subject)
    ]


def grades(learners: int = 200, per_subject: int = 6, seed: int = 1) -> Iterator[Graded]:
    """Yield each learner's grades, a day apart, in random order; who is good at one subject is weak at the other."""
    rng = random.Random(seed)
    for learner in range(learners):
        skill = rng.uniform(-0.25, 0.25)
        taken = rng.sample([(subject, number) for subject in SUBJECTS for number in range(per_subject)], 8)
        for day, (subject, number) in enumerate(taken):
            sign = 1 if subject == "maths" else -1
            grade = 0.6 + sign * skill - 0.03 * number + rng.gauss(0, 0.03)
            yield Graded(
                event_id=f"{learner}-{day}",
                user_id=f"learner-{learner}",
                course_id=f"{subject}-{number}",
                occurred_at=86_400 * (learner // 4 + day),
                value=round(100 * min(max(grade, 0), 1)),
            )
