"""A folder in the layout of the NCF paper's splits, of a checkerboard: even learners take even items, odd ones odd."""

import random
from pathlib import Path

HEADER = "user\titem\tposition\n"


def write_split(folder: Path, learners: int = 200, items: int = 60, taken: int = 11, seed: int = 0) -> Path:
    """Write a split and return its folder: each learner takes `taken` items of his colour, the last one is the test."""
    rng = random.Random(seed)
    train, tests, negatives = [HEADER], [], []
    for user in range(learners):
        *history, last = rng.sample(range(user % 2, items, 2), taken)
        train += [f"{user}\t{item}\t{position}\n" for position, item in enumerate(history)]
        tests.append(f"{user}\t{last}\t5\t{1000 + user}\n")
        left = sorted(set(range(items)) - {*history, last})
        negatives.append("\t".join([f"({user},{last})", *map(str, rng.sample(left, 30))]) + "\n")
    folder.mkdir(parents=True)
    (folder / "toy.train.ordered.tsv").write_text("".join(train))
    (folder / "toy.test.rating").write_text("".join(tests))
    (folder / "toy.test.negative").write_text("".join(negatives))
    return folder
