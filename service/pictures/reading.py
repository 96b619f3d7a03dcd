"""Read the bytes of many pictures at once, each compared with its SHA-256: small ones from their rows, the others from the bucket."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from schema.session import Sessions, single
from service.errors import PixrefError
from service.pictures.damage import read_or_mark
from service.pictures.fetch import Reference, inline_pictures, references
from storage.base import ObjectStore

# Fetches that are under way at once; the time goes into waiting for the store.
FETCHERS = 8


def read_many(sessions: Sessions, store: ObjectStore, image_ids: Sequence[int]) -> dict[int, bytes | PixrefError]:
    """Return each picture's bytes, or why there are none: lost or altered. A picture that is not there is left out.

    Raises `StoreError` when the store is in trouble: that is not a picture's fault.
    """
    with single(sessions) as connection:
        found: dict[int, bytes | PixrefError] = {
            picture.image_id: picture.data
            for picture in inline_pictures(connection, image_ids)
            if hashlib.sha256(picture.data).digest() == picture.sha256
        }
        others = set(image_ids).difference(found)
        rest = list(references(connection, sorted(others), with_bytes=True).values()) if others else []
    found.update(_fetch(sessions, store, rest))
    return found


def _fetch(sessions: Sessions, store: ObjectStore, pictures: Sequence[Reference]) -> Iterator[tuple[int, bytes | PixrefError]]:
    """Give what each picture has, when all are here. Raises `StoreError`.

    To decode some of them while others are on their way takes twice the processor's time: threads that wait for each other at every step.
    """

    def read(picture: Reference) -> bytes | PixrefError:
        try:
            return read_or_mark(sessions, store, picture)
        except PixrefError as exc:
            return exc

    if not pictures:
        return
    with ThreadPoolExecutor(min(FETCHERS, len(pictures)), thread_name_prefix="fetch") as pool:
        found = list(pool.map(read, pictures))
    yield from ((picture.image_id, data) for picture, data in zip(pictures, found, strict=True))
