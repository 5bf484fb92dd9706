"""The store of model bundles: a folder a version. What stands there is whole: it arrives by rename."""

import shutil
from pathlib import Path

from schemas.errors import BundleError


class BundleStore:
    """Bundles under a folder that trainer and workers share."""

    def __init__(self, url: str) -> None:
        self._root = Path(url.removeprefix("file://"))

    def fetch(self, version: str) -> Path:
        """Return the folder of a version; the caller verifies it."""
        folder = self._root / version
        if not folder.is_dir():
            raise BundleError(f"bundle {version} is not in {self._root}")
        return folder

    def publish(self, folder: Path, version: str) -> Path:
        """Move a finished bundle into the store; one that is already there stays as it is."""
        target = self._root / version
        if target.exists():
            shutil.rmtree(folder)
            return target
        self._root.mkdir(parents=True, exist_ok=True)
        staged = self._root / f".{version}.incoming"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.move(folder, staged)
        return staged.rename(target)
