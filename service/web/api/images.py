"""Endpoints on pictures."""

import io
from datetime import UTC, datetime, timedelta
from typing import cast

from flask import Response, redirect, request, send_file
from pydantic import Field
from werkzeug.datastructures import FileStorage
from werkzeug.http import quote_etag

from service import errors
from service.accounts.actor import Role
from service.pictures import damage, delete, fetch, labels, search, upload
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, Strict, endpoint, written
from service.web.api.openapi import STORE_ERRORS
from service.web.api.shapes import (
    IMAGES,
    FacetCounts,
    FilterQuery,
    HashesBody,
    HashHit,
    HashHits,
    IdsBody,
    Image,
    ImagePage,
    ImageQuery,
    LabelBody,
    TagsBody,
    Trash,
    Trashed,
    UploadForm,
    Urls,
    page_of,
)
from service.web.context import actor, context
from service.web.files import read_file

THUMBNAIL_CACHE_S = 24 * 3600
LOCATION = {"Location": "where the picture is"}


class FileQuery(Strict):
    inline: bool = Field(True, description="false for a download under its own name")


class DeleteQuery(Strict):
    purge: bool = Field(False, description="do not keep it in the trash")


@endpoint(
    api,
    "POST",
    "/images",
    Role.EDITOR,
    summary="Upload a picture",
    form=UploadForm,
    answers={200: Image, 201: Image},
    keeps=True,
    errors=(errors.IdempotencyKeyReused, errors.Conflict, errors.UploadInterrupted, *STORE_ERRORS),
    headers=LOCATION,
    sends={
        "Idempotency-Key": {
            "type": "string",
            "pattern": "^[!-~]{1,255}$",
            "format": "idempotency-key",
            "description": "a UUID for example",
        }
    },
    example='curl -s -H "Authorization: Bearer $TOKEN" -F file=@samples/photos/giraffe.png -F label=giraffe -F tags=animal -F tags=drawn '
    "$PIXREF/api/v1/images",
)
def upload_image(file: FileStorage, form: UploadForm) -> Answer:
    """201 and the picture, or 200 and the existing picture, unchanged, when these bytes are here already; where its object was lost or altered,
    they heal it. `Location` is its address.

    With a header `Idempotency-Key` (1 to 255 visible ASCII characters, a UUID for example) a request may be repeated for a day: it leads to the same
    picture, and never makes one anew that was deleted since (409). The same key with another file or other fields is 422
    `idempotency_key_reused`.

    PNG only. A file is checked whole before anything is kept: signature, chunk order, every checksum, limits from the header
    (`PIXREF_MAX_UPLOAD_MIB`, `PIXREF_MAX_PIXELS`), every row of pixels; `bad_image` comes with `reason` and `offset`. The bytes are kept and returned
    as they came. An empty `label` or `split` says nothing; `tags` is repeatable."""
    ctx = context()
    description = upload.Description(
        original_name=file.filename,
        label=form.label,
        tags=form.tags,
        split=form.split,
        attributes=form.attributes or {},
    )
    data = read_file(file, ctx.settings.max_upload_bytes)
    done = upload.upload_image(
        ctx.sessions,
        ctx.store,
        data,
        description,
        limits=ctx.limits,
        source="api",
        actor=actor(),
        idempotency_key=request.headers.get("Idempotency-Key"),
    )
    return kept(done.image_id, created=done.created)


def kept(image_id: int, *, created: bool) -> Answer:
    """Return the answer to an upload: 201 and the new picture, or 200 and the existing one."""
    image = Image.of(search.get_image(context().sessions, image_id))
    return image, 201 if created else 200, {"Location": image.links.self}


@endpoint(
    api,
    "GET",
    "/images",
    Role.VIEWER,
    summary="List pictures",
    query=ImageQuery,
    answers={200: ImagePage},
    example='curl -s -H "Authorization: Bearer $TOKEN" "$PIXREF/api/v1/images?label=giraffe&tag=animal&limit=10"',
)
def list_images(query: ImageQuery) -> Answer:
    """A page of the pictures that match all conditions, the newest first unless `sort` says otherwise. Page after page holds each picture once,
    whatever comes and goes meanwhile, in both directions."""
    page = context().pages.page(
        query.filter(),
        address=f"{request.script_root}{IMAGES}",
        limit=query.limit,
        after=query.after,
        before=query.before,
        sort=query.sort,
    )
    return written(page_of(page))


@endpoint(api, "GET", "/images/facets", Role.VIEWER, summary="Count pictures", query=FilterQuery, answers={200: FacetCounts})
def count_images(query: FilterQuery) -> Answer:
    """How many pictures match all conditions, and of these how many have each label, tag, split and predicted label: of each kind the 100 most
    frequent. `as_of` says when they were counted: now where that takes less than 0.1 s, else up to 10 minutes ago; counts older than half a
    minute are renewed behind the answer."""
    return FacetCounts.of(context().facets.count(query.filter()))


@endpoint(api, "GET", "/images/<int:image_id>", Role.VIEWER, summary="One picture", answers={200: Image})
def get_image(image_id: int) -> Answer:
    """Everything that lists show of it."""
    return Image.of(search.get_image(context().sessions, image_id))


@endpoint(api, "DELETE", "/images/<int:image_id>", Role.EDITOR, summary="Delete a picture", query=DeleteQuery, answers={204: ""})
def delete_image(image_id: int, query: DeleteQuery) -> Answer:
    """204, and 404 from then on. It is gone from every list at once, and in the trash for `PIXREF_TRASH_DAYS` (7). With `?purge=true` it is
    removed for good. Presigned links that were handed out work until the worker has removed the object: within a minute after its time in the
    trash is over, while worker and store are up. A `DELETE` in SQL goes the same way."""
    ctx = context()
    delete.delete_image(ctx.sessions, image_id, keep=timedelta() if query.purge else ctx.settings.trash)
    if query.purge or not ctx.settings.trash:
        ctx.jobs.request_sweep()
    return None, 204


@endpoint(api, "GET", "/trash", Role.EDITOR, summary="What can be restored", answers={200: Trash})
def list_trash() -> Answer:
    """The last 200 deleted pictures that can be restored, the last deleted first."""
    return Trash(items=[Trashed.model_validate(item) for item in delete.list_trash(context().sessions)])


@endpoint(
    api,
    "POST",
    "/images/<int:image_id>/restore",
    Role.EDITOR,
    summary="Restore a deleted picture",
    answers={200: Image},
    errors=(errors.Conflict,),
)
def restore_image(image_id: int) -> Answer:
    """The picture is back as it was: id, label, tags, history, predictions. 404 when its time is over, 409 when the same bytes were uploaded
    since. Safe to repeat: one that is not deleted is the answer as it is."""
    sessions = context().sessions
    try:
        delete.restore_image(sessions, image_id)
    except errors.NotFound as gone:
        try:
            return Image.of(search.get_image(sessions, image_id))
        except errors.NotFound:
            raise gone from None
    return Image.of(search.get_image(sessions, image_id))


@endpoint(
    api,
    "GET",
    "/images/<int:image_id>/file",
    Role.VIEWER,
    summary="The original bytes",
    query=FileQuery,
    answers={302: "", 200: "image/png", 206: "image/png", 304: ""},
    errors=(errors.ObjectLost, errors.ObjectCorrupt, errors.RangeNotSatisfiable, *STORE_ERRORS),
    headers={"Cache-Control": "how long the answer may be kept"},
    example='curl -sL -H "Authorization: Bearer $TOKEN" $PIXREF/api/v1/images/1/file -o picture.png',
)
def get_file(image_id: int, query: FileQuery) -> Answer:
    """302 to a presigned URL; `?inline=0` for a download under its own name. The same URL comes back within a window of `PIXREF_URL_LIFETIME_S`
    seconds, so that browsers can cache what it leads to; it stays valid for at least that long. With `PIXREF_FILE_DELIVERY=stream` the bytes
    themselves, with `ETag` (the SHA-256), `Range` and 304."""
    ctx = context()
    ref = fetch.reference(ctx.sessions, image_id)
    if ctx.settings.file_delivery == "redirect":
        fetch.refuse_damaged(ref)
        now = datetime.now(UTC)
        link = fetch.presign(ctx.store, ref, now=now, lifetime_s=ctx.settings.url_lifetime_s, inline=query.inline)
        response = redirect(link.url, 302)
        # The link outlives the cached redirect, so that a page that was left open still finds its pictures.
        fresh_s = max(0, int((link.expires_at - now).total_seconds()) - ctx.settings.url_lifetime_s)
        response.headers["Cache-Control"] = f"private, max-age={fresh_s}"
        return response
    if request.if_none_match.contains(ref.sha256):
        return _unchanged(ref.sha256)
    name = ref.original_name or f"{image_id}.png"
    stream = io.BytesIO(damage.read_or_mark(ctx.sessions, ctx.store, ref))
    answer = send_file(
        stream, fetch.MEDIA_TYPE, as_attachment=not query.inline, download_name=name, etag=ref.sha256, conditional=True
    )
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Cache-Control"] = "private, no-cache"
    return answer


def _unchanged(etag: str) -> Response:
    return Response(status=304, headers={"ETag": quote_etag(etag)})


@endpoint(
    api,
    "GET",
    "/images/<int:image_id>/thumbnail",
    Role.VIEWER,
    summary="The thumbnail",
    answers={200: "image/*", 304: ""},
    headers={"ETag": "of its bytes", "Cache-Control": "how long the answer may be kept"},
)
def get_thumbnail(image_id: int) -> Answer:
    """PNG or WebP, at most 16 KiB, from the database: works while the bucket does not. With `If-None-Match` 304."""
    thumbnail = fetch.get_thumbnail(context().sessions, image_id)
    response = Response(thumbnail.data, mimetype=thumbnail.media_type)
    response.add_etag()
    response.headers["Cache-Control"] = f"private, max-age={THUMBNAIL_CACHE_S}"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return cast(Response, response.make_conditional(request))


@endpoint(
    api,
    "PUT",
    "/images/<int:image_id>/label",
    Role.EDITOR,
    summary="Set the label",
    body=LabelBody,
    answers={200: Image},
    max_body=4 * KIB,
    example='curl -s -H "Authorization: Bearer $TOKEN" -H \'Content-Type: application/json\' -X PUT -d \'{"label": "giraffe"}\' '
    "$PIXREF/api/v1/images/1/label",
)
def put_label(image_id: int, body: LabelBody) -> Answer:
    """`{"label": "7"}` or `{"label": null}`: one label a picture, or none. Every change is kept (`catalog.label_history`)."""
    return Image.of(labels.set_label(context().sessions, image_id, body.label, actor=actor()))


@endpoint(
    api,
    "PUT",
    "/images/<int:image_id>/tags",
    Role.EDITOR,
    summary="Set the tags",
    body=TagsBody,
    answers={200: Image},
    max_body=256 * KIB,
)
def put_tags(image_id: int, body: TagsBody) -> Answer:
    """`{"tags": ["a", "b"]}`: exactly these from now on."""
    return Image.of(labels.set_tags(context().sessions, image_id, body.tags))


@endpoint(
    api,
    "POST",
    "/images/urls",
    Role.VIEWER,
    summary="Presigned URLs for many pictures",
    body=IdsBody,
    answers={200: Urls},
    max_body=64 * KIB,
)
def presign_images(body: IdsBody) -> Answer:
    """`{"ids": [1, 2]}`, at most 1,000: the URLs in the order asked; ids that are not there are left out."""
    ctx = context()
    links = fetch.presign_many(ctx.sessions, ctx.store, body.ids, now=datetime.now(UTC), lifetime_s=ctx.settings.url_lifetime_s)
    return written({"items": [{"id": image_id, "url": link.url, "expires_at": link.expires_at} for image_id, link in links]})


@endpoint(
    api,
    "POST",
    "/images/check",
    Role.VIEWER,
    summary="Which of these files are here?",
    body=HashesBody,
    answers={200: HashHits},
    max_body=128 * KIB,
)
def check_hashes(body: HashesBody) -> Answer:
    """`{"sha256": ["..."]}`, at most 1,000: each with the picture's id or null. Ask before sending what is here already."""
    known = search.known_hashes(context().sessions, body.sha256)
    return HashHits(items=[HashHit(sha256=sha256, id=known.get(sha256)) for sha256 in body.sha256])
