"""Snapshots: frozen sets of labelled pictures, each with the label and the split that it had, and a digest that says whether two sets are the same.

The digest is SHA-256 over one line a picture, `sha256 TAB label TAB split LF` in UTF-8, in the order of the pictures' own digests; no split is
an empty one. Names have no control characters, so the lines say exactly what the set is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Text, cast, func, insert, literal, select, true
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as upsert

from schema.session import Sessions
from schema.tables import Account, Image, Label, Snapshot, SnapshotImage
from service.accounts.actor import Actor
from service.errors import Invalid, NotFound
from service.models.selection import Selection, chosen
from service.pictures.bulk_changes import allow_time
from service.sql.ask import Door

PAGE = 5_000


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A snapshot as lists show it."""

    id: int
    digest: str
    pictures: int
    selection: dict[str, Any]
    created_by: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A picture of a snapshot as it was; `image_id` is None when it is gone."""

    image_id: int | None
    sha256: str
    label: str
    split: str | None


def take_snapshot(sessions: Sessions, door: Door, selection: Selection, *, actor: Actor) -> SnapshotInfo:
    """Freeze the labelled pictures that are meant now. The same set again is the same snapshot. Raises `Invalid` when there are none.

    One statement reads, counts and writes them, so that it has one moment's labels.
    """
    wanted = chosen(sessions, door, selection, actor=actor)
    pictures = (
        select(Image.sha256, Image.id.label("image_id"), Label.name.label("label"), Image.split)
        .join(Label, Label.id == Image.label_id)
        .where(Image.id.in_(wanted), Image.state == "READY")
        # None of them can be removed before their rows refer to them.
        .with_for_update(read=True, key_share=True, of=Image)
        .cte("pictures")
    )
    line = pictures.c.sha256 + "\t" + pictures.c.label + "\t" + func.coalesce(pictures.c.split, "") + "\n"
    lines = func.string_agg(line, aggregate_order_by(literal(""), pictures.c.sha256.collate("C")))
    digest = func.encode(func.sha256(func.convert_to(cast(lines, Text), "UTF8")), "hex")
    counted = select(digest.label("digest"), func.count().label("pictures")).select_from(pictures).cte("counted")
    row = select(
        counted.c.digest, counted.c.pictures, literal(selection.to_json(), Snapshot.selection.type), literal(actor.account_id)
    )
    columns = ["digest", "pictures", "selection", "created_by"]
    made = (
        upsert(Snapshot)
        .from_select(columns, row.where(counted.c.pictures > 0))
        .on_conflict_do_nothing()
        .returning(Snapshot.id)
        .cte("made")
    )
    kept = (
        insert(SnapshotImage)
        .from_select(
            ["snapshot_id", "sha256", "image_id", "label", "split"],
            select(made.c.id, pictures.c.sha256, pictures.c.image_id, pictures.c.label, pictures.c.split).select_from(
                made.join(pictures, true())
            ),
        )
        .returning(SnapshotImage.sha256)
        .cte("kept")
    )
    with sessions() as session, session.begin():
        allow_time(session)
        found = session.execute(select(counted.c.digest, counted.c.pictures).add_cte(kept)).one()
    if not found.pictures:
        raise Invalid("none of these pictures has a label: label some first, or choose others", field="where")
    return find_snapshot(sessions, found.digest)


def find_snapshot(sessions: Sessions, digest: str) -> SnapshotInfo:
    """Return a snapshot by its digest. Raises `NotFound`."""
    with sessions() as session:
        row = session.execute(_infos().where(Snapshot.digest == digest)).one_or_none()
    if row is None:
        raise NotFound(f"there is no snapshot {digest}: catalog.snapshots shows them")
    return SnapshotInfo(*row)


def members(sessions: Sessions, snapshot_id: int) -> Iterator[Member]:
    """Walk over a snapshot's pictures in the order of their digests."""
    following = (
        select(SnapshotImage.image_id, SnapshotImage.sha256, SnapshotImage.label, SnapshotImage.split)
        .where(SnapshotImage.snapshot_id == snapshot_id)
        .order_by(SnapshotImage.sha256)
        .limit(PAGE)
    )
    after = ""
    while True:
        with sessions() as session:
            found = [Member(*row) for row in session.execute(following.where(SnapshotImage.sha256 > after))]
        yield from found
        if len(found) < PAGE:
            return
        after = found[-1].sha256


def _infos() -> Select[Any]:
    return select(
        Snapshot.id, Snapshot.digest, Snapshot.pictures, Snapshot.selection, Account.name, Snapshot.created_at
    ).outerjoin(Account, Account.id == Snapshot.created_by)
