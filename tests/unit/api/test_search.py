"""Courses found by their titles, over cards on a real server."""

from typing import Any

import pytest

from adapters.redis import Client
from api.search import TitleSearch, best
from api.search import _indexed as indexed
from schemas.cards import Card, pack_card
from schemas.keys import SHARED_CARDS, SHARED_META

CARDS = (
    Card("c1", "École d'été: Data Science", num_subscribers=10),
    Card("c2", "Data Science for Everybody", num_subscribers=5),
    Card("c3", "Data Scientists at Work", num_subscribers=900),
    Card("c4", "Old Data Science", retired=True),
    Card("c5", "Excel Basics"),
    Card("c6", "高等数学 Data"),
)
INDEX = indexed(map(pack_card, CARDS))


def ids(text: str, limit: int = 10) -> list[str]:
    return [card.course_id for card in best(INDEX, text, limit)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("data science", ["c2", "c1"]),  # it begins with them; it has both as whole words
        ("data scien", ["c3", "c2", "c1"]),
        ("SCIENCE  data", ["c1", "c2"]),
        ("ecole ete", ["c1"]),
        ("ÉCOLE", ["c1"]),
        ("atascience", []),
        ("高等", ["c6"]),
        ("old", []),
        ("...", []),
    ],
)
def test_every_word_begins_a_word_of_the_title(text: str, found: list[str]) -> None:
    assert ids(text) == found


def test_a_page_is_bounded() -> None:
    assert ids("data", 2) == ["c3", "c2"]


async def put(client: Client, epoch: int, *cards: Card) -> None:
    packed: Any = {card.course_id: pack_card(card) for card in cards}
    await client.hset(SHARED_CARDS, mapping=packed)
    await client.hset(SHARED_META, "catalogue_epoch", str(epoch))


async def test_a_changed_catalogue_is_read_again(client: Client) -> None:
    search = TitleSearch(client, 1)
    assert await search.find("excel", 5) == []
    await put(client, 1, *CARDS)
    assert [card.course_id for card in await search.find("excel", 5)] == ["c5"]
    await put(client, 1, Card("c7", "Excel Charts"))
    assert len(await search.find("excel", 5)) == 1  # nobody said that the catalogue changed
    await put(client, 2, Card("c5", "Excel Basics", retired=True))
    assert [card.course_id for card in await search.find("excel", 5)] == ["c7"]
    await client.flushall()
    assert len(await search.find("excel", 5)) == 1
