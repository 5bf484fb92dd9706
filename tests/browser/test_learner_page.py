"""The learner page in a real browser on the whole running system: what a person does, and what he then sees."""

import asyncio
import os
import re
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Open, Watched, sign
from tests.integration.test_end_to_end import System
from tests.waiting import until

MEASURED: Final = re.compile(r"^Updated \d+ ms after your click$")
ITEM: Final = "#list .item"
HOSTILE: Final = "\"'><img src=x onerror=hacked()><script>hacked()</script>&amp;{{7*7}}"
FOREIGN: Final = "دورة <b>السلام</b> \u202e🎓"


async def listed(page: Page) -> list[str]:
    """Return the course ids of the list on the page."""
    return [str(await row.get_attribute("data-course-id")) for row in await page.locator(ITEM).all()]


async def change_after(page: Page, click: Callable[[], Awaitable[None]]) -> list[str]:
    """Click, wait until the list that includes it is shown, and return the list."""
    await click()
    await expect(page.locator("#measured")).to_have_text(MEASURED)
    return await listed(page)


def quoted(text: str) -> str:
    """Return a text as a string of CSS."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


async def test_a_new_learner_enrols_and_the_list_follows(open_page: Open, system: System) -> None:
    watched = await open_page(sign(system))
    page = watched.page
    assert "#" not in page.url  # the token does not stay in the address
    await page.fill("[name=name]", "Ada Ü")
    await page.fill("[name=interests]", "typography, brand identity")
    await page.click("#profile-form button[type=submit]")
    await expect(page.locator("#measured")).to_have_text(MEASURED)
    await expect(page.locator("#own")).to_contain_text("None yet")
    before = await listed(page)
    assert len(before) == 12
    assert any("typography" in course_id for course_id in before[:4])
    first = page.locator(ITEM).first
    await expect(first.locator(".badge")).not_to_be_empty()
    title = await first.locator(".title").inner_text()

    after = await change_after(page, lambda: first.locator(".primary").click())
    assert before[0] not in after
    assert after != before[1:]  # not only hidden: computed anew
    assert len(after) == 12
    await expect(page.locator("#own .course")).to_have_count(1)
    await expect(page.locator("#own .title")).to_have_text(title)
    await expect(page.locator(f"{ITEM}[data-change=new]").first).to_be_visible()
    await expect(page.locator("#made")).to_contain_text("learner-events:")
    await expect(page.locator("#connection")).to_have_text("Live")
    await watched.shoot("enrolled")


async def test_the_measured_time_is_that_from_the_click_to_the_list(open_page: Open, system: System) -> None:
    """Held up on its way, the event counts from the click on."""
    page = (await open_page(sign(system), "learner-004")).page
    await expect(page.locator(ITEM)).to_have_count(12)

    async def hold_up(route: Any) -> None:
        await asyncio.sleep(0.7)
        await route.continue_()

    await page.route("**/v1/events", hold_up)
    started = time.monotonic()
    await change_after(page, lambda: page.locator(f"{ITEM} .primary").first.click())
    found = re.search(r"\d+", await page.inner_text("#measured"))
    assert found
    assert 700 <= int(found[0]) <= (time.monotonic() - started) * 1_000


async def test_not_for_me_goes_and_stays_away(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system), "learner-005")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    refused = (await listed(page))[2]
    after = await change_after(page, lambda: page.locator(ITEM).nth(2).get_by_text("Not for me").click())
    assert refused not in after
    await expect(page.locator(f"#own [data-course-id={quoted(refused)}]")).to_have_count(0)
    await page.reload()
    await expect(page.locator(ITEM)).to_have_count(12)
    assert refused not in await listed(page)


async def test_own_courses_are_kept_up(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system), "page-own")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    course_id = (await listed(page))[0]
    await change_after(page, lambda: page.locator(f"{ITEM} .primary").first.click())
    course = page.locator(f"#own [data-course-id={quoted(course_id)}]")

    async def stands(**wanted: Any) -> None:
        async def holds() -> bool:
            answer = await asyncio.to_thread(system.get, "/v1/learners/page-own")
            found = {one["course_id"]: one for one in answer["courses"]}.get(course_id, {})
            return bool({name: found.get(name) for name in wanted} == wanted)

        await until(holds, f"{wanted} of {course_id}")

    await course.locator("input[type=range]").fill("40")
    await stands(progress=0.4, status="enrolled")
    await expect(course.locator("output")).to_have_text("40 %")
    await course.get_by_label("Rate 4 of 5").click()
    await stands(rating=4.0)
    await expect(course.get_by_label("Rate 4 of 5")).to_have_attribute("aria-pressed", "true")
    await course.get_by_text("Completed").click()
    await stands(status="completed")
    await expect(course.locator(".status")).to_have_text("Completed")
    await course.get_by_text("Leave").click()
    await stands(status="dropped")
    await expect(page.locator("#left summary")).to_have_text("Left (1)")
    await expect(page.locator("#own .course")).to_have_count(0)
    await page.click("#left summary")
    await page.get_by_text("Enrol again").click()
    await stands(status="completed")  # as it was
    await expect(page.locator("#own .course")).to_have_count(1)


async def test_strategies_reorder_the_list(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system), "learner-006")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    for strategy in ("popular", "content", ""):
        await page.check(f"[name=strategy][value='{strategy}']", force=True)
        path = f"/v1/learners/learner-006/recommendations?limit=12&strategy={strategy or 'hybrid'}"
        wanted = [item["course_id"] for item in (await asyncio.to_thread(system.get, path))["items"]]

        async def shows(wanted: list[str] = wanted) -> bool:
            return await listed(page) == wanted

        await until(shows, f"the list by {strategy}")


async def test_a_course_is_found_by_title_and_searching_moves_a_newcomers_list(open_page: Open, system: System) -> None:
    watched = await open_page(sign(system), "page-finder")
    page = watched.page
    await expect(page.locator(ITEM)).to_have_count(12)
    await page.fill("#find-text", "JAPANESE")
    await expect(page.locator("#found li")).to_have_count(2)
    await page.press("#find-text", "Enter")
    await expect(page.locator("#measured")).to_have_text(re.compile(r"^Updated \d+ ms after your search$"))
    assert all("japanese" in course_id for course_id in (await listed(page))[:2])
    await page.press("#find-text", "ArrowDown")
    await page.keyboard.press("Enter")
    sheet = page.locator("#course")
    await expect(sheet.locator("h2")).to_contain_text("Japanese")
    await expect(sheet.locator(".description")).to_contain_text("worked examples")
    await expect(sheet.locator(".links li")).not_to_have_count(0)
    await watched.shoot("course")
    opened = str(await sheet.get_attribute("data-course-id"))
    await sheet.locator(".primary").click()
    await expect(sheet).to_be_hidden()
    await expect(page.locator(f"#own [data-course-id={quoted(opened)}]")).to_be_visible()


async def test_nothing_from_outside_becomes_markup(open_page: Open, system: System) -> None:
    """Ids and titles with quotes, brackets, code, another direction and emoji are shown as they are."""
    for course_id, title in ((HOSTILE, f"Zebra {HOSTILE}"), (f"{FOREIGN}/?#", f"Zebra {FOREIGN}")):
        body = {"title": title, "description": HOSTILE, "url": "javascript:hacked()", "category": HOSTILE}
        path = f"{system.ready['api_url']}/v1/courses/{quote(course_id, safe='')}"
        answer = await asyncio.to_thread(httpx.put, path, json=body, headers=system.headers, timeout=20)
        assert answer.status_code == 202, answer.text
    watched = await open_page(sign(system))
    page = watched.page
    await page.evaluate("() => { window.hacked = () => { throw new Error('hacked') } }")
    await page.fill("#user-id", HOSTILE)
    await page.press("#user-id", "Enter")
    await expect(page.locator("#list-heading")).to_have_text(f"For {HOSTILE}")
    await expect(page.locator("#change")).to_contain_text(HOSTILE)

    async def both_are_found() -> bool:
        await page.fill("#find-text", "")
        await page.fill("#find-text", "zebra")
        await page.wait_for_selector("#found:not([hidden])")
        await asyncio.sleep(0.3)
        return await page.locator("#found li").count() == 2

    await until(both_are_found, "the courses in the search")
    for course_id, title in ((HOSTILE, f"Zebra {HOSTILE}"), (f"{FOREIGN}/?#", f"Zebra {FOREIGN}")):
        await page.fill("#find-text", "zebra ")
        await page.locator(f"#found [data-course-id={quoted(course_id)}] button").click()
        sheet = page.locator("#course")
        await expect(sheet.locator("h2")).to_have_text(title)
        await expect(sheet.locator(".description")).to_have_text(HOSTILE)
        assert await sheet.locator("a").count() == 0  # javascript: is no address
        await sheet.locator(".primary").click()
        own = page.locator(f"#own [data-course-id={quoted(course_id)}]")
        await expect(own.locator(".title")).to_have_text(title)
    assert await page.locator("img:not(.brand img), main script, dialog script").count() == 0


async def test_an_expired_token_is_said_and_a_new_one_goes_on(open_page: Open, system: System) -> None:
    watched = await open_page(sign(system, ttl_s=12), "learner-007")
    page = watched.page
    await expect(page.locator(ITEM)).to_have_count(12)
    await expect(page.locator("#sign-in-heading")).to_have_text("Your token has expired")
    await watched.shoot("expired")
    await page.fill("#token", sign(system))
    await page.click("#token-form button")
    await expect(page.locator("#connection")).to_have_text("Live")
    await expect(page.locator("#sign-in")).to_be_hidden()
    refused = [text for text in watched.wrongs if "401" in text]  # the browser's own line about the refusal
    assert refused
    assert refused == watched.wrongs
    watched.wrongs.clear()


async def test_a_learners_own_token_shows_only_himself(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system, "learner-008", "learner"))).page
    await expect(page.locator("#list-heading")).to_have_text("For learner-008")
    await expect(page.locator("#change")).to_be_disabled()
    await expect(page.locator(ITEM)).to_have_count(12)
    await change_after(page, lambda: page.locator(f"{ITEM} .primary").first.click())


async def test_a_token_that_may_only_read_offers_no_clicks(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system, scope="reader"), "learner-009")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    await expect(page.locator("#notices")).to_contain_text("can only read")
    await expect(page.locator(f"{ITEM} .primary:visible")).to_have_count(0)


async def test_a_lost_connection_is_said_and_comes_back(open_page: Open, system: System) -> None:
    watched = await open_page(sign(system), "learner-010")
    page = watched.page
    await expect(page.locator("#connection")).to_have_text("Live")
    os.kill(system.ready["pids"]["api"], signal.SIGKILL)
    await expect(page.locator("#connection")).to_have_text("Reconnecting")
    await expect(page.locator("#connection")).to_have_text("Live")
    lost = [text for text in watched.wrongs if "ERR_" in text]  # the browser's own lines about it
    assert lost == watched.wrongs
    watched.wrongs.clear()
    await change_after(page, lambda: page.locator(f"{ITEM} .primary").first.click())


async def test_it_can_be_used_by_keyboard(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system), "page-keyboard")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    course_id = (await listed(page))[0]
    for _ in range(40):
        await page.keyboard.press("Tab")
        if (await page.evaluate("document.activeElement.textContent")) == "Enrol":
            break
    after = await change_after(page, lambda: page.keyboard.press("Enter"))
    assert course_id not in after
    assert await page.evaluate("document.activeElement.closest('#list') !== null")  # not lost with the row


@pytest.mark.parametrize("width", [380, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits(open_page: Open, system: System, width: int, scheme: Any) -> None:
    watched = await open_page(sign(system), "learner-011", width, color_scheme=scheme)
    page = watched.page
    await expect(page.locator(ITEM)).to_have_count(12)
    await expect(page.locator("#own .course")).not_to_have_count(0)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await watched.shoot(f"page-{width}-{scheme}")
    await page.locator(f"{ITEM} .title").first.click()
    await expect(page.locator("#course")).to_be_visible()
    assert await page.evaluate("document.querySelector('#course').scrollWidth") <= width


async def test_nothing_moves_for_who_does_not_want_it(open_page: Open, system: System) -> None:
    page = (await open_page(sign(system), "learner-012", reduced_motion="reduce")).page
    await expect(page.locator(ITEM)).to_have_count(12)
    await page.evaluate("() => { Element.prototype.animate = () => { throw new Error('animated') } }")
    await change_after(page, lambda: page.locator(f"{ITEM} .primary").first.click())


async def test_inline_code_would_not_run(open_page: Open, system: System) -> None:
    """The policy holds even where the page's own care would fail."""
    watched: Watched = await open_page(sign(system), "learner-013")
    add = "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.ran = 1'}))"
    await watched.page.evaluate(add)
    assert await watched.page.evaluate("window.ran === undefined")
    assert len(watched.wrongs) == 1
    assert "Content Security Policy" in watched.wrongs.pop()
