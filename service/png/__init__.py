"""PNG files: bytes in, facts out. No network, no database, no files; the only package that decodes pictures.

`inspect` checks a file strictly and returns its facts, large ones with the help of a child process; `service.png.pixels` gives arrays
to models. A file is refused with `TooLarge`, `TooManyPixels`, or `BadImage`, whose `reason` is one of these stable words and whose
`offset` is that of the chunk at fault:

    empty            no bytes at all
    not_png          no PNG signature; the detail says what the file looks like
    truncated        the file ends inside a chunk, or without IEND
    chunk_type       four bytes that should name a chunk do not
    chunk_length     a chunk says that it has more than 2^31 - 1 bytes
    crc_mismatch     a chunk does not match its checksum
    chunk_order      the first chunk is not IHDR, or IHDR appears again
    chunk_unknown    a critical chunk outside the standard
    chunk_count      more chunks than the limit
    ancillary_size   more bytes of text, profiles and other metadata than the limit
    ihdr             a size, depth, colour type or method that PNG does not have
    plte, trns       palette or transparency missing, misplaced, forbidden or of the wrong size
    idat_missing     no pixel data
    idat_gap         another chunk between two IDAT chunks
    idat_inflate     the pixel data cannot be decompressed, or its stream has no end
    idat_size        more or fewer bytes of pixels than the header announces
    idat_trailing    bytes after the end of the compressed pixels
    filter_type      a row of pixels with an unknown filter
    iend             IEND is not empty
    trailing_data    bytes after IEND
    decode           the structure is sound but the pixels cannot be decoded
    too_complex      decoding took more memory or time than a picture of that size is given
"""

from service.png.facts import PngFacts, inspect
from service.png.limits import PngLimits
from service.png.thumbnail import Thumbnail

__all__ = ["PngFacts", "PngLimits", "Thumbnail", "inspect"]
