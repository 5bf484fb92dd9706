"""The broker's id of a topic: a topic that was deleted and made anew has another one, though its name is the same.

The client knows versions of the request up to 5; ids came with 10.
"""

from io import BytesIO
from typing import Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA: Final = 3
_VERSION: Final = 12


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # the client is not typed
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _TopicResponse(Response):  # type: ignore[misc]  # the client is not typed
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("in_sync", CompactArray(Int32)),
                        ("offline", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _TopicRequestStruct(RequestStruct):  # type: ignore[misc]  # the client is not typed
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _TopicResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicRequest(Request[_TopicRequestStruct]):  # type: ignore[misc]  # the client is not typed
    API_KEY = _METADATA

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: type[_TopicRequestStruct]) -> _TopicRequestStruct:
        return request_struct_class([(UUID(int=0), self._topic, {})], False, False, {})


async def read_topic_id(reader: AIOKafkaConsumer, topic: str) -> str:
    """Return the id of a topic, empty from a broker before 3.1; KafkaError if there is no such topic, or no answer."""
    client = reader._client
    try:
        answer = await client.send(client.get_random_node(), _TopicRequest(topic))
    except NotImplementedError:  # of the client: the broker speaks no version that it could
        return ""
    ((code, _, topic_id, *_),) = answer.topics
    if code:
        raise for_code(code)(topic)
    return str(topic_id)
