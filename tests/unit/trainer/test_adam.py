import subprocess
import sys

import numpy as np
import torch

from trainer.adam import Adam


def test_steps_are_those_of_the_paper_with_a_falling_rate() -> None:
    start = np.array([0.5, -1.5, 2.0])
    parameter = torch.nn.Parameter(torch.from_numpy(start.astype(np.float32)))
    adam = Adam([parameter], first=0.1, last=0.01, steps=5)
    expected, mean, square = start.copy(), np.zeros(3), np.zeros(3)
    for step in range(5):
        adam.step((parameter**3).sum())
        slope = 3 * expected**2
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2
        rate = 0.1 - 0.09 * step / 5
        corrected = np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8
        expected -= rate * mean / (1 - 0.9 ** (step + 1)) / corrected
        np.testing.assert_allclose(parameter.detach().numpy(), expected, rtol=1e-4)


def test_weight_decay_is_a_part_of_the_loss() -> None:
    decayed, explicit = (torch.nn.Parameter(torch.tensor([0.5, -1.5, 2.0])) for _ in range(2))
    one, other = Adam([decayed], 0.1, 0.1, 4, weight_decay=0.3), Adam([explicit], 0.1, 0.1, 4)
    for _ in range(4):
        one.step((decayed**3).sum())
        other.step((explicit**3).sum() + 0.15 * explicit.square().sum())
    torch.testing.assert_close(decayed, explicit)


def test_a_parameter_without_a_slope_stays() -> None:
    used, unused = (torch.nn.Parameter(torch.ones(2)) for _ in range(2))
    Adam([used, unused], first=0.1, last=0.1, steps=1).step(used.sum())
    assert used.tolist() != unused.tolist() == [1.0, 1.0]


def test_a_training_does_not_bring_the_compiler_in() -> None:
    program = (
        "import sys, torch\nfrom trainer.adam import Adam\n"
        "one = torch.nn.Parameter(torch.ones(2))\nAdam([one], 0.1, 0.1, 1).step(one.sum())\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run((sys.executable, "-c", program), check=True, timeout=120)
