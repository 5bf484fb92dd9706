"""A whole running system, and pages of Debian's Chromium on it that may not misbehave."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from cli import tokens
from cli.system import find
from tests.integration.test_end_to_end import System, until
from tests.sample import write_sample

CHROMIUM: Final = Path("/usr/bin/chromium")
SCREENSHOTS: Final = os.environ.get("COURSESTREAM_SCREENSHOTS", "")
"""Folder that the tests save pictures of the page in; empty: none are taken."""

_FLAGS: Final = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip

_PATIENCE_S: Final = 240.0
"""A busy machine takes long to start everything; reached on failure only."""

_LOOK_MS: Final = 30_000
expect.set_options(timeout=_LOOK_MS)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """Find the browser, or skip the test."""
    if not CHROMIUM.exists():
        pytest.skip("no browser: install Debian's chromium (apt-get install chromium)")
    return CHROMIUM


@pytest.fixture(scope="session")
def system(chromium: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run `up` with the sample imported; wait until a learner of it has a list of his own."""
    folder = tmp_path_factory.mktemp("browser")
    data, state_dir = write_sample(folder / "sample"), folder / "state"
    command = [sys.executable, "-m", "cli.app", "up", "--state-dir", str(state_dir), "--port", "0", "--data", str(data)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    running = System(state_dir, process)
    try:
        until((state_dir / "ready.json").exists, _PATIENCE_S)
        scopes = "publisher reader operator admin"
        running.headers = {"Authorization": f"Bearer {sign(running, 'tests', scopes)}"}
        until(lambda: _has_own_list(running), _PATIENCE_S)
        yield running
    finally:
        running.end()


def _has_own_list(system: System) -> bool:
    items = system.get("/v1/learners/learner-001/recommendations")["items"]
    return any(reason["course_id"] for item in items for reason in item["reasons"])


def sign(system: System, subject: str = "page", scope: str = "reader publisher", ttl_s: int = 3_600) -> str:
    """Return a signed token."""
    return tokens.sign(find(system.state_dir).secret(), subject, scope, ttl_s)


@dataclass
class Watched:
    """A page, and what it did that it may not do: errors, and requests to other hosts."""

    page: Page
    url: str
    wrongs: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Begin to note."""
        self.page.on("console", lambda line: self._note(f"{line.type}: {line.text}", line.type in ("error", "warning")))
        self.page.on("pageerror", lambda error: self._note(f"exception: {error}"))
        self.page.on("dialog", lambda dialog: self._note(f"dialog: {dialog.message}"))
        self.page.on("request", lambda request: self._note(f"request: {request.url}", not self._is_own(request.url)))

    def _note(self, text: str, is_wrong: bool = True) -> None:
        if is_wrong:
            self.wrongs.append(text)

    def _is_own(self, url: str) -> bool:
        return urlsplit(url).scheme == "data" or url.startswith(self.url + "/")

    async def shoot(self, name: str) -> None:
        """Save a picture of what can be seen, if pictures are wanted."""
        if SCREENSHOTS:
            await self.page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png")


Open = Callable[..., Awaitable[Watched]]


@pytest.fixture
async def browser(chromium: Path) -> AsyncIterator[Browser]:
    """Run the browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=_FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
async def open_page(browser: Browser, system: System) -> AsyncIterator[Open]:
    """Open the learner page with a token, in a browser of its own; at the end nothing wrong may have happened."""
    opened: list[Watched] = []
    async with AsyncExitStack() as contexts:

        async def open_page(token: str, learner: str = "", width: int = 1280, **context: Any) -> Watched:
            size: Any = {"width": width, "height": 860}
            made = await contexts.enter_async_context(await browser.new_context(viewport=size, **context))
            made.set_default_timeout(_LOOK_MS)
            watched = Watched(await made.new_page(), system.ready["api_url"])
            watched.watch()
            opened.append(watched)
            await watched.page.goto(f"{watched.url}/#token={token}")
            if learner:
                await watched.page.fill("#user-id", learner)
                await watched.page.press("#user-id", "Enter")
            return watched

        yield open_page
    for watched in opened:
        assert watched.wrongs == []
