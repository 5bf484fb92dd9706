"""The show that `demo` gives while its system runs: the campus, or somebody's data; the screen; what to try."""

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.live import Live

from cli.arms import Scores
from cli.output import table
from cli.patient import PatientApi
from cli.screen import line, screen
from cli.simulate import SCOPES, arm_rows
from cli.simulation import Simulation
from cli.system import System, find
from cli.tokens import sign
from cli.tour import calls, open_page, some_learner, whole_list
from cli.watch import Freshness, Watch
from datasets.campus import Campus

PAST_EVENTS: Final = 12_000
PROBE: Final = "demo-probe"
"""The learner whose look at a course is timed, where there is no campus."""

_TOKEN_S: Final = 7 * 86_400
_FRAME_S: Final = 0.5
_LINE_S: Final = 5.0
_PROBE_S: Final = 1.0


class Show:
    """Runs beside a system until cancelled. With a campus there are arms to compare; without, only the flow."""

    def __init__(self, console: Console, state_dir: Path, rate: float, browser: bool, campus: Campus | None) -> None:
        self._console = console
        self._state_dir = state_dir
        self._rate = rate
        self._browser = browser
        self._campus = campus
        self._simulation: Simulation | None = None
        """Once its learners look at lists."""
        self._began_s = time.monotonic()

    async def run(self, api_url: str) -> None:
        """Show until cancelled. If something breaks, it is said and the system itself runs on."""
        try:
            await self._run(find(self._state_dir), api_url)
        except Exception as error:
            self._say(f"demo: nothing more is shown: {error!r}; the system runs on until Ctrl-C")

    def say_goodbye(self) -> None:
        """Say what the learners came to."""
        if self._simulation is not None:
            self._console.print(table(*arm_rows(self._simulation.answer())))
        self._console.print("everything has stopped")

    async def _run(self, system: System, api_url: str) -> None:
        token = sign(system.secret(), "demo", SCOPES, _TOKEN_S)
        await self._open(f"{api_url}/#token={token}")
        async with PatientApi(api_url, token) as api, asyncio.TaskGroup() as tasks:
            watch = Watch(system, api, Freshness(api))
            if self._campus is not None:
                simulation = Simulation(self._campus, api, self._rate, watch.freshness.observe)
                tasks.create_task(self._live_on_campus(simulation, api_url, token))
            else:
                tasks.create_task(self._probe(api, watch.freshness))
                tasks.create_task(self._look_at_data(system, api, token))
            tasks.create_task(watch.run())
            tasks.create_task(self._draw(watch))

    async def _open(self, page: str) -> None:
        opened = self._browser and await asyncio.to_thread(open_page, page)
        self._say(f"the learners' page{' opens in the browser' if opened else ''}:\n{page}\n")

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    async def _live_on_campus(self, simulation: Simulation, api_url: str, token: str) -> None:
        await simulation.prepare(PAST_EVENTS)
        user_id, past = max(simulation.life.pasts.items(), key=lambda item: len(item[1].taken))
        course = simulation.campus.choices(past, 0.0)[0]
        self._say(calls(api_url, token, user_id, course.course_id) + "\n")
        self._simulation = simulation
        await simulation.run()

    async def _look_at_data(self, system: System, api: PatientApi, token: str) -> None:
        user_id = await some_learner(system.kafka)
        listed = await whole_list(api, user_id)
        self._say(calls(system.api_url, token, user_id, listed["items"][0]["course_id"]) + "\n")

    async def _probe(self, api: PatientApi, freshness: Freshness) -> None:
        """Time one event a second: a look at a course, which changes no enrolment."""
        while True:
            await asyncio.sleep(_PROBE_S)
            popular = (await api.get("/v1/courses/popular", limit=1))["items"]
            if popular:
                viewed = {"type": "viewed", "user_id": PROBE, "course_id": popular[0]["course_id"]}
                content = msgspec.json.encode({**viewed, "occurred_at": datetime.now(UTC)})
                answer = await api.ask("POST", "/v1/events", content=content)
                freshness.observe(PROBE, answer["position"])

    async def _draw(self, watch: Watch) -> None:
        if not self._console.is_terminal:
            while True:
                await asyncio.sleep(_LINE_S)
                self._say(line(watch, self._scores, self._elapsed_s))
        with Live(console=self._console, auto_refresh=False) as live:
            while True:
                rows = self._console.height
                live.update(screen(watch, self._scores, self._elapsed_s, rows), refresh=True)
                await asyncio.sleep(_FRAME_S)

    @property
    def _elapsed_s(self) -> float:
        return time.monotonic() - self._began_s if self._simulation is None else self._simulation.elapsed_s

    @property
    def _scores(self) -> Scores | None:
        return None if self._simulation is None else self._simulation.scores
