"""Uploaded files: read whole or not at all, and closed however the request ends."""

from typing import IO, Any

from flask import Request
from werkzeug.datastructures import FileStorage

from service.errors import TooLarge
from service.settings import MIB


class ClosingRequest(Request):
    """Closes every temporary file of its form. Werkzeug forgets those of a form that breaks off, so they would stay until they are collected."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._streams: list[IO[bytes]] = []

    def _get_file_stream(self, *args: Any, **options: Any) -> IO[bytes]:
        stream = super()._get_file_stream(*args, **options)
        self._streams.append(stream)
        return stream

    def close(self) -> None:
        super().close()
        for stream in self._streams:
            stream.close()


def read_file(file: FileStorage, max_bytes: int) -> bytes:
    """Return the file's bytes. Raises `TooLarge`."""
    data = file.stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(
            f"{file.filename or 'the file'} is larger than the limit of {max_bytes // MIB} MiB (PIXREF_MAX_UPLOAD_MIB)",
            field="file",
        )
    return data
