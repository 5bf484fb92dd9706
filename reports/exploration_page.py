"""The page of a data set: every figure of `exploration.explore` with a sentence on how to read it."""

from collections.abc import Callable
from typing import Final

from reports import catalogue_sections, event_sections
from reports.page import Section, Table, render
from reports.quantiles import Answer


def page_of(answer: Answer) -> str:
    """Return the page of an exploration."""
    found = [(name, section(answer)) for name, section in _SECTIONS.items()]
    sections = [section for _, section in found if section is not None]
    absent = [name for name, section in found if section is None]
    counts = answer["counts"]
    facts = [(name.replace("_", " "), value) for name, value in {**counts, **_days(answer)}.items()]
    facts += [("layout", answer["layout"]), ("rows rejected", answer["cleaning"]["rejected"])]
    if absent:
        facts.append(("not in this data set", ", ".join(absent)))
    return render(f"{answer['dataset']}: the data before training", facts, sections)


def _days(answer: Answer) -> dict[str, str | None]:
    moments = {"first": answer["counts"]["first"], "last": answer["counts"]["last"], "explored": answer["explored_at"]}
    return {name: moment and moment[:10] for name, moment in moments.items()}


def _outliers(answer: Answer) -> Section:
    busy, odd, text = answer["busy_learners"], answer["odd_stamps"], answer["text"]
    rows: list[tuple[str, int]] = [
        ("events in the future", odd["in_the_future"]),
        ("events that take a course before the learner's enrolment in it", odd["before_enrolment"]),
        ("events before their course was published", odd["before_publication"]),
        ("courses without any text", text["without_text"] if text else 0),
    ]
    tables = []
    if busy:
        rows.insert(0, (f"learners with far too many events (over {busy['limit']:,.0f})", busy["beyond_limit"]))
        columns = ("learner", "events", "courses", "most in one day")
        tables.append(Table("Busiest learners", columns, [tuple(one.values()) for one in busy["most"]]))
    found = Table("What to look at before training", ("", "found"), rows)
    sentences = [
        "Far too many is more than ten times what nine learners in ten stay within: programs, or several people under "
        "one name. Readers put events into the order of time, so the order of a file's lines does not matter.",
    ]
    if text and text["without_text_ids"]:
        sentences.append(f"Courses without text, the first ones: {', '.join(text['without_text_ids'])}.")
    return Section("outliers", "Outliers", sentences, tables=[found, *tables])


def _cleaning(answer: Answer) -> Section:
    found = answer["cleaning"]
    tables = []
    if found["findings"]:
        note = "Each was counted; what could not be kept was left out."
        tables.append(Table("What cleaning found", ("finding", "times"), list(found["findings"].items()), note=note))
    if found["rejects_by_reason"]:
        note = "Values of the row itself are shown as …; `import` writes every row with its line to a file."
        rows = list(found["rejects_by_reason"].items())
        tables.append(Table("Rows that were dropped, by reason", ("reason", "rows"), rows, note=note))
    sentences = [] if tables else ["Nothing was dropped and nothing had to be mended."]
    return Section("cleaning", "Cleaning", sentences, tables=tables)


_SECTIONS: Final[dict[str, Callable[[Answer], Section | None]]] = {
    "events": event_sections.events,
    "activity over time": event_sections.activity,
    "time of day": event_sections.clock,
    "sparsity": event_sections.sparsity,
    "long tail": event_sections.long_tail,
    "ratings": event_sections.ratings,
    "catalogue": catalogue_sections.completeness,
    "prices": catalogue_sections.prices,
    "subscribers and reviews": catalogue_sections.late_popularity,
    "text": catalogue_sections.text,
    "outliers": _outliers,
    "cleaning": _cleaning,
}
"""The sections in the order of the page, by what is missing where there is none."""
