"""Bundles: same arrays, same bytes; whatever was changed is refused by name."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from recommender.bundle import files_of, load_arrays, load_model, save_arrays, save_model, verify, write_manifest
from recommender.model import NEUMF_ARRAYS, Model, NeuMF
from schemas.errors import BundleError
from schemas.manifest import Manifest, digest_of


def seal(folder: Path, model: Model) -> Manifest:
    """Write a model and its manifest."""
    folder.mkdir(exist_ok=True)
    save_model(folder, model)
    files = files_of(folder)
    manifest = Manifest(
        version="v1", digest=digest_of(files), bootstrap=model.bootstrap, created_at="2024-01-01T00:00:00Z",
        offsets={}, snapshot_digest="", seed=0, git_commit="", config={}, metrics={}, champion_metrics={},
        num_courses=len(model.course_ids), files=files,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return manifest


def test_a_model_comes_back_as_it_was(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    model = model_of()
    seal(tmp_path, model)
    loaded = load_model(tmp_path)
    assert loaded.course_ids == model.course_ids
    assert loaded.text.vocabulary == model.text.vocabulary
    assert loaded.index == model.index
    assert loaded.neumf is not None
    assert loaded.ease is not None
    for name in NEUMF_ARRAYS:
        np.testing.assert_array_equal(getattr(loaded.neumf, name), getattr(model.neumf, name))
    np.testing.assert_allclose(loaded.blend.weights, model.blend.weights, atol=1e-6)
    assert loaded.blend.scales is None
    assert loaded.taken is None


def test_scales_and_what_was_taken_come_back(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    model, scales = model_of(), np.array([2.5, 0.03, 0.05, 0.2, 0.2], dtype=np.float32)
    blend, taken = replace(model.blend, scales=scales), np.arange(12) % 3 > 0
    seal(tmp_path, replace(model, blend=blend, taken=taken))
    loaded = load_model(tmp_path)
    assert loaded.blend.scales is not None
    assert loaded.taken is not None
    np.testing.assert_array_equal(loaded.blend.scales, scales)
    np.testing.assert_array_equal(loaded.taken, taken)


def test_equal_models_have_equal_digests(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    first, second = (seal(tmp_path / name, model_of()) for name in ("a", "b"))
    other = seal(tmp_path / "c", model_of(seed=1))
    assert first.digest == second.digest != other.digest


def test_arrays_of_any_memory_order_give_the_same_bytes(tmp_path: Path) -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    save_arrays(tmp_path / "a.npz", {"x": array, "y": array})
    save_arrays(tmp_path / "b.npz", {"y": np.asfortranarray(array), "x": array})
    digests = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in ("a.npz", "b.npz")}
    assert len(digests) == 1


def test_a_bootstrap_bundle_has_text_only(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    whole = model_of()
    manifest = seal(tmp_path, Model(whole.course_ids, whole.text))
    assert manifest.bootstrap
    assert sorted(manifest.files) == ["blend.json", "courses.json", "text.npz", "vocabulary.json"]
    assert load_model(tmp_path).neumf is None


def test_a_changed_file_is_named(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    seal(tmp_path, model_of())
    raw = bytearray((tmp_path / "ease.npz").read_bytes())
    raw[-1] ^= 1
    (tmp_path / "ease.npz").write_bytes(raw)
    with pytest.raises(BundleError, match=r"ease\.npz was changed"):
        load_model(tmp_path)
    (tmp_path / "ease.npz").write_bytes(raw[:-9])
    with pytest.raises(BundleError, match=r"ease\.npz has \d+ bytes, expected \d+"):
        verify(tmp_path)
    (tmp_path / "ease.npz").unlink()
    with pytest.raises(BundleError, match=r"ease\.npz is missing"):
        verify(tmp_path)


def test_a_file_outside_the_folder_is_refused(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    manifest = seal(tmp_path / "bundle", model_of())
    outside = tmp_path / "outside"
    outside.write_bytes(b"")
    files = {**manifest.files, "../outside": files_of(tmp_path / "bundle")["courses.json"]}
    write_manifest(tmp_path / "bundle", msgspec.structs.replace(manifest, files=files, digest=digest_of(files)))
    with pytest.raises(BundleError, match="missing"):
        verify(tmp_path / "bundle")


def test_nan_is_refused(tmp_path: Path, neumf_of: Callable[..., NeuMF]) -> None:
    save_arrays(tmp_path / "x.npz", {"x": np.array([1, np.nan], dtype=np.float32)})
    with pytest.raises(BundleError, match="NaN"):
        load_arrays(tmp_path / "x.npz")
    arrays = {name: getattr(neumf_of(), name) for name in NEUMF_ARRAYS}
    arrays["bias"] = arrays["bias"] * np.nan
    with pytest.raises(BundleError, match="`bias` holds NaN"):
        NeuMF(**arrays)


def test_objects_and_rubbish_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", x=np.array([{}], dtype=object))
    (tmp_path / "rubbish.npz").write_bytes(b"rubbish")
    for name in ("objects.npz", "rubbish.npz", "absent.npz"):
        with pytest.raises(BundleError, match="cannot be read"):
            load_arrays(tmp_path / name)


def test_a_missing_array_or_a_wrong_shape_is_named(tmp_path: Path, model_of: Callable[..., Model]) -> None:
    model = model_of()
    arrays = {name: getattr(model.neumf, name) for name in NEUMF_ARRAYS}
    with pytest.raises(BundleError, match=r"`b1` is float32\(1,\), expected float32\(128,\)"):
        NeuMF(**{**arrays, "b1": np.zeros(1, np.float32)})
    save_model(tmp_path, model)
    save_arrays(tmp_path / "neumf.npz", {name: arrays[name] for name in NEUMF_ARRAYS if name != "b2"})
    files = files_of(tmp_path)
    manifest = seal(tmp_path / "other", model)
    write_manifest(tmp_path, msgspec.structs.replace(manifest, files=files, digest=digest_of(files)))
    with pytest.raises(BundleError, match="array 'b2' is missing"):
        load_model(tmp_path)


def test_no_manifest(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no readable manifest\.json"):
        verify(tmp_path)
