"""A shelf of pictures as rows, and what a filter means of them in plain Python: what the SQL is compared with."""

import json
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from schema.session import Sessions
from service.pictures.search import ImageFilter, Sort
from tests.factories import execute, one, rows

LABELS = ("cat", "dog", "élan")
TAGS = ("red", "blue", "odd", "never")
SPLITS = ("train", "test")
NAMES = ("IMG_0001.png", "img_0002.PNG", "Größe 1.png", "GRÖSSE 2.png", "100%_a.png", "a_b.png", "azb.png", None)
OBJECTS = ({}, {"camera": "M3"}, {"camera": "M3", "n": 1.0}, {"n": 1}, {"list": [1, 2], "deep": {"a": True}}, {"long": "x" * 200})
SCORES = (0.0, 0.1, 0.5, 0.9, 1.0)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
VERSIONS = (("one", 1), ("one", 2), ("two", 1))
CHAMPIONS = (("one", 2), ("two", 1))
# Ids lie in several zones of the search, and not next to each other.
STEP = 700


@dataclass
class Book:
    """A picture, as its row is."""

    id: int
    label: str | None
    tags: frozenset[str]
    split: str | None
    width: int
    height: int
    byte_size: int
    channels: int
    bit_depth: int
    created_at: datetime
    taken_at: datetime | None
    name: str | None
    attributes: dict[str, Any]
    exif: dict[str, Any]
    png: dict[str, Any]
    damage: str | None
    predictions: dict[tuple[str, int], tuple[str, float] | None] = field(default_factory=dict)
    """By model and version: label and score, or None for one that failed."""


def draw(number: int, chance: random.Random) -> Book:
    return Book(
        id=number,
        label=chance.choice((*LABELS, None)),
        tags=frozenset(tag for tag in TAGS[:3] if chance.random() < 0.4),
        split=chance.choice((*SPLITS, None)),
        width=chance.choice((1, 10, 28, 2_000)),
        height=chance.choice((1, 10, 28, 2_000)),
        byte_size=chance.choice((1, 500, 2**40)),
        channels=chance.choice((1, 2, 3, 4)),
        bit_depth=chance.choice((1, 8, 16)),
        created_at=FIRST + timedelta(days=chance.randrange(6)),
        taken_at=chance.choice((None, FIRST, FIRST + timedelta(days=3))),
        name=chance.choice(NAMES),
        attributes=dict(chance.choice(OBJECTS)),
        exif=dict(chance.choice(OBJECTS)),
        png=dict(chance.choice(OBJECTS)),
        damage=chance.choice((None, None, None, "lost")),
        predictions={
            version: None if chance.random() < 0.1 else (chance.choice(LABELS), chance.choice(SCORES))
            for version in VERSIONS
            if chance.random() < 0.7
        },
    )


class Shelf:
    """Pictures in the database and, as `books`, beside it."""

    def __init__(self, sessions: Sessions, seed: int, count: int) -> None:
        self._sessions = sessions
        self._chance = random.Random(seed)
        self.books: list[Book] = []
        self._next = 1
        for kind, names in (("label", LABELS), ("tag", TAGS)):
            for name in names:
                execute(sessions, f"INSERT INTO pixref.{kind} (name) VALUES (:name)", name=name)
        self._versions: dict[tuple[str, int], int] = {}
        for model, number in VERSIONS:
            execute(sessions, "INSERT INTO pixref.model (name) VALUES (:name) ON CONFLICT DO NOTHING", name=model)
            execute(sessions, VERSION_ROW, model=model, number=number, key=f"{model}{number}", digest="0" * 64)
            found = (
                "SELECT v.id FROM pixref.model_version v JOIN pixref.model m ON m.id = model_id WHERE name = :m AND number = :n"
            )
            self._versions[model, number] = one(sessions, found, m=model, n=number)
        for champion in CHAMPIONS:
            execute(sessions, CHAMPION_ROW, version=self._versions[champion])
        for _ in range(count):
            self.add()

    def add(self) -> Book:
        """Put one more on the shelf, the newest."""
        book = draw(self._next, self._chance)
        self._next += STEP
        execute(
            self._sessions,
            _IMAGE,
            id=book.id,
            digest=f"{book.id:064x}",
            key=f"images/{book.id}",
            label=book.label,
            split=book.split,
            width=book.width,
            height=book.height,
            byte_size=book.byte_size,
            channels=book.channels,
            bit_depth=book.bit_depth,
            created_at=book.created_at,
            taken_at=book.taken_at,
            name=book.name,
            attributes=json.dumps(book.attributes),
            exif=json.dumps(book.exif),
            png=json.dumps(book.png),
            damage=book.damage,
        )
        for tag in book.tags:
            execute(self._sessions, _TAGGED, id=book.id, tag=tag)
        for version, result in book.predictions.items():
            label, score = result or (None, None)
            execute(
                self._sessions,
                _PREDICTED,
                id=book.id,
                version=self._versions[version],
                label=label,
                score=score,
                scores=None if result is None else [score],
                error=None if result else "nothing",
            )
        self.books.append(book)
        return book

    def remove(self, book: Book) -> None:
        execute(self._sessions, "UPDATE pixref.image SET state = 'DELETING' WHERE id = :id", id=book.id)
        self.books.remove(book)

    def ids(self) -> set[int]:
        return {row[0] for row in rows(self._sessions, "SELECT id FROM pixref.image WHERE state = 'READY'")}

    def found(self, wanted: ImageFilter, sort: Sort = Sort.NEWEST) -> list[int]:
        """Return the ids that a list must have, in its order."""
        books = [book for book in self.books if matches(book, wanted)]
        if sort.by == "score":
            version = version_of(wanted)
            books = [book for book in books if book.predictions.get(version)]
            keyed = [((book.predictions[version] or ("", 0.0))[1], book.id) for book in books]
        else:
            keyed = [(book.created_at.timestamp() if sort.by == "date" else 0.0, book.id) for book in books]
        return [number for _, number in sorted(keyed, reverse=sort.descending)]


def version_of(wanted: ImageFilter) -> tuple[str, int]:
    number = wanted.version or dict(CHAMPIONS).get(wanted.model or "", 0)
    return (wanted.model or "", number)


def contains(whole: Any, part: Any) -> bool:
    """As jsonb's `@>` has it, inside an object."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return all(any(contains(each, value) for each in whole) for value in part)
    return type(whole) in (type(part), int, float) and type(part) in (type(whole), int, float) and whole == part


def _of_file(book: Book, wanted: ImageFilter) -> bool:
    name = (book.name or "").lower()
    checks = [
        *(
            (getattr(book, side) >= least)
            for side in ("width", "height", "byte_size")
            if (least := getattr(wanted, f"min_{side}")) is not None
        ),
        *(
            (getattr(book, side) <= most)
            for side in ("width", "height", "byte_size")
            if (most := getattr(wanted, f"max_{side}")) is not None
        ),
        wanted.channels in (None, book.channels),
        wanted.bit_depth in (None, book.bit_depth),
        wanted.created_from is None or book.created_at >= wanted.created_from,
        wanted.created_to is None or book.created_at < wanted.created_to,
        wanted.taken_from is None or (book.taken_at is not None and book.taken_at >= wanted.taken_from),
        wanted.taken_to is None or (book.taken_at is not None and book.taken_at < wanted.taken_to),
        wanted.name is None or wanted.name.lower() in name,
        wanted.name_prefix is None or name.startswith(wanted.name_prefix.lower()),
        contains(book.attributes, wanted.attributes),
        contains(book.exif, wanted.exif),
        contains(book.png, wanted.png),
        wanted.damaged in (None, book.damage is not None),
    ]
    return all(checks)


def _of_words(book: Book, wanted: ImageFilter) -> bool:
    checks = [
        wanted.label in (None, book.label),
        wanted.unlabelled in (None, book.label is None),
        set(wanted.tag) <= book.tags,
        not wanted.any_tag or bool(book.tags & set(wanted.any_tag)),
        not book.tags & set(wanted.no_tag),
        wanted.untagged in (None, not book.tags),
        wanted.split in (None, book.split),
    ]
    return all(checks)


def _of_prediction(book: Book, wanted: ImageFilter) -> bool:
    asked = (wanted.predicted, wanted.min_score, wanted.max_score, wanted.agrees)
    if asked == (None,) * 4 and wanted.model is None:
        return True
    for (model, number), result in book.predictions.items():
        if wanted.model not in (None, model) or result is None:
            continue
        if wanted.version is not None:
            if number != wanted.version:
                continue
        elif asked != (None,) * 4 and (model, number) not in CHAMPIONS:
            continue
        label, score = result
        if (
            wanted.predicted in (None, label)
            and (wanted.min_score is None or score >= wanted.min_score)
            and (wanted.max_score is None or score <= wanted.max_score)
            and (wanted.agrees is None or (book.label is not None and (label == book.label) == wanted.agrees))
        ):
            return True
    return False


def matches(book: Book, wanted: ImageFilter) -> bool:
    return _of_file(book, wanted) and _of_words(book, wanted) and _of_prediction(book, wanted)


VERSION_ROW = """
    INSERT INTO pixref.model_version (model_id, number, state, artifact_key, artifact_sha256, artifact_size, litert_key, litert_sha256,
        litert_size, input_spec, preprocessing)
    SELECT id, :number, 'READY', 'a' || :key, :digest, 1, 'b' || :key, :digest, 1, '{}', '{}' FROM pixref.model WHERE name = :model"""
CHAMPION_ROW = """
    INSERT INTO pixref.model_alias (model_id, alias, model_version_id)
    SELECT model_id, 'champion', id FROM pixref.model_version WHERE id = :version"""
_IMAGE = """
    INSERT INTO pixref.image (id, sha256, object_key, byte_size, state, width, height, channels, bit_depth, color_type, original_name, label_id,
        split, source, attributes, exif, png, taken_at, created_at, ready_at, lease_until, damage, damaged_at)
    OVERRIDING SYSTEM VALUE
    VALUES (:id, :digest, :key, :byte_size, 'READY', :width, :height, :channels, :bit_depth, 0, :name,
        (SELECT id FROM pixref.label WHERE name = :label), :split, 'test', CAST(:attributes AS jsonb), CAST(:exif AS jsonb), CAST(:png AS jsonb),
        :taken_at, :created_at, now(), NULL, :damage, CASE WHEN CAST(:damage AS text) IS NOT NULL THEN now() END)"""
_TAGGED = "INSERT INTO pixref.image_tag (image_id, tag_id) SELECT :id, id FROM pixref.tag WHERE name = :tag"
_PREDICTED = """
    INSERT INTO pixref.prediction (image_id, model_version_id, label_id, score, scores, error)
    VALUES (:id, :version, (SELECT id FROM pixref.label WHERE name = :label), :score, :scores, :error)"""
