"""A constant answer, as long as that of a look-up, from an ASGI application without any framework: Python's ceiling."""

import gc
import os
from typing import Any


def create() -> Any:
    """Return the application; its process collects garbage as seldom as the API's."""
    body = b"x" * int(os.environ["BENCH_BODY_BYTES"])
    headers = [(b"content-length", b"%d" % len(body)), (b"content-type", b"application/json")]
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)

    async def answer(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer
