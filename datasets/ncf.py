"""The released splits of the NCF paper (He et al., WWW 2017): leave-one-out, 99 sampled negatives. Evaluation only.

Files, each optionally `.gz`, fields separated by tabs; a row that cannot be read ends the reading, or figures would not
compare:

- `NAME.train.ordered.tsv`: `user, item, position` with a header; position 0 is the learner's oldest.
- `NAME.test.rating`: user, item, rating, unix seconds: what each learner took last.
- `NAME.test.negative`: `(user,item)`, then items that the learner has not taken. The released files name the item
  itself now and then; it is left out, as it is by the paper's own evaluation.
- `item_map.tsv`, optional: `ncf_item, movieId` with a header.

The training part has no times. A folder in the `movielens` layout beside it tells them, and the titles, if its learners
(user + 1) hold as many ratings as the split, one of them in the second of the test.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from datasets import movielens
from datasets.dataset import Place
from datasets.files import text_lines
from schemas.courses import Course
from schemas.errors import UnknownLayoutError

LAYOUT: Final = "ncf"
LOOKED_FOR: Final = "NAME.train.ordered.tsv, NAME.test.rating and NAME.test.negative (or .gz)"

_ENDINGS: Final = (".train.ordered.tsv", ".test.rating", ".test.negative")

Seconds = dict[str, Counter[str]]
"""User -> unix second -> ratings in it."""


class HeldOut(NamedTuple):
    """What a learner took last, and what he is taken not to have wanted.

    `is_tied`: whether he took something of the training part in the same second, so that the order of the two is
    chance; None if that is not known.
    """

    user_id: str
    course_id: str
    negatives: tuple[str, ...]
    is_tied: bool | None = None


@dataclass(frozen=True)
class Split:
    """Courses, what each learner took before the test, oldest first, and a test a learner."""

    courses: list[Course]
    histories: dict[str, list[str]]
    tests: list[HeldOut]


def found(folder: Path) -> bool:
    """Return whether a folder has this layout."""
    return folder.is_dir() and all(_files(folder, ending) for ending in _ENDINGS)


def read(folder: Path) -> Split:
    """Read a split; UnknownLayoutError if a file is missing, or a row of one cannot be right."""
    if not found(folder):
        raise UnknownLayoutError(f"{folder} has no layout {LAYOUT}; looked for {LOOKED_FOR}")
    histories, seconds = _histories(folder), dict[str, str]()
    tests = list(_tests(folder, histories, seconds))
    named = {course_id for history in histories.values() for course_id in history}
    named |= {course_id for test in tests for course_id in (test.course_id, *test.negatives)}
    beside, times = _beside(folder, histories, seconds)
    films = _films(folder, beside)
    courses = [films.get(course_id, Course(course_id=course_id)) for course_id in sorted(named)]
    return Split(courses, histories, [one._replace(is_tied=_is_tied(one, seconds, times)) for one in tests])


def _files(folder: Path, ending: str) -> list[Path]:
    return [path for packed in ("", ".gz") for path in folder.glob(f"*{ending}{packed}")]


def _refuse(place: Place, reason: str) -> NoReturn:
    raise UnknownLayoutError(f"{place.file}, line {place.line}: {reason}")


def _pass_over(_place: Place, _reason: str) -> None:
    """Take no notice of what is wrong with a folder that was not asked for."""


def _rows(folder: Path, name: str, fewest: int) -> Iterator[tuple[Place, list[str]]]:
    paths = _files(folder, name)
    if len(paths) > 1:
        raise UnknownLayoutError(f"{folder} holds {' and '.join(path.name for path in paths)}: keep one of them")
    for place, text in text_lines(paths[0], _refuse):
        fields = text.split("\t")
        if len(fields) < fewest:
            _refuse(place, f"has {len(fields)} fields separated by tabs, not {fewest}")
        yield place, fields


def _histories(folder: Path) -> dict[str, list[str]]:
    """Return what each learner took, oldest first; positions have neither holes nor doubles, nor has a history."""
    found: dict[str, dict[int, str]] = defaultdict(dict)
    for place, (user_id, course_id, position, *_) in _rows(folder, ".train.ordered.tsv", 3):
        if place.line == 1 and not position.isdecimal():
            continue  # the header
        if not position.isdecimal() or int(position) in found[user_id]:
            _refuse(place, f"position {position!r} is no whole number, or learner {user_id} has it twice")
        found[user_id][int(position)] = course_id
    histories = {user_id: [of[position] for position in sorted(of)] for user_id, of in found.items()}
    for user_id, history in histories.items():
        if max(found[user_id]) >= len(history) or len(set(history)) < len(history):
            raise UnknownLayoutError(f"{folder}: learner {user_id} lacks a position, or took an item twice")
    return histories


def _tests(folder: Path, histories: dict[str, list[str]], seconds: dict[str, str]) -> Iterator[HeldOut]:
    """Yield the tests, in the files' order; fill in the second of each."""
    drawn = _rows(folder, ".test.negative", 2)
    for place, (user_id, course_id, _, second, *_) in _rows(folder, ".test.rating", 4):
        where, (pair, *others) = next(drawn, (place, [""]))
        taken = set(histories.get(user_id, ()))
        negatives = tuple(dict.fromkeys(one for one in others if one and one != course_id))
        if pair != f"({user_id},{course_id})":
            _refuse(where, f"{pair!r} is not the test of line {place.line} of {place.file}, ({user_id},{course_id})")
        if not taken or course_id in taken or not taken.isdisjoint(negatives) or user_id in seconds:
            _refuse(place, f"learner {user_id} has no history, or two tests, or has taken what he is tested with")
        seconds[user_id] = second
        yield HeldOut(user_id, course_id, negatives)
    for where, _ in drawn:
        _refuse(where, "belongs to no test")


def _beside(folder: Path, histories: dict[str, list[str]], seconds: dict[str, str]) -> tuple[Path | None, Seconds]:
    """Return the folder beside that tells of these learners, and their seconds; the first that tells of any."""
    for path in sorted(folder.resolve().parent.iterdir()):
        if path.is_dir() and movielens.found(path):
            times: Seconds = defaultdict(Counter)
            for _, (number, _, _, second) in movielens.rows(path, "ratings", 4, _pass_over):
                if number.isdecimal():
                    times[str(int(number) - 1)][second] += 1
            known = {
                user_id: own
                for user_id, own in times.items()
                if own.total() == len(histories.get(user_id, ())) + 1 and own[seconds.get(user_id, "")]
            }
            if known:
                return path, known
    return None, {}


def _is_tied(test: HeldOut, seconds: dict[str, str], times: Seconds) -> bool | None:
    own = times.get(test.user_id)
    return own[seconds[test.user_id]] > 1 if own is not None else None


def _films(folder: Path, beside: Path | None) -> dict[str, Course]:
    """Return the courses whose title is known, by NCF item."""
    if beside is None or not (folder / "item_map.tsv").is_file():
        return {}
    films = {one.course_id: one for one in movielens.courses(beside)}
    pairs = ((item, films.get(movie_id)) for _, (item, movie_id, *_) in _rows(folder, "item_map.tsv", 2))
    return {
        item: Course(course_id=item, title=film.title, tags=film.tags, category=film.category)
        for item, film in pairs
        if film
    }
