"""Publishing lists: none that is older replaces another, and a mark goes only with the list that answers it."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stream
from adapters.redis import Client, Script
from schemas.candidates import (
    Candidate,
    CandidateList,
    Source,
    Version,
    pack_candidates,
    pack_version,
    unpack_candidates,
    unpack_version,
)
from schemas.embedding import pack_embedding
from schemas.keys import CHANGED, ShardKeys
from schemas.meta import HEADER_FIELD, Header, Status, pack_header
from stream.view import ShardView, open_shard
from tests.shard_state import contents, read_scores

KEYS = ShardKeys(0, 0)
PUBLISH = Script(Path(str(stream.__file__)).with_name("publish.lua"))
NOTHING = Version(-1, -1, -1, -1)
NOW_MS = 1_750_000_000_000
VECTOR = pack_embedding(7, [0.5, -2.0])


def packed(version: Version, course_id: str = "c1") -> bytes:
    """Return a list of one course."""
    rows = (Candidate(course_id, 0.5, (0.0,) * 5, Source.POPULAR, None),)
    return pack_candidates(CandidateList(version, 9, (), rows))


class Offer(NamedTuple):
    """What a refresh publishes of one learner."""

    user_id: str
    version: Version
    course_id: str = "c1"
    is_empty: bool = False

    @property
    def arguments(self) -> list[bytes | str]:
        listed = b"" if self.is_empty else packed(self.version, self.course_id)
        return [self.user_id, pack_version(self.version), listed, b"" if self.is_empty else VECTOR]


async def publish(client: Client, view: ShardView, *offers: Offer, made_with: str = "7 3") -> str:
    keys = [KEYS.meta, KEYS.dirty]
    args: list[bytes | str | int] = [view.nonce, NOW_MS, made_with]
    for offer in offers:
        keys += [KEYS.history(offer.user_id), KEYS.candidates(offer.user_id), KEYS.embedding(offer.user_id)]
        args += offer.arguments
    answer: bytes = await PUBLISH.run(client, keys, args)
    return answer.decode()


async def put_learner(
    client: Client, user_id: str, header: Header | None, stood: Version | None = None, course_id: str = "stood"
) -> None:
    """Write a marked learner's header, and the list that stands."""
    await client.zadd(KEYS.dirty, {user_id: 1})
    if header:
        await client.execute_command("HSET", KEYS.history(user_id), HEADER_FIELD, pack_header(header))
    if stood:
        await client.set(KEYS.candidates(user_id), packed(stood, course_id))
        await client.set(KEYS.embedding(user_id), b"stood")


async def course_of(client: Client, user_id: str) -> str | None:
    """Return the course in the list that stands."""
    listed = await client.get(KEYS.candidates(user_id))
    return unpack_candidates(listed).candidates[0].course_id if isinstance(listed, bytes) else None


async def is_marked(client: Client, user_id: str) -> bool:
    return user_id in await read_scores(client, KEYS.dirty)


@pytest.fixture
async def view(client: Client) -> ShardView:
    """Open an empty shard."""
    view, _ = await open_shard(client, KEYS, 0)
    return view


numbers = st.sampled_from((-1, 0, 1, 255, 256, 2**32 - 1, 2**32, 2**53))
versions = st.builds(Version, numbers, numbers, numbers, numbers)


def around(number: int) -> st.SearchStrategy[int]:
    return st.sampled_from((number, number + 1, max(number - 1, -1)))


nearby = versions.flatmap(lambda stood: st.tuples(st.just(stood) | st.none(), st.builds(Version, *map(around, stood))))


@settings(max_examples=300)
@given(
    pair=nearby, state=st.tuples(numbers, numbers) | st.none(), late=st.sampled_from((-1, 0, 1)), is_empty=st.booleans()
)
async def test_the_rule(
    client: Client, pair: tuple[Version | None, Version], state: tuple[int, int] | None, late: int, is_empty: bool
) -> None:
    """A list stands if no part of its version is lower, one is higher, and it knows of the last erasure."""
    await client.flushall()
    view, _ = await open_shard(client, KEYS, 0)
    stood, offered = pair
    current = state or (offered.learner_offset, offered.activity_offset)
    erased = max(offered.learner_offset + late, -1)
    await put_learner(client, "u", Header(*current, 5, erased), stood)
    accepted = (
        offered.learner_offset >= erased
        and all(new >= old for new, old in zip(offered, stood or NOTHING, strict=True))
        and offered != (stood or NOTHING)
    )
    assert await publish(client, view, Offer("u", offered, is_empty=is_empty)) == ("1" if accepted else "0")
    expected = (None if is_empty else "c1") if accepted else (stood and "stood")
    assert await course_of(client, "u") == expected
    answers_the_mark = offered[2:] == current and (accepted or offered == (stood or NOTHING))
    assert await is_marked(client, "u") == (not answers_the_mark)


@pytest.mark.parametrize("part", range(4))
async def test_each_part_of_a_version_counts(client: Client, view: ShardView, part: int) -> None:
    stood = Version(300, 300, 300, 300)
    lower = Version._make(299 if place == part else 301 for place in range(4))
    higher = Version._make(301 if place == part else 300 for place in range(4))
    await put_learner(client, "u", Header(999), stood)
    assert await publish(client, view, Offer("u", lower)) == "0"
    assert await course_of(client, "u") == "stood"
    assert await publish(client, view, Offer("u", higher)) == "1"
    assert await course_of(client, "u") == "c1"


async def test_a_list_comes_with_its_embedding(client: Client, view: ShardView) -> None:
    await put_learner(client, "u", Header(5))
    version = Version(7, 3, 5, -1)
    assert await publish(client, view, Offer("u", version)) == "1"
    assert await client.get(KEYS.candidates("u")) == packed(version)
    assert await client.get(KEYS.embedding("u")) == VECTOR


async def test_a_busy_learner_gets_lists_and_stays_marked(client: Client, view: ShardView) -> None:
    """The list is older than the state already, but newer than the list that stood."""
    await put_learner(client, "u", Header(9), stood=Version(7, 3, 5, -1))
    assert await publish(client, view, Offer("u", Version(7, 3, 8, -1))) == "1"
    assert await course_of(client, "u") == "c1"
    assert await is_marked(client, "u")


async def test_a_worker_with_the_old_model_leaves_list_and_mark(client: Client, view: ShardView) -> None:
    await put_learner(client, "u", Header(9), stood=Version(7, 3, 5, -1))
    assert await publish(client, view, Offer("u", Version(6, 3, 9, -1))) == "0"
    assert await course_of(client, "u") == "stood"
    assert await client.get(KEYS.embedding("u")) == b"stood"
    assert await is_marked(client, "u")


@pytest.mark.parametrize(
    ("swept", "made_with", "is_late"),
    [
        ("7 3 12", "7 3", False),
        ("7 3 -inf", "6 4", True),
        (">12 7 10 5", "7 9", True),
        (">12 7 10 5", "8 10", False),
        ("7 3 -inf", "10 3", False),
        ("9::8:m1,m2 3 5", "9 3", False),  # both know that model, and no other went live since
        ("7::8:m1 3 5", "7 3", True),
        ("7:10:8:m1 3 5", "7::8:m1 3", True),
        ("7:10:: 3 5", "11 3", False),
        ("7 -1 5", "7 -1", False),
    ],
)
async def test_a_mark_stays_if_the_shard_is_swept_to_what_is_newer(
    client: Client, view: ShardView, swept: str, made_with: str, is_late: bool
) -> None:
    await view.guarded(client, sweep=swept)
    await put_learner(client, "u", Header(9))
    assert await publish(client, view, Offer("u", Version(6, 3, 9, -1)), made_with=made_with) == "1"
    assert await is_marked(client, "u") == is_late


async def test_who_has_no_mark_gets_one_with_a_late_list(client: Client, view: ShardView) -> None:
    await view.guarded(client, sweep="7 3 -inf")
    await put_learner(client, "u", Header(9))
    await client.delete(KEYS.dirty)
    assert await publish(client, view, Offer("u", Version(6, 3, 9, -1)), made_with="6 3") == "1"
    assert await is_marked(client, "u")


async def test_a_list_that_stands_already_clears_the_mark(client: Client, view: ShardView) -> None:
    """A refresh that was repeated after its answer was lost."""
    await put_learner(client, "u", Header(9), stood=Version(7, 3, 9, -1))
    assert await publish(client, view, Offer("u", Version(7, 3, 9, -1))) == "0"
    assert await course_of(client, "u") == "stood"
    assert not await is_marked(client, "u")


async def test_a_list_from_before_an_erasure_is_refused(client: Client, view: ShardView) -> None:
    await put_learner(client, "u", Header(6, -1, 5, erased_offset=6))
    assert await publish(client, view, Offer("u", Version(7, 3, 5, -1))) == "0"
    assert await course_of(client, "u") is None
    assert await client.get(KEYS.embedding("u")) is None
    assert await is_marked(client, "u")
    assert await publish(client, view, Offer("u", Version(7, 3, 6, -1))) == "1"


async def test_an_empty_list_takes_list_and_embedding_away(client: Client, view: ShardView) -> None:
    await put_learner(client, "u", Header(9), stood=Version(7, 3, 5, -1))
    assert await publish(client, view, Offer("u", Version(7, 3, 9, -1), is_empty=True)) == "1"
    assert await client.exists(KEYS.candidates("u"), KEYS.embedding("u")) == 0
    assert not await is_marked(client, "u")


async def test_a_learner_without_history_gets_no_list(client: Client, view: ShardView) -> None:
    await put_learner(client, "u", None)
    assert await publish(client, view, Offer("u", Version(7, 3, 9, -1))) == "0"
    assert await client.exists(KEYS.candidates("u"), KEYS.history("u")) == 0
    assert not await is_marked(client, "u")


async def test_each_learner_of_a_batch_is_judged_alone(client: Client, view: ShardView) -> None:
    await put_learner(client, "ü", Header(9))
    await put_learner(client, "b:c", Header(9), stood=Version(8, 3, 9, -1))
    await put_learner(client, "{x}", Header(9))
    offers = [Offer(user, Version(7, 3, 9, -1), f"for {user}") for user in ("ü", "b:c", "{x}")]
    assert await publish(client, view, *offers) == "101"
    assert [await course_of(client, user) for user in ("ü", "b:c", "{x}")] == ["for ü", "stood", "for {x}"]
    assert set(await read_scores(client, KEYS.dirty)) == {"b:c"}


@pytest.mark.parametrize("loss", ["another nonce", "retired", "gone"])
async def test_who_lost_the_shard_publishes_nothing(client: Client, view: ShardView, loss: str) -> None:
    await put_learner(client, "u", Header(9))
    if loss == "another nonce":
        view = ShardView(KEYS, "0" * 32)
    elif loss == "retired":
        await view.set_status(client, Status.RETIRED)
    else:
        await client.delete(KEYS.meta)
    before = await contents(client)
    assert await publish(client, view, Offer("u", Version(7, 3, 9, -1))) == ""
    assert await contents(client) == before


def test_the_script_finds_the_version_where_a_list_keeps_it() -> None:
    version = Version(7, 3, 5, 2**40)
    assert packed(version)[1:33] == pack_version(version)
    assert unpack_version(packed(version)) == version


async def test_the_channel_says_whose_list_was_replaced(client: Client, view: ShardView) -> None:
    """And nothing of a list that was refused."""
    async with client.pubsub() as channel:
        await channel.subscribe(CHANGED)
        await put_learner(client, "ü", Header(9))
        await put_learner(client, "stood", Header(9), stood=Version(8, 3, 9, -1))
        await put_learner(client, "gone", Header(9), stood=Version(6, 3, 8, -1))
        current = Version(7, 3, 9, -1)
        await publish(client, view, Offer("stood", current))
        await publish(client, view, Offer("ü", current), Offer("stood", current), Offer("gone", current, is_empty=True))
        messages = [await channel.get_message(timeout=1) for _ in range(2)]
        said = [msgspec.msgpack.decode(one["data"]) for one in messages if one and one["type"] == "message"]
        assert said == [["ü", "gone"]]


@pytest.mark.parametrize(
    "damage", [("HSET", KEYS.history("u"), HEADER_FIELD, "short"), ("SET", KEYS.history("u"), "x")]
)
async def test_a_history_that_was_damaged_since_it_was_read_keeps_the_mark(
    client: Client, view: ShardView, damage: tuple[str, ...]
) -> None:
    await put_learner(client, "u", None)
    await client.execute_command(*damage)
    assert await publish(client, view, Offer("u", Version(1, 1, 4, 4))) == "1"
    assert await is_marked(client, "u")
