"""The store that docs/sql.md asks: small, always the same, down to its times."""

import struct
from datetime import timedelta
from itertools import chain, islice

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from schema.session import Sessions
from service.accounts.actor import Actor
from service.accounts.tokens import local_actor
from service.datasets.mnist import pictures
from service.models.bulk import predict_batch
from service.models.registry import find_version
from service.models.serving import load
from service.pictures.bulk import upload_many
from service.pictures.delete import delete_image
from service.pictures.labels import set_label
from service.png import PngLimits
from service.settings import PROJECT_DIR
from storage.base import ObjectStore
from tests.factories import add_image
from tests.pngs import exif_block, png

PHOTOS = PROJECT_DIR / "samples" / "photos"
GIRAFFE = (PHOTOS / "giraffe.png").read_bytes()
TRAIN, TEST = 40, 20


def photo() -> bytes:
    """Draw the picture of a lion that a camera has taken: interlaced, with EXIF, physical size, gamma and texts."""

    def word(value: str) -> tuple[int, int, bytes]:
        data = value.encode() + b"\0"
        return 2, len(data), data

    main = {0x010F: word("Acme"), 0x0110: word("Acme M3"), 0x0112: (3, 1, struct.pack("<H", 6))}
    taken = {
        0x9003: word("2025:08:14 06:30:00"),
        0x9011: word("+02:00"),
        0x829A: (5, 1, struct.pack("<II", 1, 250)),
        0x829D: (5, 1, struct.pack("<II", 28, 10)),
        0x8827: (3, 1, struct.pack("<H", 400)),
        0x920A: (5, 1, struct.pack("<II", 50, 1)),
    }
    chunks = [
        (b"gAMA", struct.pack(">I", 45455)),
        (b"pHYs", struct.pack(">IIB", 11811, 11811, 1)),
        (b"eXIf", exif_block(main, sub=taken)),
        (b"tEXt", b"Title\0Lion at dawn"),
        (b"tEXt", b"Author\0Ana"),
    ]
    return png(96, 64, color_type=2, interlace=1, seed=7, middle=chunks)


def fill(sessions: Sessions, store: ObjectStore, actor: Actor, admin_url: URL, database_url: str, version: int) -> None:
    """Make the store; the built-in model is registered, as `version`, and nothing else is there."""
    samples = PROJECT_DIR / "samples"
    upload_many(
        sessions,
        store,
        chain(islice(pictures(samples, "train"), TRAIN), islice(pictures(samples, "test"), TEST)),
        limits=PngLimits(),
        source="mnist",
        actor=actor,
        refuse=lambda candidate, error: pytest.fail(error.detail),
    )
    ana = local_actor(sessions, "ana")
    giraffe = add_image(
        sessions,
        store,
        ana,
        GIRAFFE,
        original_name="giraffe.png",
        label="lion",
        tags=["giraffe", "savanna"],
        attributes={"place": "Etosha", "camera": "M3"},
        source="form",
    )
    set_label(sessions, giraffe, "giraffe", actor=ana)
    add_image(
        sessions,
        store,
        ana,
        photo(),
        original_name="lion.png",
        label="lion",
        tags=["savanna"],
        attributes={"place": "Etosha", "camera": "M3", "animals": 2},
        source="api",
    )
    add_image(
        sessions,
        store,
        actor,
        (PHOTOS / "micrograph.png").read_bytes(),
        original_name="micrograph.png",
        label="cell",
        split="validation",
        attributes={"stain": "H&E", "magnification": 40},
    )
    add_image(sessions, store, ana, (PHOTOS / "plot.png").read_bytes(), original_name="plot.png", tags=["drawn"], source="form")
    set_label(sessions, 2, "8", actor=ana)
    loaded = load(sessions, store, find_version(sessions, "mnist", version=version))
    with sessions() as session:
        ids = list(session.scalars(text("SELECT id FROM pixref.image ORDER BY id")))
    predict_batch(sessions, store, loaded, ids, actor=actor)
    add_image(sessions, store, ana, (PHOTOS / "badge.png").read_bytes(), original_name="badge.png", source="form")
    delete_image(sessions, add_image(sessions, store, ana, png(9, 9, seed=9), source="form"), keep=timedelta(days=7))
    with create_engine(admin_url, poolclass=NullPool).begin() as connection:
        for statement in (*SECOND_VERSION, *JOBS, *TIMES):
            connection.execute(text(statement))


# A bad model, to compare with: it takes everything for a 1.
SECOND_VERSION = [
    """INSERT INTO pixref.model_version (model_id, number, state, artifact_key, artifact_sha256, artifact_size, litert_key, litert_sha256,
                                         litert_size, input_spec, preprocessing, metrics)
       SELECT model_id, 2, 'READY', 'models/other.keras', repeat('0', 64), artifact_size, 'models/other.tflite', repeat('0', 64),
              litert_size, input_spec, preprocessing, '{"test_accuracy": 0.1135}' FROM pixref.model_version""",
    """INSERT INTO pixref.model_class SELECT 2, position, label_id FROM pixref.model_class""",
    """INSERT INTO pixref.prediction (image_id, model_version_id, label_id, score, scores)
       SELECT image_id, 2, (SELECT id FROM pixref.label WHERE name = '1'), 0.5, '{0.1,0.5,0.05,0.05,0.05,0.05,0.05,0.05,0.05,0.05}'
       FROM pixref.prediction WHERE model_version_id = 1""",
]
JOBS = [
    """INSERT INTO pixref.job (task, state, parameters, total, done, failed, result, created_by, started_at, finished_at)
       SELECT 'predict', 'succeeded', '{"model": "mnist", "version": 1}', 12, 12, 0, '{"predicted": 12}', min(id), now(), now()
       FROM pixref.account""",
    """INSERT INTO pixref.job (task, state, parameters, total, done, failed, error, created_by, started_at, finished_at)
       SELECT 'predict', 'failed', '{"model": "mnist", "version": 2}', 12, 5, 1,
              '{"code": "storage_unavailable", "detail": "the bucket cannot be reached"}', min(id), now(), now() FROM pixref.account""",
]
# A minute for each picture, from one morning on; what was done later, later.
TIMES = [
    "UPDATE pixref.image SET created_at = '2026-03-02 09:00+00'::timestamptz + id * interval '1 min'",
    "UPDATE pixref.image SET ready_at = created_at WHERE state <> 'PENDING'",
    """UPDATE pixref.label_event e SET changed_at = i.created_at + CASE WHEN e.old_label_id IS NULL THEN '0' ELSE '1 day' END::interval
       FROM pixref.image i WHERE i.id = e.image_id""",
    "UPDATE pixref.prediction SET created_at = '2026-03-02 12:00+00', latency_ms = 0.25 * model_version_id",
    "UPDATE pixref.model SET created_at = '2026-03-01 08:00+00'",
    "UPDATE pixref.model_version SET created_at = '2026-03-01 08:00+00'::timestamptz + number * interval '1 hour'",
    "UPDATE pixref.label SET created_at = '2026-03-02 09:00+00'",
    "UPDATE pixref.tag SET created_at = '2026-03-02 09:00+00'",
]
