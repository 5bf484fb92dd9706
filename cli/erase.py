"""`coursestream erase`: a learner's data deleted everywhere, and said where and when."""

import asyncio
import time
import uuid
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
import typer
from rich.console import Group, RenderableType

from adapters.kafka import shard_of
from adapters.redis import connect, end_tasks
from cli.erasing import Follower, iso
from cli.erasing_models import ModelErasure, Refits
from cli.erasing_state import StateErasure
from cli.options import STATE_DIR, JsonFile, StateDir, id_of
from cli.output import give, pairs, table
from cli.progress import Meter, meter
from cli.system import System, find
from recommender.fold import erased_through_us
from schemas.errors import ConfigurationError, InvalidEventError, NotReadyError
from schemas.events import Erased, check_append_time, encode_event
from schemas.quality import KEPT_DAYS
from schemas.topics import ACTIVITY, DEAD_LETTERS, LEARNER_EVENTS, TOPICS, Position
from stream.erasure import PLACES, Erasure, LearnerLog, read_learner_log
from stream.publisher import ANSWER_S, open_publisher

app = typer.Typer(add_completion=False)

_DAY_MS: Final = 86_400_000


@app.command()
def erase(
    user: Annotated[str, typer.Argument(metavar="USER", help="The learner's id.", parser=id_of)],
    wait_model: Annotated[
        bool, typer.Option(help="Ask for a refit if the live model was made with USER, and wait until it is replaced.")
    ] = True,
    wait_s: Annotated[float, typer.Option(min=0, metavar="S", help="How long to wait for all of it, seconds.")] = 300.0,
    state_dir: StateDir = STATE_DIR,
    json_file: JsonFile = None,
) -> None:
    """Erase a learner: publish the erasure, wait until it is done everywhere, and say where and when.

    Deleted is what is stamped up to five minutes after now, so what is published until then goes too. Safe to repeat.
    The exit status is 1 if a place could not be seen to be done; the erasure stands in the log all the same.
    """
    with meter("erasing") as progress:
        answer = asyncio.run(_erase(find(state_dir), user, wait_model, wait_s, progress))
    give(answer, json_file, _shown(answer))
    raise typer.Exit(0 if answer["done"] else 1)


async def _erase(system: System, user_id: str, wait_model: bool, wait_s: float, progress: Meter) -> dict[str, Any]:
    """Publish the erasure and follow it through every place; return the report."""
    began, connections = time.monotonic(), system.connections()
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(Refits(connections.kafka_bootstrap_servers))
        client = connect(connections)
        stack.push_async_callback(client.aclose)
        erasure = await _publish(connections.kafka_bootstrap_servers, control.state.partitions, user_id)
        stack.push_async_callback(end_tasks, [asyncio.create_task(control.run())])
        follower = Follower(wait_s, progress)
        await _follow_state(follower, StateErasure(system, control, client, erasure), erasure)
        log = await read_learner_log(connections.kafka_bootstrap_servers, control.state, erasure)
        await _follow_models(follower, ModelErasure(system, control, erasure, log, wait_model))
        _note_kept(follower, log)
    return {
        "user_id": user_id,
        "position": str(Position(LEARNER_EVENTS, erasure.shard, erasure.offset)),
        "erased_through": iso(erasure.through_us),
        "done": all(place.state != "open" for place in follower.places),
        "places": msgspec.to_builtins(follower.places),
        "seconds": round(time.monotonic() - began, 3),
    }


async def _follow_state(follower: Follower, state: StateErasure, erasure: Erasure) -> None:
    await follower.follow(state.in_live_generation, *PLACES)
    follower.note("counts", "done", "moved in the same step as the history")
    follower.note("tombstone", "kept", f"the id and {iso(erasure.through_us)}: what is stamped up to then stays erased")
    await follower.follow(state.in_other_generations, "other generations")
    await follower.follow(state.in_shared_lists, "shared lists")
    await follower.follow(state.in_api, "API")
    follower.note("followers of the list", "done", "told in the same step; who missed that looks within 15 s")


async def _follow_models(follower: Follower, models: ModelErasure) -> None:
    if is_here := models.snapshot.is_dir():
        await follower.follow(models.in_snapshot, "snapshot")
    await follower.follow(models.in_model, "model")
    if not is_here:
        await follower.follow(models.in_snapshot, "snapshot")
    follower.note("bundles", "kept", models.in_bundles())


def _note_kept(follower: Follower, log: LearnerLog) -> None:
    """Add what is kept by design, and for how long."""
    days = {topic.name: int(topic.config.get("retention.ms", 0)) // _DAY_MS for topic in TOPICS}
    kept = {
        "log": f"{len(log.events)} records of {LEARNER_EVENTS}, for ever: every reader leaves them out",
        "activity log": f"{log.activity} records, {days[ACTIVITY]} days: every reader leaves them out",
        "dead letters": f"{log.dead_letters} records under the learner's key, {days[DEAD_LETTERS]} days",
        "live quality": f"sums by day and model, without ids, {KEPT_DAYS} days",
        "experiments": "sums by arm, without ids; the mark that the learner was counted is deleted",
        "Redis' files": "append-only file, slow log, backups: until they are rewritten (BGREWRITEAOF)",
    }
    for place, proof in kept.items():
        follower.note(place, "kept", proof)
    follower.note("processes' logs", "done", "hold no ids of learners")


async def _publish(servers: str, partitions: int, user_id: str) -> Erasure:
    """Append the erasure to the log; return where it stands and through when it deletes."""
    event = Erased(event_id=str(uuid.uuid4()), user_id=user_id, occurred_at=datetime.now(UTC))
    shard = shard_of(user_id, partitions)
    async with open_publisher(servers, linger_ms=0) as producer:
        try:
            sending = producer.send_and_wait(LEARNER_EVENTS, encode_event(event), user_id.encode(), shard)
            sent = await asyncio.wait_for(sending, ANSWER_S)
        except TimeoutError:
            raise NotReadyError(
                f"Kafka did not acknowledge the erasure within {ANSWER_S:g} s: see that it runs, then erase again"
            ) from None
    try:
        check_append_time(event, sent.timestamp)
    except InvalidEventError:
        raise ConfigurationError(
            "the clock of this machine is minutes ahead of Kafka's: set it, then erase again"
        ) from None
    return Erasure(user_id, shard, sent.offset, erased_through_us(sent.timestamp))


def _shown(answer: dict[str, Any]) -> RenderableType:
    rows = [(one["place"], one["state"], one["at"], one["proof"]) for one in answer["places"]]
    told = {name: answer[name] for name in ("user_id", "position", "erased_through", "done")}
    return Group(pairs(told), table(("place", "state", "at", "how it is known"), rows))
