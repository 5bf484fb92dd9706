"""A model becomes a bundle in the store and, if it may go live, a decision in `control`."""

import logging
import os
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from adapters.bundles import BundleStore
from adapters.follow import ControlLog, append_control
from recommender.bundle import files_of, load_model, save_model, verify, write_manifest
from recommender.model import Model
from schemas.control import ControlState, ModelPromoted, ModelPublished, ModelRefused
from schemas.manifest import Manifest, digest_of
from trainer.log import Log
from trainer.result import TrainResult
from trainer.settings import TrainerSettings, config_keys
from trainer.verdict import Verdict

logger: Final = logging.getLogger(__name__)

_DIGITS: Final = 12


class Made(NamedTuple):
    """A model, what it was made from, and what was found of it. A bootstrap model was fitted in no epochs."""

    model: Model
    log: Log
    seed: int
    verdict: Verdict
    epochs: int = 0
    passes: int = 0
    processes: int = 1


async def publish(made: Made, settings: TrainerSettings) -> TrainResult:
    """Store and announce what was made if its verdict says so, else announce that it was refused.

    What is live already, or was refused already, is not announced again.
    """
    logger.info("writing the bundle")
    manifest = store_bundle(made, settings)
    logger.info("announcing %s", manifest.version)
    verdict, servers = made.verdict, settings.kafka_bootstrap_servers
    state = await decisions(servers)
    if state.model_version == manifest.version:
        verdict = Verdict(True, f"{manifest.version} was live already: same log, same seed")
    elif verdict.publish:
        bootstrap = manifest.bootstrap
        published = ModelPublished(version=manifest.version, bootstrap=bootstrap, **_figures(manifest))
        promoted = ModelPromoted(version=manifest.version, reason=verdict.reason)
        await append_control(servers, published, promoted)
    elif manifest.version not in state.refused:
        await append_control(servers, ModelRefused(version=manifest.version, **_figures(manifest)))
    figures = {**_figures(manifest), "reason": verdict.reason}
    return TrainResult(
        version=manifest.version, published=verdict.publish, epochs=made.epochs, passes=made.passes, **figures
    )


def _figures(manifest: Manifest) -> dict[str, Any]:
    """Return what is said of a model wherever it is spoken of."""
    names = ("digest", "offsets", "metrics", "champion_metrics", "popular_metrics", "comparisons", "reason")
    return {name: getattr(manifest, name) for name in names}


async def decisions(bootstrap_servers: str) -> ControlState:
    """Return what is decided now."""
    async with ControlLog(bootstrap_servers) as control:
        return control.state


async def live_model(settings: TrainerSettings) -> ModelPublished | None:
    """Return the model that is live now."""
    state = await decisions(settings.kafka_bootstrap_servers)
    found = state.models.get(state.model_version)
    return found.record if found else None


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
        git_commit=git_commit(),
        config=_hyperparameters(settings),
        metrics=made.verdict.metrics,
        champion_metrics=made.verdict.champion_metrics,
        popular_metrics=made.verdict.popular_metrics,
        comparisons=made.verdict.comparisons,
        reason=made.verdict.reason,
        epochs=made.epochs,
        processes=made.processes,
        newest_us=max((event.occurred_us for event in made.log.events), default=0),
        num_courses=len(made.model.course_ids),
        popular_only=made.model.blend.popular_only,
        files=files,
    )
    write_manifest(folder, manifest)
    load_model(folder)
    return manifest


def _hyperparameters(settings: TrainerSettings) -> dict[str, int | float | str | list[float]]:
    values = settings.model_dump(mode="json", include=config_keys())
    return {name: value for name, value in sorted(values.items()) if name.startswith(("train_", "ease_", "evaluate_"))}


def git_commit() -> str:
    """Return the commit this code was built from: `GIT_COMMIT` in an image, else what git says, else nothing."""
    given = os.environ.get("GIT_COMMIT")
    if given is not None:
        return given
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
