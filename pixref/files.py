"""The original bytes of pictures, from the bucket by presigned links or through the service, always compared with the SHA-256 of the row."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from operator import index
from pathlib import Path
from typing import Literal, SupportsIndex, TypeAlias, TypeVar

from pixref.errors import IntegrityError, NotFound, PixrefError
from pixref.ordered import batches, ordered
from pixref.shapes import Image, read
from pixref.transport import Answer, Transport, origin

LINKS_AT_ONCE = 200
"""So few that the last link of them is still good when its turn comes."""

T = TypeVar("T")
Missing: TypeAlias = Literal["raise", "skip"]


def id_of(picture: SupportsIndex | Image) -> int:
    """Return a picture's id. Raises `TypeError` for what is neither a picture nor a whole number, of whatever library."""
    return picture.id if isinstance(picture, Image) else index(picture)


def get_image(transport: Transport, image_id: int) -> Image:
    """Return the picture. Raises `NotFound`."""
    return read(Image, transport.call("GET", f"images/{image_id}").json())


def fetch(transport: Transport, picture: int | Image) -> bytes:
    """Return the picture's bytes. Raises `IntegrityError`, `NotFound`."""
    image = picture if isinstance(picture, Image) else get_image(transport, index(picture))
    return _fetch(transport, image)


def fetch_many(
    transport: Transport, pictures: Iterable[int | Image], finish: Callable[[bytes], T], *, workers: int, missing: Missing
) -> Iterator[tuple[Image, T]]:
    """Yield each picture and what `finish` makes of its bytes, in order; `missing` says what becomes of those that are not there."""
    if missing not in ("raise", "skip"):
        raise ValueError(f"missing is {missing!r}: 'raise', or 'skip' to leave out what is not there")

    def one(job: _Job) -> tuple[Image, T] | None:
        try:
            image, data = _fetch_by_link(transport, *job)
        except NotFound:
            if missing == "raise":
                raise
            return None
        return image, finish(data)

    return (found for found in ordered(one, _jobs(transport, iter(pictures)), workers=workers) if found is not None)


def save(data: bytes, path: Path) -> Path:
    """Write a file that is there whole or not at all. Raises `OSError`."""
    part = path.with_name(f".{path.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return path


_Job: TypeAlias = tuple[int | Image, str | None]


def _jobs(transport: Transport, pictures: Iterator[int | Image]) -> Iterator[_Job]:
    """Give each picture its link; none to any where the service sends the bytes itself, since the bucket may be out of reach then."""
    by_link = None
    for batch in batches(pictures, LINKS_AT_ONCE):
        if by_link is None:
            by_link = _hands_out_links(transport, batch)
        if not by_link:
            yield from ((picture, None) for picture in batch)
            continue
        ids = [id_of(picture) for picture in batch]
        items = transport.call("POST", "images/urls", repeatable=True, send={"ids": ids}).json()["items"]
        urls = {item["id"]: item["url"] for item in items}
        yield from ((picture, urls.get(image_id)) for picture, image_id in zip(batch, ids, strict=True))


def _hands_out_links(transport: Transport, pictures: list[int | Image]) -> bool | None:
    """Look at how the first picture that is there comes; None where none is."""
    for picture in pictures:
        try:
            answer = transport.call("GET", f"images/{id_of(picture)}/file", limit=0, redirects=True)
        except (NotFound, IntegrityError):
            continue
        return answer.location is not None
    return None


def _fetch_by_link(transport: Transport, picture: int | Image, url: str | None) -> tuple[Image, bytes]:
    image = picture if isinstance(picture, Image) else get_image(transport, index(picture))
    if url is not None:
        answer = transport.bucket_get(url, limit=image.byte_size)
        if answer.status == 200:
            return image, _verified(image, answer)
    # No link, or one that is no longer good: the service says why, or gives another.
    return image, _fetch(transport, image)


def _fetch(transport: Transport, image: Image) -> bytes:
    answer = transport.call("GET", f"images/{image.id}/file", limit=image.byte_size, redirects=True)
    link = answer.location
    if link is None:
        return _verified(image, answer)
    answer = transport.bucket_get(link, limit=image.byte_size)
    if answer.status == 404:
        get_image(transport, image.id)  # raises where it was deleted meanwhile
        raise IntegrityError(
            f"the bytes of picture {image.id} are missing from the bucket: upload the same file again to heal it",
            code="object_lost",
        )
    if answer.status != 200:
        raise PixrefError(
            f"{origin(link)} refuses the link to picture {image.id} with {answer.status}: compare the clocks of this service and the bucket, and "
            "have a proxy before the bucket pass on the Host header",
            code="link_refused",
            status=answer.status,
        )
    return _verified(image, answer)


def _verified(image: Image, answer: Answer) -> bytes:
    found = hashlib.sha256(answer.content).hexdigest()
    if found != image.sha256:
        size = len(answer.content)
        has = f"more than its {image.byte_size} bytes" if size > image.byte_size else f"{size} bytes with the sha256 {found}"
        raise IntegrityError(
            f"what came for picture {image.id} is {has}, not {image.byte_size} bytes with {image.sha256}: it was altered in the bucket or on its "
            "way; where it stays so, upload the same file again to heal it",
            code="object_corrupt",
        )
    return answer.content
