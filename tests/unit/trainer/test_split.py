from tests.unit.trainer.campus import enrolled, log_of
from trainer.interactions import interactions_of
from trainer.split import split_by_time


def test_the_split_is_by_time_over_all_learners() -> None:
    log = log_of([enrolled(f"u{i % 3}", f"c{i}", i) for i in range(100)])
    interactions = interactions_of(log.events)
    split = split_by_time(interactions)
    assert len(interactions.before(split.validation_us)) == 80
    assert len(interactions.before(split.test_us)) == 90
