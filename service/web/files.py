"""Read an uploaded file whole, or not at all."""

from werkzeug.datastructures import FileStorage

from service.errors import TooLarge

MIB = 1024 * 1024


def read_file(file: FileStorage, max_bytes: int) -> bytes:
    """Return the file's bytes. Raises `TooLarge`."""
    data = file.stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(
            f"{file.filename or 'the file'} is larger than the limit of {max_bytes // MIB} MiB (PIXREF_MAX_UPLOAD_MIB)",
            field="file",
        )
    return data
