"""A list of courses for people."""

from typing import Any

from rich.console import Group, RenderableType

from cli.output import table


def items_table(answer: dict[str, Any], reasons: bool = False) -> RenderableType:
    """Return the table of an answered list of courses, best first."""
    columns = ("#", "course", "title", "#score", *(["why"] if reasons else []))
    rows = [
        (number, item["course_id"], item["title"], item["score"], *([_why(item)] if reasons else []))
        for number, item in enumerate(answer["items"], 1)
    ]
    told = [f"model {answer.get('model_version') or 'none'}"]
    told += ["degraded: the state is not complete"] if answer.get("degraded") else []
    return Group(table(columns, rows), ", ".join(told))


def _why(item: dict[str, Any]) -> str:
    return "; ".join(reason["text"] for reason in item.get("reasons", []))
