"""`python -m tests.integration.poisoned`: a worker whose code breaks on the records of some learners."""

import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import stream.merge
from adapters.redis import Script
from stream.__main__ import main
from stream.activity import ActivityUpdate
from stream.merge import LearnerUpdate

FOLD_BUG: Final = "fold-bug-"
SCRIPT_BUG: Final = "script-bug-"
VIEW_BUG: Final = "view-bug-"
_ANCHOR: Final = "local user = sub(update, 3, user_end)"


def _plant(kind: type, prefix: str) -> None:
    take = kind.take  # type: ignore[attr-defined]

    def planted(self: Any, event: Any, *rest: Any) -> None:
        if event.user_id.startswith(prefix):
            raise KeyError("planted")
        take(self, event, *rest)

    kind.take = planted  # type: ignore[attr-defined]


def _plant_in_script() -> None:
    source = Path(stream.merge.__file__).with_name("merge.lua").read_text()
    assert _ANCHOR in source
    bug = f'if sub(user, 1, {len(SCRIPT_BUG)}) == "{SCRIPT_BUG}" then nil_value() end'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(source.replace(_ANCHOR, f"{_ANCHOR}\n  {bug}"))
        file.flush()
        stream.merge._MERGE = Script(Path(file.name))  # type: ignore[misc]  # that is the bug


if __name__ == "__main__":
    _plant(LearnerUpdate, FOLD_BUG)
    _plant(ActivityUpdate, VIEW_BUG)
    _plant_in_script()
    sys.exit(main())
