"""`coursestream recommend`: a learner's list, as the API answers it, or would have answered it."""

import asyncio
from typing import Annotated
from urllib.parse import quote

import typer
from rich.console import Group

from cli.api import get
from cli.listing import items_table
from cli.options import STATE_DIR, JsonFile, Moment, StateDir, id_of
from cli.output import give
from cli.system import find

app = typer.Typer(add_completion=False)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(metavar="USER", help="The learner's id.", parser=id_of)],
    limit: Annotated[int, typer.Option(min=1, max=100, metavar="N", help="How many courses at most.")] = 10,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the list is sorted by; by default as an experiment wants it."),
    ] = None,
    language: Annotated[str | None, typer.Option(metavar="NAME", help="Only courses in this language.")] = None,
    level: Annotated[str | None, typer.Option(metavar="NAME", help="Only courses of this level.")] = None,
    category: Annotated[str | None, typer.Option(metavar="NAME", help="Only courses of this category.")] = None,
    prerequisites_met: Annotated[
        bool, typer.Option("--prerequisites-met", help="Only courses whose prerequisites USER has completed.")
    ] = False,
    diversity: Annotated[float, typer.Option(min=0, max=1, metavar="D", help="How unlike each other, 0 to 1.")] = 0,
    explore: Annotated[bool, typer.Option(help="Whether a few places may go to new courses.")] = True,
    reasons: Annotated[bool, typer.Option("--reasons", help="Show why each course is recommended.")] = False,
    as_of: Moment = None,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Show what the API recommends to a learner.

    --as-of shows what it would have recommended at an append time, from the log and the bundle store alone: with the
    model then live, and history, catalogue and popularity of then. What was erased since stays erased.
    """
    filters = {"language": language, "level": level, "category": category}
    if as_of is not None:
        import cli.past as past

        wanted = past.query_of(limit, strategy, filters, prerequisites_met, diversity, explore)
        connections = find(state_dir).connections(redis=False)
        answer = asyncio.run(past.recommend_as_of(connections, user, as_of, wanted))
        give(answer, json_file, Group(items_table(answer, reasons), past.told(answer)))
        return
    path = f"/v1/learners/{quote(user, safe='')}/recommendations"
    query = {
        "limit": str(limit),
        "diversity": str(diversity),
        "explore": str(explore).lower(),
        "prerequisites": "met" if prerequisites_met else "any",
        **{name: value for name, value in {"strategy": strategy, **filters}.items() if value},
    }
    answer = get(find(state_dir), path, query)
    give(answer, json_file, items_table(answer, reasons))
