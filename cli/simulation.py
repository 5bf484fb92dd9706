"""A simulated campus against a running system: learners read their lists, decide, and publish what they do."""

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec

from cli.arms import Scores, arm_of
from cli.pace import Pace
from cli.patient import PatientApi
from datasets.campus import Campus
from datasets.campus_courses import CampusCourse
from datasets.campus_learners import CampusLearner
from datasets.campus_life import Life, history, profiles
from datasets.campus_visits import Body, Visit
from schemas.courses import encode_course
from schemas.errors import CoursestreamError
from schemas.events import AnyEvent, encode_event

LISTED: Final = 10
"""Courses that a learner is shown."""

DAYS_PER_S: Final = 0.1
"""How fast the campus lives: outcomes, drifting tastes, courses that appear and retire."""

_BATCH: Final = 500
_AT_ONCE: Final = 20
_WITNESSES: Final = 20
"""Learners, of all shards as far as that goes, by whom it is seen whether the past has arrived."""
_WHOLE_S: Final = 30.0
_POLL_S: Final = 0.2
_WALKERS: Final = 8
_WITHOUT_LIST: Final = 0.15
"""Share of the visits that look at no list."""
_CATALOGUE_S: Final = 1.0

Enrolled = Callable[[str, str], None]
"""Called with the learner and the position of an acknowledged enrolment."""


def _ignore(_user_id: str, _position: str) -> None:
    """Take no notice of an enrolment."""


class Simulation:
    """One run of a campus. `on_enrolled` is called for enrolments from lists."""

    def __init__(self, campus: Campus, api: PatientApi, rate: float, on_enrolled: Enrolled = _ignore) -> None:
        self.campus = campus
        self.life = Life(campus)
        self.scores = Scores()
        self.events = 0
        self._api = api
        self._pace = Pace(rate)
        self._on_enrolled = on_enrolled
        self._draw = campus.draw("live")
        self._recalled: set[str] = set()
        self._visiting: set[str] = set()
        self._began_s = time.monotonic()
        self._published: set[str] = set()

    @property
    def elapsed_s(self) -> float:
        """Seconds since learners began to look at lists."""
        return time.monotonic() - self._began_s

    @property
    def day(self) -> float:
        """The day on the campus."""
        return self.elapsed_s * DAYS_PER_S

    async def prepare(self, num_events: int) -> None:
        """Publish the catalogue, declared interests, and so many events of the weeks before, unless they are there."""
        now = datetime.now(UTC)
        self._began_s = time.monotonic()
        await self._follow_catalogue(now)
        before: list[AnyEvent] = [*profiles(self.campus, now), *history(self.life, num_events, now)]
        witnesses = list(dict.fromkeys(event.user_id for event in reversed(before)))[:_WITNESSES]
        if await self._is_known(witnesses):
            return
        for start in range(0, len(before), _BATCH):
            body = b'{"events":[' + b",".join(map(encode_event, before[start : start + _BATCH])) + b"]}"
            await self._api.ask("POST", "/v1/events", content=body)
        end_s = time.monotonic() + _WHOLE_S
        for user_id in witnesses:
            await self._whole(_list_path(user_id), end_s)

    async def _is_known(self, witnesses: Sequence[str]) -> bool:
        """Return whether an earlier run with the same campus has published the weeks before."""
        for user_id in witnesses:
            taken = self.life.past(user_id).taken
            if taken:
                answer = await self._whole(_learner_path(user_id), time.monotonic() + _WHOLE_S)
                return taken <= {course["course_id"] for course in answer["courses"]}
        return False

    async def _whole(self, path: str, end_s: float) -> dict[str, Any]:
        """Return an answer once it includes all that is in the log; after `end_s` (monotonic) whatever there is."""
        while True:
            answer = await self._api.get(path)
            if (answer["lag"] == 0 and not answer["degraded"]) or time.monotonic() > end_s:
                return answer
            await asyncio.sleep(_POLL_S)

    async def run(self) -> None:
        """Let learners come and go until cancelled. Raises CoursestreamError if the API refuses them for good."""
        self._began_s = time.monotonic()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._keep_time())
                for _ in range(_WALKERS):
                    tasks.create_task(self._walk())
        except* CoursestreamError as refused:
            raise refused.exceptions[0] from None

    def answer(self) -> dict[str, Any]:
        """Return what programs are given."""
        return {
            "arms": self.scores.answer(),
            "events": self.events,
            "seconds": round(self.elapsed_s, 3),
            "courses": len(self.campus.courses),
            "learners": len(self.campus.learners),
            "seed": self.campus.seed,
            "retries": self._api.retries,
        }

    async def _keep_time(self) -> None:
        while True:
            await asyncio.sleep(_CATALOGUE_S)
            self.scores.reach(self.elapsed_s)
            await self._follow_catalogue(datetime.now(UTC))

    async def _follow_catalogue(self, now: datetime) -> None:
        """Publish courses that have appeared, retire those whose time is over."""
        active = {course.course_id: course for course in self.campus.active(self.day)}
        for course_id in self._published - active.keys():
            await self._api.ask("DELETE", _course_path(course_id))
        appeared = sorted(active.keys() - self._published)
        for start in range(0, len(appeared), _AT_ONCE):
            part = appeared[start : start + _AT_ONCE]
            await asyncio.gather(*(self._put(active[course_id], now) for course_id in part))
        self._published = set(active)

    async def _put(self, course: CampusCourse, now: datetime) -> None:
        content = encode_course(course.published(now))
        await self._api.ask("PUT", _course_path(course.course_id), content=content)

    async def _walk(self) -> None:
        """Do one thing after the other: what is due, or a visit of somebody."""
        while True:
            await self._pace.turn()
            due = self.life.due(self.day)
            if due:
                user_id, body = due
                await self._publish(user_id, (body,))
                continue
            learner = self.life.somebody(self._draw)
            if learner.user_id not in self._visiting:
                self._visiting.add(learner.user_id)
                await self._visit(learner)
                self._visiting.discard(learner.user_id)

    async def _visit(self, learner: CampusLearner) -> None:
        user_id, draw = learner.user_id, self._draw
        await self._recall(user_id)
        if draw.random() < _WITHOUT_LIST:
            visit = self.life.without_list(learner, self.day, draw)
            await self._publish(user_id, visit.bodies)
        else:
            visit = await self._look_at_list(learner)
            position = await self._publish(user_id, visit.bodies)
            if visit.chosen and position:
                self._on_enrolled(user_id, position)
        self.life.expect(user_id, visit, self.day, draw)

    async def _look_at_list(self, learner: CampusLearner) -> Visit:
        """Let a learner decide before the list of his arm, and score the decision against the best within reach."""
        arm = arm_of(learner.user_id)
        listed = await self._list(learner, arm)
        day, past = self.day, self.life.past(learner.user_id)
        oracle = self.campus.oracle(learner, past, day)
        shown = [course for course in listed if course.is_active(day) and course.course_id not in past.taken]
        visit = self.life.visitor(learner, day, self._draw).look_down(shown)
        self.scores.add(arm, self.elapsed_s, visit.satisfaction, oracle)
        return visit

    async def _list(self, learner: CampusLearner, arm: str) -> Sequence[CampusCourse]:
        """Return the list of the learner's arm; courses from elsewhere are passed over."""
        if arm == "random":
            choices = self.campus.choices(self.life.past(learner.user_id), self.day)
            return self._draw.sample(choices, min(LISTED, len(choices)))
        answer = await self._api.get(_list_path(learner.user_id), limit=LISTED, strategy=arm)
        found = (self.campus.courses.get(item["course_id"]) for item in answer["items"])
        return [course for course in found if course is not None]

    async def _recall(self, user_id: str) -> None:
        """Take in, once, what the system knows that a learner has taken: an earlier run may have been here."""
        if user_id in self._recalled:
            return
        answer = await self._api.get(_learner_path(user_id))
        for course in answer["courses"]:
            about = {"course_id": course["course_id"]}
            self.life.happened(user_id, {"type": "enrolled", **about})
            if course["status"] == "completed":
                self.life.happened(user_id, {"type": "completed", **about})
        if not answer["degraded"]:
            self._recalled.add(user_id)

    async def _publish(self, user_id: str, bodies: Sequence[Body]) -> str:
        """Publish what a learner does now, and return its position; what is not acknowledged has not happened."""
        if not bodies:
            return ""
        self._pace.spend(len(bodies) - 1)
        about = {"user_id": user_id, "occurred_at": datetime.now(UTC)}
        events = [{**body, **about, "event_id": str(uuid.uuid4())} for body in bodies]
        answer = await self._api.ask("POST", "/v1/events", content=msgspec.json.encode({"events": events}))
        self.events += answer["accepted"]
        for body in bodies:
            self.life.happened(user_id, body)
        return str(answer["position"])


def _learner_path(user_id: str) -> str:
    return f"/v1/learners/{quote(user_id, safe='')}"


def _list_path(user_id: str) -> str:
    return f"{_learner_path(user_id)}/recommendations"


def _course_path(course_id: str) -> str:
    return f"/v1/courses/{quote(course_id, safe='')}"
