"""The files of a source, one after the other: of a folder, a zip, a tar.

What cannot be a picture of ours is told apart by its name and kind, before its bytes are read, and the rest goes on. Nothing is ever written to disk,
so a name can lead nowhere; it is refused all the same where it tries to, since whoever made such an archive meant no good.
"""

import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO

from service.errors import BadImage, Invalid, PixrefError, TooLarge

_ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".zst")
# What systems leave behind and nobody means.
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX"})
_ENCRYPTED = 0x1
# A colon elsewhere is a part of honest names, such as those of screenshots.
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
# What the readers of archives raise at damage, each compression its own.
_DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class Member:
    """A file that may be a picture. `name` is its path within the source, with `/`; `read` gives its bytes and raises `PixrefError`.

    Of a tar, `read` must be called before the next file is asked for.
    """

    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not taken, and why."""

    name: str
    error: PixrefError


Found = Member | Refused


def members_of(source: Path, *, max_bytes: int) -> Iterator[Found]:
    """Give the files of a folder, a zip or a tar (also compressed by gzip, bzip2 or xz). Raises `Invalid` where it is none of these."""
    if source.is_dir():
        yield from folder_members(source, max_bytes=max_bytes)
    elif zipfile.is_zipfile(source):
        yield from zip_members(source, max_bytes=max_bytes)
    else:
        with source.open("rb") as stream:
            yield from tar_members(stream, max_bytes=max_bytes)


def folder_members(folder: Path, *, max_bytes: int) -> Iterator[Found]:
    """Give the files of a folder and of all folders in it, in no order; links are refused and not followed."""
    waiting = [folder]
    while waiting:
        within = waiting.pop()
        try:
            entries = os.scandir(within)
        except OSError as exc:
            yield _refused(_name(within, folder), "unreadable", f"the folder cannot be read: {exc.strerror}")
            continue
        with entries:
            for entry in entries:
                name = _name(entry.path, folder)
                if entry.name in _LITTER:
                    continue
                if entry.is_symlink():
                    yield _refused(name, "link", "it is a link, and links are not followed")
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                elif not entry.is_file(follow_symlinks=False):
                    yield _refused(name, "not_a_file", "it is neither a file nor a folder")
                else:
                    path = entry.path
                    yield _picture(name, lambda path=path: _read_file(path, max_bytes))  # type: ignore[misc]


def _name(path: str | Path, folder: Path) -> str:
    return PurePosixPath(os.path.relpath(path, folder)).as_posix()


def zip_members(file: Path | IO[bytes], *, max_bytes: int) -> Iterator[Found]:
    """Give the files of a zip. Raises `Invalid` where its directory cannot be read."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as exc:
        raise Invalid(f"the zip cannot be read: {exc}", field="source") from None
    with archive:
        for info in archive.infolist():
            if info.is_dir() or _is_litter(info.filename):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                yield _refused(info.filename, "link", "it is a link, and links are not followed")
            elif info.flag_bits & _ENCRYPTED:
                yield _refused(info.filename, "encrypted", "it is encrypted: make the zip without a password")
            else:
                yield _picture(info.filename, lambda info=info: _read_zipped(archive, info, max_bytes))  # type: ignore[misc]


def tar_members(stream: BinaryIO | IO[bytes], *, max_bytes: int) -> Iterator[Found]:
    """Give the files of a tar, compressed or not, as it comes in. Raises `Invalid` where it is none, or ends in the middle."""
    count = 0
    try:
        with tarfile.open(fileobj=stream, mode="r|*") as archive:
            for info in archive:
                # The module keeps a list of all it has seen.
                archive.members = []  # type: ignore[attr-defined]
                count += 1
                if info.isdir() or _is_litter(info.name):
                    continue
                if info.issym() or info.islnk():
                    yield _refused(info.name, "link", "it is a link, and links are not followed")
                elif not info.isfile():
                    yield _refused(info.name, "not_a_file", "it is neither a file nor a folder")
                else:
                    yield _picture(info.name, lambda info=info: _read_tarred(archive, info, max_bytes))  # type: ignore[misc]
    except _DAMAGE as exc:
        where = f"ends or is damaged after {count:,} members" if count else "is neither a folder nor a zip nor a tar"
        raise Invalid(f"the source {where} ({exc})", field="source") from None


def _picture(name: str, read: Callable[[], bytes]) -> Found:
    """Return a file as a member, unless its name says that it is none."""
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or _DRIVE.match(name) or "\0" in name:
        return _refused(name, "unsafe_name", "its name leads out of the source")
    lower = parts[-1].lower()
    if lower.endswith(_ARCHIVES):
        return _refused(name, "nested_archive", "it is an archive within the source: import it by itself")
    if not lower.endswith(".png"):
        return _refused(name, "not_png", "its name does not end in .png")
    return Member(name, read)


def _is_litter(name: str) -> bool:
    return not _LITTER.isdisjoint(name.split("/"))


def _refused(name: str, reason: str, detail: str) -> Refused:
    return Refused(name, BadImage(reason, detail))


def _limited(stream: IO[bytes], max_bytes: int) -> bytes:
    """Read to the end, but no more than the limit: what a header says of a size may be a lie."""
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(f"file has more than {max_bytes} bytes, which is the limit (PIXREF_MAX_UPLOAD_MIB)", field="file")
    return data


def _read_file(path: str, max_bytes: int) -> bytes:
    try:
        # A name that has become a link since is not followed either.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return _limited(stream, max_bytes)
    except OSError as exc:
        raise BadImage("unreadable", f"file cannot be read: {exc.strerror}") from None


def _read_zipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo, max_bytes: int) -> bytes:
    try:
        with archive.open(info) as stream:
            return _limited(stream, max_bytes)
    except (*_DAMAGE, NotImplementedError, RuntimeError, ValueError) as exc:
        raise BadImage("damaged_member", f"file cannot be unpacked: {exc}") from None


def _read_tarred(archive: tarfile.TarFile, info: tarfile.TarInfo, max_bytes: int) -> bytes:
    try:
        stream = archive.extractfile(info)
        assert stream is not None  # it is a file
        with stream:
            return _limited(stream, max_bytes)
    except _DAMAGE as exc:
        raise BadImage("damaged_member", f"file cannot be unpacked: {exc}") from None
