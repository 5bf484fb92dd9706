"""Bundles in an object store, over real HTTP: whole when the manifest is there, read through a cache that is proved."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from adapters.bundles import BundleStore
from adapters.object_store import CACHED
from deploy.ports import free_port
from schemas.errors import BundleError, ConfigurationError
from schemas.manifest import MANIFEST_NAME, Manifest, verify
from stream import attempts
from tests.models import going_live, write_bundle
from tests.object_store import Bucket, running_bucket
from tests.unit.stream.test_serving import House, is_of


@pytest.fixture(scope="module")
def server() -> Iterator[Bucket]:
    """Run a server."""
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(server: Bucket, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Begin with an empty bucket, and the variables set by which it is found."""
    for name in server.names():
        server.client.delete_object(Bucket=server.name, Key=f"models/{name}")
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)
    return server


@pytest.fixture
def store(bucket: Bucket, tmp_path: Path) -> BundleStore:
    """The store as one machine sees it."""
    return BundleStore(bucket.url, tmp_path / "cache")


def elsewhere(bucket: Bucket, tmp_path: Path) -> BundleStore:
    """The store as another machine sees it: with an empty cache."""
    return BundleStore(bucket.url, tmp_path / "another-cache")


def cached(tmp_path: Path, version: str) -> Path:
    """Return the folder of a version in the cache of `store`."""
    (found,) = (tmp_path / "cache").glob(f"*/{version}")
    return found


def test_what_was_published_is_fetched_elsewhere_byte_by_byte(
    store: BundleStore, bucket: Bucket, tmp_path: Path
) -> None:
    folder, manifest = write_bundle(tmp_path)
    wanted = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert verify(store.publish(folder, manifest.version)) == manifest
    assert not folder.exists()
    found = elsewhere(bucket, tmp_path).fetch(manifest.version)
    assert {path.name: path.read_bytes() for path in found.iterdir()} == wanted
    assert {name: bucket.read(f"{manifest.version}/{name}") for name in wanted} == wanted


def test_a_version_that_stands_is_never_changed(store: BundleStore, bucket: Bucket, tmp_path: Path) -> None:
    folder, manifest = write_bundle(tmp_path / "first")
    store.publish(folder, manifest.version)
    before = {name: bucket.read(name) for name in bucket.names()}
    other, _ = write_bundle(tmp_path / "second", seed=5)
    store.publish(other, manifest.version)
    assert {name: bucket.read(name) for name in bucket.names()} == before
    assert not other.exists()


def test_half_an_upload_is_absent_and_a_repeat_completes_it(store: BundleStore, bucket: Bucket, tmp_path: Path) -> None:
    folder, manifest = write_bundle(tmp_path)
    last, content = folder / "vocabulary.json", (folder / "vocabulary.json").read_bytes()
    last.unlink()
    last.symlink_to(tmp_path / "nowhere")  # the upload ends here
    with pytest.raises(BundleError, match="vocabulary"):
        store.publish(folder, manifest.version)
    assert f"{manifest.version}/text.npz" in bucket.names()
    assert f"{manifest.version}/{MANIFEST_NAME}" not in bucket.names()
    with pytest.raises(BundleError, match=f"bundle {manifest.version} is not in {bucket.url}"):
        store.fetch(manifest.version)
    last.unlink()
    last.write_bytes(content)
    store.publish(folder, manifest.version)
    assert verify(elsewhere(bucket, tmp_path).fetch(manifest.version)) == manifest


def published(store: BundleStore, tmp_path: Path, seed: int = 0) -> Manifest:
    """Publish a model."""
    folder, manifest = write_bundle(tmp_path, seed)
    store.publish(folder, manifest.version)
    return manifest


def test_a_cached_copy_is_read_without_the_store(store: BundleStore, bucket: Bucket, tmp_path: Path) -> None:
    manifest = published(store, tmp_path)
    bucket.write(f"{manifest.version}/text.npz", b"changed behind the cache")
    assert verify(store.fetch(manifest.version)) == manifest


@pytest.mark.parametrize("how", ["truncated", "missing", "no manifest"])
def test_a_broken_cached_copy_is_fetched_again(store: BundleStore, tmp_path: Path, how: str) -> None:
    manifest = published(store, tmp_path)
    folder = cached(tmp_path, manifest.version)
    broken = folder / (MANIFEST_NAME if how == "no manifest" else "neumf.npz")
    if how == "truncated":
        broken.write_bytes(broken.read_bytes()[:-7])
    else:
        broken.unlink()
    assert verify(store.fetch(manifest.version)) == manifest


@pytest.mark.parametrize("how", ["truncated", "missing"])
def test_what_is_broken_in_the_store_never_enters_the_cache(
    store: BundleStore, bucket: Bucket, tmp_path: Path, how: str
) -> None:
    manifest = published(store, tmp_path)
    name = f"{manifest.version}/neumf.npz"
    whole = bucket.read(name)
    if how == "truncated":
        bucket.write(name, whole[:-7])
    else:
        bucket.client.delete_object(Bucket=bucket.name, Key=f"models/{name}")
    other = elsewhere(bucket, tmp_path)
    with pytest.raises(BundleError, match=r"neumf\.npz (has \d+ bytes|is not in)"):
        other.fetch(manifest.version)
    assert [path.name for path in (tmp_path / "another-cache").rglob("*") if path.is_file()] == [".lock"]
    bucket.write(name, whole)
    assert verify(other.fetch(manifest.version)) == manifest


def test_a_cache_keeps_what_was_asked_for_last(store: BundleStore, tmp_path: Path) -> None:
    versions = [published(store, tmp_path, seed).version for seed in range(CACHED + 2)]
    kept = {path.name for path in (tmp_path / "cache").glob("*/[!.]*")}
    assert kept == set(versions[2:])
    assert verify(store.fetch(versions[0])).version == versions[0]


def test_a_version_names_a_folder_of_the_store(store: BundleStore) -> None:
    for version in ("../v1", "a/b", "", ".."):
        with pytest.raises(BundleError, match="is not the name"):
            store.fetch(version)


async def test_a_worker_loads_from_the_store_and_rolls_back(store: BundleStore, bucket: Bucket, tmp_path: Path) -> None:
    house = House(tmp_path, elsewhere(bucket, tmp_path))
    first, second = published(store, tmp_path, 1), published(store, tmp_path, 2)
    for manifest, seed in ((first, 1), (second, 2), (first, 1)):
        house.decide(*going_live(manifest))
        await house.room.refresh()
        assert is_of(house.current, seed)
    assert house.room.load_failures == 0


async def test_while_the_store_is_away_the_old_model_stays(
    store: BundleStore,
    bucket: Bucket,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(attempts, "FIRST_RETRY_S", 0.0)
    first, second = published(store, tmp_path, 1), published(store, tmp_path, 2)
    house = House(tmp_path, elsewhere(bucket, tmp_path))
    house.decide(*going_live(first))
    await house.room.refresh()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    house.room._store = elsewhere(bucket, tmp_path)
    house.decide(*going_live(second))
    await house.room.refresh()
    (said,) = [record.getMessage() for record in caplog.records if "ALARM" in record.getMessage()]
    assert f"{second.version} is not taken: the bundle store {bucket.url} fails" in said
    assert "\n" not in said and bucket.environment["AWS_SECRET_ACCESS_KEY"] not in said
    assert is_of(house.current, 1) and house.room.load_failures == 1
    house.room._store = store
    await house.room.refresh()
    assert is_of(house.current, 2)


def test_without_its_driver_a_store_is_refused_by_one_line(bucket: Bucket) -> None:
    program = (
        "import sys; sys.modules['s3fs'] = None\n"
        "from adapters.bundles import BundleStore\n"
        "from schemas.errors import ConfigurationError\n"
        "try: BundleStore('s3://bucket/models')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    said = subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout
    assert said == "BUNDLE_URL is s3://bucket/models, but s3fs is not installed: pip install 'coursestream[s3]'\n"


def test_an_address_that_nobody_speaks_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="BUNDLE_URL is carrier-pigeon://loft"):
        BundleStore("carrier-pigeon://loft")


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="BUNDLE_URL holds a password") as raised:
        BundleStore("sftp://me:hunter2@host/models")
    assert "hunter2" not in str(raised.value)


def test_two_readers_of_a_cache_do_not_take_each_others_copies_away(
    store: BundleStore, bucket: Bucket, tmp_path: Path
) -> None:
    manifest = published(store, tmp_path)
    readers = [elsewhere(bucket, tmp_path) for _ in range(2)]

    def fetch(reader: BundleStore) -> bool:
        return verify(reader.fetch(manifest.version)) == manifest

    with ThreadPoolExecutor(2) as pool:
        for _ in range(10):
            (copy,) = {readers[0].fetch(manifest.version)}
            (copy / "neumf.npz").write_bytes(b"broken")
            assert list(pool.map(fetch, readers)) == [True, True]
