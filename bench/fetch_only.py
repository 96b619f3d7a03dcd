"""Fetch stored pictures as a bulk prediction does, and do nothing with them: the same walk, batches, processes, threads and client, no model.

`python -m bench.fetch_only SPLIT` with Pixref's settings in the environment; prints how many pictures of how many bytes it took how long as JSON.
"""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from sqlalchemy import select

from schema.session import Sessions, single
from schema.tables import Image
from service.models.bulk import BATCH, batches
from service.models.predicting import processors
from service.models.selection import FETCHED
from service.pictures.fetch import read_bytes, references
from service.pictures.reading import FETCHERS
from service.settings import Settings
from service.wiring import open_rows, open_store
from storage.base import ObjectStore

_parts: tuple[Sessions, ObjectStore] | None = None


def fetch(image_ids: Sequence[int]) -> int:
    """Fetch a batch, compared with its digests; return how many bytes it has."""
    global _parts
    if _parts is None:
        settings = Settings.load()
        _parts = open_rows(settings, name="bench"), open_store(settings)
    sessions, store = _parts
    with single(sessions) as connection:
        pictures = list(references(connection, image_ids, with_bytes=True).values())
    with ThreadPoolExecutor(FETCHERS) as pool:
        return sum(len(data) for data in pool.map(lambda picture: read_bytes(store, picture), pictures))


def main(split: str) -> None:
    """Fetch a split."""
    sessions = open_rows(Settings.load(), name="bench")
    with ProcessPoolExecutor(processors(), get_context("spawn")) as pool:
        list(pool.map(fetch, [[]] * 2 * processors()))  # they have started
        started = time.perf_counter()
        with single(sessions) as connection:
            rows = connection.execute(select(Image.id, Image.byte_size).where(Image.split == split).order_by(Image.id)).all()
        size = sum(pool.map(fetch, batches([(row[0], row[1] + FETCHED) for row in rows], BATCH)))
        seconds = time.perf_counter() - started
    json.dump({"pictures": len(rows), "bytes": size, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
