"""The learner page: plain files, which need no token and ask no other host for anything."""

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
"""`no-cache`: kept, but asked for by its ETag each time, so page and API are of one version."""


class PageFiles(StaticFiles):
    """Files of the pages, with what a browser is allowed to do with them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return a file, or 304 for the one the browser has."""
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def install_pages(app: FastAPI) -> None:
    """Serve the learner page at `/` and its files below `/static`."""
    files = PageFiles(directory=Path(__file__).with_name("static"))

    async def learner_page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    app.add_route("/", learner_page, methods=["GET"], include_in_schema=False)
    app.mount("/static", files)
