"""`coursestream`, the one command line. A command's module is imported when the command is called."""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import typer
import typer.core
import typer.main

from cli.errors import explain

COMMANDS: Final = {
    "up": "cli.up",
    "demo": "cli.demo",
    "import": "cli.import_",
    "publish": "cli.publish",
    "simulate": "cli.simulate",
    "train": "cli.train",
    "explore": "cli.explore",
    "evaluate": "cli.evaluate",
    "tune": "cli.tune",
    "bench": "cli.bench",
    "models": "cli.models",
    "experiments": "cli.experiments",
    "lag": "cli.lag",
    "replay": "cli.replay",
    "state": "cli.state",
    "erase": "cli.erase",
    "dead-letters": "cli.dead_letters",
    "recommend": "cli.recommend",
    "similar": "cli.similar",
    "token": "cli.token",
}
"""Where each command is: a module that holds a Typer `app`."""


class Commands(typer.core.TyperGroup):
    """The commands by name, each imported when it is asked for."""

    def list_commands(self, _ctx: Any) -> list[str]:
        """Return the names in the order in which help shows them."""
        return list(COMMANDS)

    def get_command(self, _ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        command = typer.main.get_command(import_module(COMMANDS[cmd_name]).app)
        command.name = cmd_name
        return command


app = typer.Typer(cls=Commands, add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback()
def coursestream() -> None:
    """An event-driven course recommender: learners' events in, fresh lists out.

    Commands find a running system by --state-dir, where `coursestream up` leaves its addresses;
    KAFKA_BOOTSTRAP_SERVERS, REDIS_URL, COURSESTREAM_API_URL and COURSESTREAM_TOKEN take precedence.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit status: 0 success, 2 wrong usage, 1 any other failure."""
    try:
        typer.main.get_command(app)(list(arguments), prog_name="coursestream")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        line = explain(error)
        if line is None:
            raise
        print(f"coursestream: {line}", file=sys.stderr)
        return 1
    return 0


def main() -> None:
    """Run the command line of this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what matters of it comes back as an error
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
