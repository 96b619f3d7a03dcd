"""Names for what an upload looks like when it is not a PNG."""

_PREFIXES = (
    (b"\xff\xd8\xff", "a JPEG"),
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"II+\0", "a BigTIFF"),
    (b"MM\0+", "a BigTIFF"),
    (b"\x8aMNG\r\n", "an MNG"),
    (b"\x8bJNG\r\n", "a JNG"),
    (b"\x89PNG", "a PNG that was altered by a transfer in text mode"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\0\0\x01\0", "an icon (ICO)"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000"),
)
_BRANDS = {b"avif": "an AVIF", b"avis": "an AVIF"}
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")


def looks_like(head: bytes) -> str:
    """Guess the format from the first 64 bytes, as words that fit after "it looks like"."""
    for prefix, name in _PREFIXES:
        if head.startswith(prefix):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a HEIC picture or an MP4 video")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_MARKUP):
        return "an HTML page"
    if text.startswith((b"<svg", b"<?xml")):
        return "an SVG or other XML text"
    if text.startswith(b"<"):
        return "HTML or XML text"
    return "something else"
