"""A malformed course is refused, and the refusal names the field."""

import json
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.courses import Course, decode_course, encode_course
from schemas.errors import InvalidEventError

words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (json.dumps({"title": "SQL"}).encode(), ""),
        (json.dumps({"course_id": "a\x00"}).encode(), "course_id"),
        (json.dumps({"course_id": "c", "price": -1}).encode(), "price"),
        (json.dumps({"course_id": "c", "published_at": "2017-01-18T20:58:58"}).encode(), "published_at"),
        (json.dumps({"course_id": "c", "tags": "sql"}).encode(), "tags"),
        (b'{"course_id": "c", "title": "\xff"}', ""),
        (b'{"course_id": "c", "x": ' + b"[" * 99_999, ""),
        (b"", ""),
    ],
    ids=range(8),
)
def test_a_malformed_course_is_refused(raw: bytes, field: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_course(raw)
    assert caught.value.field == field


@given(
    st.builds(
        Course,
        course_id=st.text("abc-é1", min_size=1, max_size=50),
        title=words,
        tags=st.lists(words, max_size=5).map(tuple),
        price=st.none() | st.floats(0, 1e6),
        published_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        num_reviews=st.none() | st.integers(0, 10**9),
        retired=st.booleans(),
    )
)
def test_a_course_survives_the_log(course: Course) -> None:
    assert decode_course(encode_course(course)) == course
