"""Where Kafka and Redis are: what the clients can read is taken as it is, what they can't is said in one line."""

import re

import pytest
from aiokafka.conn import collect_hosts
from redis.asyncio.connection import parse_url

from schemas.errors import ConfigurationError
from schemas.settings import Connections, load
from stream.__main__ import main


@pytest.fixture(autouse=True)
def _unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost",
        "redis://",
        "redis://user:pa%2Fss@redis.example:6380/1?socket_timeout=3",
        "redis://:password@redis:6379",
        "rediss://redis:6379/0?ssl_cert_reqs=none",
        "REDIS://redis:6379",
        "redis://[::1]:6379/0",
        "unix:///run/redis/redis.sock",
        "unix://user:password@/run/redis.sock?db=2",
    ],
)
def test_what_the_redis_client_reads_is_taken(url: str) -> None:
    parse_url(url)
    assert Connections(redis_url=url).redis_url == url


@pytest.mark.parametrize(
    "servers",
    [
        "127.0.0.1:9092",
        "kafka",
        "kafka_1:9092,kafka-2.example:9093",
        " kafka-1:9092 , kafka-2:9092,",
        "[::1]:9092,[fe80::1]",
        "::1",
    ],
)
def test_what_the_kafka_client_reads_is_taken(servers: str) -> None:
    collect_hosts(servers)
    assert Connections(kafka_bootstrap_servers=servers).kafka_bootstrap_servers == servers


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("redis_url", "foo", r"\(REDIS_URL\): the URL .* begins with redis://.*, got 'foo'"),
        ("redis_url", "127.0.0.1:6379", "begins with redis://"),
        ("redis_url", "http://redis:6379", "begins with redis://"),
        ("redis_url", "redis://127.0.0.1:notaport", "the port is no number .*, got 'redis://127.0.0.1:notaport'"),
        ("redis_url", "rediss://redis:65536", "the port is no number"),
        ("kafka_bootstrap_servers", "127.0.0.1:notaport", r"\(KAFKA_BOOTSTRAP_SERVERS\): brokers are HOST:PORT"),
        ("kafka_bootstrap_servers", "kafka-1:9092,kafka-2:70000", "which kafka-2:70000 is not"),
        ("kafka_bootstrap_servers", "kafka://kafka:9092", "which kafka://kafka:9092 is not"),
        ("kafka_bootstrap_servers", "[::1:9092", "HOST:PORT"),
        ("kafka_bootstrap_servers", "[::1]9092", "HOST:PORT"),
    ],
)
def test_what_they_cannot_read_is_said(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        load(Connections, **{name: value})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("url", ["http://user:secret@redis:6379", "redis://:pa/secret@redis:6379"])
def test_a_password_is_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load(Connections, redis_url=url)
    assert "secret" not in str(raised.value) and "redis:6379" in str(raised.value)
    with pytest.raises(ValueError, match="redis_url") as bare:
        Connections(redis_url=url)
    assert "secret" not in str(bare.value)


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    assert load(Connections).redis_url == "redis://127.0.0.1:6379/0"


def test_a_worker_with_a_wrong_setting_says_which(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REDIS_URL", "foo")
    assert main() == 1
    assert re.fullmatch(r"worker: setting redis_url \(REDIS_URL\): .*\n", capsys.readouterr().err)
