"""Bundles that no worker may take, each wrong in one way, announced as a trainer would announce them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from recommender.bundle import files_of, load_arrays, save_arrays, save_model, write_manifest
from schemas.manifest import BUNDLE_FORMAT, MANIFEST_NAME, Manifest, decode_manifest, digest_of
from tests.models import small_model, store_bundle


def _reseal(folder: Path) -> None:
    """Write the manifest that fits what the folder holds now."""
    manifest, files = decode_manifest((folder / MANIFEST_NAME).read_bytes()), files_of(folder)
    write_manifest(folder, msgspec.structs.replace(manifest, files=files, digest=digest_of(files)))


def _truncate(folder: Path) -> None:
    path = folder / "ease.npz"
    path.write_bytes(path.read_bytes()[:-5])


def _flip_a_bit(folder: Path) -> None:
    path = folder / "neumf.npz"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _write_as_newer_code(folder: Path) -> None:
    path = folder / MANIFEST_NAME
    told = json.loads(path.read_bytes())
    del told["files"]
    path.write_text(json.dumps({**told, "format": BUNDLE_FORMAT + 1, "shards": ["s-0"]}))


def _know_other_courses(folder: Path) -> None:
    model = small_model()
    ours = model.course_ids[:1]  # one of twelve: hardly any
    others = tuple(f"another-campus-{number}" for number in range(len(model.course_ids) - 1))
    save_model(folder, replace(model, course_ids=ours + others))
    _reseal(folder)


def _hold_nan(folder: Path) -> None:
    arrays = load_arrays(folder / "neumf.npz")
    arrays["bias"] = np.full_like(arrays["bias"], np.nan)
    save_arrays(folder / "neumf.npz", arrays)
    _reseal(folder)


def _have_another_shape(folder: Path) -> None:
    arrays = load_arrays(folder / "ease.npz")
    arrays["decay"] = np.full(3, arrays["decay"])
    save_arrays(folder / "ease.npz", arrays)
    _reseal(folder)


def _be_another(folder: Path) -> None:
    save_model(folder, small_model(seed=99))
    _reseal(folder)


_DAMAGE: Final[dict[str, tuple[Callable[[Path], None], str]]] = {
    "truncated": (_truncate, r"ease\.npz has \d+ bytes, expected \d+"),
    "changed": (_flip_a_bit, r"neumf\.npz was changed"),
    "newer": (_write_as_newer_code, rf"has format {BUNDLE_FORMAT + 1}, which newer code writes"),
    "foreign": (_know_other_courses, "foreign catalogue: 1 of its 12 courses"),
    "nan": (_hold_nan, "`bias` holds NaN"),
    "shaped otherwise": (_have_another_shape, "only .* arrays can be converted"),
    "another": (_be_another, "announced was"),
}
REFUSED: Final = {how: reason for how, (_, reason) in _DAMAGE.items()}
"""Each way of being wrong, and the reason that must be logged (a pattern)."""


def store_refused(root: Path, scratch: Path, how: str, seed: int) -> Manifest:
    """Put a bundle that is wrong in this way into the store; return what is announced of it."""
    manifest = store_bundle(root, scratch, seed)
    folder = root / manifest.version
    _DAMAGE[how][0](folder)
    if how not in ("foreign", "nan", "shaped otherwise"):
        return manifest
    return decode_manifest((folder / MANIFEST_NAME).read_bytes())
