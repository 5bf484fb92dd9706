"""The learner page's files as they are served: complete, of this host only, with what a browser may do with them."""

import re
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from starlette.routing import Mount

import api
from api.app import create_app
from api.routes_pages import HEADERS
from api.settings import ApiSettings

STATIC: Final = Path(str(api.__file__)).with_name("static")
FILES: Final = sorted(path.name for path in STATIC.iterdir())
PATHS: Final = ["/", *(f"/static/{name}" for name in FILES)]
MODULES: Final = [name for name in FILES if name.endswith(".js")]
POLICY: Final = {
    "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'",
    "img-src": "'self' data:", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
}  # fmt: skip


@pytest.fixture(scope="module")
def app() -> Any:
    """The application without what it connects to: the pages need none of it."""
    return create_app(ApiSettings(jwt_secret="x" * 32))


@pytest.fixture
async def client(app: Any) -> Any:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://page") as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_every_file_is_served_with_the_policy_and_without_a_token(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    directives = (one.strip().partition(" ") for one in answer.headers["content-security-policy"].split(";"))
    assert {name: value for name, _, value in directives} == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", PATHS)
async def test_a_browser_that_has_a_file_is_not_sent_it_again(client: httpx.AsyncClient, path: str) -> None:
    etag = (await client.get(path)).headers["etag"]
    again = await client.get(path, headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"]
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).status_code == 200


@pytest.mark.parametrize("path", ["/static/", "/static/none.js", "/static/../app.py", "/static/%2e%2e/app.py", "/x"])
async def test_nothing_else_is_served(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_pages_are_only_read(client: httpx.AsyncClient) -> None:
    for path in ("/", "/static/page.js"):
        assert (await client.post(path)).status_code == 405


def test_the_pages_files_are_all_that_is_mounted(app: Any) -> None:
    assert [route.path for route in app.routes if isinstance(route, Mount)] == ["/static"]


def test_the_page_holds_no_inline_code_or_style_and_asks_no_other_host() -> None:
    page = (STATIC / "index.html").read_text()
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", page) == []
    for name in FILES:
        text = (STATIC / name).read_text()
        assert re.findall(r"[\"'(](?:https?:)?//\w", text.replace("http://www.w3.org/2000/svg", "")) == [], name


def test_every_file_that_is_asked_for_is_there() -> None:
    text = "".join((STATIC / name).read_text() for name in FILES)
    asked = set(re.findall(r'"/static/([\w.]+)"', text)) | set(re.findall(r'from "\./([\w.]+)"', text))
    assert asked == set(FILES) - {"index.html"}


@pytest.mark.parametrize("name", MODULES)
def test_text_never_becomes_markup(name: str) -> None:
    """Whatever is shown goes through `textContent`, `append` and `setAttribute`."""
    text = (STATIC / name).read_text()
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function", text)
        == []
    )


def test_every_element_that_is_looked_up_is_in_the_page() -> None:
    page = (STATIC / "index.html").read_text()
    ids = set(re.findall(r'\bid="([\w-]+)"', page)) | {"course-title"}  # made with the course's sheet
    used = {one for name in MODULES for one in re.findall(r'byId\("([\w-]+)"\)', (STATIC / name).read_text())}
    assert used <= ids
