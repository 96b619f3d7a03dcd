"""The tables of schema `pixref`. The migrations build them; a test holds the two equal.

    account ─< api_token
    label ─< image >─ account          image ─1 thumbnail, image ─1 image_facts
    image ─1 image_likeness, image ─< near_duplicate >─ image
    image ─< image_tag >─ tag          image ─< label_event
    model ─< model_version ─< model_class >─ label
    model_version ─< model_alias, model ─< model_alias_event
    model_version ─< evaluation >─ snapshot, evaluation ─< evaluation_cell, evaluation ─< evaluation_bin
    snapshot ─< snapshot_image >─ image, snapshot ─< model_version   (what it was trained on)
    image ─< prediction >─ model_version
    account ─< idempotency_key >─ image
    account ─< direct_upload           (objects that clients may still put)
    object_deletion                    (the outbox: objects that must go)
    audit_event >─ account             (what was asked of the SQL door; only added to)
    job >─ account                     (long work and how far it is)
    bulk_change >─ account             (changes of many pictures that can be taken back)

Only rows of `image` in state READY are ever visible. `label_event` is written by triggers alone (migration 0001): the application's role
may not insert, update or delete there, so the history cannot be bent. A label or tag that was merged into another stays as a row, which the
history and its name need; pictures, predictions and classes of models have the other one from then on.
"""

from schema.tables.accounts import Account, ApiToken, AuditEvent
from schema.tables.changes import BulkChange
from schema.tables.evaluations import Evaluation, EvaluationBin, EvaluationCell
from schema.tables.images import Image, ImageFacts, ImageTag, LabelEvent, Thumbnail
from schema.tables.jobs import Job
from schema.tables.likeness import ImageLikeness, NearDuplicate
from schema.tables.models import Model, ModelAlias, ModelAliasEvent, ModelClass, ModelVersion, Prediction
from schema.tables.objects import DirectUpload, IdempotencyKey, ObjectDeletion
from schema.tables.snapshots import Snapshot, SnapshotImage
from schema.tables.words import Label, Tag

__all__ = [
    "Account",
    "ApiToken",
    "AuditEvent",
    "BulkChange",
    "DirectUpload",
    "Evaluation",
    "EvaluationBin",
    "EvaluationCell",
    "IdempotencyKey",
    "Image",
    "ImageFacts",
    "ImageLikeness",
    "ImageTag",
    "Job",
    "Label",
    "LabelEvent",
    "Model",
    "ModelAlias",
    "ModelAliasEvent",
    "ModelClass",
    "ModelVersion",
    "NearDuplicate",
    "ObjectDeletion",
    "Prediction",
    "Snapshot",
    "SnapshotImage",
    "Tag",
    "Thumbnail",
]
