"""An S3-compatible server on loopback: what a bundle store away from this machine is to the code."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import boto3  # type: ignore[import-untyped]  # no type information is published
from moto.server import ThreadedMotoServer

_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",
}


@dataclass(frozen=True)
class Bucket:
    """A bucket on a running server, looked into by a client that is not the store's."""

    endpoint: str
    name: str

    @property
    def url(self) -> str:
        """What `BUNDLE_URL` is set to."""
        return f"s3://{self.name}/models"

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which a process finds the server and may enter."""
        return {**_CREDENTIALS, "AWS_ENDPOINT_URL": self.endpoint}

    @property
    def client(self) -> Any:
        """A client of the server."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=_CREDENTIALS["AWS_DEFAULT_REGION"],
            aws_access_key_id=_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def names(self) -> list[str]:
        """Return every object's name below the prefix of `url`."""
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [one["Key"].removeprefix("models/") for one in found]

    def read(self, name: str) -> bytes:
        """Return an object's bytes."""
        content: bytes = self.client.get_object(Bucket=self.name, Key=f"models/{name}")["Body"].read()
        return content

    def write(self, name: str, content: bytes) -> None:
        """Put an object behind the store's back."""
        self.client.put_object(Bucket=self.name, Key=f"models/{name}", Body=content)


@contextmanager
def running_bucket(name: str = "bundles") -> Iterator[Bucket]:
    """Start a server with one empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = Bucket(f"http://{host}:{port}", name)
        bucket.client.create_bucket(Bucket=name)
        yield bucket
    finally:
        server.stop()
