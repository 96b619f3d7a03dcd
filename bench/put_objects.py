"""A plain client that puts every file of a folder into a bucket with minio-py, as a process of its own.

`python -m bench.put_objects one-by-one|8-threads|snowball FOLDER HOST BUCKET KEY` with the secret on standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from minio import Minio
from minio.commonconfig import SnowballObject

THREADS = 8
MEDIA_TYPE = "image/png"


def put_all(how: str, folder: Path, client: Minio, bucket: str) -> int:
    """Put the files under their names, and return how many there are."""
    files = sorted(folder.iterdir())

    def put(file: Path) -> None:
        client.fput_object(bucket_name=bucket, object_name=f"images/{file.name}", file_path=str(file), content_type=MEDIA_TYPE)

    if how == "snowball":
        objects = [SnowballObject(object_name=f"images/{file.name}", filename=str(file)) for file in files]
        client.upload_snowball_objects(bucket_name=bucket, object_list=objects)
    elif how == "8-threads":
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(put, files))
    else:
        for file in files:
            put(file)
    return len(files)


if __name__ == "__main__":
    how, folder, host, bucket, key = sys.argv[1:]
    client = Minio(endpoint=host, access_key=key, secret_key=sys.stdin.read().strip(), secure=False, region="us-east-1")
    print(put_all(how, Path(folder), client, bucket))
