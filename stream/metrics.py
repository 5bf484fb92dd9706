"""What a worker counts."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from schemas.quality import Slot, Tally

MERGED: Final = Counter("coursestream_merged_records_total", "Records of learner-events merged.")
DEAD: Final = Counter("coursestream_dead_letters_total", "Records that were no event.")
QUARANTINED: Final = Counter("coursestream_quarantined_records_total", "Records that broke the code.")
REFILLS: Final = Counter("coursestream_shard_fills_total", "Shards that had to be filled from the log.")
LOG_LOSSES: Final = Counter(
    "coursestream_log_losses_total", "Shards whose log lost records, or was made anew: each is an alarm."
)
FRESHNESS: Final = Histogram(
    "coursestream_refresh_seconds",
    "From a learner's mark to the list published.",
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.3, 2.6, 5, 10, 30, 60),
)
SHARDS: Final = Gauge("coursestream_shards", "Shards this worker owns.", ["phase"])
MODEL_EPOCH: Final = Gauge("coursestream_model_epoch", "Epoch of the model lists are made with.")
MODEL_FAILURES: Final = Gauge("coursestream_model_load_failures", "Bundles that could not be taken.")
MODEL_BEHIND: Final = Gauge("coursestream_model_is_behind", "1 while lists are not made with the live model.")
ARM_MODELS_MISSING: Final = Gauge(
    "coursestream_arm_models_missing", "Models of the experiment that runs which lists are not made with."
)

_TESTED: Final = ["strategy", "history"]  # not the model: its values would grow without end
TESTS: Final = Counter("coursestream_quality_tests_total", "First enrolments judged by the list before.", _TESTED)
HITS: Final = Counter("coursestream_quality_hits_total", "First enrolments from the first ten places.", _TESTED)
RANKS: Final = Counter("coursestream_quality_reciprocal_ranks_total", "Sum of 1 / place of first enrolments.", _TESTED)


def count_test(slot: Slot, tally: Tally) -> None:
    """Count one judged first enrolment."""
    labels = slot.strategy, slot.history
    TESTS.labels(*labels).inc(tally.tests)
    HITS.labels(*labels).inc(tally.hits)
    RANKS.labels(*labels).inc(tally.reciprocal_rank)
