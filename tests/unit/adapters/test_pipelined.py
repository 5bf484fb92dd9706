"""The fast lane's connection to Redis, and what becomes of who waits when the server fails in one way or another."""

import asyncio
import datetime
import ipaddress
import os
import signal
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import hiredis
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from adapters import pipelined
from adapters.pipelined import ConnectionLostError, PipelinedConnection, packed
from adapters.redis import Client, connect, end_tasks
from schemas.settings import Connections
from tests.api_server import Switched
from tests.servers import RedisServer, running_redis
from tests.waiting import until

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
TIMEOUT_S: Final = 0.4
PONG: Final = b"+PONG\r\n"


@asynccontextmanager
async def lane_to(url: str, is_up: bool = True) -> AsyncIterator[PipelinedConnection]:
    """Keep a connection to a server, once it is there."""
    client = connect(Connections(redis_url=url))
    assert isinstance(client, AsyncRedis)
    lane = PipelinedConnection(client, TIMEOUT_S)
    running = asyncio.create_task(lane.run())
    try:
        if is_up:
            await opened(lane)
        yield lane
    finally:
        await end_tasks([running])
        await client.aclose()


async def opened(lane: PipelinedConnection, wanted: bool = True) -> None:
    """Wait until the connection may be used, or not any more."""

    async def holds() -> bool:
        return lane.is_open is wanted

    await until(holds, f"a connection that is open: {wanted}", 20)


@asynccontextmanager
async def speaking(speak: Speak, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Run a server of a test's own; yield its port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if task := asyncio.current_task():
            tasks.add(task)
        try:
            await speak(reader, writer)
        except (ConnectionError, EOFError):  # it is the client that closes
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await end_tasks(tasks)


def relay(redis_url: str) -> Speak:
    """Return a way to speak that passes everything on to a real server, and back."""

    async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            writer.write(chunk)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", urlsplit(redis_url).port)
        try:
            await asyncio.wait(
                {asyncio.create_task(pour(reader, to_server)), asyncio.create_task(pour(from_server, writer))},
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            to_server.close()

    return speak


def certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate of 127.0.0.1 that signs itself, `cert.pem`; return what a server needs of it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_answers_come_in_the_order_of_the_commands(redis_server: RedisServer, client: Client) -> None:
    async with lane_to(redis_server.redis_url) as lane:
        asked = [lane.ask(packed("SET", f"k{number}", str(number))) for number in range(500)]
        asked += [lane.ask(packed("GET", f"k{number}")) for number in range(500)]
        answers = await asyncio.gather(*asked)
        assert answers == [b"OK"] * 500 + [str(number).encode() for number in range(500)]
        asked = [lane.ask(packed(*words)) for words in (("GET", "none"), ("HGET", "k1", "x"), ("GET", "k2"))]
        none, wrong, two = await asyncio.gather(*asked)
        assert (none, two) == (None, b"2")
        assert isinstance(wrong, hiredis.ReplyError)


async def test_who_cannot_take_an_answer_costs_nobody_another(
    redis_server: RedisServer, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_answer: Any) -> None:
        raise IndexError("a fault of the caller")

    async with lane_to(redis_server.redis_url) as lane:
        before = lane.ask(packed("PING"))
        lane.send(packed("PING"), broken)
        assert list(await asyncio.gather(before, lane.ask(packed("PING")))) == [b"PONG"] * 2
        assert lane.is_open
    assert "could not be taken" in caplog.text


async def test_what_is_asked_in_one_turn_is_written_at_once() -> None:
    sizes: list[int] = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65_536):
            sizes.append(len(chunk))
            writer.write(PONG * chunk.count(b"PING"))

    async with speaking(counting) as port, lane_to(f"redis://127.0.0.1:{port}/0") as lane:
        await asyncio.gather(*(lane.ask(packed("PING")) for _ in range(100)))
        assert max(sizes) >= 100 * len(packed("PING"))


async def test_a_killed_server_fails_who_waits_and_is_found_again(tmp_path: Path) -> None:
    server = Switched(tmp_path).on()
    try:
        async with lane_to(server.redis_url) as lane:
            with Redis.from_url(server.redis_url) as redis:
                pid = int(redis.info("server")["process_id"])
            os.kill(pid, signal.SIGSTOP)  # so that something is under way when it dies
            asked = [lane.ask(packed("PING")) for _ in range(10)]
            server.off()
            failed = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in failed} == {ConnectionLostError}
            await opened(lane, False)
            with pytest.raises(ConnectionLostError):
                lane.ask(packed("PING"))
            server.on()
            await opened(lane)
            assert await lane.ask(packed("PING")) == b"PONG"
    finally:
        server.off()


async def test_a_hung_server_costs_one_timeout_and_is_used_again_once_it_answers(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        async with lane_to(server.redis_url) as lane:
            server.process.send_signal(signal.SIGSTOP)
            began = asyncio.get_running_loop().time()
            failed = await asyncio.gather(*(lane.ask(packed("PING")) for _ in range(3)), return_exceptions=True)
            waited_s = asyncio.get_running_loop().time() - began
            assert {type(one) for one in failed} == {TimeoutError}
            assert TIMEOUT_S <= waited_s < 5 * TIMEOUT_S
            await asyncio.sleep(3 * TIMEOUT_S)  # it takes connections, and answers none
            assert not lane.is_open
            server.process.send_signal(signal.SIGCONT)
            await opened(lane)
            assert await lane.ask(packed("PING")) == b"PONG"


async def test_an_idle_connection_that_died_is_noticed_before_anybody_needs_it(tmp_path: Path) -> None:
    with running_redis(tmp_path) as server:
        async with lane_to(server.redis_url) as lane:
            server.process.send_signal(signal.SIGSTOP)
            await opened(lane, False)
            server.process.send_signal(signal.SIGCONT)


async def test_a_slow_server_is_waited_for_as_long_as_it_is_in_time(redis_server: RedisServer) -> None:
    delay_s = TIMEOUT_S / 8

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"PING\r\n"):
            await asyncio.sleep(delay_s)
            writer.write(PONG[:3])
            await asyncio.sleep(0.001)
            writer.write(PONG[3:])

    async with speaking(slow) as port, lane_to(f"redis://127.0.0.1:{port}/0") as lane:
        assert await asyncio.gather(*(lane.ask(packed("PING")) for _ in range(2))) == [b"PONG"] * 2
        many = await asyncio.gather(*(lane.ask(packed("PING")) for _ in range(40)), return_exceptions=True)
        answered = [one for one in many if one == b"PONG"]
        assert 0 < len(answered) < 40
        assert many[: len(answered)] == answered  # the others were overdue
        assert {type(one) for one in many[len(answered) :]} == {TimeoutError}
        await opened(lane)


@pytest.mark.parametrize(
    ("said", "closes", "error"),
    [
        (b"$10\r\nhalf", False, TimeoutError),
        (b"$10\r\nhalf", True, ConnectionLostError),
        (b"", True, ConnectionLostError),
        (b"*3\r\n$1\r\na\r\n", True, ConnectionLostError),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", False, ConnectionLostError),
        (b"\x00\xff\xfe", False, ConnectionLostError),
    ],
)
async def test_half_an_answer_is_none(said: bytes, closes: bool, error: type[Exception]) -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(PONG)
        while (line := await reader.readuntil(b"\r\n")) != b"GET\r\n":
            if line == b"PING\r\n":
                writer.write(PONG)
        writer.write(said)
        if not closes:
            await asyncio.sleep(20)

    async with speaking(half) as port, lane_to(f"redis://127.0.0.1:{port}/0") as lane:
        with pytest.raises(error):
            await lane.ask(packed("GET", "k"))
        await opened(lane)


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async def talkative(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readuntil(b"\r\n"):
            if line in (b"PING\r\n", b"GET\r\n"):
                writer.write(PONG if line == b"PING\r\n" else 3 * PONG)

    async with speaking(talkative) as port, lane_to(f"redis://127.0.0.1:{port}/0") as lane:
        wire = lane._wire
        assert wire is not None
        assert await lane.ask(packed("GET", "k")) == b"PONG"
        await asyncio.wait_for(asyncio.shield(wire.lost), 5)
        await opened(lane)


async def test_who_we_are_is_said_first(redis_server: RedisServer, client: Client) -> None:
    port = urlsplit(redis_server.redis_url).port
    await client.execute_command("ACL", "SETUSER", "lane", "on", ">right", "~*", "+@all")
    try:
        async with lane_to(f"redis://lane:right@127.0.0.1:{port}/3") as lane:
            assert await lane.ask(packed("ACL", "WHOAMI")) == b"lane"
            await lane.ask(packed("SET", "k", "v"))
        async with lane_to(f"redis://lane:wrong@127.0.0.1:{port}/3", is_up=False) as lane:
            await asyncio.sleep(2 * TIMEOUT_S)
            assert not lane.is_open
            await client.execute_command("ACL", "SETUSER", "lane", ">wrong")
            await opened(lane)
        assert await client.get("k") is None  # it stands in the database that the address names
    finally:
        await client.execute_command("ACL", "DELUSER", "lane")
        await client.flushall()


async def test_over_tls_the_server_has_to_be_the_one_we_trust(redis_server: RedisServer, tmp_path: Path) -> None:
    context = certificate(tmp_path)
    async with speaking(relay(redis_server.redis_url), context) as port:
        trusting = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path / 'cert.pem'}"
        async with lane_to(trusting) as lane:
            assert await lane.ask(packed("PING")) == b"PONG"
        for url in (f"rediss://127.0.0.1:{port}/0", trusting.replace("127.0.0.1", "localhost")):
            async with lane_to(url, is_up=False) as lane:
                await asyncio.sleep(2 * TIMEOUT_S)
                assert not lane.is_open


async def test_a_socket_in_the_file_system(redis_server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    server = await asyncio.start_unix_server(relay(redis_server.redis_url), path)
    try:
        async with lane_to(f"unix://{path}") as lane:
            assert await lane.ask(packed("PING")) == b"PONG"
    finally:
        server.close()


async def test_beyond_what_may_be_under_way_it_counts_as_closed(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelined, "MOST_IN_FLIGHT", 5)
    async with lane_to(redis_server.redis_url) as lane:
        asked = []
        while lane.is_open:
            asked.append(lane.ask(packed("PING")))
        assert len(asked) <= 5
        await asyncio.gather(*asked)
        assert lane.is_open


def test_the_same_on_the_loop_that_the_api_runs_on(redis_server: RedisServer, tmp_path: Path) -> None:
    """Its transports behave in ways of their own."""
    scenarios = [
        test_a_killed_server_fails_who_waits_and_is_found_again(tmp_path / "killed"),
        test_a_hung_server_costs_one_timeout_and_is_used_again_once_it_answers(tmp_path / "hung"),
        test_half_an_answer_is_none(b"$10\r\nhalf", False, TimeoutError),
        test_half_an_answer_is_none(b"$10\r\nhalf", True, ConnectionLostError),
        test_half_an_answer_is_none(b"\x00\xff\xfe", False, ConnectionLostError),
        test_an_answer_that_nobody_asked_for_ends_the_connection(),
        test_over_tls_the_server_has_to_be_the_one_we_trust(redis_server, tmp_path),
        test_a_socket_in_the_file_system(redis_server, tmp_path),
        test_what_is_asked_in_one_turn_is_written_at_once(),
    ]
    for scenario in scenarios:
        uvloop.run(scenario)
