"""Bundles in an object store, by fsspec: a version is whole when its manifest is there, which is uploaded last."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from fsspec.core import url_to_fs

from schemas.errors import BundleError, ConfigurationError
from schemas.manifest import MANIFEST_NAME, decode_manifest, verify

CACHED: Final = 8
"""Versions that a cache keeps: those that were asked for last."""

_INCOMING: Final = ".incoming-"
T = TypeVar("T")


def _open(url: str) -> tuple[Any, str]:
    """Return the file system behind a URL, and the path there; nothing connects yet."""
    parts = urlsplit(url)
    if parts.password:
        raise ConfigurationError("BUNDLE_URL holds a password: give it by the store's own variables, such as AWS_*")
    try:
        file_system, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        extra = "s3fs is not installed: pip install 'coursestream[s3]'" if parts.scheme == "s3" else error
        raise ConfigurationError(f"BUNDLE_URL is {url}, but {extra}") from None
    except ValueError as error:
        raise ConfigurationError(f"BUNDLE_URL is {url}: {error}") from None
    return file_system, root.rstrip("/")


class ObjectStore:
    """Bundles under a prefix of an object store. Each is read through a copy in a local cache."""

    def __init__(self, url: str, cache: Path) -> None:
        self._url = url
        self._files, self._root = _open(url)
        self._cache = cache / hashlib.sha256(url.encode()).hexdigest()[:12]

    def _ask(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except FileNotFoundError:
            raise BundleError(f"{what} is not in {self._url}") from None
        except Exception as error:  # every store's client has a tree of errors of its own
            said = " ".join(str(error).split()) or type(error).__name__
            raise BundleError(f"the bundle store {self._url} fails at {what}: {said}") from None

    def fetch(self, version: str) -> Path:
        """Return the cached copy of a version; one that is missing or broken is fetched."""
        cached = self._cache / version
        with self._owned():
            try:
                verify(cached)
            except BundleError:
                shutil.rmtree(cached, ignore_errors=True)
                self._copy(version, cached)
            os.utime(cached)
            self._forget_oldest()
        return cached

    @contextlib.contextmanager
    def _owned(self) -> Iterator[None]:
        """Own the cache until left: workers and trainer of one machine share it."""
        self._cache.mkdir(parents=True, exist_ok=True)
        with (self._cache / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _copy(self, version: str, cached: Path) -> None:
        """Copy a version into the cache, which it enters once it is proved whole."""
        remote = f"{self._root}/{version}"
        raw = self._ask(f"bundle {version}", partial(self._files.cat_file, f"{remote}/{MANIFEST_NAME}"))
        manifest = decode_manifest(raw)
        for left in self._cache.glob(f"{_INCOMING}*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=_INCOMING, dir=self._cache) as parent:
            staged = Path(parent, version)
            staged.mkdir()
            for name in manifest.files:
                path, source = staged / Path(name).name, f"{remote}/{name}"
                self._ask(f"{version}/{name}", partial(self._files.get_file, source, str(path)))
            (staged / MANIFEST_NAME).write_bytes(raw)
            verify(staged)
            staged.rename(cached)

    def _forget_oldest(self) -> None:
        folders = [path for path in self._cache.iterdir() if not path.name.startswith(".")]
        for path in sorted(folders, key=lambda path: path.stat().st_mtime)[:-CACHED]:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, folder: Path, version: str) -> Path:
        """Upload a bundle, its manifest last, unless it is there; what an earlier try left is written over."""
        remote = f"{self._root}/{version}"
        if not self._holds(f"{remote}/{MANIFEST_NAME}"):
            for path in sorted(folder.iterdir(), key=lambda path: (path.name == MANIFEST_NAME, path.name)):
                target = f"{remote}/{path.name}"
                self._ask(target, partial(self._files.put_file, str(path), target))
        shutil.rmtree(folder)
        return self.fetch(version)

    def _holds(self, path: str) -> bool:
        def find() -> bool:
            with contextlib.suppress(FileNotFoundError):
                self._files.info(path)
                return True
            return False

        return self._ask(path, find)
