"""What goes wrong, as exceptions: the service's problem+json answers, and what the client finds itself.

PixrefError
├── NotSignedIn        401: no such token, or revoked, or expired
├── Forbidden          403: the token's role does not allow this
├── NotFound           404
├── Conflict           409: something else happened first
├── Invalid            400, 413, 422, ...: the request is at fault, `field` says which part
│   └── BadImage           not a PNG that can be kept: `reason`, `offset`
├── JobFailed          a job that was waited for has failed or was cancelled
├── IntegrityError     the picture's bytes are lost (410) or altered, as the service says or as the client finds
├── Unavailable        408, 429, 502 to 504, 507: a part of the service is at fault
├── Unreachable        nothing answers, or not in time
└── UnexpectedAnswer   what answers is not Pixref
"""

from collections.abc import Mapping
from typing import Any


class PixrefError(Exception):
    """Base of all of them.

    `status` is the HTTP status, None of what the client found itself; `code` a stable word for programs (docs/api.md lists them); `detail` what was
    wrong, the limit and the way out; `field` the part of the request that is at fault; `retryable` whether the same request may succeed later;
    `request_id` what to look for in the service's log; `extra` whatever else the problem says.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int | None = None,
        field: str | None = None,
        retryable: bool = False,
        request_id: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.field = field
        self.retryable = retryable
        self.request_id = request_id
        self.extra = dict(extra or {})

    def __str__(self) -> str:
        facts = {"": self.code, "status ": self.status, "field ": self.field, "request ": self.request_id}
        return f"{self.detail} [{', '.join(f'{name}{value}' for name, value in facts.items() if value is not None)}]"

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are rebuilt from `args`, which lack the keywords: process pools hand them over so.
        return _rebuilt, (type(self), self.detail, {name: value for name, value in vars(self).items() if name != "detail"})


def _rebuilt(kind: type[PixrefError], detail: str, facts: dict[str, Any]) -> PixrefError:
    return kind(detail, **facts)


class NotSignedIn(PixrefError):
    pass


class Forbidden(PixrefError):
    pass


class NotFound(PixrefError):
    pass


class Conflict(PixrefError):
    pass


class Invalid(PixrefError):
    pass


class JobFailed(PixrefError):
    """`code` is that of the job's error, or `cancelled`; `extra["job"]` is its id."""


class BadImage(Invalid):
    @property
    def reason(self) -> str | None:
        """A stable word such as `not_png`, `crc_mismatch`, `truncated`."""
        return self.extra.get("reason")

    @property
    def offset(self) -> int | None:
        """Where in the file, in bytes from its start."""
        return self.extra.get("offset")


class IntegrityError(PixrefError):
    pass


class Unavailable(PixrefError):
    pass


class Unreachable(PixrefError):
    pass


class UnexpectedAnswer(PixrefError):
    pass


_BY_CODE = {"bad_image": BadImage, "object_lost": IntegrityError, "object_corrupt": IntegrityError}
_BY_STATUS: dict[int, type[PixrefError]] = {
    400: Invalid,
    401: NotSignedIn,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: Invalid,
    422: Invalid,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}
_PROXY_MAY_RECOVER = frozenset({429, 502, 503, 504})


def problem_error(status: int, problem: Mapping[str, Any]) -> PixrefError:
    """Return the exception of a problem+json body."""
    known = dict(problem)
    detail, title, code = known.pop("detail", None), known.pop("title", None), str(known.pop("code", None) or f"http_{status}")
    field, request_id, retryable = known.pop("field", None), known.pop("request_id", None), known.pop("retryable", False)
    for repeated in ("type", "status"):
        known.pop(repeated, None)
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status) or (Invalid if 400 <= status < 500 else PixrefError)
    return kind(
        str(detail or title or code),
        code=code,
        status=status,
        field=None if field is None else str(field),
        retryable=bool(retryable),
        request_id=None if request_id is None else str(request_id),
        extra=known,
    )


def plain_error(status: int, origin: str) -> PixrefError:
    """Return the exception of an error that came without a problem body: from a proxy, or from another server."""
    detail = f"{origin} answered {status} without saying why: a proxy before Pixref, or another server"
    kind = _BY_STATUS.get(status, UnexpectedAnswer)
    return kind(detail, code=f"http_{status}", status=status, retryable=status in _PROXY_MAY_RECOVER)
