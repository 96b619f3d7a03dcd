"""Find pictures that look alike: copies in another size, another compression, or with small changes, which SHA-256 keeps apart.

The worker looks at each picture once, by its thumbnail. Two hashes that differ in at most three of 64 bits have one of their quarters in common,
so an index of quarters finds all candidates; which of them are alike the thumbnails themselves say.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import any_, bindparam, func, or_, select, text, update
from sqlalchemy.orm import Session

from schema.session import Sessions
from schema.tables import Image, ImageLikeness, NearDuplicate, Thumbnail
from schema.tables.likeness import BANDS, band
from service.pictures.bulk_changes import allow_time, ids_array
from service.png.perceptual import Levels, gray_square, likeness, perceptual_hashes

DISTANCE_MAX = BANDS - 1
LIKENESS_MIN = 0.98
BATCH = 500
# Of one quarter, of one picture. Only pictures that all look the same come near them: of those, some are told.
CANDIDATES = 200
PARTNERS = 20

# Whoever looks at a batch is alone: two at once would not see each other's hashes.
_ALONE = text("SELECT pg_try_advisory_xact_lock(hashtext('pixref.likeness'))")


def _same_quarter(number: int) -> str:
    """Return the query of those that have a quarter of their hashes in common with `n`."""
    quarter = band(number)
    same = f"{quarter} = {quarter.replace('phash', 'n.phash')}"
    return f"(SELECT image_id, phash FROM pixref.image_likeness WHERE phash IS NOT NULL AND {same} LIMIT {CANDIDATES})"  # noqa: S608


_QUARTERS = " UNION ".join(map(_same_quarter, range(BANDS)))
_CANDIDATES = text(
    f"""
    SELECT n.image_id, c.image_id AS other_id, c.distance
    FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bigint[])) AS n (image_id, phash)
    CROSS JOIN LATERAL (
        SELECT q.image_id, bit_count(CAST(q.phash # n.phash AS bit(64))) AS distance FROM ({_QUARTERS}) AS q
        WHERE q.image_id <> n.image_id AND bit_count(CAST(q.phash # n.phash AS bit(64))) <= {DISTANCE_MAX}
        ORDER BY distance, q.image_id LIMIT {CANDIDATES}
    ) AS c"""  # noqa: S608  (our own text)
)
# FOR KEY SHARE: a picture that is removed meanwhile is passed over.
_KEEP = text(
    """
    INSERT INTO pixref.near_duplicate (image_id, other_id, distance, likeness)
    SELECT p.image_id, p.other_id, p.distance, p.likeness
    FROM unnest(CAST(:images AS bigint[]), CAST(:others AS bigint[]), CAST(:distances AS smallint[]), CAST(:likeness AS real[]))
         AS p (image_id, other_id, distance, likeness)
    JOIN pixref.image i ON i.id = p.image_id
    JOIN pixref.image o ON o.id = p.other_id
    ORDER BY p.image_id, p.other_id
    FOR KEY SHARE OF i, o
    ON CONFLICT DO NOTHING"""
)


@dataclass(frozen=True, slots=True)
class LookedAt:
    """How many pictures were looked at, and how many pairs were found among them and all others."""

    pictures: int
    pairs: int


@dataclass(frozen=True, slots=True)
class Alike:
    """A visible picture that looks like another one. `likeness` is the correlation of their gray levels, at most 1."""

    image_id: int
    distance: int
    likeness: float


def look_at_new(sessions: Sessions, *, time_s: float = 30.0) -> LookedAt:
    """Look at all pictures that nobody has looked at yet, or at as many as the time allows. Does nothing while another process does it."""
    until = time.monotonic() + time_s
    pictures = pairs = 0
    while time.monotonic() < until:
        with sessions() as session, session.begin():
            if not session.scalar(_ALONE):
                break
            allow_time(session)
            batch = _look_at_batch(session)
        pictures += batch.pictures
        pairs += batch.pairs
        if batch.pictures < BATCH:
            break
    return LookedAt(pictures, pairs)


def alike(sessions: Sessions, image_id: int) -> list[Alike]:
    """Return what looks like a picture, the most alike first."""
    query = (
        select(Image.id, NearDuplicate.distance, NearDuplicate.likeness)
        .join(
            NearDuplicate,
            or_(
                (NearDuplicate.image_id == image_id) & (NearDuplicate.other_id == Image.id),
                (NearDuplicate.other_id == image_id) & (NearDuplicate.image_id == Image.id),
            ),
        )
        .where(Image.state == "READY")
        .order_by(NearDuplicate.likeness.desc(), Image.id)
        .limit(PARTNERS)
    )
    with sessions() as session:
        return [Alike(*row) for row in session.execute(query)]


def _look_at_batch(session: Session) -> LookedAt:
    due = session.execute(
        select(Thumbnail.image_id, Thumbnail.media_type, Thumbnail.data)
        .join(ImageLikeness, ImageLikeness.image_id == Thumbnail.image_id)
        .where(ImageLikeness.looked_at.is_(None))
        .order_by(Thumbnail.image_id)
        .limit(BATCH)
    ).all()
    if not due:
        return LookedAt(0, 0)
    squares = _squares(due)
    hashes = dict(zip(squares, perceptual_hashes(list(squares.values())), strict=True))
    rows = [{"looked": row.image_id, "phash_of_it": hashes.get(row.image_id)} for row in due]
    session.connection().execute(
        update(ImageLikeness)
        .where(ImageLikeness.image_id == bindparam("looked"))
        .values(phash=bindparam("phash_of_it"), looked_at=func.now()),
        rows,
    )
    return LookedAt(len(due), _keep_pairs(session, squares, {key: value for key, value in hashes.items() if value is not None}))


def _keep_pairs(session: Session, squares: dict[int, Levels], hashes: Mapping[int, int]) -> int:
    found = session.execute(_CANDIDATES, {"ids": list(hashes), "hashes": list(hashes.values())}).all()
    unknown = {row.other_id for row in found} - squares.keys()
    if unknown:
        thumbnails = select(Thumbnail.image_id, Thumbnail.media_type, Thumbnail.data).where(
            Thumbnail.image_id == any_(ids_array(sorted(unknown)))
        )
        squares = squares | _squares(session.execute(thumbnails).all())
    pairs: dict[tuple[int, int], tuple[int, float]] = {}
    partners: dict[int, int] = dict.fromkeys(hashes, 0)
    for row in found:  # of each picture, the closest first
        if row.other_id not in squares or partners[row.image_id] >= PARTNERS:
            continue
        how = likeness(squares[row.image_id], squares[row.other_id])
        if how >= LIKENESS_MIN:
            partners[row.image_id] += 1
            pairs[max(row.image_id, row.other_id), min(row.image_id, row.other_id)] = row.distance, min(how, 1.0)
    if pairs:
        session.execute(
            _KEEP,
            {
                "images": [image_id for image_id, _ in pairs],
                "others": [other_id for _, other_id in pairs],
                "distances": [distance for distance, _ in pairs.values()],
                "likeness": [how for _, how in pairs.values()],
            },
        )
    return len(pairs)


def _squares(thumbnails: Sequence[Any]) -> dict[int, Levels]:
    found = ((row.image_id, gray_square(bytes(row.data), row.media_type)) for row in thumbnails)
    return {image_id: square for image_id, square in found if square is not None}
