"""What `demo` tells of a running system: a learner's list, and ready-made calls."""

import asyncio
import json
import shlex
import webbrowser
from collections import Counter
from typing import Any, Final
from urllib.parse import quote

from adapters.kafka import open_reader, partitions_of
from cli.patient import PatientApi
from schemas.errors import InvalidEventError
from schemas.events import Enrolled, decode_event
from schemas.topics import LEARNER_EVENTS

_POLL_S: Final = 0.5
_LOOKED_THROUGH: Final = 2_000
_LIMIT: Final = 5


def open_page(address: str) -> bool:
    """Open a page in a browser with a window of its own; return whether there is one."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return False
    in_terminal = type(browser) is webbrowser.GenericBrowser  # lynx and its like would take the terminal
    return not in_terminal and browser.open(address)


async def some_learner(servers: str) -> str:
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


async def whole_list(api: PatientApi, user_id: str) -> dict[str, Any]:
    """Return a learner's list once it is his own and includes all that is in the log."""
    while True:
        answer = await api.get(list_path(user_id))
        if answer["items"] and not answer["degraded"] and answer["lag"] == 0 and answer["generated_at"]:
            return answer
        await asyncio.sleep(_POLL_S)


def list_path(user_id: str) -> str:
    """Return the path of a learner's list."""
    return f"/v1/learners/{quote(user_id, safe='')}/recommendations?limit={_LIMIT}"


def calls(api_url: str, token: str, user_id: str, course_id: str) -> str:
    """Return calls to paste into a terminal."""
    read = f'curl -s -H "Authorization: Bearer $TOKEN" {shlex.quote(api_url + list_path(user_id))}'
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
