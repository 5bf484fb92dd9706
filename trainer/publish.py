"""A model becomes a bundle in the store and, if it may go live, a decision in `control`."""

import os
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from adapters.bundles import BundleStore
from adapters.follow import ControlLog, append_control
from recommender.bundle import files_of, load_model, save_model, verify, write_manifest
from recommender.model import Model
from schemas.control import ModelPromoted, ModelPublished
from schemas.manifest import Manifest, digest_of
from trainer.log import Log
from trainer.result import TrainResult
from trainer.settings import TrainerSettings
from trainer.verdict import Metrics, Verdict

_DIGITS: Final = 12


class Made(NamedTuple):
    """A model, what it was made from, and what was found of it. A bootstrap model has no metrics: {}."""

    model: Model
    log: Log
    seed: int
    verdict: Verdict
    metrics: Metrics
    champion_metrics: Metrics


async def publish(made: Made, settings: TrainerSettings) -> TrainResult:
    """Store and announce what was made if its verdict says so; one that is live already is not announced again."""
    manifest = store_bundle(made, settings)
    verdict, live = made.verdict, await live_model(settings)
    if live is not None and live.version == manifest.version:
        verdict = Verdict(True, f"{manifest.version} was live already: same log, same seed")
    elif verdict.publish:
        await announce(settings.kafka_bootstrap_servers, manifest, verdict.reason)
    return TrainResult(
        version=manifest.version,
        digest=manifest.digest,
        offsets=manifest.offsets,
        metrics=manifest.metrics,
        champion_metrics=manifest.champion_metrics,
        published=verdict.publish,
        reason=verdict.reason,
    )


async def live_model(settings: TrainerSettings) -> ModelPublished | None:
    """Return the model that is live now."""
    async with ControlLog(settings.kafka_bootstrap_servers) as control:
        found = control.state.models.get(control.state.model_version)
    return found.record if found else None


async def announce(bootstrap_servers: str, manifest: Manifest, reason: str) -> None:
    """Record in `control` that the bundle stands in the store and is live from here on."""
    published = ModelPublished(
        version=manifest.version,
        digest=manifest.digest,
        bootstrap=manifest.bootstrap,
        offsets=manifest.offsets,
        metrics=manifest.metrics,
    )
    await append_control(bootstrap_servers, published, ModelPromoted(version=manifest.version, reason=reason))


def store_bundle(made: Made, settings: TrainerSettings) -> Manifest:
    """Write a bundle, move it into the store if it is to be published, and return its manifest.

    Raises BundleError if a number is not finite, or if the store holds a changed bundle under the same version.
    """
    with tempfile.TemporaryDirectory(prefix="bundle-") as parent:
        folder = Path(parent, "bundle")
        folder.mkdir()
        manifest = write_bundle(folder, made, settings)
        if made.verdict.publish:
            verify(BundleStore(settings.bundle_url, settings.bundle_cache).publish(folder, manifest.version))
    return manifest


def write_bundle(folder: Path, made: Made, settings: TrainerSettings) -> Manifest:
    """Write a bundle into an empty folder, read it back as a worker would, and return its manifest.

    The version is `m-` (a trained model) or `b-` (bootstrap) and the beginning of the digest.
    """
    save_model(folder, made.model)
    files = files_of(folder)
    digest, bootstrap = digest_of(files), made.model.bootstrap
    manifest = Manifest(
        version=f"{'b' if bootstrap else 'm'}-{digest[:_DIGITS]}",
        digest=digest,
        bootstrap=bootstrap,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        offsets=made.log.offsets,
        snapshot_digest=made.log.digest,
        seed=made.seed,
        git_commit=_git_commit(),
        config=_hyperparameters(settings),
        metrics=made.metrics,
        champion_metrics=made.champion_metrics,
        num_courses=len(made.model.course_ids),
        files=files,
    )
    write_manifest(folder, manifest)
    load_model(folder)
    return manifest


def _hyperparameters(settings: TrainerSettings) -> dict[str, int | float | str | list[float]]:
    values = settings.model_dump()
    return {name: value for name, value in sorted(values.items()) if name.startswith(("train_", "ease_", "evaluate_"))}


def _git_commit() -> str:
    """Return the commit this code was built from: `GIT_COMMIT` in an image, else what git says, else nothing."""
    given = os.environ.get("GIT_COMMIT")
    if given is not None:
        return given
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
