"""The manifest of a model bundle: what it was made from, what is in it, and the digests that prove it."""

import hashlib
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.errors import BundleError

MANIFEST_NAME: Final = "manifest.json"
BUNDLE_FORMAT: Final = 2


class BundleFile(msgspec.Struct, frozen=True):
    """A file of the bundle."""

    bytes: Annotated[int, Meta(ge=0)]
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A model and another on the same cases: the mean of `metric`, and a bootstrap interval of the difference.

    The difference (own - other) lies above `low` with 95 %, and below `high` with 95 %.
    """

    against: str
    own: float
    other: float
    low: float
    high: float
    tests: int
    metric: str = "ndcg@10"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle says of itself. `digest` is over the files alone: same log, seed and number of training
    `processes` = same digest.

    `metrics`, `champion_metrics` (the popular list's if there was no champion) and `popular_metrics` are of the same
    cases; `reason` is the verdict; `newest_us` is the moment of the newest event that the model was fitted on. From
    histories of the lengths in `popular_only` on, the blend did no better than popularity, which then stands alone.
    """

    format: int = BUNDLE_FORMAT
    version: str
    digest: str
    bootstrap: bool
    created_at: str
    offsets: dict[str, list[int]]
    snapshot_digest: str
    seed: int
    git_commit: str
    config: dict[str, int | float | str | list[float]]
    metrics: dict[str, float]
    champion_metrics: dict[str, float]
    num_courses: int
    files: dict[str, BundleFile]
    popular_metrics: dict[str, float] = {}
    popular_only: tuple[int, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""
    epochs: int = 0
    processes: int = 1
    newest_us: int = 0


def digest_of(files: dict[str, BundleFile]) -> str:
    """Return the SHA-256 over the names and digests of a bundle's files."""
    lines = "".join(f"{name} {files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


class _Format(msgspec.Struct):
    format: int = BUNDLE_FORMAT
    version: str = ""


def decode_manifest(raw: bytes) -> Manifest:
    """Return the manifest, or raise BundleError if it is none or of another format, whose fields may be others."""
    try:
        found = msgspec.json.decode(raw, type=_Format)
        if found.format != BUNDLE_FORMAT:
            newer = ", which newer code writes" if found.format > BUNDLE_FORMAT else ""
            raise BundleError(
                f"bundle {found.version} has format {found.format}{newer}; this code reads {BUNDLE_FORMAT}"
            )
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST_NAME} cannot be read: {error}") from None
    if manifest.digest != digest_of(manifest.files):
        raise BundleError(f"bundle {manifest.version}: the digest in {MANIFEST_NAME} does not fit its files")
    return manifest


def file_of(path: Path) -> BundleFile:
    """Return size and digest of a file."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return BundleFile(path.stat().st_size, digest)


def verify(folder: Path) -> Manifest:
    """Return a bundle's manifest after checking every file; BundleError says which one does not fit, and how."""
    try:
        manifest = decode_manifest((folder / MANIFEST_NAME).read_bytes())
    except OSError as error:
        raise BundleError(f"{folder} holds no readable {MANIFEST_NAME}: {error.strerror}") from None
    for name, wanted in sorted(manifest.files.items()):
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise BundleError(f"bundle {manifest.version}: {name} is missing")
        found = file_of(path)
        if found.bytes != wanted.bytes:
            raise BundleError(f"bundle {manifest.version}: {name} has {found.bytes} bytes, expected {wanted.bytes}")
        if found.sha256 != wanted.sha256:
            raise BundleError(f"bundle {manifest.version}: {name} was changed (its SHA-256 is {found.sha256[:12]}...)")
    return manifest
