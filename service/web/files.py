"""Uploaded files: forms are parsed and files are read whole or not at all, and what lies on disk is closed however the request ends.

multipart/form-data is parsed by the package `multipart`, which takes a fifth of the time of Werkzeug's own parser; for a small picture that
was a fifth of the request.
"""

import re
from collections.abc import Callable
from contextlib import ExitStack, suppress
from io import BytesIO
from typing import IO, Any

from flask import Request
from multipart import MultipartError, MultipartSegment, ParserError, ParserLimitReached, PushMultipartParser
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from service.errors import Invalid, TooLarge
from service.settings import MIB

_CHUNK = 64 * 1024
# A whole form of this size is kept in memory; files of larger ones go to disk where they are larger than Werkzeug's limit.
IN_MEMORY = 64 * 1024

Parsed = tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]


class _FormParser(FormDataParser):
    """Werkzeug's parser of forms, with another one for multipart/form-data. Raises `Invalid` and `TooLarge` instead of passing over errors."""

    def parse(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str] | None = None
    ) -> Parsed:
        """Return the stream, read to its end, and the form's fields and files."""
        if mimetype != "multipart/form-data":
            return super().parse(stream, mimetype, content_length, options)
        try:
            return stream, *self._multipart(stream, content_length, (options or {}).get("boundary", ""))
        except ParserLimitReached:
            raise TooLarge(
                f"the form has more than {self.max_form_parts} parts or too long a part header", field="body"
            ) from None
        except MultipartError as exc:
            raise Invalid(f"the body is not a whole multipart/form-data form: {exc}", field="body") from None

    def _multipart(
        self, stream: IO[bytes], content_length: int | None, boundary: str
    ) -> tuple[MultiDict[str, str], MultiDict[str, FileStorage]]:
        fields: list[tuple[str, str]] = []
        files: list[tuple[str, FileStorage]] = []
        parser = PushMultipartParser(boundary, max_segment_count=self.max_form_parts or 0)
        delimiter = b"--" + parser.boundary
        source = stream
        if content_length is not None and content_length <= IN_MEMORY:
            source = BytesIO(_with_bodies(stream.read(), delimiter))
        left = self.max_form_memory_size or 0
        text = bytearray()
        file: FileStorage | None = None
        segment: MultipartSegment | None = None
        for event in parser.parse_blocking(source.read, _CHUNK):
            if isinstance(event, MultipartSegment):
                segment, begun = event, False
                file = self._file(segment, content_length)
            elif event:
                if not begun and event.startswith(delimiter):
                    raise ParserError("a part has headers and no body, not even an empty one")
                begun = True
                if file is not None:
                    file.stream.write(event)
                    continue
                text += event
                if len(text) > left:
                    raise TooLarge(f"the form's fields are larger than {self.max_form_memory_size} bytes in all", field="body")
            elif file is not None:
                file.stream.seek(0)
                files.append((file.name or "", file))
            else:
                assert segment is not None
                fields.append((segment.name, text.decode(errors="replace")))
                left -= len(text)
                text.clear()
        while stream.read(_CHUNK):
            pass  # a client that leaves before the end of what it announced has not finished, whatever it has sent
        return self.cls(fields), self.cls(files)

    def _file(self, segment: MultipartSegment, content_length: int | None) -> FileStorage | None:
        """Return where the part's bytes go, None for a field of text."""
        name = segment.filename
        if name is None:
            # Some clients name a file with other letters than ASCII's in this way, though RFC 7578 forbids it.
            name = parse_options_header(segment.header("Content-Disposition"))[1].get("filename")
        if name is None:
            return None
        stream = self.stream_factory(content_length, segment.content_type, name, None)
        return FileStorage(stream, name, segment.name)  # its declared type says nothing that we would believe


def _with_bodies(form: bytes, delimiter: bytes) -> bytes:
    """Give every part a body, if only an empty one.

    RFC 2046 lets a part end with its headers, and Werkzeug's test client writes empty fields so; no browser does, and the parser takes what
    follows for the body.
    """
    if b"\r\n\r\n" + delimiter not in form:
        return form
    start = re.escape(delimiter)
    return re.sub(rb"(%b\r\n(?:[^\r\n]+\r\n)+\r\n)(?=%b)" % (start, start), rb"\1\r\n", form)


class ClosingRequest(Request):
    """Ends what lasts as long as the request, however it ends: the temporary files of its form, and what `call_on_close` was given.

    Werkzeug forgets the files of a form that breaks off, so they would stay until they are collected.
    """

    form_data_parser_class = _FormParser

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._at_close = ExitStack()

    def call_on_close(self, function: Callable[[], object]) -> None:
        """Call a function when the request has been answered."""
        self._at_close.callback(function)

    def _get_file_stream(self, total_content_length: int | None, *args: Any, **options: Any) -> IO[bytes]:
        if total_content_length is not None and total_content_length <= IN_MEMORY:
            return BytesIO()
        stream = super()._get_file_stream(total_content_length, *args, **options)
        self.call_on_close(lambda: _discard(stream))
        return stream

    def close(self) -> None:
        super().close()
        self._at_close.close()


def _discard(stream: IO[bytes]) -> None:
    # Where the disk is full, closing tries once more to write what could not be written.
    with suppress(OSError):
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
