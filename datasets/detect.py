"""Recognise a folder's layout by its files, and read it."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from datasets import canonical, coco, edx, mars, movielens, oulad, seed, udemy
from datasets.dataset import Dataset
from schemas.errors import UnknownLayoutError

AUTO: Final = "auto"


class Layout(NamedTuple):
    """A layout: what it is recognised by, and its reader."""

    name: str
    looked_for: str
    found: Callable[[Path], bool]
    read: Callable[[Path], Dataset]


LAYOUTS: Final = {
    module.LAYOUT: Layout(module.LAYOUT, module.LOOKED_FOR, module.found, module.read)
    for module in (canonical, seed, mars, coco, movielens, oulad, udemy, edx)
}
"""All layouts by name, in the order in which they are looked for."""


def detect(path: Path) -> str:
    """Return the name of a folder's layout.

    Raises
    ------
    UnknownLayoutError
        If it is none; the message says which files were looked for.
    """
    if not path.is_dir():
        raise UnknownLayoutError(f"{path} is no folder")
    for layout in LAYOUTS.values():
        if layout.found(path):
            return layout.name
    wanted = "; ".join(f"{layout.name}: {layout.looked_for}" for layout in LAYOUTS.values())
    raise UnknownLayoutError(f"{path} is no known layout; looked for {wanted}")


def load(path: Path, layout: str = AUTO) -> Dataset:
    """Read a folder, as the layout that it has or that is named.

    Raises
    ------
    UnknownLayoutError
        If the folder does not have the files of the layout, or there is no such layout.
    """
    if layout == AUTO:
        layout = detect(path)
    known = LAYOUTS.get(layout)
    if known is None:
        raise UnknownLayoutError(f"there is no layout {layout!r}; known are {AUTO}, {', '.join(LAYOUTS)}")
    if not known.found(path):
        raise UnknownLayoutError(f"{path} has no layout {layout}; looked for {known.looked_for}")
    return known.read(path)
