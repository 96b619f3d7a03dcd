"""Draw the pictures in `samples/photos/`: one of each kind of PNG that MNIST does not show.

    python samples/make_photos.py [FOLDER]

The pictures are our own drawings, from numbers alone, so they carry no rights of others; the same code gives the same pixels.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

Field = npt.NDArray[np.float64]


def giraffe() -> Image.Image:
    """Draw a coat of giraffe, 320 x 240 RGB: brown patches are the cells of scattered points, cream lines their borders."""
    width, height, seeds = 320, 240, 60
    random = np.random.default_rng(7)
    points = random.uniform((0, 0), (height, width), (seeds, 2))
    for _ in range(8):
        points = _spread(points, height, width)
    rows, columns = np.mgrid[0:height, 0:width]
    distances = np.sqrt((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2)
    nearest = np.sort(distances, axis=2)
    border = np.clip((nearest[..., 1] - nearest[..., 0] - 2) / 4, 0, 1)[..., None]
    tint = random.uniform(0.85, 1.1, seeds)[np.argmin(distances, axis=2)][..., None]
    light = 1 - 0.25 * (rows / height)[..., None]
    brown, cream = np.array([150.0, 84, 34]), np.array([238.0, 216, 172])
    coat = (border * brown * tint + (1 - border) * cream) * light
    # Few levels keep the file small, as a photograph of this size would be larger than what it is a sample of.
    return Image.fromarray((np.clip(coat, 0, 255) / 8).round().clip(0, 31).astype(np.uint8) * 8)


def micrograph() -> Image.Image:
    """Draw cells under a microscope, 192 x 144 grayscale of 16 bits, most of its range unused as in real exposures."""
    width, height = 192, 144
    random = np.random.default_rng(11)
    rows, columns = np.mgrid[0:height, 0:width]
    field: Field = 2000 + 6 * columns.astype(np.float64)
    for _ in range(24):
        row, column, radius = random.uniform(0, height), random.uniform(0, width), random.uniform(5, 13)
        distance = np.hypot(rows - row, (columns - column) * random.uniform(0.8, 1.2)) / radius
        field += random.uniform(3000, 9000) * np.exp(-(distance**4)) + 4000 * np.exp(-((distance * 3) ** 2))
    return Image.fromarray(np.clip(field, 0, 65535).astype(np.uint16))


def badge() -> Image.Image:
    """Draw a badge, 128 x 128 with a palette of four colours, the first of them transparent."""
    image = Image.new("P", (128, 128), 0)
    image.putpalette([0, 0, 0, 20, 60, 140, 250, 200, 40, 255, 255, 255])
    draw = ImageDraw.Draw(image)
    draw.ellipse((4, 4, 123, 123), fill=1)
    draw.ellipse((14, 14, 113, 113), fill=3)
    angles = np.linspace(-np.pi / 2, 1.5 * np.pi, 11)[:-1]
    radii = np.where(np.arange(10) % 2, 18, 44)
    draw.polygon([(64 + r * np.cos(a), 64 + r * np.sin(a)) for a, r in zip(angles, radii, strict=True)], fill=2)
    return image


def plot() -> Image.Image:
    """Draw two curves on axes, 320 x 200 RGBA on a transparent ground, as plotting programs export them."""
    image = Image.new("RGBA", (320, 200), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.line([(30, 10), (30, 180), (310, 180)], fill=(40, 40, 40, 255), width=2)
    for tick in range(1, 7):
        draw.line([(30 + tick * 45, 180), (30 + tick * 45, 185)], fill=(40, 40, 40, 255))
    x = np.linspace(0, 1, 200)
    for curve, color in ((np.sin(6 * x) * np.exp(-x), (200, 40, 40, 255)), (x**2 - 0.3, (40, 90, 200, 160))):
        draw.line([(32 + 276 * u, 95 - 80 * v) for u, v in zip(x, curve, strict=True)], fill=color, width=3)
    return image


def _spread(points: Field, height: int, width: int) -> Field:
    """Move each point to the middle of its cell (Lloyd's algorithm), which evens the patches out."""
    rows, columns = np.mgrid[0:height:4, 0:width:4]
    nearest = np.argmin((rows[..., None] - points[:, 0]) ** 2 + (columns[..., None] - points[:, 1]) ** 2, axis=2)
    cells = [nearest == index for index in range(len(points))]
    return np.array(
        [(rows[cell].mean(), columns[cell].mean()) if cell.any() else point for cell, point in zip(cells, points, strict=True)]
    )


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for name, image in (("giraffe", giraffe()), ("micrograph", micrograph()), ("badge", badge()), ("plot", plot())):
        about = PngInfo()
        about.add_text("Title", name.capitalize())
        about.add_text("Software", Path(__file__).name)
        options: dict[str, Any] = {"transparency": 0, "bits": 2} if image.mode == "P" else {}
        image.save(folder / f"{name}.png", optimize=True, pnginfo=about, **options)


if __name__ == "__main__":
    main()
