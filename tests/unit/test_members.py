"""The files of folders, zips and tars: what is given, what is refused with which reason, and that the rest goes on."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.datasets.members import Found, Member, members_of, tar_members, zip_members
from service.errors import BadImage, Invalid, PixrefError, TooLarge

LIMIT = 1_000
PICTURE = b"not looked at here"
NAMES = {
    "a.png": None,
    "cats/žirafa 🦒.PNG": None,
    "deep/er/still/x.png": None,
    "Screenshot at 12:30:05.png": None,
    "notes.txt": "not_png",
    "png": "not_png",
    "inner.zip": "nested_archive",
    "inner.tar.gz": "nested_archive",
    "../up.png": "unsafe_name",
    "a/../../up.png": "unsafe_name",
    "/etc/x.png": "unsafe_name",
    "C:\\x.png": "unsafe_name",
    "..\\x.png": "unsafe_name",
}
Make = Callable[[Iterable[tuple[str, bytes]]], io.BytesIO]


def zipped(files: Iterable[tuple[str, bytes]]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    out.seek(0)
    return out


def tarred(files: Iterable[tuple[str, bytes]], mode: str = "w:gz") -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


def outcome(found: Found) -> tuple[str, bytes | str | None]:
    """Return a file's name with its bytes, or with the word for why there are none."""
    error: PixrefError
    if isinstance(found, Member):
        try:
            return found.name, found.read()
        except PixrefError as exc:
            error = exc
    else:
        error = found.error
    return found.name, error.reason if isinstance(error, BadImage) else error.code


def from_zip(stream: io.BytesIO) -> list[tuple[str, bytes | str | None]]:
    return [outcome(each) for each in zip_members(stream, max_bytes=LIMIT)]


def from_tar(stream: io.BytesIO) -> list[tuple[str, bytes | str | None]]:
    return [outcome(each) for each in tar_members(stream, max_bytes=LIMIT)]


@pytest.mark.parametrize(("make", "read"), [(zipped, from_zip), (tarred, from_tar)], ids=["zip", "tar"])
def test_names_say_what_is_taken(make: Make, read: Callable[[io.BytesIO], list[tuple[str, bytes | str | None]]]) -> None:
    found = read(make((name, PICTURE) for name in NAMES))
    assert found == [(name, reason or PICTURE) for name, reason in NAMES.items()]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_may_be_compressed(mode: str) -> None:
    assert from_tar(tarred([("a.png", PICTURE)], mode)) == [("a.png", PICTURE)]


def test_a_tar_has_links_and_devices_which_are_refused() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind in (
            ("s.png", tarfile.SYMTYPE),
            ("h.png", tarfile.LNKTYPE),
            ("d.png", tarfile.CHRTYPE),
            ("f.png", tarfile.FIFOTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        folder = tarfile.TarInfo("cats")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    found = from_tar(io.BytesIO(out.getvalue()))
    assert found == [("s.png", "link"), ("h.png", "link"), ("d.png", "not_a_file"), ("f.png", "not_a_file")]


def test_a_zip_has_links_and_passwords_which_are_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("s.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("locked.png", PICTURE)
        archive.writestr("open.png", PICTURE)
    data = bytearray(out.getvalue())
    # What encrypts a file is a bit in its entry of the directory, and another before its bytes.
    place = data.index(b"PK\x01\x02", data.index(b"PK\x01\x02") + 1)
    data[place + 8] |= 1
    assert from_zip(io.BytesIO(bytes(data))) == [("s.png", "link"), ("locked.png", "encrypted"), ("open.png", PICTURE)]


@pytest.mark.parametrize(("make", "read"), [(zipped, from_zip), (tarred, from_tar)], ids=["zip", "tar"])
def test_what_is_too_large_is_refused_and_the_rest_goes_on(
    make: Make, read: Callable[[io.BytesIO], list[tuple[str, bytes | str | None]]]
) -> None:
    files = [("bomb.png", bytes(10_000_000)), ("limit.png", bytes(LIMIT)), ("over.png", bytes(LIMIT + 1)), ("a.png", PICTURE)]
    assert read(make(files)) == [
        ("bomb.png", "too_large"),
        ("limit.png", bytes(LIMIT)),
        ("over.png", "too_large"),
        ("a.png", PICTURE),
    ]


def test_a_zip_that_lies_about_a_size_is_read_to_the_limit_only() -> None:
    data = bytearray(zipped([("a.png", bytes(5_000)), ("b.png", PICTURE)]).getvalue())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = (10).to_bytes(4, "little")
    found = dict(from_zip(io.BytesIO(bytes(data))))
    assert found["a.png"] in ("damaged_member", "too_large")
    assert found["b.png"] == PICTURE


def test_a_damaged_member_of_a_zip_is_refused_and_the_rest_goes_on() -> None:
    stream = zipped([("a.png", os.urandom(500)), ("b.png", PICTURE)])
    data = bytearray(stream.getvalue())
    data[60] ^= 0xFF
    found = from_zip(io.BytesIO(bytes(data)))
    assert found[0][1] == "damaged_member"
    assert found[1] == ("b.png", PICTURE)


def test_a_tar_that_ends_early_says_so_after_what_it_had() -> None:
    data = tarred([(f"{number}.png", os.urandom(700)) for number in range(10)], "w").getvalue()
    found = []
    with pytest.raises(Invalid, match="ends or is damaged after"):
        for each in tar_members(io.BytesIO(data[: len(data) // 2]), max_bytes=LIMIT):
            found.append(outcome(each))
    assert [name for name, data in found if isinstance(data, bytes)][:2] == ["0.png", "1.png"]


@pytest.mark.parametrize("data", [b"", b"x", b"\x89PNG\r\n\x1a\n" + bytes(1_000), b"PK\x05\x06"])
def test_what_is_no_archive_is_said(data: bytes, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(data)
    with pytest.raises(Invalid, match=r"source|zip"):
        list(members_of(source, max_bytes=LIMIT))


def test_a_folder_is_read_whole_and_its_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cats" / "deep").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    folder = tmp_path / "cats"
    (folder / "a.png").write_bytes(PICTURE)
    (folder / "deep" / "b.PNG").write_bytes(bytes(LIMIT + 1))
    (folder / "deep" / ".DS_Store").write_bytes(b"")
    (folder / "c.txt").write_bytes(b"")
    (folder / "link.png").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to(tmp_path / "outside")
    (folder / "gone.png").symlink_to("nowhere")
    os.mkfifo(folder / "pipe.png")
    found = dict(outcome(each) for each in members_of(folder, max_bytes=LIMIT))
    assert found == {
        "a.png": PICTURE,
        "deep/b.PNG": "too_large",
        "c.txt": "not_png",
        "link.png": "link",
        "linked": "link",
        "gone.png": "link",
        "pipe.png": "not_a_file",
    }


def test_a_file_that_is_gone_or_became_a_link_meanwhile_is_refused(tmp_path: Path) -> None:
    for name in ("gone.png", "link.png"):
        (tmp_path / name).write_bytes(PICTURE)
    found = list(members_of(tmp_path, max_bytes=LIMIT))
    (tmp_path / "gone.png").unlink()
    (tmp_path / "link.png").unlink()
    (tmp_path / "link.png").symlink_to("/etc/passwd")
    assert sorted(outcome(each) for each in found) == [("gone.png", "unreadable"), ("link.png", "unreadable")]  # type: ignore[type-var]


def test_a_folder_that_is_gone_meanwhile_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(PICTURE)
    reading = members_of(tmp_path, max_bytes=LIMIT)
    first = outcome(next(reading))
    gone = "two" if first[0].startswith("one") else "one"
    (tmp_path / gone / "a.png").unlink()
    (tmp_path / gone).rmdir()
    assert [first, *map(outcome, reading)] == [(first[0], PICTURE), (gone, "unreadable")]


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_bytes_bring_the_reader_down(noise: bytes, at: int) -> None:
    files = [("a.png", PICTURE), ("b.png", PICTURE)]
    tars = [(tarred(files, mode), from_tar) for mode in ("w", "w:gz", "w:bz2", "w:xz")]
    for made, read in ((zipped(files), from_zip), *tars):
        data = made.getvalue()
        try:
            read(io.BytesIO(data[:at] + noise + data[at + len(noise) :]))
        except Invalid:
            continue


def test_too_large_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bytes(LIMIT + 1))
    (found,) = members_of(tmp_path, max_bytes=LIMIT)
    assert isinstance(found, Member)
    with pytest.raises(TooLarge, match="PIXREF_MAX_UPLOAD_MIB"):
        found.read()
