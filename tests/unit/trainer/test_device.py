"""There is no CUDA device where this is developed: what is tested is that a step mixes no devices, and the choice."""

import numpy as np
import pytest
import torch

from bench.training import interactions
from schemas.errors import ConfigurationError
from trainer.device import device_of
from trainer.examples import Source, ahead
from trainer.fit import loss_of
from trainer.network import HistoryNeuMF
from trainer.settings import TrainerSettings

META = torch.device("meta")


def test_cuda_that_is_not_there_is_an_error_and_auto_is_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_of("auto") == device_of("cpu") == torch.device("cpu")
    with pytest.raises(ConfigurationError, match=r"no CUDA device here.*TRAIN_DEVICE"):
        device_of("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of("auto") == device_of("cuda") == torch.device("cuda")
    assert device_of("cpu") == torch.device("cpu")


@pytest.mark.parametrize("rivals", [8, 100])
@pytest.mark.parametrize("loss", ["bce", "focal"])
def test_a_step_takes_place_on_the_device_alone(rivals: int, loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.fit.mixed_precision", lambda _: torch.autocast("cpu", enabled=False))
    settings = TrainerSettings(train_softmax_negatives=rivals, train_loss=loss)
    found = interactions(20, 30, 100)
    source = Source(found, found.taken_before(), settings, np.random.default_rng(1))
    network = HistoryNeuMF(30, 8, 3, 0.2).to(META)
    examples = source.examples(np.arange(50)).to(META)
    result = loss_of(network, examples, settings)  # what lies on two devices can't be multiplied
    torch.autograd.backward(result)
    assert result.device == META
    assert all(one.grad is not None and one.grad.device == META for one in network.parameters())


def test_what_is_made_ahead_is_the_same_and_its_errors_arrive() -> None:
    assert list(ahead(iter(range(1, 5)))) == [1, 2, 3, 4]
    assert list(ahead(iter([]))) == []
    with pytest.raises(ZeroDivisionError):
        list(ahead(1 // one for one in (1, 0)))
