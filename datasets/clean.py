"""Parsers of what catalogues write. Each raises ValueError; `OutlierError` if it reads well but is impossible."""

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

MAX_PRICE: Final = 100_000.0
MAX_DURATION_MINUTES: Final = 60_000.0
"""A thousand hours."""

MAX_COUNT: Final = 1_000_000_000
MAX_LABELS: Final = 100
MAX_LABEL_LENGTH: Final = 200

_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(h|hrs?|hours?|m|mins?|minutes?)", re.IGNORECASE)
_LEVELS: Final = {
    "all": "all",
    "beginner": "beginner",
    "introductory": "beginner",
    "intermediate": "intermediate",
    "advanced": "advanced",
    "expert": "expert",
    "esperto": "expert",
}


class OutlierError(ValueError):
    """A value that can be read but lies outside what is possible."""


def _within(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise OutlierError(f"{value:g} lies outside {low:g} to {high:g}")
    return value


def number(text: object) -> float:
    """Return a finite number.

    >>> number("1.5"), number(3)
    (1.5, 3.0)
    """
    if isinstance(text, bool) or not isinstance(text, int | float | str):
        raise ValueError(f"{text!r} is no number")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return value


def price(text: object) -> float:
    """Return a price; `Free` is 0.

    >>> price("$19.99"), price("Free"), price("1,200")
    (19.99, 0.0, 1200.0)
    """
    if isinstance(text, str):
        text = text.strip().lstrip("$€£").replace(",", "")
        if text.lower() == "free":
            return 0.0
    return _within(number(text), 0, MAX_PRICE)


def minutes(text: object) -> float:
    """Return a duration that is given in minutes."""
    return _within(number(text), 0, MAX_DURATION_MINUTES)


def duration(text: object) -> float:
    """Return the minutes of a duration with its unit.

    >>> duration("1.5 hours"), duration("35 mins")
    (90.0, 35.0)
    """
    match = _DURATION.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration")
    return minutes(float(match[1]) * (60 if match[2].lower().startswith("h") else 1))


def count(text: object) -> int:
    """Return a number of people or reviews.

    >>> count("2,147")
    2147
    """
    return int(_within(number(text.replace(",", "") if isinstance(text, str) else text), 0, MAX_COUNT))


def moment(text: object) -> datetime:
    """Return an aware moment from ISO 8601 (UTC where no offset is given) or unix seconds; 1970 to 2100.

    >>> moment("2017-01-18T20:58:58Z") == moment("2017-01-18 20:58:58") == moment(1484773138)
    True
    """
    try:
        found = datetime.fromtimestamp(number(text), UTC)
    except ValueError:
        found = datetime.fromisoformat(str(text).strip())
    except (OverflowError, OSError):
        raise OutlierError(f"{text!r} lies outside 1970 to 2100") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    _within(found.year, 1970, 2099)
    return found


def level(text: object) -> str:
    """Return the level in lower case, without the word level.

    >>> level("All Levels"), level("Beginner Level"), level("Advanced")
    ('all', 'beginner', 'advanced')
    """
    word = str(text).strip().lower().removesuffix("levels").removesuffix("level").strip()
    if word not in _LEVELS:
        raise ValueError(f"{text!r} is no level")
    return _LEVELS[word]


def one_line(text: str) -> str:
    """Return the text with every run of white space as one blank.

    >>> one_line("  Basics of\\n SQL ")
    'Basics of SQL'
    """
    return " ".join(text.split())


def labels(value: object, separator: str = "|") -> tuple[str, ...]:
    """Return labels from a list, a JSON array or separated text, each once, in order.

    >>> labels("sql|data | sql"), labels('["sql", "data"]'), labels(["sql", ""])
    (('sql', 'data'), ('sql', 'data'), ('sql',))
    """
    if isinstance(value, str):
        value = _array(value) if value.lstrip().startswith("[") else value.split(separator)
    if not isinstance(value, Iterable):
        raise ValueError(f"{value!r} is no list")
    words = (one_line(str(word))[:MAX_LABEL_LENGTH] for word in value if word is not None)
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_LABELS]


def _array(text: str) -> list[object]:
    try:
        return msgspec.json.decode(text, type=list[object])
    except msgspec.DecodeError as error:
        raise ValueError(f"{text!r} is no JSON array: {error}") from None
