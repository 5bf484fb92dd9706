"""The store of bundles: what stands there is whole."""

from pathlib import Path

import pytest

from adapters.bundles import BundleStore
from schemas.errors import BundleError


def bundle(folder: Path, text: str = "weights") -> Path:
    """Write a finished bundle where the trainer does."""
    folder.mkdir(parents=True)
    (folder / "model.npz").write_text(text)
    return folder


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_what_was_published_is_fetched(tmp_path: Path, scheme: str) -> None:
    store = BundleStore(f"{scheme}{tmp_path}/deep/bundles")
    made = bundle(tmp_path / "made")
    target = store.publish(made, "v1")
    assert target == store.fetch("v1") == tmp_path / "deep" / "bundles" / "v1"
    assert (target / "model.npz").read_text() == "weights"
    assert not made.exists()


def test_a_version_that_stands_is_never_changed(tmp_path: Path) -> None:
    store = BundleStore(str(tmp_path / "bundles"))
    store.publish(bundle(tmp_path / "first", "first"), "v1")
    second = bundle(tmp_path / "second", "second")
    assert (store.publish(second, "v1") / "model.npz").read_text() == "first"
    assert not second.exists()


def test_what_a_killed_publisher_left_is_replaced(tmp_path: Path) -> None:
    store = BundleStore(str(tmp_path / "bundles"))
    half = bundle(tmp_path / "bundles" / ".v1.incoming", "half")
    (half / "more.npz").write_text("half")
    target = store.publish(bundle(tmp_path / "made"), "v1")
    assert [path.name for path in target.iterdir()] == ["model.npz"]
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["v1"]


def test_a_version_that_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=f"v9 is not in {tmp_path}"):
        BundleStore(str(tmp_path)).fetch("v9")
