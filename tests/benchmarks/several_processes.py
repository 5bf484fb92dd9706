"""What training costs each process: `torchrun --nproc-per-node 2 --module tests.benchmarks.several_processes`.

Without torchrun (`python -m ...`) it is one process. Epochs over 200,000 drawn enrolments, a thread each; the first,
in which modules are loaded, does not count. Each process says how many enrolments all learnt a second of the clock,
and a second of its own CPU, which others on the machine hardly change.
"""

import time

from bench.training import COURSES, ENROLMENTS, LEARNERS, interactions
from trainer.fit import fit_neumf, follow
from trainer.processes import number, rank, together, told
from trainer.settings import TrainerSettings

_EPOCHS = 4


def main() -> None:
    """Train some epochs and say what those after the first cost here."""
    settings = TrainerSettings(train_epochs=_EPOCHS, train_threads=1)
    moments: list[tuple[float, float]] = []

    def note(_done: float) -> None:
        moments.append((time.monotonic(), time.process_time()))

    with together():
        if rank():
            follow(note)
        else:
            fit_neumf(interactions(LEARNERS, COURSES, ENROLMENTS), settings, 1, note)
            told(None)
        learnt = ENROLMENTS * (_EPOCHS - 1)
        wall, cpu = (last - first for first, last in zip(moments[0], moments[-1], strict=True))
        said = f"{learnt / wall:,.0f} enrolments a second of the clock, {learnt / cpu:,.0f} a second of this CPU"
        print(f"process {rank()} of {number()}: {said}", flush=True)


if __name__ == "__main__":
    main()
