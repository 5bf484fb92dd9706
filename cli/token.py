"""`coursestream token`: a signed development token."""

from typing import Annotated, Final

import typer

from cli.options import STATE_DIR, StateDir
from cli.system import find
from cli.tokens import sign
from schemas.errors import ConfigurationError

SCOPES = ("learner", "publisher", "reader", "operator", "admin")
TEN_YEARS_S: Final = 315_360_000
app = typer.Typer(add_completion=False)


def _scope(text: str) -> str:
    unknown = [scope for scope in text.split() if scope not in SCOPES]
    if unknown or not text.split():
        raise typer.BadParameter(f"{text!r}: scopes are blank-separated, of {', '.join(SCOPES)}")
    return " ".join(text.split())


@app.command()
def token(
    subject: Annotated[str, typer.Option(metavar="S", help="Whom the token stands for: a learner's id, a service.")],
    scope: Annotated[str, typer.Option(metavar='"a b"', callback=_scope, help=f"Of {', '.join(SCOPES)}.")],
    ttl_s: Annotated[
        int, typer.Option("--ttl-s", min=1, max=TEN_YEARS_S, metavar="N", help="Seconds the token is valid for.")
    ] = 3_600,
    state_dir: StateDir = STATE_DIR,
) -> None:
    """Print a signed development token: raw, one line."""
    if not subject:
        raise ConfigurationError("--subject is empty: a token stands for somebody")
    print(sign(find(state_dir).secret(), subject, scope, ttl_s))
