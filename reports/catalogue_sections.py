"""Sections of a data set's page about its catalogue: what is known of courses, prices, late counts, text."""

from reports.catalogue import DECADES, LATE_COUNTS
from reports.charts import Words, bar_chart, column_chart, line_chart
from reports.page import Section, Table
from reports.quantiles import Answer, quantile_table


def prices(answer: Answer) -> Section | None:
    """Return what courses cost; None if there is nothing to show."""
    found = answer["prices"]
    if found is None:
        return None
    words = Words(
        "Prices of courses that are not free", "price (the catalogue's currency), in steps from", "courses",
        "How many courses cost how much. The last step also holds everything dearer.",
    )  # fmt: skip
    sentence = f"The price of {found['known']:,} courses is known; {found['free']:,} of them are free."
    chart = column_chart(words, [f"{start:g}" for start in found["from"]], found["count"])
    return Section("prices", "Prices", [sentence], [chart], [quantile_table("Paid courses", {"price": found["paid"]})])


def late_popularity(answer: Answer) -> Section | None:
    """Return subscribers and reviews, and why they are no features; None if there is nothing to show."""
    found = answer["late_popularity"]
    if not found:
        return None
    words = Words(
        "Subscribers and reviews, by size", "count at the end of the crawl, each up to the next", "courses",
        "How many courses have how many. A hump on the left with a long right side is the usual shape.",
    )  # fmt: skip
    named = {name.removeprefix("num_"): found[name] for name in LATE_COUNTS if name in found}
    sentences = [
        "These counts were read when the catalogue was gathered, at the end of the crawl. They know the future: at any "
        "moment before, nobody could have known them. They may be shown; they are never used as features, neither in "
        "training nor in evaluation.",
    ]
    for name, counts in named.items():
        if counts["rank_correlation"] is not None:
            sentences.append(
                f"Rank correlation of {name} with the learners of these events: {counts['rank_correlation']:.2f} "
                "(1: the same order, 0: none in common)."
            )
    tables = [quantile_table("Counts a course", named)]
    for name, counts in named.items():
        rows = [(course["title"] or course["course_id"], course["count"]) for course in counts["most"]]
        tables.append(Table(f"Most {name}", ("course", name), rows))
    chart = line_chart(words, DECADES, {name: counts["by_magnitude"] for name, counts in named.items()})
    return Section("late-popularity", "Subscribers and reviews", sentences, [chart], tables)


def text(answer: Answer) -> Section | None:
    """Return how much text courses have; None if there is nothing to show."""
    found = answer["text"]
    if found is None:
        return None
    words = Words(
        "Length of a course's text", "characters of title and description, in steps from", "courses",
        "How much there is to compare courses by. Much at the left end means that content can tell little apart. The "
        "last step also holds the longest twentieth.",
    )  # fmt: skip
    chart = column_chart(words, [f"{start:g}" for start in found["from"]], found["count"])
    rows = {name: found[f"{name}_characters"] for name in ("title", "description")}
    sentences = [
        f"Without a title: {found['without_title']:,} courses; without a description: {found['without_description']:,}."
    ]
    return Section("text", "Text", sentences, [chart], [quantile_table("Characters, where there are any", rows)])


def completeness(answer: Answer) -> Section | None:
    """Return which fields are known, and frequent categories, levels, languages; None if there is nothing to show."""
    if not answer["completeness"]:
        return None
    words = Words(
        "Fields of the catalogue", "share of the courses of which it is known", "",
        "What the catalogue says of its courses. A field that is missing here is known of no course.",
    )  # fmt: skip
    tables = [
        Table(f"Most frequent: {name}", (name, "courses"), list(counts.items()))
        for name, counts in answer["groups"].items()
    ]
    named = {name.replace("_", " "): share for name, share in answer["completeness"].items()}
    return Section("catalogue", "Catalogue", charts=[bar_chart(words, named, are_shares=True)], tables=tables)
