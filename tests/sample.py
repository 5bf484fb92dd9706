"""A small folder of courses and learners: three tastes, made by a fixed recipe, the same every time.

Not a benchmark: who likes what is plain to see, so that a list can be judged at a glance.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

SAMPLE: Final = "sample"
LEARNERS: Final = 300
_SUBJECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Data": (
        "SQL", "Statistics", "Python", "Machine Learning", "Data Visualisation", "Spreadsheets", "Time Series",
        "Data Engineering", "A/B Testing", "Natural Language Processing",
    ),
    "Design": (
        "Typography", "Colour Theory", "User Interviews", "Wireframing", "Illustration", "Motion Design",
        "Photography", "Brand Identity", "Accessibility", "Design Systems",
    ),
    "Languages": (
        "Spanish", "French", "German", "Mandarin", "Japanese", "Italian", "Portuguese", "Arabic", "Korean", "Swedish",
    ),
}  # fmt: skip
_LEVELS: Final = (("beginner", "A First Course in {}"), ("advanced", "Advanced {} in Practice"))
_START_S: Final = 1_756_684_800  # 2025-09-01, UTC
_DAYS: Final = 60
_OWN_TASTE: Final = 0.85
"""Share of a learner's courses that come from the subject he likes."""


def courses() -> list[dict[str, object]]:
    """Return 60 courses: three subjects, ten topics each, at two levels."""
    made: list[dict[str, object]] = []
    for subject, topics in _SUBJECTS.items():
        for topic in topics:
            for level, title in _LEVELS:
                slug = f"{topic.lower().replace(' ', '-').replace('/', '-')}-{level}"
                description = f"{topic} for {level} learners of {subject.lower()}: worked examples and exercises."
                made.append({
                    "course_id": slug, "title": title.format(topic), "description": description, "category": subject,
                    "level": level, "language": "English", "tags": [subject, topic],
                })  # fmt: skip
    return made


def events() -> list[dict[str, object]]:
    """Return what the learners did within 60 days: enrolments, progress, completions and ratings."""
    draw = random.Random(1)
    by_subject = {subject: [c for c in courses() if c["category"] == subject] for subject in _SUBJECTS}
    made = [event for number in range(LEARNERS) for event in _life(f"learner-{number:03d}", by_subject, draw)]
    return sorted(made, key=lambda event: (event["occurred_at"], event["user_id"], event["course_id"]))


def _life(
    user_id: str, by_subject: Mapping[str, Sequence[dict[str, object]]], draw: random.Random
) -> Iterator[dict[str, object]]:
    taste = draw.choice(list(by_subject))
    taken: set[object] = set()
    moment_s = _START_S + draw.randrange(_DAYS // 2 * 86_400)
    for _ in range(draw.randint(4, 12)):
        subject = taste if draw.random() < _OWN_TASTE else draw.choice(list(by_subject))
        choice = by_subject[subject]
        course_id = choice[min(int(draw.expovariate(0.15)), len(choice) - 1)]["course_id"]  # some are more popular
        if course_id in taken:
            continue
        taken.add(course_id)
        moment_s += draw.randrange(1, 4 * 86_400)
        about = {"user_id": user_id, "course_id": course_id}
        yield {**about, "type": "enrolled", "occurred_at": moment_s}
        yield from _outcome(about, moment_s + 3_600, likes=subject == taste, draw=draw)


def _outcome(
    about: Mapping[str, object], moment_s: int, likes: bool, draw: random.Random
) -> Iterator[dict[str, object]]:
    if draw.random() < (0.7 if likes else 0.3):
        yield {**about, "type": "completed", "occurred_at": moment_s}
        yield {**about, "type": "rated", "value": draw.choice((4, 5)) if likes else draw.choice((2, 3)),
               "occurred_at": moment_s + 60}  # fmt: skip
    else:
        yield {**about, "type": "progressed", "value": round(draw.uniform(0.05, 0.9), 2), "occurred_at": moment_s}


def write_sample(folder: Path) -> Path:
    """Write the sample as a canonical folder and return it; what stands there is overwritten by the same."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("courses", courses()), ("events", events())):
        lines = b"".join(msgspec.json.encode(row) + b"\n" for row in rows)
        (folder / f"{name}.jsonl").write_bytes(lines)
    return folder
