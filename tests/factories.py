"""Pictures and helpers that several test modules need."""

import hashlib
import io
import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, TypeVar

from sqlalchemy import text
from werkzeug.test import TestResponse

from schema.session import Sessions
from service.accounts.actor import Actor
from service.pictures.upload import Description, Uploaded, upload_image
from service.png import PngLimits
from storage.base import ObjectInfo, ObjectStore, ObjectStream
from storage.keys import PROBE
from tests.pngs import png

T = TypeVar("T")
_seeds = itertools.count(1)
BIG = 80
"""A side, in pixels, beyond which a picture is not its own thumbnail: its bytes are in the bucket alone."""


def make_png(width: int = 28, height: int = 28, *, seed: int | None = None, color_type: int = 0, depth: int = 8) -> bytes:
    """Make a valid picture of noise; another one at every call, unless `seed` is given."""
    return png(width, height, color_type=color_type, depth=depth, seed=next(_seeds) if seed is None else seed)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def add_image(
    sessions: Sessions, store: ObjectStore, actor: Actor, data: bytes | None = None, *, source: str = "test", **description: Any
) -> int:
    """Keep a picture and return its id."""
    content = make_png() if data is None else data
    return add_upload(sessions, store, actor, content, source=source, **description).image_id


def add_upload(
    sessions: Sessions, store: ObjectStore, actor: Actor, data: bytes, *, source: str = "test", **description: Any
) -> Uploaded:
    return upload_image(sessions, store, data, Description(**description), limits=PngLimits(), source=source, actor=actor)


def form_of(data: bytes | None = None, *, name: str = "digit.png", **fields: Any) -> dict[str, Any]:
    """Build the multipart form of an upload."""
    return {"file": (io.BytesIO(make_png() if data is None else data), name), **fields}


def rows(sessions: Sessions, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
    with sessions() as session:
        return [tuple(row) for row in session.execute(text(query), parameters)]


def one(sessions: Sessions, query: str, **parameters: Any) -> Any:
    """Return the single value of the single row."""
    found = rows(sessions, query, **parameters)
    assert len(found) == 1, found
    return found[0][0]


def execute(sessions: Sessions, statement: str, **parameters: Any) -> None:
    with sessions() as session, session.begin():
        session.execute(text(statement), parameters)


def object_key(sessions: Sessions, image_id: int) -> str:
    key: str = one(sessions, "SELECT object_key FROM pixref.image WHERE id = :id", id=image_id)
    return key


def replace_object(store: ObjectStore, key: str, data: bytes) -> None:
    """Alter an object behind the service's back."""
    store.delete_object(key)
    store.put_object(key, io.BytesIO(data), size=len(data), sha256=sha256(data), media_type="image/png")


def objects(store: ObjectStore) -> set[str]:
    """Return the keys of the bucket, less what probes have left."""
    return {info.key for info in store.list_objects() if not info.key.startswith(PROBE)}


def assert_in_step(sessions: Sessions, store: ObjectStore) -> None:
    """Assert that rows and bucket agree: every picture and model file is there, and nothing else is."""
    found = rows(sessions, "SELECT object_key, sha256, byte_size, state FROM pixref.image")
    assert {state for *_, state in found} <= {"READY"}
    for key, digest, size, _ in found:
        data = store.get_object(key)
        assert (sha256(data), len(data)) == (digest, size)
    files = {
        key
        for pair in rows(sessions, "SELECT artifact_key, litert_key FROM pixref.model_version WHERE state = 'READY'")
        for key in pair
        if key is not None
    }
    assert objects(store) == {key for key, *_ in found} | files
    assert one(sessions, "SELECT count(*) FROM pixref.object_deletion") == 0
    without = "SELECT count(*) FROM pixref.image i WHERE NOT EXISTS (SELECT FROM pixref.thumbnail t WHERE t.image_id = i.id)"
    assert one(sessions, without) == 0


def expire_leases(sessions: Sessions) -> None:
    """Let the time pass after which abandoned attempts may be swept."""
    execute(sessions, "UPDATE pixref.image SET lease_until = now() - interval '1 s' WHERE state = 'PENDING'")
    execute(sessions, "UPDATE pixref.model_version SET created_at = now() - interval '1 h' WHERE state = 'PENDING'")
    execute(sessions, "UPDATE pixref.object_deletion SET due_at = now()")


def assert_problem(response: TestResponse, status: int, code: str, *, field: str | None = None) -> Mapping[str, Any]:
    """Assert that an answer is a problem of RFC 9457 in our shape and gives nothing away; return it."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert isinstance(body, dict)
    assert {"type", "title", "status", "detail", "code", "retryable", "request_id"} <= set(body)
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:pixref:problem:{code}"), response.text
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["X-Request-Id"]
    if field is not None:
        assert body["field"] == field
    for internal in ("Traceback", "SELECT", "INSERT", "psycopg", "sqlalchemy", "images/", "models/", "/work", "X-Amz", "pixref_"):
        assert internal not in response.text
    return body


def together(calls: int, function: Callable[[int], T]) -> list[T]:
    """Run `function(0)`, `function(1)`, ... in threads that start at the same moment; return the results in order."""
    gate = threading.Barrier(calls)

    def run(index: int) -> T:
        gate.wait(10)
        return function(index)

    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(run, range(calls)))


class StepStore:
    """A store that does what the real one does, and calls `before` or `after` around each writing step, `before` also around reading.

    `before` and `after` get the step's name: "put", "put_many", "delete", "get", "open", "list". What they raise stands for what goes wrong there.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        before: Callable[[str], None] = lambda step: None,
        after: Callable[[str], None] = lambda step: None,
    ) -> None:
        self._store, self._before, self._after = store, before, after

    def _step(self, step: str, work: Callable[[], T]) -> T:
        self._before(step)
        result = work()
        self._after(step)
        return result

    def put_object(self, key: str, body: BinaryIO, *, size: int, sha256: str, media_type: str) -> None:
        self._step("put", lambda: self._store.put_object(key, body, size=size, sha256=sha256, media_type=media_type))

    def put_objects(self, items: Any) -> None:
        self._step("put_many", lambda: self._store.put_objects(items))

    def delete_object(self, key: str) -> None:
        self._step("delete", lambda: self._store.delete_object(key))

    def delete_objects(self, keys: Any) -> None:
        self._step("delete", lambda: self._store.delete_objects(keys))

    def check_bucket(self) -> None:
        self._store.check_bucket()

    def get_object(self, key: str, *, max_size: int | None = None) -> bytes:
        self._before("get")
        return self._store.get_object(key, max_size=max_size)

    def open_object(self, key: str, *, offset: int = 0, length: int | None = None) -> AbstractContextManager[ObjectStream]:
        self._before("open")
        return self._store.open_object(key, offset=offset, length=length)

    def stat_object(self, key: str) -> ObjectInfo | None:
        return self._store.stat_object(key)

    def list_objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._before("list")
        return self._store.list_objects(prefix)

    def presign_get(self, key: str, **options: Any) -> Any:
        return self._store.presign_get(key, **options)

    def presign_post(self, key: str, **options: Any) -> Any:
        return self._store.presign_post(key, **options)


def raising(error: BaseException, *, at: str) -> Callable[[str], None]:
    """Return a hook for `StepStore` that raises at one step."""

    def hook(step: str) -> None:
        if step == at:
            raise error

    return hook
