"""`coursestream similar`: the courses most similar to one, as the API answers them."""

from typing import Annotated
from urllib.parse import quote

import typer

from cli.api import get
from cli.listing import items_table
from cli.options import STATE_DIR, JsonFile, StateDir, id_of
from cli.output import give
from cli.system import find

app = typer.Typer(add_completion=False)


@app.command()
def similar(
    course: Annotated[str, typer.Argument(metavar="COURSE", help="The course's id.", parser=id_of)],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="How many courses at most.")] = 10,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Show the courses most similar to one."""
    answer = get(find(state_dir), f"/v1/courses/{quote(course, safe='')}/similar", {"limit": limit})
    give(answer, json_file, items_table(answer))
