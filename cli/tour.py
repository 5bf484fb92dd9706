"""What `demo` tells while a system comes to life: a learner, the calls to make, the model when it is live."""

import asyncio
import json
import shlex
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from adapters.follow import ControlLog
from adapters.kafka import open_reader, partitions_of
from cli.system import System, find
from cli.tokens import sign
from schemas.control import ModelPublished
from schemas.errors import InvalidEventError
from schemas.events import Enrolled, decode_event
from schemas.topics import LEARNER_EVENTS

_POLL_S: Final = 0.5
_LOOKED_THROUGH: Final = 2_000
_TOKEN_S: Final = 86_400
_LIMIT: Final = 5


async def tell(state_dir: Path, api_url: str, started: float) -> None:
    """Say where a list can be read, when lists are live, what to try, and when the first trained model is live."""
    system = find(state_dir)
    token = sign(system.secret(), "demo", "reader publisher", _TOKEN_S)
    _say(f"the API serves at {api_url} (its documentation: {api_url}/docs)")
    async with httpx.AsyncClient(base_url=api_url, headers={"Authorization": f"Bearer {token}"}) as client:
        user_id = await _some_learner(system.kafka)
        path = f"/v1/learners/{quote(user_id, safe='')}/recommendations?limit={_LIMIT}"
        answer = await _wait_for_list(client, path)
        _say(f"lists are live, {time.monotonic() - started:.0f} s after the start")
        _say(_calls(api_url, token, user_id, path, answer["items"][0]["course_id"]))
        model = await _wait_for_model(client, path, system)
        quality = ", ".join(f"{name} {value:.3f}" for name, value in model.metrics.items() if name.endswith("@10"))
        _say(f"model {model.version} is live, {time.monotonic() - started:.0f} s after the start; {quality}")


def _say(text: str) -> None:
    print(f"\n{text}\n", flush=True)


async def _some_learner(servers: str) -> str:
    """Return the learner with the most enrolments among the first records of a partition, once there are any."""
    async with open_reader(servers) as reader:
        partitions = await partitions_of(reader, LEARNER_EVENTS)
        reader.assign(partitions)
        await reader.seek_to_beginning(*partitions)
        while True:
            batches = await reader.getmany(timeout_ms=500, max_records=_LOOKED_THROUGH)
            enrolled: Counter[str] = Counter()
            for record in (record for batch in batches.values() for record in batch):
                try:
                    event = decode_event(record.value or b"")
                except InvalidEventError:
                    continue
                if isinstance(event, Enrolled):
                    enrolled[event.user_id] += 1
            if enrolled:
                return enrolled.most_common(1)[0][0]


async def _ask(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Return the API's answer; empty if it has none for now."""
    try:
        response = await client.get(path)
    except httpx.TransportError:
        return {}
    answer: dict[str, Any] = response.json() if response.is_success else {}
    return answer


async def _wait_for_list(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    """Return the learner's list once it is complete and includes all that is in the log."""
    while True:
        answer = await _ask(client, path)
        if answer.get("items") and not answer["degraded"] and answer["lag"] == 0 and answer["generated_at"]:
            return answer
        await asyncio.sleep(_POLL_S)


async def _wait_for_model(client: httpx.AsyncClient, path: str, system: System) -> ModelPublished:
    """Return the trained model that the learner's list was made with, once there is one."""
    async with ControlLog(system.kafka) as control:
        following = asyncio.create_task(control.run(), name="follow-control")
        try:
            while True:
                answer = await _ask(client, path)
                model = control.state.models.get(answer.get("model_version", ""))
                if model and not model.record.bootstrap:
                    return model.record
                await asyncio.sleep(_POLL_S)
        finally:
            following.cancel()
            await asyncio.wait({following})


def _calls(api_url: str, token: str, user_id: str, path: str, course_id: str) -> str:
    read = f'curl -s -H "Authorization: Bearer $TOKEN" {shlex.quote(api_url + path)}'
    body = json.dumps({"type": "enrolled", "user_id": user_id, "course_id": course_id})
    enrol = (
        'curl -s -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" '
        f"-d {shlex.quote(body)} {api_url}/v1/events"
    )
    return "\n".join([
        "Try it in another terminal. A learner's list, an enrolment in one of its courses, the list again:",
        "",
        f"TOKEN={token}",
        read,
        enrol,
        read,
    ])  # fmt: skip
