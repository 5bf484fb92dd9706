"""Sections of a data set's page about its events: what learners do, when, and of how many courses."""

from reports.charts import Words, bar_chart, column_chart, curve_chart, line_chart
from reports.page import Section, percent
from reports.quantiles import Answer, quantile_table
from reports.spread import TOPS


def events(answer: Answer) -> Section | None:
    """Return the types of events; None if there is nothing to show."""
    if not answer["events_by_type"]:
        return None
    words = Words("Events by type", "events", "", "What learners did, by type of event. Longer means more often.")
    return Section("events", "Events", charts=[bar_chart(words, answer["events_by_type"])])


def activity(answer: Answer) -> Section | None:
    """Return who was active when; None if there is nothing to show."""
    found = answer["activity"]
    if found is None:
        return None
    unit = found["unit"]
    place = unit if unit == "day" else f"{unit}, by its first day"
    learners = Words(
        "Active learners over time", f"{place} (UTC)", f"learners active in the {unit}",
        f"Learners with at least one event in each {unit}. A sudden rise or end often is a change in how data were "
        "gathered; the first and the last step may be cut short.",
    )  # fmt: skip
    events = Words(
        "Events over time", f"{place} (UTC)", f"events in the {unit}",
        "Compare with the plot above: where events rise and learners do not, a few do more than before.",
    )  # fmt: skip
    charts = [
        line_chart(words, found["starts"], {"": found[name]})
        for words, name in ((learners, "learners"), (events, "events"))
    ]
    return Section("activity", "Activity over time", charts=charts)


def clock(answer: Answer) -> Section | None:
    """Return hours and weekdays; None if there is nothing to show."""
    found = answer["clock"]
    if found is None:
        return None
    hours = Words(
        "Events by hour of the day", "hour (UTC)", "events",
        "When learners are active. One lonely column at 0 means that stamps are only days, not that learners work at "
        "midnight.",
    )  # fmt: skip
    days = Words(
        "Events by weekday", "weekday (UTC)", "events",
        "Much less at the end of the week: people learn at work; much more: in their own time.",
    )  # fmt: skip
    at_midnight = found["at_midnight_fraction"]
    sentence = f"{percent(at_midnight)} of all events are stamped exactly 00:00:00" + (
        ": most stamps are only days, and the hours say nothing." if at_midnight > 0.5 else "."
    )
    charts = [
        column_chart(hours, range(24), found["by_hour"]),
        column_chart(days, list(found["by_weekday"]), list(found["by_weekday"].values())),
    ]
    return Section("clock", "Time of day and weekday", [sentence], charts)


def sparsity(answer: Answer) -> Section | None:
    """Return how empty the matrix of learners and courses is; None if there is nothing to show."""
    found = answer["sparsity"]
    if found is None:
        return None
    sentences = [
        f"{found['learners']:,} learners have taken {found['pairs']:,} times one of {found['courses']:,} courses: "
        f"{percent(found['sparsity'])} of all pairs of learner and course are empty. Counted is what is "
        f"{' or '.join(found['counted'])}, once a learner and course.",
    ]
    if found["learners_with_one_course"]:
        sentences.append(
            f"{found['learners_with_one_course']:,} learners have one course only: of them a model can't learn what "
            "goes with what, and they can't be tested with a history."
        )
    rows = {"courses a learner": found["courses_per_learner"], "learners a course": found["learners_per_course"]}
    return Section("sparsity", "Sparsity", sentences, tables=[quantile_table("How many each has", rows)])


def long_tail(answer: Answer) -> Section | None:
    """Return how much the most popular courses have; None if there is nothing to show."""
    found = answer["long_tail"]
    if found is None:
        return None
    shares = {top: found[f"top_{top}_percent"] for top in TOPS}
    said = ", ".join(f"{percent(share)} to the most popular {top}\xa0%" for top, share in shares.items())
    sentences = [
        f"Of all enrolments go {said} of the courses. The Gini coefficient is {found['gini']:.3f} (0: all have the "
        "same, 1: one has all).",
        f"Never taken are {found['never_taken']:,} of {found['courses']:,} courses: only text can recommend them.",
    ]
    words = Words(
        "Long tail", "most popular courses, in % of all courses", "share of all enrolments (%)",
        "How much of all enrolments the most popular courses have together. The nearer the curve comes to the upper "
        "left corner, the better a list of popular courses does, and the more it hides.",
    )  # fmt: skip
    marks = {f"top {top} %: {percent(share)}": (float(top), share * 100) for top, share in shares.items()}
    curve = curve_chart(words, list(range(len(found["curve"]))), [share * 100 for share in found["curve"]], marks)
    return Section("long-tail", "Long tail", sentences, [curve])


def ratings(answer: Answer) -> Section | None:
    """Return which ratings and grades are given; None if there is nothing to show."""
    charts = []
    for found in answer["ratings"]:
        place = "value, in steps from" if found["in_steps"] else "value"
        words = Words(
            f"{found['type']} on the scale {found['scale']}", f"{place} (of {found['scale']})", "events",
            f"How often each value was given; the mean is {found['mean']:.2f}. Where nearly all are the highest, "
            "a rating says little beyond that the course was taken.",
        )  # fmt: skip
        charts.append(column_chart(words, [f"{start:g}" for start in found["from"]], found["count"]))
    return Section("ratings", "Ratings and grades", charts=charts) if charts else None
