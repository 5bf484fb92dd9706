"""When things happen and who does far more of them than others. Figures only; all times UTC."""

from typing import Any, Final

import numpy as np
import pandas as pd

from reports.frames import TAKING, Frames

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FAR: Final = 10
"""A learner with more than so many times the events of nine learners in ten has far too many."""

_UNITS: Final = ((90, "day", "D"), (730, "week", "W-SUN"), (float("inf"), "month", "M"))
_LISTED: Final = 10


def over_time(events: pd.DataFrame) -> dict[str, Any] | None:
    """Return active learners and events by day, week or month, whichever suits; None if there are no events."""
    if events.empty:
        return None
    days = (events["at"].iloc[-1] - events["at"].iloc[0]).days
    unit, frequency = next((unit, frequency) for most, unit, frequency in _UNITS if days <= most)
    grouped = events.groupby(events["at"].dt.to_period(frequency))["user_id"]
    by_period = pd.DataFrame({"learners": grouped.nunique(), "events": grouped.size()})
    periods = pd.period_range(by_period.index[0], by_period.index[-1], freq=frequency)
    whole = by_period.reindex(periods, fill_value=0)
    return {
        "unit": unit,
        "starts": [str(period.start_time.date()) for period in periods],
        "learners": whole["learners"].tolist(),
        "events": whole["events"].tolist(),
    }


def clock(events: pd.DataFrame) -> dict[str, Any] | None:
    """Return events by hour of the day and by weekday; `at_midnight_fraction` is near 1 where stamps are only days."""
    if events.empty:
        return None
    at = events["at"]
    return {
        "by_hour": np.bincount(at.dt.hour, minlength=24).tolist(),
        "by_weekday": dict(zip(WEEKDAYS, np.bincount(at.dt.day_of_week, minlength=7).tolist(), strict=True)),
        "at_midnight_fraction": round(float((at == at.dt.normalize()).mean()), 6),
    }


def busy_learners(events: pd.DataFrame) -> dict[str, Any] | None:
    """Return who has most events, and how many have far too many; None if there are no events."""
    if events.empty:
        return None
    per_learner = events["user_id"].value_counts()
    limit = FAR * float(per_learner.quantile(0.9))
    listed = per_learner.sort_index().sort_values(ascending=False, kind="stable").head(_LISTED)
    theirs = events[events["user_id"].isin(listed.index)]
    courses = theirs.groupby("user_id")["course_id"].nunique()
    in_a_day = theirs.groupby(["user_id", theirs["at"].dt.normalize()]).size().groupby("user_id").max()
    return {
        "limit": limit,
        "beyond_limit": int((per_learner > limit).sum()),
        "events_of_them": int(per_learner[per_learner > limit].sum()),
        "most": [
            {
                "user_id": user,
                "events": int(listed[user]),
                "courses": int(courses[user]),
                "in_a_day": int(in_a_day[user]),
            }
            for user in map(str, listed.index)
        ],
    }


def odd_stamps(frames: Frames, now: pd.Timestamp) -> dict[str, int]:
    """Return how many events lie after `now` (UTC), before their enrolment, or before their course was published.

    The second counts what takes a course, where the learner enrols in it at some time.
    """
    events = frames.events[["user_id", "course_id", "type", "at"]]
    enrolled = events[events["type"] == "enrolled"].drop_duplicates(["user_id", "course_id"])
    taking = events[events["type"].isin(TAKING)].merge(
        enrolled, on=["user_id", "course_id"], suffixes=("", "_enrolled")
    )
    published = pd.Series(
        pd.to_datetime(frames.courses["published_at"], utc=True).dt.tz_localize(None).to_numpy(),
        index=frames.courses["course_id"],
    )
    return {
        "in_the_future": int((events["at"] > now).sum()),
        "before_enrolment": int((taking["at"] < taking["at_enrolled"]).sum()),
        "before_publication": int((events["at"].to_numpy() < published.reindex(events["course_id"]).to_numpy()).sum()),
    }
