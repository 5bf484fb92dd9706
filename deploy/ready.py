"""`ready.json`: where a running system is found, written when it serves."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from deploy.backends import Backends

READY: str = "ready.json"


def write_by_rename(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.write_text(text)
    staged.replace(path)


def ready_text(api_urls: Sequence[str], backends: Backends, pids: Mapping[str, int]) -> str:
    """Return the file's text. A part that is not ours, or is just being restarted, has no process id.

    Of what there are several, each is named: `kafka-1`, `redis-1`, `api-1`.
    """
    workers = [pid for name, pid in pids.items() if name.startswith("worker-")]
    others = {name: pid for name, pid in pids.items() if not name.startswith("worker-")}
    single = dict.fromkeys(("kafka", "redis", "trainer", "api"))
    return json.dumps(
        {
            "api_url": api_urls[0],
            "api_urls": api_urls,
            "kafka": backends.bootstrap_servers,
            "redis_url": backends.redis_url,
            "redis_cluster": backends.redis_cluster,
            "pids": {**single, **others, "workers": workers},
        }
    )


def remove(paths: Iterable[Path]) -> None:
    """Remove the files that are there."""
    for path in paths:
        path.unlink(missing_ok=True)
