"""The client: what users call. Each method is one request, or an iterator of them; the work is in the modules beside this one."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any, Self, SupportsIndex

import httpx

from pixref import files, many, pixels, uploads
from pixref.encoding import form, query
from pixref.errors import JobFailed, UnexpectedAnswer
from pixref.pixels import Mode, Pixels
from pixref.shapes import Changed, Facets, Image, Job, ModelVersion, Prediction, Trashed, read, read_facets
from pixref.sources import Source, is_array, open_source
from pixref.sql import Result
from pixref.transport import Transport
from pixref.uploads import Fields, Upload

DEFAULT_URL = "http://127.0.0.1:8000"
PAGE = 200
FIRST_LOOK_S, WIDEST_LOOK_S = 0.2, 3.0


class _Kept:
    """What an argument is that was not given, where None means to take something off."""

    def __repr__(self) -> str:
        return "KEPT"


KEPT: Any = _Kept()


class Client:
    """A connection to a Pixref service; thread-safe. Every method raises `PixrefError` or one of its kinds (`pixref.errors`).

    `url` and `token` are taken from PIXREF_URL and PIXREF_TOKEN where they are not given; `pixref token create` prints a token. `timeout_s` is how
    long an answer may keep silent. What can be repeated without harm (reading, uploads, connecting) is tried `retries` times more, after the
    pause that the service asks for; where it says that it is busy, up to 20 times. `connections` is the most that are open at once, to the
    service and to the bucket each.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: int = 3,
        connections: int = 32,
    ) -> None:
        token = token or os.environ.get("PIXREF_TOKEN")
        if not token:
            raise ValueError(
                "no token: give Client(token=...) or set PIXREF_TOKEN; `pixref token create --role editor --name me` prints one"
            )
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ValueError("the token has other characters than `pixref token create` prints: copy it anew")
        self._transport = Transport(
            _address(url or os.environ.get("PIXREF_URL") or DEFAULT_URL),
            token,
            timeout_s=timeout_s,
            retries=retries,
            connections=connections,
        )

    @property
    def url(self) -> str:
        """The service's address."""
        return self._transport.url

    def __repr__(self) -> str:
        return f"Client(url={self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    # Pictures

    def upload(
        self,
        source: Source,
        *,
        label: str | None = None,
        tags: Iterable[str] = (),
        split: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        name: str | None = None,
        direct: bool = False,
    ) -> Image:
        """Upload a PNG: a path, its bytes, a file opened with "rb", or an array of pixels, which is encoded without loss.

        `created` of the picture says whether it is new; where the same bytes are here already, it is the existing one, unchanged. `name` takes the
        place of the file's own. `direct` sends the bytes straight to the bucket, which must be within reach. Raises `BadImage`, `Invalid`, `OSError`.
        """
        fields = Fields.of({"label": label, "tags": tags, "split": split, "attributes": attributes, "name": name})
        return uploads.upload(self._transport, open_source(source), fields, direct=direct)

    def upload_many(
        self,
        sources: Iterable[Source],
        *,
        workers: int = 4,
        describe: Callable[[Any], Mapping[str, Any]] | None = None,
        direct: bool = False,
        **fields: Any,
    ) -> Iterator[Upload]:
        """Upload many files, `workers` at a time, and yield what became of each, in order: `source`, and `image` or `error`.

        What is here already is found by its hash and not sent. `label`, `tags`, `split` and `attributes` hold for all of them; `describe(source)`
        returns those of one, as a mapping. A file that is refused or cannot be read does not stop the others; what would befall every file does,
        by `PixrefError`. Nothing is sent before the first result is asked for, and the sources are taken as they are needed.
        """
        Fields.of(fields)
        return uploads.upload_many(self._transport, sources, fields, describe, workers=workers, direct=direct)

    def images(self, *, limit: int | None = None, page_size: int = PAGE, **filters: Any) -> Iterator[Image]:
        """Yield the pictures that match all filters, newest first, page by page as they are asked for; at most `limit` of them.

        The filters are those of `GET /api/v1/images` (docs/api.md), by name: a list is a repeated parameter, None is no filter, times need a time
        zone. Pictures that are added meanwhile do not shift the others. An unknown filter raises `Invalid` with the first picture.
        """
        left = limit
        while left is None or left > 0:
            asked = page_size if left is None else min(page_size, left)
            page = self._transport.call("GET", "images", params=query({**filters, "limit": asked})).json()
            for item in page["items"]:
                yield read(Image, item)
            left = None if left is None else left - len(page["items"])
            if page["next"] is None:
                return
            filters["after"] = page["next"]

    def image(self, image_id: int) -> Image:
        """Return one picture. Raises `NotFound`."""
        return files.get_image(self._transport, files.id_of(image_id))

    def delete(self, picture: int | Image, *, purge: bool = False) -> None:
        """Delete a picture; it can be restored for some days, unless `purge`. Raises `NotFound`."""
        self._transport.call("DELETE", f"images/{files.id_of(picture)}", params=query({"purge": purge or None}))

    def restore(self, picture: int | Image) -> Image:
        """Bring a deleted picture back as it was. Raises `NotFound` when its time is over, `Conflict` when its bytes were uploaded since."""
        return read(Image, self._transport.call("POST", f"images/{files.id_of(picture)}/restore").json())

    def label(self, picture: int | Image, label: str | None) -> Image:
        """Set the label; None takes it off."""
        return read(Image, self._transport.call("PUT", f"images/{files.id_of(picture)}/label", send={"label": label}).json())

    def tags(self, picture: int | Image, tags: Iterable[str]) -> Image:
        """Set the tags: exactly these from now on."""
        send = {"tags": list(_words("tags", tags))}
        return read(Image, self._transport.call("PUT", f"images/{files.id_of(picture)}/tags", send=send).json())

    def edit(
        self, picture: int | Image, *, split: str | None = KEPT, attributes: Mapping[str, Any] = KEPT, name: str | None = KEPT
    ) -> Image:
        """Change what is given of split, attributes (replaced as a whole) and original name; None takes split or name off."""
        given = {"split": split, "attributes": attributes, "original_name": name}
        send = {field: value for field, value in given.items() if value is not KEPT}
        return read(Image, self._transport.call("PATCH", f"images/{files.id_of(picture)}", send=send).json())

    def label_many(
        self, label: str | None, pictures: Iterable[int | Image] | None = None, /, *, dry_run: bool = False, **filters: Any
    ) -> Changed:
        """Set the label of these pictures, or of all that match the filters of `images`; None takes it off. `dry_run` only counts.

        By filters it is one transaction; of pictures each 10,000 are one. What is not there is passed over. `label_many("7", label="1")` gives
        those with label 1 the label 7.
        """
        return many.change(self._transport, "images/label", {"label": label, "dry_run": dry_run}, pictures, filters)

    def tag_many(
        self,
        pictures: Iterable[int | Image] | None = None,
        *,
        add: Iterable[str] = (),
        remove: Iterable[str] = (),
        dry_run: bool = False,
        **filters: Any,
    ) -> Changed:
        """Give these pictures, or all that match the filters of `images`, some tags, and take others off. As `label_many`."""
        what = {"add": list(_words("add", add)), "remove": list(_words("remove", remove)), "dry_run": dry_run}
        return many.change(self._transport, "images/tags", what, pictures, filters)

    def facets(self, **filters: Any) -> Facets:
        """Count the pictures that match the filters of `images`, in all and by label, tag, split and predicted label."""
        return read_facets(self._transport.call("GET", "images/facets", params=query(filters)).json())

    def trash(self) -> list[Trashed]:
        """Return the last 200 deleted pictures that `restore` brings back, the last deleted first."""
        return [read(Trashed, item) for item in self._transport.call("GET", "trash").json()["items"]]

    # Bytes and pixels

    def fetch(self, picture: int | Image) -> bytes:
        """Return the original bytes, compared with their SHA-256. Raises `IntegrityError` where they are others, or lost.

        A picture, in place of its id, saves a request.
        """
        return files.fetch(self._transport, picture)

    def download(self, picture: int | Image, path: str | os.PathLike[str]) -> Path:
        """Write the original bytes to a file, or to `ID.png` in a folder that exists; return its path. The file is there whole or not at all."""
        target = Path(path)
        return files.save(self.fetch(picture), target / f"{files.id_of(picture)}.png" if target.is_dir() else target)

    def fetch_many(
        self, pictures: Iterable[int | Image], *, workers: int = 8, missing: files.Missing = "raise"
    ) -> Iterator[tuple[Image, bytes]]:
        """Yield pictures with their original bytes, in the order given, `workers` at a time, each compared with its SHA-256.

        What is not there raises `NotFound`, or is left out by `missing="skip"`. Give pictures where you have them: an id costs a request more.
        """
        return files.fetch_many(self._transport, pictures, bytes, workers=workers, missing=missing)

    def arrays(
        self,
        pictures: Iterable[int | Image] | None = None,
        *,
        mode: Mode = "RGB",
        size: tuple[int, int] | None = None,
        background: int = 255,
        workers: int = 8,
        missing: files.Missing | None = None,
        **filters: Any,
    ) -> Iterator[tuple[Image, Pixels]]:
        """Yield pictures with their pixels as uint8: (height, width) in mode L, (height, width, channels) in LA, RGB and RGBA.

        Either `pictures`, in their order, or those that match the filters of `images`. L and RGB lay transparent pixels over the grey level
        `background`; 16-bit samples are cut to their high byte, palettes become their colours. `size` (width, height) stretches. What is not there
        is as in `fetch_many`; by filters it is left out, since others may delete meanwhile. Needs NumPy and Pillow.
        """
        pixels.check(mode, size, background)
        if pictures is not None and filters:
            raise TypeError(f"give pictures or filters ({', '.join(filters)}), not both")
        chosen = self.images(**filters) if pictures is None else pictures
        decode = partial(pixels.decode, mode=mode, size=size, background=background)
        policy = missing or ("skip" if pictures is None else "raise")
        return files.fetch_many(self._transport, chosen, decode, workers=workers, missing=policy)

    # Models

    def predict(
        self, picture: int | Image | Source, *, model: str = "mnist", version: int | None = None, alias: str | None = None
    ) -> Prediction:
        """Predict a stored picture, by id or as it came, which is kept as a row; or a file as `upload` takes it, of which nothing is kept.

        By the version behind the alias `champion`, unless `version` or `alias` names another.
        """
        choice = {name: value for name, value in (("model", model), ("version", version), ("alias", alias)) if value is not None}
        if isinstance(picture, Image | SupportsIndex) and not is_array(picture):
            answer = self._transport.call("POST", f"images/{files.id_of(picture)}/predictions", send=choice)
        else:
            content = open_source(picture)
            content_type, body = form(query(choice), content.read(), name=content.name or "", media_type=uploads.MEDIA_TYPE)
            answer = self._transport.call(
                "POST", "predict", repeatable=True, content=body, headers={"Content-Type": content_type}
            )
        return read(Prediction, answer.json())

    def predict_many(
        self,
        pictures: Iterable[int | Image] | None = None,
        *,
        model: str = "mnist",
        version: int | None = None,
        alias: str | None = None,
        where: str | None = None,
        again: bool = False,
        **filters: Any,
    ) -> Job:
        """Have stored pictures predicted by the service's worker: these, at most 10,000, or those that match the filters of `images`, or those for
        which `where` holds, a condition in SQL on `catalog.images`; else all. What this version has predicted is skipped, unless `again`.

        Returns at once; `wait` returns when it is done.
        """
        choice = {name: value for name, value in (("model", model), ("version", version), ("alias", alias)) if value is not None}
        wanted: dict[str, Any] = {
            "ids": None if pictures is None else [files.id_of(picture) for picture in pictures],
            "filter": many.filter_of(filters) or None,
            "where": where,
        }
        wanted = {name: value for name, value in wanted.items() if value is not None} or {"all": True}
        return read(Job, self._transport.call("POST", "predictions", send={**choice, **wanted, "again": again}).json())

    def models(self) -> list[ModelVersion]:
        """Return every version of every model, newest first within its model."""
        return [read(ModelVersion, item) for item in self._transport.call("GET", "models").json()["items"]]

    # Jobs

    def job(self, job_id: int | Job) -> Job:
        """Return how far a job is. Raises `NotFound`."""
        return read(Job, self._transport.call("GET", f"jobs/{_job_id(job_id)}").json())

    def cancel(self, job_id: int | Job) -> Job:
        """Cancel a job: at once while it waits, else within seconds. Raises `Conflict` when it has ended."""
        return read(Job, self._transport.call("POST", f"jobs/{_job_id(job_id)}/cancel").json())

    def wait(self, job_id: int | Job, *, timeout_s: float | None = None, watch: Callable[[Job], None] | None = None) -> Job:
        """Return when a job is done; `watch` is told of each look. Raises `JobFailed`, after `timeout_s` `TimeoutError`."""
        began, pause_s = time.monotonic(), FIRST_LOOK_S
        while True:
            job = self.job(job_id)
            if watch is not None:
                watch(job)
            if job.ended:
                break
            if timeout_s is not None and time.monotonic() - began + pause_s > timeout_s:
                raise TimeoutError(f"job {job.id} is {job.state} after {timeout_s:g} s, {job.progress:.0%} done")
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, WIDEST_LOOK_S)
        if job.state != "succeeded":
            error = job.error or {"code": job.state, "detail": f"job {job.id} was cancelled"}
            raise JobFailed(error["detail"], code=error["code"], extra={"job": job.id})
        return job

    # SQL

    def sql(self, statement: str, params: Sequence[Any] = ()) -> Result:
        """Ask the catalogue by one SELECT; `params` are bound to $1, $2, ..., never pasted. `truncated` says that there were more rows."""
        answer = self._transport.call("POST", "sql", repeatable=True, send={"query": statement, "params": list(params)}).json()
        try:
            return Result(answer["columns"], answer["rows"], truncated=answer["truncated"], elapsed_ms=answer["elapsed_ms"])
        except KeyError as exc:
            raise UnexpectedAnswer(
                f"the service answered a query without {exc}: is it older than this client?", code="unexpected_answer"
            ) from None


def _address(url: str) -> str:
    """Check a service's URL and take off what is behind it. Raises `ValueError`."""
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL()
    if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment or parts.userinfo:
        raise ValueError(f"{url!r} is not the address of a service: give one such as {DEFAULT_URL}")
    return url.rstrip("/").removesuffix("/api/v1")


def _words(name: str, words: Iterable[str]) -> Iterable[str]:
    if isinstance(words, str):
        raise TypeError(f"{name} is the text {words!r}: give a list of them")
    return words


def _job_id(job: int | Job) -> int:
    return job.id if isinstance(job, Job) else index(job)
