import pytest

from trainer.schedule import Job, Live, Schedule
from trainer.settings import TrainerSettings

SETTINGS = TrainerSettings(
    min_enrolments=100, refit_minutes=10, refit_events=1_000, calm_seconds=3, calm_max_wait_seconds=20
)


def _watch(schedule: Schedule, until_s: float, events_a_second: float = 0.0) -> tuple[Job | None, float]:
    """Return what first becomes due while events come in, and when."""
    now_s = 0.0
    while now_s < until_s:
        schedule.events.see(schedule.events.count + round(events_a_second / 2), now_s)
        job = schedule.due(now_s)
        if job:
            return job, now_s
        now_s += 0.5
    return None, now_s


def test_an_empty_log_asks_for_nothing() -> None:
    assert _watch(Schedule(SETTINGS), 100) == (None, 100)


def test_courses_alone_make_a_bootstrap_bundle_once_they_stand_still() -> None:
    schedule = Schedule(SETTINGS)
    schedule.courses.see(50, 0.0)
    assert _watch(schedule, 100) == (Job.BOOTSTRAP, 0.5)


@pytest.mark.parametrize(("count", "job"), [(60, None), (76, Job.BOOTSTRAP)])
def test_a_catalogue_that_grew_a_lot_is_bundled_again(count: int, job: Job | None) -> None:
    schedule = Schedule(SETTINGS, live=Live.BOOTSTRAP, live_courses=50)
    schedule.courses.see(count, 0.0)
    assert _watch(schedule, 20)[0] is job


def test_the_first_training_waits_for_an_import_to_end() -> None:
    schedule = Schedule(SETTINGS, live=Live.BOOTSTRAP)
    assert _watch(schedule, 10, events_a_second=1_000) == (None, 10)
    schedule.events.changed_s = -1.0
    assert _watch(schedule, 10) == (Job.TRAIN, 2.0)


def test_the_first_training_does_not_wait_for_ever() -> None:
    assert _watch(Schedule(SETTINGS), 100, events_a_second=1_000) == (Job.TRAIN, 20.0)


def test_a_refused_first_training_waits_for_a_fifth_more() -> None:
    schedule = Schedule(SETTINGS, attempted_events=1_000, ended_s=0.0)
    schedule.events.see(1_199, -10.0)
    assert _watch(schedule, 100)[0] is None
    schedule.events.see(1_200, -10.0)
    assert _watch(schedule, 100)[0] is Job.TRAIN


def test_a_refused_first_training_is_repeated_when_a_refit_would_be() -> None:
    schedule = Schedule(SETTINGS, attempted_events=1_000, ended_s=0.0)
    schedule.events.see(1_000, -10.0)
    assert _watch(schedule, 700)[0] is None, "nothing is new"
    schedule.events.see(1_001, -10.0)
    assert _watch(schedule, 700) == (Job.TRAIN, 600.0)


def test_a_refit_comes_by_events_or_by_time_whichever_is_first() -> None:
    schedule = Schedule(SETTINGS, live=Live.TRAINED, trained_events=500, live_since_s=0.0)
    schedule.events.see(500, 0.0)
    assert schedule.due(10_000.0) is None
    schedule.events.see(501, 0.0)
    assert schedule.due(599.0) is None
    assert schedule.due(600.0) is Job.TRAIN
    schedule.events.see(1_500, 0.0)
    assert schedule.due(1.0) is Job.TRAIN


def test_a_refused_refit_is_not_repeated_for_the_same_events() -> None:
    schedule = Schedule(SETTINGS, live=Live.TRAINED, trained_events=500, attempted_events=1_500, ended_s=0.0)
    schedule.events.see(1_500, 0.0)
    assert schedule.due(700.0) is None


def test_a_request_is_met_at_once_and_a_failure_is_waited_out() -> None:
    schedule = Schedule(SETTINGS, retry_at_s=60.0)
    schedule.events.see(5_000, -10.0)
    assert schedule.due(59.0) is None
    assert schedule.due(60.0) is Job.TRAIN
    schedule.requested = True
    assert schedule.due(1.0) is Job.TRAIN
