"""Uploads: through the service under an Idempotency-Key, or straight into the bucket by a presigned form; one by one or many."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Self
from uuid import uuid4

from pixref.encoding import form
from pixref.errors import Conflict, Invalid, NotFound, PixrefError
from pixref.ordered import batches, ordered
from pixref.shapes import Image, read
from pixref.sources import Content, Source, open_source
from pixref.transport import Transport, origin

MEDIA_TYPE = "image/png"
CHECKED_AT_ONCE = 64

# What is wrong with one file and says nothing of the next.
_OF_ONE_FILE = (Invalid, Conflict, OSError)


@dataclass(frozen=True, slots=True)
class Fields:
    """What is said of a picture when it is uploaded. `name` None means the file's own."""

    label: str | None = None
    tags: Iterable[str] = ()
    split: str | None = None
    attributes: Mapping[str, Any] | None = None
    name: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Check the names and make the tags a list. Raises `TypeError`."""
        unknown = sorted(set(values) - set(cls.__dataclass_fields__))
        if unknown:
            raise TypeError(f"{unknown[0]!r} is not known of an upload: use {', '.join(cls.__dataclass_fields__)}")
        tags = values.get("tags", ())
        if isinstance(tags, str):
            raise TypeError(f"tags is the text {tags!r}: give a list of them")
        return cls(**{**values, "tags": list(tags)})


@dataclass(frozen=True, slots=True)
class Upload:
    """What became of one file of many: its picture, or what was wrong with it."""

    source: Source
    image: Image | None
    error: PixrefError | OSError | None


def upload(transport: Transport, content: Content, fields: Fields, *, direct: bool) -> Image:
    """Send a file. Raises `PixrefError`, `OSError`."""
    return _upload_direct(transport, content, fields) if direct else _upload(transport, content, fields)


def upload_many(
    transport: Transport,
    sources: Iterable[Source],
    fields: Mapping[str, Any],
    describe: Callable[[Source], Mapping[str, Any]] | None,
    *,
    workers: int,
    direct: bool,
) -> Iterator[Upload]:
    """Yield what became of each file, in order. Raises `PixrefError` for what would befall every other file as well."""

    def said(source: Source) -> Fields:
        return Fields.of({**fields, **(describe(source) if describe else {})})

    jobs = chain.from_iterable(_checked(transport, batch, said) for batch in batches(sources, CHECKED_AT_ONCE))
    return ordered(partial(_upload_one, transport, direct), jobs, workers=workers)


@dataclass(frozen=True, slots=True)
class _Job:
    source: Source
    content: Content | OSError
    fields: Fields
    known: int | None


def _checked(transport: Transport, sources: list[Source], said: Callable[[Source], Fields]) -> list[_Job]:
    """Hash these files and ask which of them are here."""
    opened: list[Content | OSError] = []
    for source in sources:
        try:
            opened.append(open_source(source))
        except OSError as exc:
            opened.append(exc)
    hashes = [content.sha256 for content in opened if isinstance(content, Content)]
    items = transport.call("POST", "images/check", repeatable=True, send={"sha256": hashes}).json()["items"] if hashes else []
    known = {item["sha256"]: item["id"] for item in items}
    return [
        _Job(source, content, said(source), known.get(content.sha256) if isinstance(content, Content) else None)
        for source, content in zip(sources, opened, strict=True)
    ]


def _upload_one(transport: Transport, direct: bool, job: _Job) -> Upload:
    if isinstance(job.content, OSError):
        return Upload(job.source, None, job.content)
    try:
        image = _sound(transport, job.known) if job.known is not None else None
        return Upload(job.source, image or upload(transport, job.content, job.fields, direct=direct), None)
    except _OF_ONE_FILE as exc:
        return Upload(job.source, None, exc)


def _sound(transport: Transport, image_id: int) -> Image | None:
    """Return a picture that need not be sent; None where it is damaged, which the bytes heal, or gone meanwhile."""
    try:
        value = transport.call("GET", f"images/{image_id}").json()
    except NotFound:
        return None
    image = read(Image, value, created=False)
    return image if image.damage is None else None


def _upload(transport: Transport, content: Content, fields: Fields) -> Image:
    pairs = [("tags", tag) for tag in fields.tags]
    pairs += [(name, value) for name, value in (("label", fields.label), ("split", fields.split)) if value is not None]
    if fields.attributes is not None:
        pairs.append(("attributes", json.dumps(fields.attributes)))
    name = content.name if fields.name is None else fields.name
    content_type, body = form(pairs, content.read(), name=name or "", media_type=MEDIA_TYPE)
    answer = transport.call(
        "POST",
        "images",
        repeatable=True,
        content=body,
        headers={"Content-Type": content_type, "Idempotency-Key": str(uuid4())},
    )
    return read(Image, answer.json(), created=answer.status == 201)


def _upload_direct(transport: Transport, content: Content, fields: Fields) -> Image:
    data = content.read()
    said = {
        "sha256": content.sha256,
        "byte_size": len(data),
        "name": content.name if fields.name is None else fields.name,
        "label": fields.label,
        "tags": list(fields.tags),
        "split": fields.split,
        "attributes": dict(fields.attributes or {}),
    }
    # Begun twice, the one that is never completed is forgotten within the hour.
    begun = transport.call("POST", "uploads", repeatable=True, send=said)
    answer = begun.json()
    if begun.status == 200:
        return read(Image, answer, created=False)
    content_type, body = form(answer["fields"].items(), data, name="", media_type=MEDIA_TYPE)
    sent = transport.bucket_post(answer["url"], content_type, body)
    if sent.status != 204:
        raise PixrefError(
            f"{origin(answer['url'])} refuses the form of the upload with {sent.status}: upload without direct=True, or have a proxy before the "
            "bucket pass on the request as it is",
            code="form_refused",
            status=sent.status,
        )
    done = transport.call("POST", f"uploads/{answer['id']}/complete", repeatable=True)
    return read(Image, done.json(), created=done.status == 201)
