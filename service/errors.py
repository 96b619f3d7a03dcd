"""The error catalogue: every reason for which Pixref refuses or fails, with its code, HTTP status and title.

    PixrefError
    ├── Invalid            the request is at fault; the same request fails again
    │   ├── BadImage           not a PNG that we can keep (`reason` names the fault)
    │   ├── TooLarge           more bytes than the limit
    │   ├── TooManyPixels      more pixels than the limit
    │   ├── BadModel           a model file that vetting refused
    │   ├── IdempotencyKeyReused  the key stood for another request
    │   ├── QueryRefused       SQL that the door does not let through (`reason` names the fault, `position` the place)
    │   ├── QueryError         SQL that PostgreSQL does not accept, in its own words
    │   ├── QueryTimeout, QueryTooLarge  SQL that was stopped
    │   ├── TrainingFailed     what was to be trained, or on what, does not do
    │   └── ModelInput         the picture cannot be brought to the model's input
    ├── NotSignedIn, Forbidden, CsrfFailed
    ├── NotFound, Conflict, RangeNotSatisfiable
    ├── TooSlow            the client takes too long to send what it announced
    ├── UploadIncomplete   a direct upload is to be completed before its bytes are there
    ├── UploadInterrupted  the sweep or a delete overtook an upload; the same request may succeed
    └── Unavailable        a part that we depend on is at fault; the same request may succeed later
        ├── StorageUnavailable, StorageBusy, StorageTimeout, StorageFull, StorageAuth, StorageClockSkew, StorageMisconfigured
        ├── ObjectLost, ObjectCorrupt
        ├── DatabaseUnavailable, DatabaseBusy, DatabaseTimeout, DatabaseFull
        ├── ModelUnavailable, ModelLoading, ModelTimeout, ModelCorrupt, ModelOutputInvalid, PredictorCrashed
        ├── SqlUnavailable     the SQL door has no way into the database
        └── Busy, TempFull     too much at once, no room for an upload on its way

Use cases raise these; one handler in `service.web` renders them as problem+json (RFC 9457) or as a page, and the command line
prints `detail`. Nothing else builds an error body. A detail names the field, the limit and the way out, never an internal.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class PixrefError(Exception):
    """Base of every error with a code.

    `field` names the part of the request that is at fault; `extra` is added to the problem body as it is.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False
    retry_after_s: ClassVar[int | None] = None

    def __init__(self, detail: str, *, field: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.extra = dict(extra or {})


class Invalid(PixrefError):
    code = "invalid_request"
    status = 422
    title = "The request is not valid"


class BadImage(Invalid):
    code = "bad_image"
    title = "Not a PNG picture that can be kept"

    def __init__(self, reason: str, detail: str, *, offset: int | None = None) -> None:
        """`reason` is a stable word such as `not_png`, `crc_mismatch`, `truncated`; `offset` is in bytes from the start."""
        extra: dict[str, Any] = {"reason": reason}
        if offset is not None:
            extra["offset"] = offset
        super().__init__(detail, field="file", extra=extra)
        self.reason = reason
        self.offset = offset


class TooLarge(Invalid):
    code = "too_large"
    status = 413
    title = "More bytes than the limit allows"


class TooManyPixels(Invalid):
    code = "too_many_pixels"
    title = "More pixels than the limit allows"


class BadModel(Invalid):
    code = "bad_model"
    title = "The model file was refused"

    def __init__(self, reason: str, detail: str) -> None:
        """`reason` is a stable word such as `not_keras`, `zip_member`, `input_shape`, `output_shape`, `parity`."""
        super().__init__(detail, field="file", extra={"reason": reason})
        self.reason = reason


class TrainingFailed(Invalid):
    code = "training_failed"
    title = "The training came to nothing"


class ModelInput(Invalid):
    code = "model_input"
    title = "The picture does not fit the model's input"


class NotSignedIn(PixrefError):
    code = "not_signed_in"
    status = 401
    title = "Sign in first"


class Forbidden(PixrefError):
    code = "forbidden"
    status = 403
    title = "Your role does not allow this"


class CsrfFailed(PixrefError):
    code = "csrf_failed"
    status = 400
    title = "The form has expired"


class NotFound(PixrefError):
    code = "not_found"
    status = 404
    title = "There is no such thing"


class Conflict(PixrefError):
    code = "conflict"
    status = 409
    title = "Something else happened first"


class IdempotencyKeyReused(Invalid):
    code = "idempotency_key_reused"
    title = "The key was used for another request"


class QueryRefused(Invalid):
    code = "query_refused"
    title = "The query is not one that can be asked here"

    def __init__(self, reason: str, detail: str, *, position: int | None = None) -> None:
        """`reason` is a stable word such as `not_select`, `function`, `relation`; `position` counts characters of the query from 1."""
        super().__init__(detail, field="query", extra={"reason": reason} | ({} if position is None else {"position": position}))
        self.reason = reason
        self.position = position


class QueryError(Invalid):
    code = "query_error"
    title = "PostgreSQL does not accept the query"

    def __init__(
        self, message: str, *, position: int | None = None, sqlstate: str | None = None, hint: str | None = None
    ) -> None:
        """The message and the hint are PostgreSQL's own; `position` counts characters of the query from 1."""
        known = {"position": position, "sqlstate": sqlstate, "hint": hint}
        super().__init__(message, field="query", extra={name: value for name, value in known.items() if value is not None})
        self.position = position
        self.hint = hint


class QueryTimeout(Invalid):
    code = "query_timeout"
    title = "The query took too long"


class QueryTooLarge(Invalid):
    code = "query_too_large"
    title = "The query needs more room than it may have"


class RangeNotSatisfiable(PixrefError):
    code = "range_not_satisfiable"
    status = 416
    title = "The range is beyond the end of the file"


class TooSlow(PixrefError):
    code = "too_slow"
    status = 408
    title = "The request came too slowly"
    retryable = True
    retry_after_s = 1


class UploadIncomplete(Conflict):
    code = "upload_incomplete"
    title = "The bytes have not arrived"
    retryable = True
    retry_after_s = 1


class UploadInterrupted(Conflict):
    code = "upload_interrupted"
    status = 503
    title = "The upload was overtaken"
    retryable = True
    retry_after_s = 1


class Unavailable(PixrefError):
    code = "unavailable"
    status = 503
    title = "A part of the service is not available"
    retryable = True
    retry_after_s: ClassVar[int | None] = 2


class Busy(Unavailable):
    code = "busy"
    title = "Too much at once"


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    title = "The picture store cannot be reached"


class StorageBusy(Unavailable):
    code = "storage_busy"
    title = "The picture store asks for a pause"


class StorageMisconfigured(Unavailable):
    code = "storage_misconfigured"
    title = "The picture store refuses this service"
    retryable = False
    retry_after_s = None


class StorageAuth(Unavailable):
    code = "storage_auth"
    title = "The picture store does not accept this service's key"
    retryable = False
    retry_after_s = None


class StorageClockSkew(Unavailable):
    code = "storage_clock_skew"
    title = "The clocks of this service and the picture store differ"
    retryable = False
    retry_after_s = None


class StorageTimeout(Unavailable):
    code = "storage_timeout"
    status = 504
    title = "The picture store did not answer in time"


class StorageFull(Unavailable):
    code = "storage_full"
    status = 507
    title = "The picture store is full"
    retryable = False
    retry_after_s = None


class TempFull(Unavailable):
    code = "temp_full"
    status = 507
    title = "There is no room for the upload on its way"


class ObjectLost(Unavailable):
    code = "object_lost"
    status = 410
    title = "The picture's bytes are missing from the store"
    retryable = False
    retry_after_s = None


class ObjectCorrupt(Unavailable):
    code = "object_corrupt"
    status = 502
    title = "The picture's bytes in the store are not those that were uploaded"
    retryable = False
    retry_after_s = None


class DatabaseUnavailable(Unavailable):
    code = "database_unavailable"
    title = "The database cannot be reached"


class DatabaseBusy(Unavailable):
    code = "database_busy"
    title = "The database has no free connection"


class DatabaseTimeout(Unavailable):
    code = "database_timeout"
    title = "The database did not answer in time"


class DatabaseFull(Unavailable):
    code = "database_full"
    status = 507
    title = "The database's disk is full"
    retryable = False
    retry_after_s = None


class ModelOutputInvalid(Unavailable):
    code = "model_output_invalid"
    status = 502
    title = "The model's answer makes no sense"
    retryable = False
    retry_after_s = None


class ModelUnavailable(Unavailable):
    code = "model_unavailable"
    title = "The model cannot be used"


class ModelLoading(Unavailable):
    code = "model_loading"
    title = "The model is being loaded"


class ModelTimeout(Unavailable):
    code = "model_timeout"
    status = 504
    title = "The model did not answer in time"


class PredictorCrashed(Unavailable):
    code = "predictor_crashed"
    title = "The process that runs the model broke down"


class ModelCorrupt(Unavailable):
    code = "model_corrupt"
    title = "The model's file was altered"
    retryable = False
    retry_after_s = None


class SqlUnavailable(Unavailable):
    code = "sql_unavailable"
    title = "The SQL door is closed"
    retryable = False
    retry_after_s = None
