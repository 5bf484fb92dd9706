"""The OULAD layout."""

from pathlib import Path

from datasets.dataset import Finding
from datasets.oulad import read
from schemas.events import Graded

ASSESSMENTS = """"code_module","code_presentation","id_assessment","assessment_type","date","weight"
"AAA","2013J","1753","TMA","54","20"
"AAA","2013J","1752","TMA","19","10"
"AAA","2014B","1760","Exam","","100"
"AAA","spring","1761","Exam","","100"
"""
SCORES = """id_assessment,id_student,date_submitted,is_banked,score
1753,u1,50,0,60
1752,u1,-1,0,78
1752,u2,-1,1,90
1752,u3,18,0,
1760,u1,200,0,101
1761,u1,200,0,50
"""


def test_assessments_are_courses_and_scores_are_grades_to_the_day(tmp_path: Path) -> None:
    (tmp_path / "assessments.csv").write_text(ASSESSMENTS)
    (tmp_path / "studentAssessment.csv").write_text(SCORES)
    data = read(tmp_path)
    assert [(course.course_id, course.title) for course in data.courses] == [
        ("1752", "AAA TMA 1 (2013J)"),
        ("1753", "AAA TMA 2 (2013J)"),
        ("1760", "AAA Exam 1 (2014B)"),
    ]
    first, *_, exam = data.courses
    assert (first.category, first.tags) == ("AAA", ("TMA", "2013J"))
    assert first.description == "Module AAA, tutor-marked assessment 1: due on day 19, weight 10 %."
    assert exam.description == "Module AAA, exam 1: weight 100 %."
    grades = [event for event in data.events if isinstance(event, Graded)]
    assert [(one.user_id, one.course_id, one.value, one.scale, str(one.occurred_at)) for one in grades] == [
        ("u1", "1752", 78, "0-100", "2013-09-30 00:00:00+00:00"),
        ("u1", "1753", 60, "0-100", "2013-11-20 00:00:00+00:00"),
    ]


def test_what_is_carried_over_or_cannot_be_read_is_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "assessments.csv").write_text(ASSESSMENTS)
    (tmp_path / "studentAssessment.csv").write_text(SCORES)
    data = read(tmp_path)
    assert [(reject.file, reject.line) for reject in data.rejects] == [
        ("assessments.csv", 5),
        ("studentAssessment.csv", 5),
        ("studentAssessment.csv", 6),
        ("studentAssessment.csv", 7),
    ]
    assert data.report == {Finding.CARRIED_OVER: 1, Finding.OFF_SCALE: 1, Finding.UNREADABLE_ROWS: 3}
