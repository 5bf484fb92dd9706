"""A model bundle: a folder of files, proved by its manifest. Equal arrays give equal bytes, hence equal digests.

| file | what | in a bootstrap bundle |
|---|---|---|
| `courses.json` | course ids in dense order | yes |
| `text.npz`, `vocabulary.json` | TF-IDF: `idf, indptr, indices, data`; words in order | yes |
| `blend.json` | `lengths`, `weights`; `scales`, unless each list has its own | yes |
| `taken.npz` | `taken`: whether anybody had taken a course | no |
| `neumf.npz` | the arrays of `recommender.model.NeuMF` | no |
| `ease.npz` | `indptr, indices, data, decay` | no |
| `index.faiss` | serialised FAISS index | no |
| `grades.npz` | the arrays of `recommender.grades.GradesNet` | no; nor where grades were too few, or it was no use |
| `manifest.json` | `schemas.manifest.Manifest` | yes |
"""

import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from recommender.blend import Blend
from recommender.grades import GRADES_ARRAYS, GradesNet
from recommender.model import NEUMF_ARRAYS, Ease, Model, NeuMF, Rows, Text
from schemas.errors import BundleError
from schemas.manifest import MANIFEST_NAME, BundleFile, Manifest, file_of
from schemas.manifest import verify as verify

COURSES_NAME: Final = "courses.json"
VOCABULARY_NAME: Final = "vocabulary.json"
TEXT_NAME: Final = "text.npz"
BLEND_NAME: Final = "blend.json"
NEUMF_NAME: Final = "neumf.npz"
EASE_NAME: Final = "ease.npz"
INDEX_NAME: Final = "index.faiss"
GRADES_NAME: Final = "grades.npz"
TAKEN_NAME: Final = "taken.npz"

LEAST_KNOWN: Final = 0.1
"""Share of a model's courses that the catalogue must know, or the model is another catalogue's."""

_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
Arrays = Mapping[str, NDArray[np.generic]]
T = TypeVar("T")


class _BlendFile(msgspec.Struct, frozen=True):
    lengths: tuple[int, ...]
    weights: list[list[float]]
    scales: list[float] | None = None


def save_arrays(path: Path, arrays: Arrays) -> None:
    """Write a `.npz` whose bytes depend on the arrays alone: sorted names, C order, no times."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            with archive.open(zipfile.ZipInfo(f"{name}.npy", _EPOCH), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a `.npz`; BundleError if it cannot be read or holds NaN or infinity."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BundleError(f"{path.name} cannot be read: {error}") from None
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            raise BundleError(f"{path.name}: `{name}` holds NaN or infinity")
    return arrays


def save_model(folder: Path, model: Model) -> None:
    """Write a model's files into an existing folder; the manifest is `write_manifest`'s."""
    (folder / COURSES_NAME).write_bytes(msgspec.json.encode(model.course_ids))
    (folder / VOCABULARY_NAME).write_bytes(msgspec.json.encode(model.text.vocabulary))
    save_arrays(folder / TEXT_NAME, {"idf": model.text.idf, **_row_arrays(model.text.rows)})
    (folder / BLEND_NAME).write_bytes(msgspec.json.encode(_blend_file(model.blend)))
    if model.neumf is not None:
        save_arrays(folder / NEUMF_NAME, {name: getattr(model.neumf, name) for name in NEUMF_ARRAYS})
    if model.ease is not None:
        decay = np.array(model.ease.decay, dtype=np.float32)
        save_arrays(folder / EASE_NAME, {"decay": decay, **_row_arrays(model.ease.rows)})
    if model.index is not None:
        (folder / INDEX_NAME).write_bytes(model.index)
    if model.grades is not None:
        save_arrays(folder / GRADES_NAME, {name: getattr(model.grades, name) for name in GRADES_ARRAYS})
    if model.taken is not None:
        save_arrays(folder / TAKEN_NAME, {"taken": model.taken})


def _blend_file(blend: Blend) -> _BlendFile:
    weights = [[round(float(value), 6) for value in row] for row in blend.weights]
    return _BlendFile(blend.lengths, weights, None if blend.scales is None else blend.scales.tolist())


def _blend(file: _BlendFile) -> Blend:
    scales = None if file.scales is None else np.array(file.scales, dtype=np.float32)
    return Blend(file.lengths, np.array(file.weights, dtype=np.float32), scales)


def _row_arrays(rows: Rows) -> dict[str, NDArray[np.generic]]:
    return {"indptr": rows.indptr, "indices": rows.indices, "data": rows.data}


def files_of(folder: Path) -> dict[str, BundleFile]:
    """Return size and digest of every file of a bundle but its manifest."""
    return {path.name: file_of(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST_NAME}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest beside the files it describes: the last file of a bundle."""
    (folder / MANIFEST_NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2))


def load_model(folder: Path, digest: str = "") -> Model:
    """Return the model of a verified bundle; BundleError if an array is missing, misshapen or not finite.

    `digest`: what was announced of the bundle; one with another digest is refused. Empty: nothing was announced.
    """
    manifest = verify(folder)
    if digest and manifest.digest != digest:
        raise BundleError(
            f"bundle {manifest.version}: its digest is {manifest.digest[:12]}..., announced was {digest[:12]}..."
        )
    try:
        return read_model(folder, manifest.files.keys())
    except KeyError as error:
        raise BundleError(f"bundle {manifest.version}: array {error} is missing") from None
    except BundleError as error:
        raise BundleError(f"bundle {manifest.version}: {error}") from None


def check_catalogue(model: Model, course_ids: Collection[str]) -> None:
    """Raise BundleError if a model is of a foreign catalogue: less than `LEAST_KNOWN` of its courses are among these.

    A model without courses, and an empty catalogue, say nothing.
    """
    known = sum(course_id in course_ids for course_id in model.course_ids)
    if course_ids and known < LEAST_KNOWN * len(model.course_ids):
        raise BundleError(
            f"it is of a foreign catalogue: {known} of its {len(model.course_ids)} courses are in the catalogue here"
        )


def read_model(folder: Path, present: Collection[str]) -> Model:
    """Return the model that `save_model` wrote; `present` names its files. KeyError if an array is missing."""
    course_ids = _read_json(folder / COURSES_NAME, tuple[str, ...])
    vocabulary = _read_json(folder / VOCABULARY_NAME, tuple[str, ...])
    blend = _read_json(folder / BLEND_NAME, _BlendFile)
    text = load_arrays(folder / TEXT_NAME)
    neumf, ease, grades = None, None, None
    if NEUMF_NAME in present:
        arrays = load_arrays(folder / NEUMF_NAME)
        neumf = NeuMF(**{name: arrays[name] for name in NEUMF_ARRAYS})
    if EASE_NAME in present:
        arrays = load_arrays(folder / EASE_NAME)
        ease = Ease(_rows(arrays, len(course_ids)), float(arrays["decay"]))
    if GRADES_NAME in present:
        arrays = load_arrays(folder / GRADES_NAME)
        grades = GradesNet(**{name: arrays[name] for name in GRADES_ARRAYS})
    return Model(
        course_ids=course_ids,
        text=Text(vocabulary, text["idf"], _rows(text, len(vocabulary))),
        blend=_blend(blend),
        neumf=neumf,
        ease=ease,
        index=(folder / INDEX_NAME).read_bytes() if INDEX_NAME in present else None,
        grades=grades,
        taken=load_arrays(folder / TAKEN_NAME)["taken"].astype(np.bool_) if TAKEN_NAME in present else None,
    )


def _rows(arrays: Mapping[str, NDArray[Any]], width: int) -> Rows:
    return Rows(arrays["indptr"], arrays["indices"], arrays["data"], width)


def _read_json(path: Path, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except (OSError, msgspec.DecodeError) as error:
        raise BundleError(f"{path.name} cannot be read: {error}") from None
