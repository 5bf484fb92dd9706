"""What the API counts. A registry an application: two of them in one process do not add up."""

from collections import Counter as Counted
from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from api.answers import Rejection
from api.intake import Intake
from schemas.events import AnyEvent

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """Counters, gauges and histograms of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "coursestream_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "coursestream_http_request_seconds",
            "From a request's arrival to its answer.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.accepted = Counter(
            "coursestream_events_accepted", "Events acknowledged, by type.", ["type"], registry=self.registry
        )
        self.rejected = Counter(
            "coursestream_events_rejected", "Events of a request that were not valid.", registry=self.registry
        )
        self.degraded = Counter("coursestream_degraded_answers", "Answers without the state.", registry=self.registry)
        self.degraded_shards = Gauge(
            "coursestream_degraded_shards", "Shards whose learners get degraded answers.", registry=self.registry
        )
        self.lag = Gauge(
            "coursestream_shard_lag", "Events of learner-events not merged.", ["shard"], registry=self.registry
        )

    def watch_intake(self, intake: Intake) -> None:
        """Show how much is being written, and how many requests were too much."""
        under_way = Gauge("coursestream_ingest_bytes", "Bytes of bodies under way.", registry=self.registry)
        under_way.set_function(lambda: intake.bytes_under_way)
        refused = Gauge("coursestream_ingest_refused", "Writes refused unread since the start.", registry=self.registry)
        refused.set_function(lambda: intake.num_refused)

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request under its route's template."""
        self.requests.labels(method, route, str(status)).inc()
        self.seconds.labels(method, route).observe(seconds)

    def count_ingest(self, events: Sequence[AnyEvent], rejected: Sequence[Rejection]) -> None:
        """Count the events of a request."""
        for type_name, number in Counted(event.type_name for event in events).items():
            self.accepted.labels(type_name).inc(number)
        self.rejected.inc(len(rejected))

    def count_answer(self, degraded: bool) -> None:
        """Count an answer that lacked the state."""
        if degraded:
            self.degraded.inc()

    def set_lags(self, lags: Mapping[int, int | None]) -> None:
        """Set the lag of the shards; one that is not known is not shown."""
        self.lag.clear()
        for shard, lag in lags.items():
            if lag is not None:
                self.lag.labels(str(shard)).set(lag)

    def text(self) -> bytes:
        """Return the exposition in Prometheus' text format."""
        return generate_latest(self.registry)
