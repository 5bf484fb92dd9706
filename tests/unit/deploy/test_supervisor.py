"""Starting, watching, restarting and stopping children; the children here are small programs."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from deploy import keeper, probes
from deploy import supervisor as supervisor_module
from deploy.keeper import ATTEMPTS, Child
from deploy.log_lines import LogLines
from deploy.probes import Heartbeat, file_exists, until
from deploy.redis import EmbeddedRedis
from deploy.supervisor import Supervisor
from schemas.errors import NotReadyError

_SUPERVISE = """
import asyncio, sys
from deploy.keeper import Child
from deploy.log_lines import LogLines
from deploy.supervisor import Supervisor

async def main():
    with LogLines() as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(Child("a", ("sleep", "600")), Child("b", ("sleep", "600")))
            print(*supervisor.pids.values(), flush=True)
            await asyncio.Event().wait()

asyncio.run(main())
"""


def python(name: str, code: str, **settings: str) -> Child:
    """Return a child that runs a few lines of Python."""
    return Child(name, (sys.executable, "-c", code), environment=settings)


def exists(pid: int) -> bool:
    """Return whether a process is there and alive (a zombie is dead)."""
    status = Path("/proc", str(pid), "stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_the_pid_is_that_of_the_program_itself() -> None:
    with LogLines(io.StringIO()) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(Child("sleeper", ("sleep", "600")))
            pid = supervisor.pids["sleeper"]
            await asyncio.wait_for(until(partial(is_running, pid, "sleep")), 5)
            assert os.getsid(pid) == pid
    assert not exists(pid)


async def is_running(pid: int, program: str) -> bool:
    """Return whether the process has become the program."""
    return Path("/proc", str(pid), "comm").read_text().strip() == program


async def test_a_stage_is_awaited_before_the_next_starts(tmp_path: Path) -> None:
    first = Child(
        "first",
        (sys.executable, "-c", f"import time, pathlib; time.sleep(.3); pathlib.Path({str(tmp_path / 'up')!r}).touch()"),
        ready=partial(file_exists, tmp_path / "up"),
    )
    second = python("second", f"import pathlib; print('sees', pathlib.Path({str(tmp_path / 'up')!r}).exists())")
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(first)
            await supervisor.run_once("second", second.command)
    assert "second    | sees True" in stream.getvalue()


async def test_stages_stop_in_reverse_order() -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('ends', flush=True), time.sleep(.2), sys.exit()))\n"
        "print('runs', flush=True)\ntime.sleep(600)"
    )
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            for name in ("kafka", "worker", "api"):
                await supervisor.start(python(name, code))

            async def all_run() -> bool:
                return stream.getvalue().count("runs") == 3

            await asyncio.wait_for(until(all_run), 5)
    ends = [line.split()[0] for line in stream.getvalue().splitlines() if line.endswith("ends")]
    assert ends == ["api", "worker", "kafka"]


async def test_what_dies_is_restarted_with_growing_delays() -> None:
    starts: list[float] = []
    pids: list[int] = []
    restarted = asyncio.Event()

    def on_change() -> None:
        starts.append(time.monotonic())
        pids.extend(supervisor.pids.values())
        if len(starts) == 4:
            restarted.set()

    with LogLines(io.StringIO()) as log:
        supervisor = Supervisor(log, on_change)
        async with supervisor:
            await supervisor.start(python("crasher", "raise SystemExit(3)"))
            await asyncio.wait_for(restarted.wait(), 10)
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert gaps[0] >= 0.2 and gaps[1] >= 0.4 and gaps[2] >= 0.8
    assert gaps[2] < 2.5
    assert len(set(pids)) == 4


async def test_a_child_that_was_healthy_is_restarted_without_a_longer_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "HEALTHY_S", 0.1)
    starts: list[float] = []
    restarted = asyncio.Event()

    def on_change() -> None:
        starts.append(time.monotonic())
        if len(starts) == 4:
            restarted.set()

    with LogLines(io.StringIO()) as log:
        async with Supervisor(log, on_change) as supervisor:
            await supervisor.start(python("mortal", "import time; time.sleep(.15)"))
            await asyncio.wait_for(restarted.wait(), 10)
    lifetimes_and_delays = [later - earlier for earlier, later in pairwise(starts)]
    assert max(lifetimes_and_delays) < 0.8


async def test_a_child_that_shows_no_life_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 0.02)
    beat = tmp_path / "beat"
    code = "import pathlib, os, time\nwhile True:\n    pathlib.Path(os.environ['BEAT']).touch()\n    time.sleep(.01)"
    stream = io.StringIO()
    child = replace(python("clock", code, BEAT=str(beat)), ready=partial(file_exists, beat), alive=Heartbeat(beat))
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(child)
            first = supervisor.pids["clock"]
            await asyncio.sleep(0.02 * keeper.MISSES * 4)
            assert supervisor.pids["clock"] == first, "one that beats is left alone"
            os.kill(first, signal.SIGSTOP)

            async def runs_again() -> bool:
                return supervisor.pids.get("clock", first) != first

            await asyncio.wait_for(until(runs_again), 30)
    said = stream.getvalue()
    assert "clock has shown no life for 0 s; killing it" in said
    assert "clock ended with status -9; starting it again" in said and not exists(first)


async def test_a_child_that_is_not_ready_again_in_time_is_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "READY_S", 1.0)
    seen: list[int] = []
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:

            async def all_but_the_second() -> bool:
                pid = supervisor.pids.get("sleeper")
                if pid is not None and pid not in seen:
                    seen.append(pid)
                return len(seen) != 2

            await supervisor.start(Child("sleeper", ("sleep", "600"), ready=all_but_the_second))
            os.kill(seen[0], signal.SIGKILL)

            async def is_third() -> bool:
                return len(seen) == 3

            await asyncio.wait_for(until(is_third), 30)
            assert not exists(seen[1])
    assert "sleeper was not ready after 1 s; killing it" in stream.getvalue()


async def test_a_redis_that_stands_still_is_started_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 0.02)
    monkeypatch.setattr(probes, "ATTEMPT_S", 0.1)
    redis = EmbeddedRedis(tmp_path / "redis", os.open(tmp_path, os.O_RDONLY))
    with LogLines(io.StringIO()) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(*redis.prepare())
            first = supervisor.pids["redis"]
            os.kill(first, signal.SIGSTOP)

            async def answers_again() -> bool:
                return supervisor.pids.get("redis", first) != first and await probes.redis_answers(redis.redis_url)

            await asyncio.wait_for(until(answers_again), 30)


async def test_a_probe_that_breaks_is_no_proof_of_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "LOOK_S", 0.001)
    looks = 0

    async def broken() -> bool:
        nonlocal looks
        looks += 1
        raise OSError("no descriptor left")

    async def looked() -> bool:
        return looks > 3 * keeper.MISSES

    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(Child("sleeper", ("sleep", "600"), alive=broken))
            first = supervisor.pids["sleeper"]
            await asyncio.wait_for(until(looked), 30)
            assert supervisor.pids["sleeper"] == first
    assert "sleeper cannot be looked at: OSError" in stream.getvalue()


async def test_a_child_that_never_becomes_ready_is_given_up_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeper, "FIRST_DELAY_S", 0.02)

    async def never() -> bool:
        return False

    child = Child(
        "broken", (sys.executable, "-c", "print('starting'); raise SystemExit('no such broker')"), ready=never
    )
    stream = io.StringIO()
    with LogLines(stream) as log, pytest.raises(NotReadyError, match=r"broken does not start.*no such broker"):
        async with Supervisor(log) as supervisor:
            await supervisor.start(child)
    assert stream.getvalue().count("broken    | starting") == ATTEMPTS


async def test_a_child_that_ignores_sigterm_is_killed_with_what_it_started() -> None:
    code = (
        "import signal, subprocess, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print(subprocess.Popen(['sleep', '600']).pid, flush=True)\ntime.sleep(600)"
    )
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            await supervisor.start(Child("stubborn", (sys.executable, "-c", code), stop_s=0.3))

            async def has_started() -> bool:
                return stream.getvalue().endswith("\n")

            await asyncio.wait_for(until(has_started), 5)
            started = time.monotonic()
    assert 0.3 <= time.monotonic() - started < 3
    grandchild = int(stream.getvalue().split()[-1])

    async def is_gone() -> bool:
        return not exists(grandchild)

    await asyncio.wait_for(until(is_gone), 5)


async def test_everything_is_gone_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor_module, "STOP_S", 0.5)
    code = (
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('deaf', flush=True)\ntime.sleep(600)"
    )
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            for name in ("first", "second"):
                await supervisor.start(python(name, code))

            async def both_deaf() -> bool:
                return stream.getvalue().count("deaf") == 2

            await asyncio.wait_for(until(both_deaf), 5)
            pids, started = list(supervisor.pids.values()), time.monotonic()
    assert time.monotonic() - started < 3
    assert not any(exists(pid) for pid in pids)


async def test_a_command_that_is_run_once_dies_with_the_call() -> None:
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            assert await supervisor.run_once("once", (sys.executable, "-c", "raise SystemExit(7)")) == 7
            code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(supervisor.run_once("once", (sys.executable, "-c", code)), 1)
    assert not exists(int(stream.getvalue().split()[-1]))


async def test_long_and_unfinished_lines_are_logged_whole() -> None:
    stream = io.StringIO()
    with LogLines(stream) as log:
        async with Supervisor(log) as supervisor:
            code = "import sys; sys.stdout.write('x' * 300_000 + '\\n' + 'last words')"
            await supervisor.run_once("talker", (sys.executable, "-c", code))
    assert stream.getvalue() == f"talker    | {'x' * 300_000}\ntalker    | last words\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_kill_9_of_the_supervisor_leaves_no_child_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", _SUPERVISE], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2 and all(exists(pid) for pid in pids)
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 5
    while any(exists(pid) for pid in pids):
        assert time.monotonic() < deadline, "children outlived their supervisor"
        time.sleep(0.02)
