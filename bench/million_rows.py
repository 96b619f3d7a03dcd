"""A million pictures as rows: thumbnails, labels, tags and predictions, generated from their numbers and copied into PostgreSQL.

They are made to be awkward to search, as real collections are: what came in together looks alike, so the large pictures are all among the oldest,
times follow the ids, one label, one tag and one split are rare, and nearly every prediction is right.
"""

import hashlib
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import psycopg2

from bench.pictures import SAMPLES
from service.datasets.idx import load_split
from service.png.pixels import encode_gray

FIRST = datetime(2023, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=1_000)
LABELS = [str(digit) for digit in range(10)]
RARE = 25
"""How many pictures have the rare label, the rare tag, the rare split and the rare attribute, each spread evenly."""
TAGS = {"half": 2, "tenth": 10, "hundredth": 100, "thousandth": 1_000, "most": 0, "rare": 0}
SPLITS = ("train",) * 16 + ("test",) * 3 + ("validation",)
CAMERAS = ("M3", "X100", "D850", "scanner")
WRONG = 67  # one prediction in so many is another label than the picture's
BATCH = 20_000

_IMAGE = (
    "id, sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, original_name, label_id, split, source, "
    "attributes, png, exif, taken_at, created_at, ready_at, lease_until, verified_at"
)
# The history of labels is not what is measured, and its trigger would keep a million rows in memory.
_SETTINGS = "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'"


# What the triggers would have done.
_FACTS = """
    INSERT INTO pixref.image_facts
    SELECT id, width, height, byte_size, channels, bit_depth, created_at, taken_at, lower(original_name),
           pixref.search_parts(id >> 12, original_name, attributes, exif, png)
    FROM pixref.image"""


def fill(url: str, count: int) -> None:
    """Fill the database that a superuser's `url` names with `count` pictures, ids 1 to `count`. The built-in model must be there."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(_SETTINGS)
            words = _words(cursor, count)
            indexes = _drop_indexes(cursor)
            for start in range(1, count + 1, BATCH):
                numbers = range(start, min(start + BATCH, count + 1))
                made = [_Picture(number, count) for number in numbers]
                _copy(cursor, f"pixref.image ({_IMAGE})", (each.row(words) for each in made))
                _copy(
                    cursor,
                    "pixref.thumbnail (image_id, media_type, width, height, recipe, data)",
                    (each.thumbnail() for each in made),
                )
                _copy(
                    cursor,
                    "pixref.image_tag (image_id, tag_id)",
                    ((each.number, words[f"tag {name}"]) for each in made for name in each.tags()),
                )
                _copy(
                    cursor,
                    "pixref.prediction (image_id, model_version_id, label_id, score, scores, latency_ms)",
                    (row for each in made if (row := each.prediction(words))),
                )
            cursor.execute(_FACTS)
            for statement in indexes:
                cursor.execute(statement)
            cursor.execute("SELECT setval(pg_get_serial_sequence('pixref.image', 'id'), %s)", [count])
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("VACUUM (ANALYZE)")
            cursor.execute("CHECKPOINT")
    finally:
        connection.close()


@cache
def _digits() -> list[bytes]:
    images, _ = load_split(SAMPLES, "train")
    return [encode_gray(image) for image in images]


def thumbnail_bytes(number: int) -> bytes:
    """Return what a picture has as its thumbnail: one of a thousand handwritten digits, 122 to 339 bytes of PNG."""
    return _digits()[number % 1_000]


class _Picture:
    """One picture, by its number: the newest has the highest."""

    def __init__(self, number: int, count: int) -> None:
        self.number = number
        self._count = count
        self._random = random.Random(number)  # noqa: S311
        self._part = number / count  # 0 is the oldest
        self.label = None if number % 10 == 3 else LABELS[self._random.randrange(10)]
        step = max(1, count // RARE)
        self.rare = number % step == step // 2

    def row(self, words: dict[str, int]) -> tuple[Any, ...]:
        chance, number = self._random, self.number
        # The oldest quarter is of photographs, the rest of small scans.
        width, height = (
            (chance.randrange(1_000, 4_000), chance.randrange(800, 3_000))
            if self._part < 0.25
            else (chance.randrange(16, 513), chance.randrange(16, 513))
        )
        photograph = width >= 1_000
        channels = 3 if photograph else (2 if self.rare else 1)
        created = FIRST + SPAN * self._part
        digest = hashlib.sha256(b"%d" % number).hexdigest()
        attributes: dict[str, Any] = {"camera": CAMERAS[number % 4], "batch": number // 1_000}
        if self.rare:
            attributes["rare"] = True
        exif = {"Model": CAMERAS[number % 3], "ISOSpeedRatings": 100 * (1 + number % 8)} if photograph else {}
        png = {"gamma": 0.45455} if number % 50 == 0 else {}
        return (
            number,
            digest,
            f"images/{digest[:2]}/{digest}/{number:032x}.png",
            width * height * channels // 3 + number % 997 + 60,
            "READY",
            width,
            height,
            channels,
            16 if self.rare else 8,
            2 if channels == 3 else (4 if channels == 2 else 0),
            self._name(photograph),
            words["label rare" if self.rare else f"label {self.label}"] if self.label or self.rare else None,
            "holdout" if self.rare else SPLITS[number % 20],
            "bench",
            json.dumps(attributes),
            json.dumps(png),
            json.dumps(exif),
            created - timedelta(days=number % 300) if photograph else None,
            created,
            created,
            None,
            created,
        )

    def _name(self, photograph: bool) -> str:
        if self.rare:
            return f"Rare giraffe {self.number}.png"
        if self.number % 1_000 == 5:
            return f"Größe {self.number} (1).png"
        return f"{'IMG' if photograph else 'scan'}_{self.number:07d}.png"

    def thumbnail(self) -> tuple[Any, ...]:
        return self.number, "image/png", 28, 28, "original", "\\x" + thumbnail_bytes(self.number).hex()

    def tags(self) -> Iterator[str]:
        for name, every in TAGS.items():
            if every and self.number % every == 1:
                yield name
        if self.number % 50:
            yield "most"
        if self.rare:
            yield "rare"

    def prediction(self, words: dict[str, int]) -> tuple[Any, ...] | None:
        if self.number % 20 == 7:
            return None
        chance = random.Random(-self.number)  # noqa: S311
        label = self.label or LABELS[chance.randrange(10)]
        if self.number % WRONG == 0:
            label = LABELS[(int(label) + 1) % 10]
        score = 1 - chance.random() ** 8 * 0.8
        rest = (1 - score) / 9
        scores = ",".join(f"{score if each == label else rest:.6f}" for each in LABELS)
        return self.number, words["version"], words[f"label {label}"], f"{score:.6f}", "{" + scores + "}", 0.2


def _words(cursor: Any, count: int) -> dict[str, int]:
    """Make labels and tags; return their ids, and the built-in model's version."""
    found: dict[str, int] = {}
    for table, names in (("label", [*LABELS, "rare", "nobody"]), ("tag", [*TAGS, "nobody"])):
        for name in names:
            cursor.execute(f"INSERT INTO pixref.{table} (name) VALUES (%s) ON CONFLICT DO NOTHING", [name])  # noqa: S608  (our own)
            cursor.execute(f"SELECT id FROM pixref.{table} WHERE name = %s", [name])  # noqa: S608
            found[f"{table} {name}"] = cursor.fetchone()[0]
    cursor.execute("SELECT model_version_id FROM pixref.model_alias WHERE alias = 'champion'")
    found["version"] = cursor.fetchone()[0]
    return found


def _drop_indexes(cursor: Any) -> list[str]:
    """Drop the indexes that are no constraint's, which are built faster afterwards; return how to make them again."""
    cursor.execute("""
        SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid = ANY (ARRAY['pixref.image', 'pixref.image_facts', 'pixref.image_tag', 'pixref.prediction']::regclass[])
          AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)""")
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f"DROP INDEX {name}")
    return [definition for _, definition in found]


class _Lines:
    """Rows as the text that COPY reads."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self._rows = iter(rows)
        self._left = b""

    def read(self, size: int) -> bytes:
        parts, length = [self._left], len(self._left)
        for row in self._rows:
            line = ("\t".join(map(_field, row)) + "\n").encode()
            parts.append(line)
            length += len(line)
            if length >= size:
                break
        whole = b"".join(parts)
        self._left = whole[size:]
        return whole[:size]


def _field(value: Any) -> str:
    return "\\N" if value is None else str(value).replace("\\", "\\\\")


def _copy(cursor: Any, target: str, rows: Iterable[Sequence[Any]]) -> None:
    cursor.copy_expert(f"COPY {target} FROM STDIN", _Lines(rows))
