"""What the API's document says before and between its endpoints. Markdown; `service.web.api.reference` prints it, the page shows it."""

INTRODUCTION = """\
JSON under `/api/v1`. The OpenAPI 3.1 document is at `/api/v1/openapi.json`, made from the same declarations that check the requests;
`/api/docs` is a page to read it and to try each call.

```
export PIXREF=http://127.0.0.1:8000
export TOKEN=$(.venv/bin/pixref token create --role editor --name me)
```

**Signing in.** `Authorization: Bearer TOKEN`. Roles: `viewer` reads and predicts without storing, `editor` also uploads, labels, deletes and
stores predictions, `admin` everything. A browser that came by the sign-in link uses its session cookie; its unsafe requests need the header
`X-CSRFToken`.

**Requests** are read strictly: what is not known, given twice or of another type than stated is refused, with the name of the field; nothing
is guessed. Names of labels and tags have 1 to 200 characters without control characters; they are kept in Unicode NFC, outer space stripped
and inner space single. JSON is UTF-8, and each body has a limit in bytes (413).

**Lists** are keyset pages: `{"items": [...], "next": "...", "prev": "..."}`; pass `next` on as `after`, or `prev` as
`before`; null is the end. **Times** are RFC 3339 in UTC, **ids** are integers, **sizes** are pixels and bytes.

**Errors** are `application/problem+json`: `type`, `title`, `status`, `detail` (what was wrong, the limit, the way out), `code` (stable, for
programs), `retryable`, `request_id` (also in the header `X-Request-Id`, and in the log), and `field` where one part of the request is at
fault. With `retryable` comes `Retry-After`.
"""

AFTER_ERRORS = """\
A body that comes at less than 1 kB a second is `too_slow`. A picture of more than 1 MiB is refused with 503 `busy` while the service takes as
many as it can at once; the answer comes before the body is read, as it does while database or bucket are down. Lists, pictures, thumbnails
and labels need no bucket. An `internal_error` is a bug of ours, in the log under the request id.
"""
"""What follows the table of errors in the reference."""

_PREDICTIONS = """\
A prediction: `image_id` (null when the picture was not stored), `model`, `version`, `label`, `score`, `scores` {label: score}, `latency_ms`
(decoding, preprocessing, model), `stored`."""

_UPLOADS = """\
The bytes go from the client to the bucket, not through this service, which reads them back once and keeps them only if they are what was
announced. For clients that reach `S3_PUBLIC_ENDPOINT`; a page of another origin also needs the store to allow it (MinIO does, by
`MINIO_API_CORS_ALLOW_ORIGIN`)."""

_PICTURES = """\
A picture: `id, sha256, byte_size, width, height, channels, bit_depth, original_name, label, tags, split, attributes, created_at, damage,
links {self, file, thumbnail}`. `damage` is null, or `lost` or `corrupt` where the bytes in the bucket are missing or altered; sending the
same file again heals it."""

_WORDS = """\
The words themselves: `id, name, colour, description, images` (how many pictures have it), `synonyms, created_at`. Uploading or labelling
makes words that are missing. A word that was merged into another is a synonym of it: its name still works and leads to the other. A
picture's label history goes on naming what was meant at the time; merging is an entry of its own, by whoever merged. The old name of a
renamed label that is a class of a model stays as a synonym, too."""

_SQL = """\
Views, examples and everything else about asking: [docs/sql.md](sql.md)."""

_JOBS = """\
Long work is a job: `id, task, state (queued, running, succeeded, failed or cancelled), progress (0 to 1), message, error {code, detail},
result, created_at, finished_at` and more. A worker does it; jobs that wait and jobs whose worker died are taken up within a minute."""

_MODELS = """\
A version never changes; aliases (`champion` is the one that everybody gets who names none) move from one to another ([docs/models.md](models.md))."""

_LEARNING = """\
Both begin by freezing the labelled pictures that are meant: a snapshot, whose digest says exactly what a version learned from, or was measured by
([docs/models.md](models.md))."""

SECTIONS: dict[str, tuple[frozenset[str], str]] = {
    "Jobs": (frozenset({"jobs"}), _JOBS),
    "Predictions": (frozenset({"predictions", "predict"}), _PREDICTIONS),
    "Models": (frozenset({"models"}), _MODELS),
    "Training and measuring": (frozenset({"trainings", "evaluations"}), _LEARNING),
    "Direct uploads": (frozenset({"uploads"}), _UPLOADS),
    "Pictures": (frozenset({"images", "trash"}), _PICTURES),
    "Labels and tags": (frozenset({"labels", "tags"}), _WORDS),
    "SQL": (frozenset({"sql"}), _SQL),
}
"""Sections of the reference: the words of paths that belong to each (the first that fits), and what is said of it."""

ORDER = ("Pictures", "Labels and tags", "Direct uploads", "SQL", "Predictions", "Models", "Training and measuring", "Jobs")
"""How the sections follow each other; others come behind."""
