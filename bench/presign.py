"""Links to pictures: our signer against minio-py's, which gives the same URL."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from minio import Minio

from bench.result import Check, Result, Series, ratios
from bench.wrk import BenchError
from storage.keys import new_image_key
from storage.minio_store import MinioStore
from storage.signing import Signer, content_disposition

ENDPOINT, BUCKET, KEY, SECRET = "127.0.0.1:9000", "pixref", "access-key", "secret-key-of-forty-characters-0123456789"
LIFETIME_S = 300
PER_SECOND = "links/s"
WHEN = datetime(2026, 1, 1, 12, tzinfo=UTC)
AWKWARD_KEYS = ("images/a b/c+d~e.png", "images/Größe/🦒%41.png")
AWKWARD_NAMES = ("plain.png", "two words (1).png", "Größe 🦒.png", '100%_"quoted".png')
DISPOSITION = 'inline; filename="digit.png"'


def run(quick: bool) -> Result:
    """Measure, one thread. Raises `BenchError` when the two make different URLs."""
    rounds, seconds = (3, 0.2) if quick else (9, 1.0)
    keys = [new_image_key(f"{number:064x}") for number in range(500)]
    client = Minio(endpoint=ENDPOINT, access_key=KEY, secret_key=SECRET, secure=False, region="us-east-1")
    signer = Signer(f"http://{ENDPOINT}", bucket=BUCKET, access_key=KEY, secret_key=SECRET, region="us-east-1")
    store = MinioStore(f"http://{ENDPOINT}", bucket=BUCKET, access_key=KEY, secret_key=SECRET)

    def by_minio(key: str, disposition: str = DISPOSITION) -> str:
        return client.presigned_get_object(
            bucket_name=BUCKET,
            object_name=key,
            expires=timedelta(seconds=LIFETIME_S),
            request_date=WHEN,
            response_headers={"response-content-type": "image/png", "response-content-disposition": disposition},
        )

    def by_signer(key: str, disposition: str = DISPOSITION) -> str:
        return signer.presign_get(key, signed_at=WHEN, expires_s=LIFETIME_S, media_type="image/png", disposition=disposition)

    def by_store(key: str) -> str:
        return store.presign_get(key, now=WHEN, lifetime_s=LIFETIME_S, filename="digit.png").url

    awkward = [(key, content_disposition(name, inline=True)) for key in (*AWKWARD_KEYS, keys[0]) for name in AWKWARD_NAMES]
    if any(by_minio(*each) != by_signer(*each) for each in [*((key, DISPOSITION) for key in keys), *awkward]):
        raise BenchError("our URLs differ from minio-py's")
    ways = {"minio-py": by_minio, "our signer": by_signer, "our signer, window and file name included": by_store}
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, sign in ways.items():
            rates[name].append(round(_rate(sign, keys, seconds), 1))
    ours, whole = rates["our signer"], rates["our signer, window and file name included"]
    checks = [
        Check("our signer / minio-py, same URL", ratios(ours, rates["minio-py"])),
        Check("with window and file name / minio-py", ratios(whole, rates["minio-py"])),
    ]
    return Result("presign", [Series(name, {PER_SECOND: values}) for name, values in rates.items()], checks, {"threads": 1})


def _rate(sign: Callable[[str], str], keys: list[str], seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        for key in keys:
            sign(key)
        done += len(keys)
    return done / elapsed
