"""A data set before a training: all its figures as one answer, for a program as for the page."""

import re
from collections import Counter
from datetime import datetime
from typing import Any, Final

import pandas as pd

from datasets.dataset import Dataset, Reject
from reports import activity, catalogue, spread
from reports.frames import Frames, frames_of

_QUOTED: Final = re.compile(r"'[^']*'|\"[^\"]*\"")
_NUMBER: Final = re.compile(r"(?<![\w.-])-?\d[\w.:+]*(?![\w-])")


def explore(dataset: Dataset, name: str, now: datetime) -> dict[str, Any]:
    """Return what a data set holds, by subject; a subject of which it holds nothing is None or empty.

    `now` (aware) is what an event's moment is held against: later ones lie in the future.
    """
    frames = frames_of(dataset)
    moment = pd.Timestamp(now).tz_convert("UTC").tz_localize(None)
    return {
        "dataset": name,
        "layout": dataset.layout,
        "explored_at": now.isoformat(timespec="seconds"),
        "counts": _counts(dataset, frames),
        "events_by_type": {str(kind): int(count) for kind, count in frames.events["type"].value_counts().items()},
        "activity": activity.over_time(frames.events),
        "clock": activity.clock(frames.events),
        "sparsity": spread.sparsity(frames),
        "long_tail": spread.long_tail(frames),
        "ratings": spread.ratings(frames),
        "completeness": catalogue.completeness(frames.courses),
        "groups": catalogue.groups(frames.courses),
        "prices": catalogue.prices(frames.courses),
        "late_popularity": catalogue.late_popularity(frames),
        "text": catalogue.text(frames.courses),
        "busy_learners": activity.busy_learners(frames.events),
        "odd_stamps": activity.odd_stamps(frames, moment),
        "cleaning": _cleaning(dataset),
    }


def _counts(dataset: Dataset, frames: Frames) -> dict[str, Any]:
    at = frames.events["at"]
    return {
        "courses": len(dataset.courses),
        "courses_with_events": frames.events["course_id"].nunique(),
        "courses_of_no_catalogue": len(frames.course_ids()) - len(dataset.courses),
        "learners": dataset.num_learners,
        "learners_with_events": frames.events["user_id"].nunique(),
        "learners_with_profile": len(dataset.learners),
        "events": len(dataset.events),
        "first": None if at.empty else at.iloc[0].isoformat(timespec="seconds") + "Z",
        "last": None if at.empty else at.iloc[-1].isoformat(timespec="seconds") + "Z",
    }


def _cleaning(dataset: Dataset) -> dict[str, Any]:
    return {
        "rejected": len(dataset.rejects),
        "rejects_by_reason": dict(Counter(map(kind_of, dataset.rejects)).most_common()),
        "findings": dataset.report,
    }


def kind_of(reject: Reject) -> str:
    """Return a reject's file and reason without what is the row's own.

    >>> kind_of(Reject("a.csv", 7, "rating: could not convert string to float: 'good'"))
    "a.csv: rating: could not convert string to float: '…'"
    >>> kind_of(Reject("a.csv", 9, "value: 7 is off the scale 1-5"))
    'a.csv: value: … is off the scale 1-5'
    """
    reason = _QUOTED.sub("'…'", reject.reason)
    return f"{reject.file}: {_NUMBER.sub('…', reason)}"
