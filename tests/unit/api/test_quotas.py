"""Quotas: a bucket a caller, filled evenly, and what is said of it."""

import pytest

from api.auth import Principal
from api.quotas import Allowance, Quota, Quotas, too_many
from api.settings import ApiSettings


class Clock:
    """A clock that a test sets."""

    now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def told(allowance: Allowance) -> dict[bytes, bytes]:
    return dict(allowance.headers)


def test_a_full_bucket_may_be_emptied_at_once_and_fills_evenly() -> None:
    clock = Clock()
    quota = Quota("learner", 10, 5, clock)
    found = [quota.take("ann") for _ in range(12)]
    assert [one.granted for one in found] == [True] * 10 + [False] * 2
    assert [one.remaining for one in found] == [*range(9, -1, -1), 0, 0]
    assert [one.full_in_s for one in found[:4]] == [1, 1, 2, 2]
    assert (found[-1].full_in_s, found[-1].retry_after_s) == (5, 1)
    clock.now += 0.49
    assert not quota.take("ann").granted
    clock.now += 0.01
    assert quota.take("ann").granted
    assert not quota.take("ann").granted
    clock.now += 60
    assert [quota.take("ann").granted for _ in range(11)] == [True] * 10 + [False]


def test_who_is_refused_and_asks_on_waits_no_longer() -> None:
    clock = Clock()
    quota = Quota("learner", 2, 2, clock)
    for _ in range(50):
        quota.take("ann")
    clock.now += 1
    assert quota.take("ann").granted


def test_callers_do_not_share_a_bucket_but_their_tokens_do() -> None:
    quotas = Quotas(ApiSettings(jwt_secret="x" * 32, learner_quota=1, service_quota=1), Clock())

    def take(subject: str, *scopes: str, expires_at: float = 0.0) -> bool:
        found = quotas.take(Principal(subject, frozenset(scopes), expires_at))
        return found is not None and found.granted

    assert take("ann", "learner")
    assert not take("ann", "learner", expires_at=7.0)
    assert take("bob", "learner")
    assert take("ann", "learner", "reader")  # a service of the same name
    assert not take("ann", "publisher")


def test_without_a_quota_nothing_is_counted_or_said() -> None:
    quotas = Quotas(ApiSettings(jwt_secret="x" * 32, learner_quota=0, service_quota=0), Clock())
    assert quotas.take(Principal("ann", frozenset({"learner"}), 0.0)) is None
    assert quotas.take(Principal("ann", frozenset({"reader"}), 0.0)) is None


def test_what_is_said() -> None:
    quota = Quota("service", 3, 10, Clock())
    assert told(quota.take("ann")) == {b"ratelimit-policy": b'"service";q=3;w=10', b"ratelimit": b'"service";r=2;t=4'}
    for _ in range(3):
        refused = quota.take("ann")
    assert told(refused)[b"ratelimit"] == b'"service";r=0;t=10'
    problem = too_many(refused)
    assert (problem.details.status, problem.details.type) == (429, "/problems/quota-exceeded")
    assert problem.headers == {"Retry-After": "4"}


def test_who_has_not_come_lately_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.quotas._FIRST_SWEEP", 100)
    clock = Clock()
    quota = Quota("learner", 2, 10, clock)
    for number in range(1_000):
        clock.now += 0.1
        quota.take(f"u{number}")
        assert len(quota._full_at) <= 102
    assert [quota.take("u999").granted for _ in range(2)] == [True, False]
