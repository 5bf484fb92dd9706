"""The COCO layout."""

import gzip
from pathlib import Path

from datasets.coco import read
from datasets.dataset import Finding

COURSES = """course_id,slug,category,audience,concept,language,level
7,social-psychology,academics|social-science,"Teachers, all|Clerks",Psychology|Mind,english,all
8,sql,,,,,esperto
"""
ENROLMENTS = "learner_id,course_id,unix_s\nu2,8,1377099404\nu1,7,1377099401\nu1,7,1377099401\nu1,7,soon\n,7,1\n"


def test_courses_and_enrolments_are_mapped(tmp_path: Path) -> None:
    (tmp_path / "courses.csv.gz").write_bytes(gzip.compress(COURSES.encode()))
    (tmp_path / "enrollments.csv").write_text(ENROLMENTS, encoding="utf-8")
    data = read(tmp_path)
    first, second = data.courses
    assert (first.title, first.category, first.language, first.level) == (
        "social psychology",
        "academics",
        "english",
        "all",
    )
    assert (first.tags, first.skills) == (("social-science", "Teachers, all", "Clerks"), ("Psychology", "Mind"))
    assert (second.level, second.tags) == ("expert", ())
    assert [(event.type_name, event.user_id, event.occurred_at) for event in data.events] == [
        ("enrolled", "u1", 1377099401),
        ("enrolled", "u2", 1377099404),
    ]
    assert [(reject.line, reject.reason.partition(":")[0]) for reject in data.rejects] == [
        (5, "occurred_at"),
        (6, "user_id"),
    ]
    assert data.report[Finding.DUPLICATE_EVENTS] == 1
