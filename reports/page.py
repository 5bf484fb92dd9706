"""A page: sections of sentences, plots and tables, as one HTML file that needs nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES: Final = Environment(
    loader=FileSystemLoader(Path(__file__).parent),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


class Chart(NamedTuple):
    """A drawing, which says itself what is in it for who can't see it, and a sentence on how to read it."""

    title: str
    svg: Markup
    reading: str


class Cell(NamedTuple):
    """A figure of a table, with something smaller below it, such as its interval; the best of its row is bold."""

    text: str
    below: str = ""
    is_best: bool = False


class Table(NamedTuple):
    """Rows under columns; the first `num_labels` columns are words, to the left, the others figures, to the right."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    num_labels: int = 1
    note: str = ""


class Section(NamedTuple):
    """A part of the page that can be linked to by `name`."""

    name: str
    title: str
    sentences: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()


def shown(value: object) -> str:
    """Return a value as people read it: numbers with about four digits that count.

    >>> shown(12345), shown(0.123456), shown(4.983), shown(163.64), shown(0.00001234), shown(None)
    ('12,345', '0.1235', '4.98', '163.6', '1.23e-05', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    if not isinstance(value, float):
        return str(value)
    if value.is_integer():
        return f"{value:,.0f}"
    if abs(value) >= 1:
        return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.2f}"
    return f"{value:.4f}" if abs(value) >= 0.001 else f"{value:.2e}"


def percent(fraction: float) -> str:
    """Return a fraction in percent, on one line; what is nearly all is not rounded to all.

    >>> percent(0.1234), percent(0.99987)
    ('12.3\\xa0%', '99.987\\xa0%')
    """
    digits = 3 if 0.999 < fraction < 1 else 1
    return f"{fraction:.{digits}%}".replace("%", "\xa0%")


def render(title: str, facts: Sequence[tuple[str, object]], sections: Sequence[Section]) -> str:
    """Return the page. Whatever stands in the data is text: it is escaped."""
    return _TEMPLATES.get_template("page.html").render(title=title, facts=facts, sections=sections, shown=shown)


_TEMPLATES.tests["cell"] = lambda value: isinstance(value, Cell)
