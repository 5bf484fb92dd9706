"""The store of model bundles: a folder, or what fsspec knows under a URL. What stands there is whole."""

import shutil
from pathlib import Path

from adapters.object_store import ObjectStore
from schemas.errors import BundleError
from schemas.settings import BUNDLE_CACHE


class Folder:
    """Bundles under a folder: a folder a version, which arrives by rename."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def fetch(self, version: str) -> Path:
        """Return the folder of a version."""
        folder = self._root / version
        if not folder.is_dir():
            raise BundleError(f"bundle {version} is not in {self._root}")
        return folder

    def publish(self, folder: Path, version: str) -> Path:
        """Move a bundle in."""
        target = self._root / version
        if target.exists():
            shutil.rmtree(folder)
            return target
        self._root.mkdir(parents=True, exist_ok=True)
        staged = self._root / f".{version}.incoming"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.move(folder, staged)
        return staged.rename(target)


class BundleStore:
    """Bundles that trainer and workers share.

    `url` is a folder (or `file://`), or an object store such as `s3://bucket/prefix`; bundles of the latter are copied
    into `cache`. Raises ConfigurationError if nothing that is installed can speak to it.
    """

    def __init__(self, url: str, cache: Path = BUNDLE_CACHE) -> None:
        path = url.removeprefix("file://")
        self._place = ObjectStore(url, cache) if "://" in path else Folder(Path(path))

    def fetch(self, version: str) -> Path:
        """Return a folder that holds a version; the caller verifies it. BundleError if it cannot be had."""
        if not version or version.startswith(".") or "/" in version:
            raise BundleError(f"{version!r} is not the name of a bundle")
        return self._place.fetch(version)

    def publish(self, folder: Path, version: str) -> Path:
        """Move a finished bundle into the store; one that is already there stays as it is. Return where it stands."""
        return self._place.publish(folder, version)
