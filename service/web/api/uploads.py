"""Endpoints of direct uploads: the bytes go from the client to the bucket, not through this service."""

from datetime import UTC, datetime
from typing import cast

from flask import current_app, request, url_for

from service.accounts.actor import Role
from service.admission import Admission
from service.names import clean_attributes
from service.pictures import direct, upload
from service.web.api import api
from service.web.api.contract import Answer, endpoint
from service.web.api.images import kept
from service.web.api.shapes import DirectUpload, DirectUploadBody, Image
from service.web.context import actor, context
from service.web.files import ClosingRequest
from service.web.security import SMALL_BODY


@endpoint(
    api,
    "POST",
    "/uploads",
    Role.EDITOR,
    summary="Begin a direct upload",
    body=DirectUploadBody,
    answers={200: Image, 201: DirectUpload},
)
def begin_upload(body: DirectUploadBody) -> Answer:
    """201 and a form that puts exactly these bytes into the bucket, once or again, for a quarter of an hour: post `fields`, and after them the
    bytes as a part named `file`, to `url` as multipart/form-data, then call `complete_url`. 200 and the existing picture, unchanged, when these
    bytes are here already. An upload that is not completed within an hour is forgotten."""
    ctx = context()
    description = upload.Description(
        original_name=body.name,
        label=body.label,
        tags=body.tags,
        split=body.split,
        attributes=clean_attributes(body.attributes),
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
)
def complete_upload(upload_id: int) -> Answer:
    """The bytes are read back, compared with `sha256` and checked as those of any upload: 201 and the new picture, 200 and the existing one.
    Repeated, it answers with the same picture for a day. 409 `upload_incomplete` while the bytes are not there; 422 where they are others, or no
    picture that can be kept: the upload is over then. For the account that began it, and for admins."""
    ctx = context()
    done = direct.complete_direct_upload(ctx.sessions, ctx.store, upload_id, limits=ctx.limits, actor=actor(), admit=_take_place)
    return kept(done.image_id, created=done.created)


@endpoint(api, "DELETE", "/uploads/<int:upload_id>", Role.EDITOR, summary="Abort a direct upload", answers={204: ""})
def abort_upload(upload_id: int) -> Answer:
    """What was put is removed, within an hour of the upload's beginning. A picture that it led to stays."""
    direct.abort_direct_upload(context().sessions, upload_id, actor=actor())
    return None, 204


def _take_place(byte_size: int) -> None:
    """Hold one of the places for large pictures until the request is answered."""
    if byte_size > SMALL_BODY:
        admission: Admission = current_app.extensions["pixref.admission"]
        admission.enter()
        cast(ClosingRequest, request).call_on_close(admission.leave)
