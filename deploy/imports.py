"""Folders that a state directory has imported, by digest, so that the next start skips them."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deploy.ready import write_by_rename

IMPORTED: Final = "imported.json"


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the names, sizes and contents of all files in a folder."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0{content}\n".encode())
    return total.hexdigest()


def imported(state_dir: Path) -> dict[str, str]:
    """Return when each digest was imported."""
    path = state_dir / IMPORTED
    digests: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return digests


def remember_import(state_dir: Path, digest: str) -> None:
    """Note that a folder with this digest was imported as a whole."""
    digests = {**imported(state_dir), digest: datetime.now(UTC).isoformat()}
    write_by_rename(state_dir / IMPORTED, json.dumps(digests))
