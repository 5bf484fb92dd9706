"""Small real models, as bundles in a store: what a trainer would have published."""

from pathlib import Path
from typing import Final

import numpy as np

from adapters.bundles import BundleStore
from recommender.bundle import files_of, save_model, write_manifest
from recommender.grades import GradesNet
from recommender.model import LAYERS, Model
from schemas.control import ModelPromoted, ModelPublished
from schemas.courses import Course
from schemas.manifest import Manifest, digest_of
from tests.unit.recommender.conftest import make_model

COURSES: Final = tuple(
    Course(course_id=f"c{i:02d}", title=f"sql python {i % 3}", language="en" if i % 2 else "de", level="easy")
    for i in range(12)
)
"""The catalogue that the models below know."""


def small_model(seed: int = 0) -> Model:
    """Return a whole model of random numbers over `COURSES`."""
    return make_model(len(COURSES), seed)


def grades_net(num_courses: int, seed: int = 0, d: int = 4) -> GradesNet:
    """Return a grades model of random numbers with two decay rates."""
    rng, n, k, (one, two, three) = np.random.default_rng(seed), num_courses, 2, LAYERS
    shapes: dict[str, tuple[int, ...]] = {
        "history": (n, d), "gmf_tower": (2 * k * d, d), "gmf_empty": (d,), "mlp_tower": (2 * k * d, d),
        "mlp_empty": (d,), "gmf_course": (n, d), "mlp_course": (n, d), "bias": (n,), "mean": (n,),
        "w1_learner": (d, one), "w1_course": (d, one), "b1": (one,), "w2": (one, two), "b2": (two,),
        "w3": (two, three), "b3": (three,), "mlp_out": (three,),
    }  # fmt: skip
    drawn = {name: rng.normal(scale=0.2, size=shape).astype(np.float32) for name, shape in shapes.items()}
    drawn["bias"], drawn["mean"] = drawn["bias"] + np.float32(0.5), drawn["mean"] + np.float32(0.5)
    return GradesNet(np.array([0.5, 1.0], np.float32), np.array([1.0], np.float32), **drawn)


def write_bundle(scratch: Path, seed: int = 0) -> tuple[Path, Manifest]:
    """Write a model's bundle into a new folder below `scratch`."""
    folder = scratch / f"bundle-{seed}"
    folder.mkdir(parents=True)
    save_model(folder, small_model(seed))
    files = files_of(folder)
    manifest = Manifest(
        version=f"m-{seed}", digest=digest_of(files), bootstrap=False, created_at="2026-01-01T00:00:00+00:00",
        offsets={}, snapshot_digest="", seed=seed, git_commit="", config={}, metrics={}, champion_metrics={},
        num_courses=len(COURSES), files=files,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return folder, manifest


def store_bundle(root: Path, scratch: Path, seed: int = 0) -> Manifest:
    """Publish a model's bundle into the store at `root`; `scratch` is where it is written first."""
    folder, manifest = write_bundle(scratch, seed)
    BundleStore(str(root)).publish(folder, manifest.version)
    return manifest


def going_live(manifest: Manifest) -> tuple[ModelPublished, ModelPromoted]:
    """Return the two decisions that put a bundle live."""
    published = ModelPublished(version=manifest.version, digest=manifest.digest)
    return published, ModelPromoted(version=manifest.version)
