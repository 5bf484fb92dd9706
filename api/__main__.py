"""Run the API: `python -m api`."""

import gc
import os
import socket
import sys
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from api.app import create_app
from api.lane_protocol import protocol_of
from api.logs import configure_logging
from api.settings import ApiSettings

GRACE_S: Final = 5
_GC_THRESHOLDS: Final = (50_000, 20, 20)
"""Collections are rarer than by default: p99 of a look-up fell from 29 to 11 ms."""


class Server(uvicorn.Server):
    """A server that can be stopped while it still waits for Kafka."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop serving; a process that serves nothing yet has nothing to finish."""
        if not self.started:
            os._exit(0)
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, which would go on for ever, then what is under way."""
        self._app.state.services.changes.end()
        await super().shutdown(sockets)


def main() -> int:
    """Serve until told to stop; 2 if a setting is wrong."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        for one in error.errors():
            name = "_".join(map(str, one["loc"])).upper()
            print(f"{name or 'settings'}: {one['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=protocol_of(app, settings.fast_lane),
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
    )
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    server = Server(config, app)
    server.run()
    return 0 if server.started else 3


if __name__ == "__main__":
    sys.exit(main())
