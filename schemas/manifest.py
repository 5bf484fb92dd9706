"""The manifest of a model bundle: what it was made from, what is in it, and the digests that prove it."""

import hashlib
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from schemas.errors import BundleError

MANIFEST_NAME: Final = "manifest.json"
BUNDLE_FORMAT: Final = 1


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
    """What a bundle says of itself. `digest` is over the files alone: same log + same seed = same digest.

    `metrics`, `champion_metrics` (the popular list's if there was no champion) and `popular_metrics` are of the same
    cases; `reason` is the verdict; `newest_us` is the moment of the newest event that the model was fitted on.
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
    comparisons: tuple[Comparison, ...] = ()
    reason: str = ""
    epochs: int = 0
    newest_us: int = 0


def digest_of(files: dict[str, BundleFile]) -> str:
    """Return the SHA-256 over the names and digests of a bundle's files."""
    lines = "".join(f"{name} {files[name].sha256}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def decode_manifest(raw: bytes) -> Manifest:
    """Return the manifest, or raise BundleError if it is none or of another format."""
    try:
        manifest = msgspec.json.decode(raw, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{MANIFEST_NAME} cannot be read: {error}") from None
    if manifest.format != BUNDLE_FORMAT:
        raise BundleError(f"bundle {manifest.version} has format {manifest.format}, this code reads {BUNDLE_FORMAT}")
    if manifest.digest != digest_of(manifest.files):
        raise BundleError(f"bundle {manifest.version}: the digest in {MANIFEST_NAME} does not fit its files")
    return manifest
