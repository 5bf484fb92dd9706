from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommender.bundle import load_model
from recommender.model import Model
from schemas.errors import BundleError
from tests.unit.trainer.campus import checkerboard, courses, log_of
from trainer.log import Log
from trainer.pipeline import train_model
from trainer.publish import Made, store_bundle
from trainer.settings import TrainerSettings
from trainer.text import bootstrap_model
from trainer.verdict import Verdict

LOG = log_of(checkerboard(learners=20), courses())


def _settings(store: Path) -> TrainerSettings:
    return TrainerSettings(bundle_url=str(store), train_dimensions=4, train_epochs=1, min_enrolments=1)


def _store(model: Model, log: Log, settings: TrainerSettings, keep: bool = True) -> str:
    return store_bundle(Made(model, log, 1, Verdict(keep, "")), settings).version


def test_a_bootstrap_bundle_is_stored_under_its_digest(tmp_path: Path) -> None:
    model = bootstrap_model(LOG.courses)
    version = _store(model, LOG, _settings(tmp_path))
    assert version.startswith("b-")
    assert load_model(tmp_path / version).bootstrap
    assert _store(model, LOG, _settings(tmp_path)) == version
    assert [path.name for path in tmp_path.iterdir()] == [version]


def test_what_is_not_kept_is_not_in_the_store(tmp_path: Path) -> None:
    _store(bootstrap_model(LOG.courses), LOG, _settings(tmp_path), keep=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_number_that_is_none_never_reaches_the_store(tmp_path: Path, bad: float) -> None:
    settings = _settings(tmp_path)
    model = train_model(LOG, settings, 1, False).model
    assert model.neumf is not None
    model.neumf.bias[3] = bad  # past the checks of the constructor
    with pytest.raises(BundleError, match="NaN or infinity"):
        _store(model, LOG, settings)
    with pytest.raises(BundleError, match="NaN or infinity"):
        replace(model.neumf)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_that_was_changed_in_the_store_is_not_announced(tmp_path: Path) -> None:
    model = bootstrap_model(LOG.courses)
    version = _store(model, LOG, _settings(tmp_path))
    (tmp_path / version / "vocabulary.json").write_bytes(b"[]")
    with pytest.raises(BundleError, match=r"vocabulary\.json"):
        _store(model, LOG, _settings(tmp_path))
