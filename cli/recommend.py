"""`coursestream recommend`: a learner's list, as the API answers it."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.api import get
from cli.listing import items_table
from cli.options import STATE_DIR, JsonFile, StateDir
from cli.output import give
from cli.system import find

app = typer.Typer(add_completion=False)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(metavar="USER", help="The learner's id.")],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="How many courses at most.")] = 10,
    strategy: Annotated[str, typer.Option(metavar="NAME", help="What the list is sorted by.")] = "hybrid",
    reasons: Annotated[bool, typer.Option("--reasons", help="Show why each course is recommended.")] = False,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Show what the API recommends to a learner."""
    path = f"/v1/learners/{quote(user, safe='')}/recommendations"
    answer = get(find(state_dir), path, {"limit": limit, "strategy": strategy})
    give(answer, json_file, items_table(answer, reasons))
