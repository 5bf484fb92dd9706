"""`bench lookup` runs on a stack of its own, and leaves nothing behind."""

from bench.lookup import LookupSpeed, measure


def test_every_figure_is_measured() -> None:
    found = measure(seconds=0.5, turns=1)
    assert all(value > 0 for value in found)
    assert found._fields[:5] == LookupSpeed._fields[:5] == (
        "cpu_us_per_request", "requests_per_s", "ratio_bare_asgi", "ratio_plain_fastapi", "p99_ms",
    )  # fmt: skip
