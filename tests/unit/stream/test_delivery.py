"""Whether an agent is given what comes in: what counts as missed, and what never does."""

from stream.delivery import Delivery

PATIENCE_S = 5.0


def looked(delivery: Delivery, ends: list[int], took: bool = False) -> Delivery:
    """Look every six seconds at these ends of one partition; the agent takes something before each look, or nothing."""
    for number, end in enumerate(ends):
        if took:
            delivery.took()
        delivery.look({0: end}, 6.0 * number)
    return delivery


def test_growth_that_comes_to_nobody_again_and_again_is_a_broken_delivery() -> None:
    assert not looked(Delivery(PATIENCE_S), list(range(6))).is_broken
    assert looked(Delivery(PATIENCE_S), list(range(7))).is_broken


def test_an_agent_that_takes_something_is_fed() -> None:
    assert not looked(Delivery(PATIENCE_S), list(range(100)), took=True).is_broken
    delivery = looked(Delivery(PATIENCE_S), list(range(7)))
    delivery.took()
    assert not delivery.is_broken


def test_what_stands_still_needs_no_agent() -> None:
    assert not looked(Delivery(PATIENCE_S), [0, 1] + [2] * 100).is_broken, "what a filler took once is no proof"


def test_a_partition_that_is_new_here_has_not_grown() -> None:
    delivery = Delivery(PATIENCE_S)
    for number in range(20):
        delivery.look({number: 1_000 * number}, 6.0 * number)
    assert not delivery.is_broken
