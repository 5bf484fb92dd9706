"""The page: whole, escaped, complete in itself."""

from reports.charts import Words, bar_chart, column_chart, curve_chart, interval_chart, line_chart, looks
from reports.page import Cell, Section, Table, percent, render
from tests.unit.reports.frames import HOSTILE
from tests.unit.reports.html import Page

WORDS = Words(HOSTILE, f"x {HOSTILE}", f"y {HOSTILE}", f"how to read {HOSTILE}")


def test_hostile_words_are_text_wherever_they_stand() -> None:
    charts = [
        line_chart(WORDS._replace(title="one"), [HOSTILE, "b"], {HOSTILE: [1, None]}),
        column_chart(WORDS._replace(title="two"), [HOSTILE], [1]),
        bar_chart(WORDS._replace(title="three"), {HOSTILE: 1}),
        interval_chart(WORDS._replace(title="four"), {HOSTILE: (0.1, 0.2, 0.3)}),
        curve_chart(WORDS._replace(title="five"), [0, 1], [0, 1], {HOSTILE: (0, 0)}),
        bar_chart(WORDS, {"a": 1}),
    ]
    table = Table(HOSTILE, (HOSTILE, "b", "c"), [(HOSTILE, HOSTILE, Cell(HOSTILE, HOSTILE, True))], 1, HOSTILE)
    page = Page(render(HOSTILE, [(HOSTILE, HOSTILE)], [Section("one", HOSTILE, [HOSTILE], charts, [table])]))
    page.check()
    assert page.text.count("<script>alert('x')</script>") >= 15
    assert len(page.all("svg")) == len(charts)


def test_plots_follow_the_colours_of_the_page() -> None:
    """No colour is left that is not the page's, or text would be black on black."""
    lines = {f"model {number}": [number, number + 1] for number in range(9)}
    svg = line_chart(WORDS, ["a", "b"], lines).svg
    assert "#0101" not in svg
    assert "#000000" not in svg
    assert {f"var(--series-{number})" in svg for number in range(1, 8)} == {True}
    assert "var(--ink)" in svg
    assert svg.count("stroke-dasharray") > 0


def test_nine_lines_are_told_apart_without_colour() -> None:
    """By marker and dashes alone."""
    assert len({(marker, dashes) for _, (_, marker, dashes) in zip(range(9), looks(), strict=False)}) == 9


def test_a_drawing_is_the_same_every_time() -> None:
    assert bar_chart(WORDS, {"a": 1}) == bar_chart(WORDS, {"a": 1})


def test_charts_of_nothing_and_of_many_places_are_drawn() -> None:
    ticks = [f"2026-01-{day:02}" for day in range(1, 32)]
    for chart in (
        line_chart(WORDS, ticks, {"a": [0.0] * 31}),
        line_chart(WORDS, ["a"], {"a": [None]}),
        column_chart(WORDS, [], []),
        bar_chart(WORDS, {"a": 0.0}, are_shares=True),
        interval_chart(WORDS, {"a": (0.0, 0.0, 0.0)}),
    ):
        assert "<path" in chart.svg


def test_dates_under_a_plot_do_not_touch() -> None:
    svg = line_chart(WORDS, [f"2026-01-{day:02}" for day in range(1, 32)], {"a": [0.0] * 31}).svg
    assert 4 <= svg.count("2026-01-") <= 9


def test_nearly_all_is_not_rounded_to_all() -> None:
    assert percent(0.99996) == "99.996\xa0%"
    assert percent(1) == "100.0\xa0%"
