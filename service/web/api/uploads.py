"""Endpoints of direct uploads: the bytes go from the client to the bucket, not through this service."""

from datetime import UTC, datetime
from typing import cast

from flask import current_app, request, url_for

from service import errors
from service.accounts.actor import Role
from service.admission import Admission
from service.pictures import direct, upload
from service.settings import KIB
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.images import LOCATION, kept
from service.web.api.openapi import STORE_ERRORS
from service.web.api.shapes import DirectUpload, DirectUploadBody, Image
from service.web.context import actor, context
from service.web.files import ClosingRequest
from service.web.security import SMALL_BODY

EXAMPLE = r"""FILE=samples/photos/badge.png
curl -s -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' $PIXREF/api/v1/uploads -o begun.json \
  -d "{\"sha256\": \"$(sha256sum $FILE | cut -d' ' -f1)\", \"byte_size\": $(wc -c < $FILE), \"name\": \"badge.png\"}"
jq -r '.fields | to_entries[] | "form-string = \"\(.key)=\(.value)\""' begun.json | curl -s -K - -F file=@$FILE "$(jq -r .url begun.json)"
curl -s -H "Authorization: Bearer $TOKEN" -X POST "$PIXREF$(jq -r .complete_url begun.json)"
"""


@endpoint(
    api,
    "POST",
    "/uploads",
    Role.EDITOR,
    summary="Begin a direct upload",
    body=DirectUploadBody,
    answers={200: Image, 201: DirectUpload},
    errors=(errors.TooLarge, errors.Conflict, *STORE_ERRORS),
    max_body=512 * KIB,
    example=EXAMPLE.strip(),
)
def begin_upload(body: DirectUploadBody) -> Answer:
    """`{"sha256": "...", "byte_size": 1234}`, of exactly the bytes that will be sent, and optional `name`, `label`, `tags`, `split`,
    `attributes`. 200 and the existing picture, unchanged, when these bytes are here already; nothing is to be sent then. Otherwise 201 `{"id",
    "url", "fields", "expires_at", "complete_url"}`: a form that puts these bytes, and no others, for 15 minutes. Post it to `url` as
    multipart/form-data with all `fields` as they are and, as its last part, the bytes as `file`; the bucket answers 204. Whoever has the form
    can send it: keep it secret. An upload that is not completed within an hour is forgotten. The example goes the whole way."""
    ctx = context()
    description = upload.Description(
        original_name=body.name,
        label=body.label,
        tags=body.tags,
        split=body.split,
        attributes=body.attributes,
    )
    begun = direct.begin_direct_upload(
        ctx.sessions,
        ctx.store,
        body.sha256,
        body.byte_size,
        description,
        limits=ctx.limits,
        actor=actor(),
        now=datetime.now(UTC),
    )
    if isinstance(begun, int):
        return kept(begun, created=False)
    answer = DirectUpload(
        id=begun.upload_id,
        url=begun.form.url,
        fields=begun.form.fields,
        expires_at=begun.form.expires_at,
        complete_url=url_for("api.complete_upload", upload_id=begun.upload_id),
    )
    return answer, 201


@endpoint(
    api,
    "POST",
    "/uploads/<int:upload_id>/complete",
    Role.EDITOR,
    summary="Complete a direct upload",
    answers={200: Image, 201: Image},
    errors=(
        errors.UploadIncomplete,
        errors.Conflict,
        errors.BadImage,
        errors.TooManyPixels,
        errors.UploadInterrupted,
        errors.Busy,
        errors.TempFull,
        *STORE_ERRORS,
    ),
    headers=LOCATION,
)
def complete_upload(upload_id: int) -> Answer:
    """No body. The bytes are read back, compared with `sha256` and checked as those of any upload: 201 and the picture, or 200 and the existing
    one. Safe to repeat: it leads to the same picture for a day, and never makes one anew that was deleted since (409). 409 `upload_incomplete`
    while the bytes are not there. 422 where they are no picture that can be kept, or not those announced (`bad_image` with `reason`
    `not_as_announced`); the upload is over then, and 404 from then on. An upload that is not completed within an hour is over, too. Only the
    account that began it and admins can complete it."""
    ctx = context()
    done = direct.complete_direct_upload(ctx.sessions, ctx.store, upload_id, limits=ctx.limits, actor=actor(), admit=_take_place)
    return kept(done.image_id, created=done.created)


@endpoint(api, "DELETE", "/uploads/<int:upload_id>", Role.EDITOR, summary="Abort a direct upload", answers={204: ""})
def abort_upload(upload_id: int) -> Answer:
    """204, and 404 from then on. What was sent, or still is by a form that has not expired, is removed within about an hour of the upload's
    beginning, as it is after an upload that was completed or refused; nobody can read it in the meantime. A picture that it led to stays."""
    direct.abort_direct_upload(context().sessions, upload_id, actor=actor())
    return None, 204


def _take_place(byte_size: int) -> None:
    """Hold one of the places for large pictures until the request is answered."""
    if byte_size > SMALL_BODY:
        admission: Admission = current_app.extensions["pixref.admission"]
        admission.enter()
        cast(ClosingRequest, request).call_on_close(admission.leave)
